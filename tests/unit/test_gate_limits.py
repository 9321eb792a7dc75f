"""Budgets per hour and of open queries, back-pressure and pause: all act before the draw."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import pytest

from stream_al.gate import UNIT, Allowance, Choice, Gate
from stream_al.messages import Settings

HOUR_MS = 3_600_000
START_MS = 1_795_406_400_000


def allowance(share: float = 0.05, partitions: int = 1, votes: int = 1, **more: Any) -> Allowance:
    budget = {key: more[key] for key in ("per_hour", "open") if key in more}
    gate = {key: more[key] for key in ("back_pressure", "burst") if key in more}
    patch = {
        "gate": {**gate, "budget": {"share": share, **budget}},
        "modes": {"paused": more.get("paused", False)},
        "partitions": partitions,
        "votes": votes,
    }
    return Allowance.of(Settings().patched(patch))


def asked_at(gate: Gate, allowed: Allowance, every_ms: int, hours: float) -> list[int]:
    """Return the times at which a steady stream was asked about."""
    draw = Random(1)
    times_ms = range(START_MS, START_MS + int(hours * HOUR_MS), every_ms)
    return [at_ms for at_ms in times_ms if gate.decide(draw.random(), at_ms, allowed).asked]


def most_in_an_hour(times_ms: list[int]) -> int:
    return max(
        sum(start <= other < start + HOUR_MS for other in times_ms[place : place + 500])
        for place, start in enumerate(times_ms)
    )


@pytest.mark.parametrize(
    ("per_hour", "every_ms", "share", "most", "wanted"),
    [(50, 100, 0.05, 51, 50.0), (50, 36_000, 0.2, 51, 20.0), (50, 36_000, 1.0, 56, 49.9)],
)
def test_hours_are_never_overspent_and_not_left_unspent(
    per_hour: int, every_ms: int, share: float, most: int, wanted: float
) -> None:
    """The smaller of share and hour is spent; in any rolling hour never above h + h/10 + 1."""
    times_ms = asked_at(Gate(b"h", 0), allowance(share, per_hour=per_hour), every_ms, 6)

    assert most_in_an_hour(times_ms) <= most
    assert len(times_ms) / 6 == pytest.approx(wanted, rel=0.05)


def test_bursts_of_events_get_at_most_the_hours_credit() -> None:
    """An hour of silence and then a flood: a tenth of the hour at once, no more than that kept."""
    gate, allowed = Gate(b"h", 0), allowance(1.0, per_hour=100.0)
    for flood in range(5):
        at_ms = START_MS + flood * HOUR_MS
        asked = sum(gate.decide(0.5, at_ms, allowed).asked for _ in range(2_000))
        assert asked <= 11


def test_hours_are_split_over_partitions() -> None:
    """100 an hour over four partitions is 25 for each."""
    times_ms = asked_at(Gate(b"h", 0), allowance(0.5, partitions=4, per_hour=100.0), 1_000, 4)

    assert len(times_ms) / 4 == pytest.approx(25, rel=0.08)


def test_votes_cost_labels() -> None:
    """Two labels for a query: half as many queries; raised votes are charged one label more."""
    allowed = allowance(0.5, per_hour=100.0, votes=2)
    assert len(asked_at(Gate(b"h", 0), allowed, 1_000, 4)) / 4 == pytest.approx(50, rel=0.08)

    gate = Gate(b"h", 0)
    assert gate.decide(0.5, START_MS, allowance(0.5, per_hour=60.0)).rate > 0
    gate.note_votes_raised(5)
    rates = [
        gate.decide(0.5, START_MS + minute * 60_000, allowance(0.5, per_hour=60.0)).rate
        for minute in range(1, 8)
    ]
    assert rates[:3] == [0.0, 0.0, 0.0]
    assert rates[-1] > 0.0


def test_votes_raised_while_hours_are_off_are_not_owed_later() -> None:
    """Nothing is paid back: hours that are switched on begin with their first label."""
    gate, free = Gate(b"h", 0), allowance(0.5)
    for _ in range(10):
        gate.decide(0.5, START_MS, free)
    gate.note_votes_raised(1_000)

    assert gate.decide(0.5, START_MS, allowance(0.5, per_hour=10.0)).rate > 0.0


def test_nothing_an_hour_asks_nothing() -> None:
    """Zero is zero: not even the label that a fresh hour starts with."""
    assert asked_at(Gate(b"h", 0), allowance(1.0, per_hour=0.0), 10_000, 2) == []


def test_time_that_goes_back_fills_nothing_and_a_wild_time_does_not_stop_the_hour() -> None:
    """Less than an hour back: nothing added; 9999 once: the stream goes on as before it."""
    allowed = allowance(1.0, per_hour=60.0)
    gate = Gate(b"h", 0)
    for at_ms in (START_MS, 253_402_300_799_000, 0):
        gate.decide(0.5, at_ms, allowed)
    assert len(asked_at(gate, allowed, 10_000, 3)) / 3 == pytest.approx(60, rel=0.08)

    wobbling = [
        gate.decide(0.5, START_MS + 3 * HOUR_MS - 60_000 * (n % 2), allowed) for n in range(3_000)
    ]
    assert sum(choice.asked for choice in wobbling) <= 7


def test_open_queries_stop_it_and_let_it_go_on() -> None:
    """At the partition's part of `open` the rate is 0 and p is 0; below it the share counts."""
    gate, allowed = Gate(b"o", 0), allowance(0.5, partitions=4, open=10)
    full = [gate.decide(0.5, 0, allowed, open_count=2) for _ in range(50)]
    below = [gate.decide(0.5, 0, allowed, open_count=1) for _ in range(50)]

    assert {(c.asked, c.propensity, c.rate) for c in full} == {(False, 0.0, 0.0)}
    assert sum(c.asked for c in below) == 25


