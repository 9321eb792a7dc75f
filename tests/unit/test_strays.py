"""The journal's chain, record by record: what continues it, what is passed over, what stops."""

from __future__ import annotations

from collections import Counter

import pytest

from stream_al.errors import ConfigurationError, Diverged
from stream_al.messages import (
    CHAIN_START,
    JournalRecord,
    LabelEntry,
    SeedEntry,
    VoteEntry,
    chain_after,
    chained,
    link_of,
)
from stream_al.port import Record
from stream_al.service.strays import HELD_MAX, Links
from tests.unit.labels_desk import Desk

NAMES = ("plain", "größer", "\u2028 \x7f <&>", "💰", "a" * 300, '"\\')


def _chain(*entries: JournalRecord, after: str = CHAIN_START) -> list[bytes]:
    values = []
    for entry in entries:
        linked = chained(entry, after)
        values.append(linked.to_wire())
        after = linked.chain
    return values


def _seeds(count: int) -> list[bytes]:
    seeds = (SeedEntry(at_ms=n, event_id=f"e-{n}", label="ok") for n in range(count))
    return _chain(*seeds)


def _taken(values: list[bytes]) -> tuple[list[int], int]:
    """Return the offsets that were taken, and how many strays were told of."""
    counted: Counter[str] = Counter()
    links = Links("t.journal", counted=counted)
    records = [Record(0, offset, 0, None, value) for offset, value in enumerate(values)]
    taken = [record.offset for record in records if links.take(record) is not None]
    assert links.next == len(values)
    return taken, counted["journal"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("number", [0, 1e-5, 1e16, 1.5, 0.1 + 0.2, 1e300, 5e-324])
def test_every_record_of_ours_continues_the_chain(name: str, number: float) -> None:
    """A10: by the quick hash or by the exact one, whatever letters and numbers are in it."""
    desk = Desk()
    desk.ask(name, propensity=number, segment=name, features={"text": name, "n": 1e-7})
    desk.say(name, "spam", annotator=name)
    desk.ask("b")
    desk.say("b", None, kind="skip")
    records = list(desk.journal.values())
    assert {LabelEntry, VoteEntry} <= {type(one) for one in records}

    taken, strays = _taken([one.to_wire() for one in records])
    assert (taken, strays) == (list(range(len(records))), 0)


CHAIN = b'{"chain": "' + b"ab" * 16 + b'", "n": '
ODD = (
    b"1" + b"0" * 5_000,
    b"1" + b"0" * 40,
    b"1e400",
    b"NaN",
    b'"\\ud800"',
    b"[" * 900 + b"]" * 900,
)


@pytest.mark.parametrize(
    "stray",
    [b"hello", b"", b"[1]", b"{}", b"\xff", b"[" * 9_000, *(CHAIN + odd + b"}" for odd in ODD)],
)
def test_a_stray_is_passed_over_once_the_next_record_is_there(stray: bytes) -> None:
    """A10: at the end it waits; behind it the journal goes on as if it were not there."""
    good = _seeds(4)

    assert _taken([*good, stray]) == ([0, 1, 2, 3], 0)
    assert _taken([good[0], stray, *good[1:]]) == ([0, 2, 3, 4], 1)
    assert _taken([stray, stray, *good, stray]) == ([2, 3, 4, 5], 2)


def test_the_quick_proof_is_of_every_field() -> None:
    """A10: what it doesn't know it leaves to the other, which counts fields of newer versions."""
    value = _seeds(1)[0]
    link = link_of(value)
    assert link is not None
    other = value.replace(b'"label":"ok"', b'"label":"no"')
    more = value.replace(b'"label"', b'"since":1,"label"')
    blanked = value.replace(b'"features":null', b'"features":{"n":[1]},"meta":{}')
    proven = more.replace(link.chain.encode(), link_of(more).after(CHAIN_START).encode())  # type: ignore[union-attr]

    assert chain_after(CHAIN_START, value) == chain_after(CHAIN_START, blanked) == link.chain
    assert [chain_after(CHAIN_START, one) for one in (other, more, proven, b"hello")] == [None] * 4
    assert chain_after(link.chain, value) is None
    assert (_taken([more])[0], _taken([proven])[0]) == ([], [0])


def test_records_of_ours_that_come_again_are_strays() -> None:
    """A10: one that was sent again lies between the others."""
    good = _seeds(4)

    assert _taken([good[0], good[1], good[0], good[2]]) == ([0, 1, 3], 1)


def test_a_changed_record_is_no_stray() -> None:
    """A10: the next record continues what it says, or what it should say."""
    good = _seeds(5)
    changed = good[2].replace(b'"label":"ok"', b'"label":"no"')
    link = link_of(good[2])
    assert link is not None
    broken = good[2].replace(link.chain.encode(), b"ab" * 16)

    for value in (changed, broken):
        with pytest.raises(Diverged, match=r"partition 0, offset 3: .* offset 2"):
            _taken([*good[:2], value, *good[3:]])
    with pytest.raises(Diverged, match="offset 3"):
        _taken([*good[:2], *good[3:], b"", good[4]])


@pytest.mark.parametrize("order", [(0, 2, 1, 3, 4), (0, 1, 3, 2, 4)])
def test_swapped_records_are_no_strays(order: tuple[int, ...]) -> None:
    """A10: the journal goes on from one that seemed to be passed over."""
    good = _seeds(5)
    with pytest.raises(Diverged):
        _taken([good[n] for n in order])


def test_a_newer_kind_in_the_chain_stops() -> None:
    """A10: skipping a lesson would make another model."""
    newer = _seeds(1)[0].replace(b'"seed"', b'"embedding"')
    link = link_of(newer)
    assert link is not None
    newer = newer.replace(link.chain.encode(), link.after(CHAIN_START).encode())

    with pytest.raises(ConfigurationError, match=r"partition 0, offset 0: .* upgrade"):
        _taken([newer])


def test_a_flood_of_strays_stops() -> None:
    """A10: what is held is bounded."""
    assert _taken([b""] * HELD_MAX + _seeds(1)) == ([HELD_MAX], HELD_MAX)
    with pytest.raises(Diverged, match="1,000 records in a row"):
        _taken([b""] * (HELD_MAX + 1))
