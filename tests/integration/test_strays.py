"""Records that other programs wrote into our topics: passed over by all alike, and named.

What is no stray still stops whoever folds the journal.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from hashlib import blake2b
from typing import Any

import pytest

from stream_al.messages import CHAIN_START, SeedEntry, chained, read_journal_record
from stream_al.port import Outgoing
from tests.integration.conftest import Deployment, native

GATE = {"gate": {"budget": {"share": 1.0}}}
TEXTS = ("free money now", "see you at lunch")
FOREIGN_SEED = SeedEntry(at_ms=0, event_id="x", label="ham", features={"text": "lunch"})
STRAYS = {
    "a word": b"hello",
    "another object": b'{"a":1}',
    "a tombstone": b"",
    "no UTF-8": b"\xff\xfe\x00",
    "a list": b"[1,2]",
    "a packed array": b'[{"event_id":"e-0"},{"event_id":"e-1"}]',
    "an unfinished array": b"[",
    "null": b"null",
    "deep": b"[" * 5_000,
    "without a chain": FOREIGN_SEED.to_wire(),
    "of another journal": chained(FOREIGN_SEED, "ab" * 16).to_wire(),
    "of another journal's beginning": chained(FOREIGN_SEED, CHAIN_START).to_wire(),
}


def _taught(deployment: Deployment, first: int, count: int) -> None:
    """Answer a query about each of some events."""
    numbers = range(first, first + count)
    deployment.send(*(native(n, TEXTS[n % 2]) for n in numbers))
    deployment.done("run", "--until-idle")
    said = ({"event_id": f"e-{n}", "label": ("spam", "ham")[n % 2], "annotator": "a"}
            for n in numbers)  # fmt: skip
    deployment.send(*said, topic="labels")
    deployment.done("run", "--until-idle")


def _put(deployment: Deployment, topic: str, *values: bytes) -> list[int]:
    """Append records as another program would; return their offsets in partition 0."""
    records = [Outgoing(value, partition=0) for value in values]
    return [offset for _, offset in deployment.log.append(f"t.{topic}", records)]


def _sound(deployment: Deployment) -> dict[str, Any]:
    """Run everything that folds; return what audit says."""
    for command in (["status"], ["queries"], ["budget"], ["model"], ["what-if", "--share", "0.5"],
                    ["replay"], ["snapshot", "write"]):  # fmt: skip
        deployment.done(*command)
    assert deployment.done("replay", "--verify", "--json").json()["sound"]
    report: dict[str, Any] = deployment.done("audit", "--json").json()
    assert report["clean"]
    return report


def test_a_stray_in_the_journal_is_passed_over_by_all(deployment: Deployment) -> None:
    """A10: at the end, in the middle, before and after a restart; audit names it, exit 0."""
    deployment.configure(**GATE, snapshots={"every_records": 0})
    _taught(deployment, 0, 4)
    offsets = []
    for number, value in enumerate(STRAYS.values()):
        offsets += _put(deployment, "journal", value)
        deployment.done("run", "--until-idle")
        may_be_ours = b'"chain":"' in value and b'"chain":""' not in value
        assert deployment.cli("audit").code == (3 if may_be_ours else 0)
        deployment.send({"event_id": f"e-{number % 4}", "label": "ham", "annotator": "a",
                         "revision": 1 + number}, topic="labels")  # fmt: skip
        deployment.done("run", "--until-idle")

    _taught(deployment, 4, 4)
    report = _sound(deployment)
    assert report["strays"]["total"] == len(STRAYS)
    named = [(one["topic"], one["partition"], one["offset"]) for one in report["strays"]["first"]]
    assert named == [("t.journal", 0, offset) for offset in offsets[:10]]
    assert f"stray t.journal/0/{offsets[0]} it does not continue" in deployment.done("audit").out
    versions = {one["model_version"] for one in deployment.messages("predictions")}
    assert not versions & {offset + 1 for offset in offsets}
    assert deployment.done("status", "--json").json()["journal_records"].get("seed") is None

    assert list((deployment.folder / "t.db.snapshots").glob("*.snapshot"))
    _taught(deployment, 8, 2)
    assert _sound(deployment)["strays"]["total"] == len(STRAYS)


def test_several_strays_in_a_row_are_passed_over(deployment: Deployment) -> None:
    """A10: before anything was journaled too, and over a lineage that replays."""
    deployment.configure(**GATE)
    deployment.send(native(0))
    _put(deployment, "journal", b"hello", b"{}")
    _taught(deployment, 0, 4)
    _put(deployment, "journal", *STRAYS.values())
    _taught(deployment, 4, 4)
    deployment.done("replay", "--without", "e-1", "--activate", "--reason", "poisoned")
    _put(deployment, "journal", b"hello")
    _taught(deployment, 8, 4)

    assert _sound(deployment)["strays"]["total"] == 3 + len(STRAYS)


def test_a_record_of_the_journal_that_comes_twice_is_a_stray(deployment: Deployment) -> None:
    """A10: it reads as one of ours, but teaches nobody again."""
    deployment.configure(**GATE)
    _taught(deployment, 0, 4)
    labels = [one for one in deployment.records("journal") if b'"kind":"label"' in one.value]
    _put(deployment, "journal", labels[1].value)
    _taught(deployment, 4, 4)

    assert _sound(deployment)["strays"]["total"] == 1


def _rewrite(deployment: Deployment, offset: int, **changes: Any) -> None:
    """Change fields of a journal record in the file."""
    with closing(sqlite3.connect(deployment.folder / "t.db")) as base, base:
        where = "(SELECT id << 40 FROM streams WHERE topic = 't.journal') + ?"
        (value,) = base.execute(
            f"SELECT value FROM records WHERE place = {where}", (offset,)
        ).fetchone()
        body = json.loads(value) | changes
        base.execute(f"UPDATE records SET value = ? WHERE place = {where}",
                     (json.dumps(body).encode(), offset))  # fmt: skip


@pytest.mark.parametrize("changes", [{"label": "other"}, {"chain": "cd" * 16}, {"at_ms": 7}])
def test_a_changed_record_in_the_middle_still_stops(
    deployment: Deployment, changes: dict[str, Any]
) -> None:
    """A10: the journal goes on from it, so it is no stray: `diverged`, with the place."""
    deployment.configure(**GATE, snapshots={"every_records": 0})
    _taught(deployment, 0, 6)
    offset = next(
        record.offset for record in deployment.records("journal") if b'"label"' in record.value
    )
    _rewrite(deployment, offset, **changes)

    ended = deployment.cli("run", "--until-idle")
    assert ended.code == 1
    assert "diverged" in ended.err
    assert f"'t.journal' partition 0, offset {offset + 1}" in ended.err
    assert deployment.cli("audit").code == 3


def test_a_newer_writers_record_still_stops(deployment: Deployment) -> None:
    """A10: an unknown kind that continues the chain is a lesson that we can't read."""
    deployment.configure(**GATE)
    _taught(deployment, 0, 2)
    last = deployment.records("journal")[-1]
    chain = read_journal_record(last.value).chain
    newer = chained(FOREIGN_SEED, CHAIN_START)
    body = newer.model_dump(mode="json") | {"kind": "embedding"}
    header = {name: body[name] for name in body if name not in {"features", "chain"}}
    text = json.dumps([chain, header], sort_keys=True, separators=(",", ":"))
    body["chain"] = _hash(text)
    (offset,) = _put(deployment, "journal", json.dumps(body).encode())

    for command in (["run", "--until-idle"], ["status"]):
        ended = deployment.cli(*command)
        assert ended.code == 2
        assert f"'t.journal' partition 0, offset {offset}" in ended.err
        assert "upgrade" in ended.err


