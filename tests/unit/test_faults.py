"""The wrapper that injects faults: each does what it says to any log, at its number, and once."""

from __future__ import annotations

import pytest

from stream_al.errors import Ambiguous, StreamAlError
from stream_al.port import Outgoing, Position
from stream_al_connectors import MemoryLog
from stream_al_connectors.faults import Crash, Effect, FaultyLog, Injector, interleaved

RECORD = [Outgoing(b"a", partition=0)]


def _log() -> MemoryLog:
    return MemoryLog(topics={"events": 2, "queries": 2}, clock=lambda: 7)


@pytest.mark.parametrize(
    ("fault", "error", "there"),
    [
        ("crash_before", Crash, 0),
        ("crash_after", Crash, 1),
        ("lost", Ambiguous, 0),
        ("unknown", Ambiguous, 1),
    ],
)
def test_an_append_goes_wrong(fault: str, error: type[BaseException], there: int) -> None:
    """Before: it did not happen. After: it did, and nobody was told."""
    inner = _log()
    log = FaultyLog(inner, Injector({2: fault}), name="w")  # type: ignore[dict-item]

    log.append("queries", RECORD)
    with pytest.raises(error):
        log.append("queries", RECORD)
    log.append("queries", RECORD)

    assert inner.end("queries", 0) == 2 + there


@pytest.mark.parametrize(("fault", "there"), [("crash_before", 0), ("crash_after", 1)])
def test_a_transaction_is_one_side_effect(fault: str, there: int) -> None:
    """Records and positions are there together, or neither, whenever the process dies."""
    inner = _log()
    injector = Injector({3: fault})  # type: ignore[dict-item]
    member = FaultyLog(inner, injector, name="w").join("g", "events", name="w")
    member.poll(limit=1, timeout_s=9)

    def commit() -> None:
        with member.transaction() as transaction:
            transaction.append("queries", 0, b"q")
            transaction.commit_position("events", 0, Position(1))

    with pytest.raises(Crash):
        commit()

    assert inner.end("queries", 0) == there
    assert (inner.committed("g", "events", 0) is not None) == bool(there)
    assert injector.injected == {fault: 1}
    assert injector.effect_count == 3


def test_a_crash_is_no_error() -> None:
    """Nothing that handles errors, of ours or any, may catch the death of a process."""
    assert not issubclass(Crash, Exception)
    assert not issubclass(Crash, StreamAlError)


def test_polls_go_wrong() -> None:
    """A slow poll brings nothing, a failing one doubt, a lost one moves on, one is reordered."""
    inner = _log()
    inner.append("events", [Outgoing(b"%d" % n, partition=n % 2) for n in range(6)])
    polls = {2: "slow", 3: "fails", 4: "read_lost", 5: "reordered"}
    member = FaultyLog(inner, Injector(polls=polls), name="w").join(  # type: ignore[arg-type]
        "g", "events", name="w"
    )

    assert list(member.poll(limit=9, timeout_s=0).assigned) == [0, 1]
    for partition in member.owned:
        member.seek(partition, 0)
    assert list(member.poll(limit=9, timeout_s=0).records) == []
    with pytest.raises(Ambiguous):
        member.poll(limit=9, timeout_s=0)
    with pytest.raises(Ambiguous):
        member.poll(limit=4, timeout_s=0)
    found = member.poll(limit=9, timeout_s=0).records
    assert sorted((record.partition, record.offset) for record in found) == [(0, 2), (1, 2)]


def test_a_stall_lets_others_go_on_first() -> None:
    """The side effect waits for what the caller does meanwhile, and then happens."""
    inner = _log()
    seen: list[Effect] = []

    def meanwhile(effect: Effect) -> None:
        seen.append(effect)
        inner.append("queries", RECORD)

    log = FaultyLog(inner, Injector({1: "stall"}, stalled=meanwhile), name="w")

    assert log.append("queries", RECORD) == [(0, 1)]
    assert seen == [Effect(1, "w", "append", "queries")]


def test_reordering_keeps_the_order_within_a_partition() -> None:
    """Partitions are mixed; offsets of one still grow; nothing is lost."""
    inner = _log()
    inner.append("events", [Outgoing(b"", partition=n % 2) for n in range(12)])
    records = inner.read("events", 0, 0, limit=9) + inner.read("events", 1, 0, limit=9)

    mixed = interleaved(records)

    assert mixed != records
    assert sorted(mixed, key=lambda one: (one.partition, one.offset)) == records
    for partition in (0, 1):
        offsets = [one.offset for one in mixed if one.partition == partition]
        assert offsets == sorted(offsets)


def test_the_rest_is_passed_on() -> None:
    """Leaving, claiming and retention are side effects too; reading is none."""
    inner = _log()
    injector = Injector()
    log = FaultyLog(inner, injector, name="w")
    member = log.join("g", "events", name="w")
    claim = log.claim("a")
    assert claim is not None
    with claim:
        assert log.claim("a") is None
    assert log.enforce_retention({"events": 1}, {}, now_ms=0) == 0
    assert log.owners("g", "events")[0].member is None
    assert (log.begin("events", 0), log.end("events", 0), log.partition_count("events")) == (
        0,
        0,
        2,
    )
    member.leave()
    log.close()

    assert injector.effect_count == 5
