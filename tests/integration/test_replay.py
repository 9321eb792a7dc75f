"""The journal folded again: the same model, one without a poisoned label, one without a person."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stream_al.messages import CHAIN_START, ModelEntry, chained, read_journal_record
from stream_al.port import Record
from tests.integration.conftest import Deployment, native, until

GATE = {"gate": {"budget": {"share": 1.0}}}
TEXTS = ("free money now", "see you at lunch")


def _taught(deployment: Deployment, count: int = 40, **sections: Any) -> None:
    """Answer a query about every event, half of them spam."""
    deployment.configure(**GATE, **sections)
    deployment.send(*(native(n, TEXTS[n % 2]) for n in range(count)))
    deployment.done("run", "--until-idle")
    deployment.send(*(_label(n) for n in range(count)), topic="labels")
    deployment.done("run", "--until-idle")
    deployment.send(*(native(n, TEXTS[n % 2]) for n in range(count, count + 20)))
    deployment.done("run", "--until-idle")


def _label(number: int, label: str | None = None) -> dict[str, Any]:
    said = label or ("spam", "ham")[number % 2]
    return {"event_id": f"e-{number}", "label": said, "annotator": "a"}


def _models(deployment: Deployment) -> list[ModelEntry]:
    entries = [read_journal_record(record.value) for record in deployment.records("journal")]
    return [entry for entry in entries if isinstance(entry, ModelEntry)]


def test_verify_makes_every_prediction_again(deployment: Deployment) -> None:
    """Every prediction comes out as the same bytes, every digest as it was journaled."""
    _taught(deployment, count=230)

    found = deployment.done("replay", "--verify", "--json").json()

    assert found["sound"]
    assert found["learnt"] == 230
    assert found["predictions"]["compared"] == found["predictions"]["equal"] == 250
    assert found["digests"]["compared"] == found["digests"]["equal"] >= 1
    assert "250 of 250 made again bit for bit" in deployment.done("replay", "--verify").out


def test_verify_finds_a_changed_prediction(deployment: Deployment) -> None:
    """A stored prediction that the model never made is named with both values; exit code 3."""
    _taught(deployment)
    (last,) = [r for r in deployment.records("predictions") if b'"e-50"' in r.value]
    body = json.loads(last.value)
    body["probabilities"] = {"spam": 0.5, "ham": 0.5}
    wrong = json.dumps(body, separators=(",", ":")).encode()
    topic = deployment.config.topic("predictions")
    deployment.log.rewrite(topic, last.partition, {last.offset: wrong})

    ended = deployment.cli("replay", "--verify")

    assert ended.code == 3
    assert "59 of 60 made again" in ended.out
    assert "probabilities is {'spam': 0.5, 'ham': 0.5} in the record and" in ended.out


def test_verify_finds_a_changed_lesson(deployment: Deployment) -> None:
    """Features changed in the journal make another model: digest and predictions say so."""
    _taught(deployment, count=230)
    topic = deployment.config.topic("journal")
    first = next(r for r in deployment.records("journal") if b'"kind":"label"' in r.value)
    text = first.value.replace(b"free money", b"at lunch").replace(b"see you", b"money now")
    assert text != first.value
    deployment.log.rewrite(topic, 0, {first.offset: text})

    ended = deployment.cli("replay", "--verify")

    assert ended.code == 3
    assert "the digest at position" in ended.out


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"label":"spam","features"', b'"label":"ham","features"'),
        (b'"event_id":"e-', b'"event_id":"x-'),
        (b'"weight":1.0', b'"weight":3.0'),
    ],
)
def test_verify_finds_a_changed_header(deployment: Deployment, before: bytes, after: bytes) -> None:
    """What the chain covers can't change unseen: a violation with its place, in JSON too."""
    _taught(deployment)
    topic = deployment.config.topic("journal")
    first = next(r for r in deployment.records("journal") if before in r.value)
    deployment.log.rewrite(topic, 0, {first.offset: first.value.replace(before, after)})

    ended = deployment.cli("replay", "--verify")
    found = deployment.cli("replay", "--verify", "--json")

    assert (ended.code, found.code) == (3, 3)
    assert f"goes on from offset {first.offset}, which does not continue the chain" in ended.out
    assert found.json()["sound"] is False