def test_open_queries_are_never_above_their_cap() -> None:
    """With nobody answering, exactly the cap is asked."""
    gate, allowed = Gate(b"o", 0), allowance(1.0, open=7)
    for _ in range(200):
        if gate.decide(0.5, 0, allowed, open_count=gate.sent).asked:
            gate.note_sent()

    assert gate.sent == 7


def test_back_pressure_lowers_the_rate_before_the_draw() -> None:
    """The older the oldest open query the lower the rate, down to nothing; p follows it."""
    allowed = allowance(0.4, back_pressure="10m")
    gate = Gate(b"b", 0)
    rates = [
        gate.decide(0.5, 0, allowed, open_count=1, oldest_open_ms=age).rate
        for age in (-5, 0, 150_000, 300_000, 599_999, 600_000, 10**12)
    ]

    assert rates[:4] == pytest.approx([0.4, 0.4, 0.3, 0.2])
    assert 0.0 < rates[4] < 1e-5
    assert rates[5:] == [0.0, 0.0]
    old = [gate.decide(0.5, 0, allowed, open_count=1, oldest_open_ms=450_000) for _ in range(400)]
    assert abs(sum(c.asked for c in old) - 40) <= 1
    assert abs(sum(c.propensity for c in old) - 40) <= 1


def test_nothing_open_is_no_pressure() -> None:
    """Without an open query the whole share counts, with a limit of zero too."""
    assert allowance(0.4, back_pressure=0).at_pressure(0, None) == math.ceil(0.4 * UNIT)
    assert allowance(0.4, back_pressure=0).at_pressure(1, 0) == 0


@pytest.mark.parametrize("how", [{"share": 0.0}, {"paused": True}])
def test_pause_asks_nothing_and_says_so(how: dict[str, Any]) -> None:
    """Rate 0 and p 0: outside the estimates' frame. The block that was open goes on afterwards."""
    gate, free = Gate(b"p", 0), allowance(0.1)
    before = [gate.decide(0.5, 0, free) for _ in range(5)]
    paused = [gate.decide(0.5, 0, allowance(**how)) for _ in range(50)]
    after = [gate.decide(0.5, 0, free) for _ in range(5)]

    assert set(paused) == {Choice(asked=False, propensity=0.0, rate=0.0, floor=False)}
    assert sum(c.asked for c in before + after) == 1


def test_burst_and_random_share_change_with_the_next_block() -> None:
    """The share counts from the next event on, the other two from the next block on."""
    gate = Gate(b"c", 0)
    for _ in range(5):
        gate.decide(0.5, 0, allowance(0.1))
    more = allowance(0.1, burst=4)
    first = sum(gate.decide(0.5, 0, more).propensity for _ in range(5))
    second = sum(gate.decide(0.5, 0, more).asked for _ in range(40))

    assert first < 1.0
    assert second == 4


def asked_hourly(gate: Gate, allowed: Allowance, times_ms: list[int]) -> int:
    return sum(gate.decide(0.5, at_ms, allowed).asked for at_ms in times_ms)


AHEAD_MS = [7 * 60_000, 59 * 60_000, 61 * 60_000, 400 * 24 * HOUR_MS, 74 * 365 * 24 * HOUR_MS]