def _hash(text: str) -> str:
    return blake2b(text.encode(), digest_size=16).hexdigest()


STRAY_QUERIES = list(STRAYS.values())[:10]


def test_a_stray_among_the_queries_is_passed_over_by_all(deployment: Deployment) -> None:
    """A10: first, between others, and as the last one."""
    deployment.configure(**GATE)
    _put(deployment, "queries", *STRAY_QUERIES)
    _taught(deployment, 0, 6)
    _put(deployment, "queries", *STRAY_QUERIES)
    _taught(deployment, 6, 6)
    deployment.send(native(90))
    deployment.done("run", "--until-idle")
    _put(deployment, "queries", *STRAY_QUERIES)

    ended = deployment.done("run", "--until-idle")
    assert "query_stray" in ended.err
    assert "topic=t.queries partition=0 offset=" in ended.err
    assert _sound(deployment)["strays"]["total"] == 3 * len(STRAY_QUERIES)
    assert deployment.done("status", "--json").json()["pending"] == 1
    deployment.done("read", "queries")


def test_a_query_that_no_scorer_writes_is_a_stray(deployment: Deployment) -> None:
    """A10: numbers out of range, an id that is not the event's, a label without probability."""
    deployment.configure(**GATE)
    _taught(deployment, 0, 2)
    query = json.loads(deployment.records("queries")[0].value)
    wrong = ({"source": {"partition": 0, "offset": 10**30}}, {"votes_wanted": 2**40},
             {"query_id": "0" * 24}, {"label": "ham", "probabilities": {}})  # fmt: skip
    _put(deployment, "queries", *(json.dumps(query | each).encode() for each in wrong))

    deployment.done("run", "--until-idle")
    deployment.done("status")
    _taught(deployment, 2, 2)


@pytest.mark.parametrize("topic", ["predictions", "outcomes", "labels", "controls", "statistics"])
def test_strays_in_the_other_topics_stop_nothing(deployment: Deployment, topic: str) -> None:
    """A10: inputs become dead letters, answers are passed over and audit names them."""
    deployment.configure(**GATE)
    _taught(deployment, 0, 6)
    _put(deployment, topic, *list(STRAYS.values())[:9])
    _taught(deployment, 6, 6)

    deployment.done("status")
    deployment.done("what-if", "--share", "0.5")
    assert deployment.done("replay", "--verify", "--json").json()["sound"]
    assert deployment.cli("audit").code == (3 if topic in {"predictions", "outcomes"} else 0)