def test_without_is_a_model_that_never_saw_the_label(
    deployment: Deployment, tmp_path: Path
) -> None:
    """Its digest is that of a journal from which the record is missing."""
    _taught(deployment)

    found = deployment.done("replay", "--without", "e-7", "--json").json()
    whole = deployment.done("replay", "--json").json()

    assert (found["left_out"], found["in_force_from"]) == (1, None)
    assert found["digest"] != whole["digest"]
    records = deployment.records("journal")
    never = [r for r in records if not (b'"kind":"label"' in r.value and b'"e-7"' in r.value)]
    assert len(never) == len(records) - 1
    never = _linked(never)
    other = Deployment(deployment._forks, _folder(tmp_path))
    try:
        other.configure(**GATE)
        other.done("run", "--until-idle")
        other.log.rewrite(other.config.topic("journal"), 0, {0: never[0].value, 1: never[1].value})
        member = other.log.join("copy", other.config.topic("journal"), name="copy")
        until(lambda: member.poll(limit=1, timeout_s=0).assigned or member.owned)
        with member.transaction() as transaction:
            for record in never[2:]:
                transaction.append(other.config.topic("journal"), 0, record.value)
        member.leave()
        alone = other.done("replay", "--json").json()
    finally:
        other.close()
    assert (alone["digest"], alone["learnt"]) == (found["digest"], found["learnt"])


def _linked(records: list[Record]) -> list[Record]:
    """Return records as if there had never been others: each continues the one before."""
    linked, chain = [], CHAIN_START
    for record in records:
        entry = chained(read_journal_record(record.value), chain)
        linked.append(record._replace(value=entry.to_wire()))
        chain = entry.chain
    return linked


def _folder(path: Path) -> Path:
    folder = path / "other"
    folder.mkdir()
    return folder


def test_activated_replay_is_in_force_in_every_worker(deployment: Deployment) -> None:
    """Running workers go on predicting, swap, and are at the digest that was promised."""
    _taught(deployment)
    workers = [deployment.worker("--slot", slot) for slot in (1, 2)]

    found = deployment.done(
        "replay", "--without", "e-7", "--activate", "--reason", "poison", "--json"
    )
    position = found.json()["in_force_from"]
    deployment.send(*(native(n, TEXTS[n % 2]) for n in range(100, 130)))
    until(lambda: len(deployment.messages("predictions")) == 90)

    versions = {o["model_version"] for o in deployment.messages("predictions") if
                int(o["event_id"][2:]) >= 100}  # fmt: skip
    assert all(version >= position for version in versions)
    assert all(worker.poll() is None for worker in workers)
    after = deployment.done("replay", "--verify", "--json").json()
    assert (after["digest"], after["learnt"]) == (found.json()["digest"], 39)
    assert after["predictions"]["equal"] == after["predictions"]["compared"] == 90
    lineage = _models(deployment)[-1]
    assert (lineage.start, lineage.without, lineage.reason) == ("replay", ("e-7",), "poison")
    for worker in workers:
        assert worker.terminate().code == 0


def test_replays_add_up(deployment: Deployment) -> None:
    """What one replay left out stays out in the next one; an empty lineage cuts all off."""
    _taught(deployment)
    deployment.done("replay", "--without", "e-7", "--activate")
    deployment.done("replay", "--without", "e-9", "--activate")

    assert _models(deployment)[-1].without == ("e-7", "e-9")
    assert deployment.done("replay", "--json").json()["learnt"] == 38
    deployment.done("model", "activate", "--reason", "from nothing")
    assert deployment.done("replay", "--json").json()["learnt"] == 0
    deployment.done("model", "activate", "--replay", "--reason", "nothing again")
    assert deployment.done("replay", "--json").json()["learnt"] == 0