@pytest.mark.parametrize("odd_ms", [*AHEAD_MS, -2 * HOUR_MS, -40 * 365 * 24 * HOUR_MS])
def test_one_wild_record_time_neither_fills_the_hour_nor_mutes_it(odd_ms: int) -> None:
    """C13: 59 minutes ahead, of 2100, of 1973: the stream is asked about as without it."""
    allowed = allowance(1.0, per_hour=600.0)
    times_ms = [START_MS + n * 1_000 for n in range(2 * 3_600)]
    wild, plain = Gate(b"h", 0), Gate(b"h", 0)
    assert asked_hourly(wild, allowed, times_ms) == asked_hourly(plain, allowed, times_ms)
    credit = wild.credit_labels

    at_ms = times_ms[-1] + odd_ms
    asked = wild.decide(0.5, at_ms, allowed).asked
    assert wild.credit_labels <= credit
    later_ms = [times_ms[-1] + n * 1_000 for n in range(1, 3_600)]
    with_it = asked + asked_hourly(wild, allowed, later_ms)
    assert abs(with_it - asked_hourly(plain, allowed, later_ms)) <= 1


@pytest.mark.parametrize("every", [1, 2, 7])
def test_wild_times_again_and_again_do_not_fill_the_hour(every: int) -> None:
    """C13: one producer in some has a clock an hour or a year ahead, or in 1973."""
    allowed = allowance(1.0, per_hour=100.0)
    gate = Gate(b"h", 0)
    odd_ms = [HOUR_MS, -40 * 365 * 24 * HOUR_MS, 365 * 24 * HOUR_MS]
    asked = 0
    for n in range(4 * 3_600):
        asked += gate.decide(0.5, START_MS + n * 1_000, allowed).asked
        if n % every == 0:
            asked += gate.decide(0.5, START_MS + n * 1_000 + odd_ms[n % 3], allowed).asked

    assert asked / 4 == pytest.approx(100, rel=0.08)


@pytest.mark.parametrize("gap_ms", AHEAD_MS)
def test_after_a_quiet_night_the_hour_goes_on_with_the_second_record(gap_ms: int) -> None:
    """C13: time that two records in a row agree about has passed, however long it was."""
    allowed = allowance(1.0, per_hour=600.0)
    gate = Gate(b"h", 0)
    asked_hourly(gate, allowed, [START_MS + n * 1_000 for n in range(3_600)])
    begin_ms = START_MS + HOUR_MS + gap_ms
    credit = gate.credit_labels
    gate.decide(0.5, begin_ms, allowed)
    assert gate.credit_labels <= credit
    gate.decide(0.5, begin_ms + 1_000, allowed)
    assert gate.credit_labels > 30.0  # the rest of a tenth of the hour: a quarter is spent at once

    later_ms = [begin_ms + n * 1_000 for n in range(2, 3_600)]
    assert asked_hourly(gate, allowed, later_ms) == pytest.approx(600, rel=0.15)


@pytest.mark.parametrize("every_ms", [10 * 60_000, 90 * 60_000])
def test_a_slow_stream_gets_its_labels_an_event_later(every_ms: int) -> None:
    """C13: where each record is far from the last, each one vouches for the one before it."""
    gate, allowed = Gate(b"h", 0), allowance(1.0, per_hour=2.0)
    times_ms = [START_MS + n * every_ms for n in range(400)]
    hours = 400 * every_ms / HOUR_MS

    wanted = min(2.0 * hours, 400 * 0.5)
    assert asked_hourly(gate, allowed, times_ms) == pytest.approx(wanted, rel=0.1)


def test_two_records_from_the_future_are_left_behind_by_two_of_now() -> None:
    """C13: two in a row are believed, and so are the next two."""
    gate, allowed = Gate(b"h", 0), allowance(1.0, per_hour=600.0)
    asked_hourly(gate, allowed, [START_MS + n * 1_000 for n in range(3_600)])
    future_ms = START_MS + 3 * 365 * 24 * HOUR_MS
    asked_hourly(gate, allowed, [future_ms, future_ms + 1])

    later_ms = [START_MS + HOUR_MS + n * 1_000 for n in range(3_600)]
    assert asked_hourly(gate, allowed, later_ms) == pytest.approx(600, rel=0.15)


def test_a_time_in_doubt_is_part_of_the_state() -> None:
    """C13, I-h: between the two records the state is packed and unpacked; others stay `g1`."""
    allowed = allowance(1.0, per_hour=600.0)
    gate = Gate(b"h", 0)
    gate.decide(0.5, START_MS, allowed)
    assert gate.pack().startswith("g1:")
    gate.decide(0.5, START_MS + HOUR_MS, allowed)
    text = gate.pack()
    assert text.startswith("g2:")
    back = Gate.unpack(b"h", 0, text)
    assert back.pack() == text
    ahead = [START_MS + HOUR_MS + n * 1_000 for n in range(1, 2_000)]
    assert [back.decide(0.5, at_ms, allowed) for at_ms in ahead] == [
        gate.decide(0.5, at_ms, allowed) for at_ms in ahead
    ]
    assert back.pack().startswith("g1:")
