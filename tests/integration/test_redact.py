"""A redaction rewrites history in place: what was journaled before it can't be compared any more.

Every reader has to see that, and no reader may take it for damage.
"""

from __future__ import annotations

from typing import Any

import pytest

from stream_al.service.follower import DIGEST_EVERY
from tests.integration.conftest import Deployment, native, until

GATE = {"gate": {"budget": {"share": 1.0}}}
TEXTS = ("free money now", "see you at lunch")
COUNT = 300


def _label(number: int, **more: Any) -> dict[str, Any]:
    said = ("spam", "ham")[number % 2]
    return {"event_id": f"e-{number}", "label": said, "annotator": "a"} | more


def _taught(deployment: Deployment, count: int = COUNT, **sections: Any) -> None:
    """Answer a query about every event, and predict 20 more with what was learnt."""
    deployment.configure(**GATE, **sections)
    deployment.send(*(native(n, TEXTS[n % 2]) for n in range(count)))
    deployment.done("run", "--until-idle")
    deployment.send(*(_label(n) for n in range(count)), topic="labels")
    deployment.done("run", "--until-idle")
    deployment.send(*(native(n, TEXTS[n % 2]) for n in range(count, count + 20)))
    deployment.done("run", "--until-idle")


def _digests(deployment: Deployment) -> list[dict[str, Any]]:
    return [one for one in deployment.messages("journal") if one["kind"] == "digest"]


@pytest.mark.parametrize("events", [["e-0"], ["e-17", "e-18", "e-250"]])
def test_a_worker_starts_after_a_redaction(deployment: Deployment, events: list[str]) -> None:
    """A1: digests from before it are incomparable: no `diverged`, no mismatch, and all is said."""
    _taught(deployment, snapshots={"every_records": 0})
    assert _digests(deployment)

    deployment.done("journal", "redact", *events, "--reason", "asked for")
    deployment.send(native(900, TEXTS[0]))
    deployment.done("run", "--until-idle")

    verified = deployment.done("replay", "--verify")
    found = deployment.done("replay", "--verify", "--json").json()
    assert found["sound"]
    assert found["digests"]["redacted"] >= 1
    assert found["digests"]["compared"] == found["digests"]["equal"]
    said = found["predictions"]
    assert said["redacted"] == 20
    assert said["compared"] == said["equal"] == COUNT + 1
    assert "20 predictions and 1 digest can't be compared" in verified.out
    assert "redact" in verified.out
    assert deployment.done("audit").code == 0


def test_digests_after_a_redaction_are_compared_again(deployment: Deployment) -> None:
    """A1: a worker that ran through it and one that started after it agree, and it is checked."""
    _taught(deployment, snapshots={"every_records": 0})
    worker = deployment.worker()
    deployment.done("journal", "redact", "e-0", "--reason", "asked for")
    count = len(_digests(deployment))
    more = range(400, 400 + DIGEST_EVERY + 20)
    deployment.send(*(native(n, TEXTS[n % 2]) for n in more))
    until(lambda: len(deployment.messages("predictions")) == COUNT + 20 + len(more))
    deployment.send(*(_label(n) for n in more), topic="labels")
    until(lambda: len(_digests(deployment)) > count)
    assert worker.terminate().code == 0

    deployment.done("run", "--until-idle")
    found = deployment.done("replay", "--verify", "--json").json()

    assert found["sound"]
    assert found["digests"]["compared"] == found["digests"]["equal"] >= 1


def test_a_new_resolver_journals_no_digest_of_a_blanked_fold(deployment: Deployment) -> None:
    """A1: a digest that nobody else can have is not put on record."""
    _taught(deployment, count=150, snapshots={"every_records": 0})
    taught = _digests(deployment)
    deployment.done("journal", "redact", "e-3", "--reason", "asked for")
    deployment.send(*(native(n, TEXTS[n % 2]) for n in range(400, 460)))
    deployment.done("run", "--until-idle")
    deployment.done("run", "--until-idle")

    positions = [one["position"] for one in _digests(deployment)]

    assert len(positions) == len(set(positions)) >= len(taught)
    assert deployment.done("replay", "--verify", "--json").json()["sound"]


def test_redactions_add_up(deployment: Deployment) -> None:
    """A1: the second one makes the first one's lineage incomparable too, and only that."""
    _taught(deployment, snapshots={"every_records": 0})
    for event_id in ("e-0", "e-9"):
        deployment.done("journal", "redact", event_id, "--reason", "asked for")
        deployment.send(*(native(int(event_id[2:]) + n, TEXTS[0]) for n in (500, 600)))
        deployment.done("run", "--until-idle")

    found = deployment.done("replay", "--verify", "--json").json()

    assert found["sound"]
    assert found["predictions"]["redacted"] == 22
    assert found["predictions"]["compared"] == found["predictions"]["equal"] == COUNT + 2


def test_a_relabelled_redacted_event_stays_comparable(deployment: Deployment) -> None:
    """A1: a correction of what was blanked teaches nobody, under any later lineage."""
    _taught(deployment, snapshots={"every_records": 0})
    deployment.done("journal", "redact", "e-0", "--reason", "asked for")
    deployment.done("model", "activate", "--reason", "from nothing")
    deployment.send(_label(0, label="ham", revision=1), topic="labels")
    deployment.done("run", "--until-idle")
    deployment.send(*(native(n, TEXTS[0]) for n in range(500, 510)))
    deployment.done("run", "--until-idle")

    found = deployment.done("replay", "--verify", "--json").json()

    assert found["sound"]
    assert found["predictions"]["redacted"] == 20
    assert deployment.done("audit").code == 0


def test_damage_is_no_redaction(deployment: Deployment) -> None:
    """A1: a changed lesson still ends a worker as `diverged`, and verify with 3."""
    _taught(deployment, snapshots={"every_records": 0})
    topic = deployment.config.topic("journal")
    first = next(r for r in deployment.records("journal") if b'"kind":"label"' in r.value)
    text = first.value.replace(b"money now", b"lunch now").replace(b"at lunch", b"at money")
    assert text != first.value
    deployment.log.rewrite(topic, 0, {first.offset: text})

    assert deployment.cli("replay", "--verify").code == 3
    ended = deployment.cli("run", "--until-idle")
    assert ended.code == 1
    assert ended.err.strip().splitlines()[-1].startswith("diverged")


def test_snapshots_around_a_redaction(deployment: Deployment) -> None:
    """A1: with a snapshot from before put back, with newer ones, or with none, a start agrees."""
    _taught(deployment, snapshots={"every_records": 50})
    deployment.done("snapshot", "write")
    folder = deployment.folder / "t.db.snapshots"
    before = {path.name: path.read_bytes() for path in folder.glob("*.snapshot")}
    assert before
    deployment.done("journal", "redact", "e-0", "--reason", "asked for")
    assert not list(folder.glob("*.snapshot"))
    for name, data in before.items():
        (folder / name).write_bytes(data)
        (folder / name).chmod(0o600)

    deployment.send(native(900, TEXTS[0]))
    deployment.done("run", "--until-idle")
    assert deployment.done("replay", "--verify", "--json").json()["sound"]
    deployment.done("snapshot", "write")

    assert not [name for name in before if (folder / name).exists()]
    deployment.send(native(901, TEXTS[0]))
    deployment.done("run", "--until-idle")
    assert deployment.done("replay", "--from-snapshot", "--json").json()["sound"]