def test_another_configuration_learns_the_history(deployment: Deployment) -> None:
    """`model activate --replay` teaches the new model what the old one learnt."""
    _taught(deployment)
    deployment.configure(**GATE, model={"preset": "committee"})

    deployment.done("model", "activate", "--replay", "--reason", "committee")

    assert deployment.done("replay", "--json").json()["learnt"] == 40
    deployment.send(native(500, TEXTS[0]))
    deployment.done("run", "--until-idle")
    said = next(o for o in deployment.messages("predictions") if o["event_id"] == "e-500")
    assert said["label"] == "spam"


def test_frozen_lessons_are_learnt_on_demand(deployment: Deployment) -> None:
    """What came while frozen is in no plain replay, and in one with --learn-frozen."""
    deployment.configure(**GATE)
    deployment.send(*(native(n, TEXTS[n % 2]) for n in range(20)))
    deployment.done("run", "--until-idle")
    deployment.send(*(_label(n) for n in range(10)), topic="labels")
    deployment.done("run", "--until-idle")
    deployment.cli("freeze", "--reason", "odd labels")
    deployment.send(*(_label(n) for n in range(10, 20)), topic="labels")
    deployment.done("run", "--until-idle")
    assert deployment.done("replay", "--json").json()["learnt"] == 10

    deployment.done("replay", "--learn-frozen", "--activate")

    assert deployment.done("replay", "--json").json()["learnt"] == 20
    assert deployment.done("replay", "--verify", "--json").json()["sound"]


def test_redacted_payload_is_nowhere_in_the_log(deployment: Deployment) -> None:
    """The text leaves the journal, the chain holds, and every worker's model agrees."""
    secret = "tell nobody about my zebra"
    deployment.configure(**GATE)
    deployment.send(*(native(n, TEXTS[n % 2]) for n in range(20)))
    deployment.done("run", "--until-idle")
    label = {"event_id": "mine", "label": "ham", "annotator": "a", "features": {"text": secret}}
    deployment.send(*(_label(n) for n in range(20)), topic="labels")
    deployment.send(label, topic="labels")
    worker = deployment.worker()
    until(lambda: len(deployment.messages("outcomes")) == 21)

    ended = deployment.done("journal", "redact", "mine", "--reason", "asked for")

    assert "blanked 1 records" in ended.out
    assert not [r for r in deployment.records("journal") if secret.encode() in r.value]
    chain = CHAIN_START
    for record in deployment.records("journal"):
        entry = read_journal_record(record.value)
        assert entry.chain == chained(entry, chain).chain
        chain = entry.chain
    deployment.send(native(77, TEXTS[0]))
    until(lambda: len(deployment.messages("predictions")) == 21)
    assert worker.terminate().code == 0
    again = deployment.done("replay", "--verify", "--json").json()
    assert again["learnt"] == 20
    new = [o for o in deployment.messages("predictions") if o["event_id"] == "e-77"]
    assert new[0]["model_version"] == again["position"] or new[0]["model_version"] > 0
    assert deployment.done("journal", "redact", "mine", "--json").json()["blanked"] == 0


def test_bad_input_is_named(deployment: Deployment) -> None:
    """An unknown event, an empty journal, options that exclude each other: exit code 2."""
    deployment.configure(**GATE)
    deployment.send(native(0))
    assert deployment.cli("replay", "--without", "x").code == 2
    _taught(deployment, count=4)

    unknown = deployment.cli("replay", "--without", "nobody")
    both = deployment.cli("replay", "--verify", "--without", "e-1")
    redact = deployment.cli("journal", "redact", "nobody")

    assert (unknown.code, both.code, redact.code) == (2, 2, 2)
    assert "'nobody': the journal holds no lesson of this event" in unknown.err
    assert "run it without --without" in both.err
    assert "'nobody': the journal holds nothing of this event" in redact.err
