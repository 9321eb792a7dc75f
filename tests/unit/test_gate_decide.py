"""The block gate: the recurrence itself, hard budgets in any window, and what never breaks them."""

from __future__ import annotations

import math
from collections import deque
from hashlib import blake2b
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_al.errors import ConfigurationError
from stream_al.gate import REMEMBERED_MAX, UNIT, Allowance, Choice, Gate
from stream_al.messages import Settings

SECRET = b"of the tests"


def allowance(share: float = 0.05, **more: Any) -> Allowance:
    """Return the limits; `more` names settings of the gate, of its budget and around it."""
    gate = {key: more[key] for key in ("random_share", "burst", "back_pressure") if key in more}
    budget = {key: more[key] for key in ("per_hour", "open") if key in more}
    top = {key: more[key] for key in ("partitions", "votes") if key in more}
    modes = {"paused": more.get("paused", False)}
    patch = {"gate": {**gate, "budget": {"share": share, **budget}}, "modes": modes, **top}
    return Allowance.of(Settings().patched(patch))


def uncertainties(count: int, seed: int = 1) -> list[float]:
    """Return a wandering stream with ties, zeros and ones."""
    draw, level, found = Random(seed), 0.5, []
    for _ in range(count):
        level = min(max(level + draw.gauss(0, 0.05), 0.0), 1.0)
        found.append(round(min(max(level + draw.gauss(0, 0.2), 0.0), 1.0), 2))
    return found


class Literal:
    """The recurrence as the paper has it, line by line, without any economy."""

    def __init__(self, secret: bytes, partition: int, share: float, eps: float, burst: int) -> None:
        self.key = blake2b(secret + b"|%d" % partition, digest_size=32).digest()
        self.b, self.burst = math.ceil(share * UNIT), burst
        self.eps_units, self.ring = round(eps * UNIT), deque(maxlen=100)
        self.tok = self.F = self.C = self.k = 0
        self.open()

    def open(self) -> None:
        over = self.F + self.C
        self.F = self.eps_units * self.burst
        self.C = self.burst * UNIT - self.F + over
        if over == 0:
            drawn = blake2b(str(self.k).encode(), key=self.key, digest_size=4).digest()
            self.left = int.from_bytes(drawn, "big") >> 2
        self.k += 1

    def decide(self, u: float) -> tuple[bool, int]:
        q, ring = int(255 * math.sqrt(u) + 0.5), self.ring
        r = (sum(x < q for x in ring) + sum(x <= q for x in ring) + 1) / (2 * len(ring) + 2)
        ring.append(q)
        size, peak = self.burst * UNIT, UNIT - self.eps_units
        rem = -(-(size - self.tok) // self.b)
        if rem <= 1:
            f, c = self.F, min(self.C, UNIT - self.F)
        else:
            f = self.F // rem
            a = (1 - r) * (rem + 2) * peak / (2 * self.C) if self.C else 0.0
            c = int(min(self.C, peak) / (1 + (a * a) * (a * a))) if self.C else 0
            c = min(max(c, self.F + self.C - (rem - 1) * UNIT - f), UNIT - f)
        p = f + c
        self.F, self.C, self.left = self.F - f, self.C - c, self.left - p
        asked = self.left < 0
        self.left += UNIT if asked else 0
        self.tok += self.b
        if self.tok >= size:
            self.tok -= size
            self.open()
        return asked, p


@pytest.mark.parametrize("burst", [1, 3])
@pytest.mark.parametrize("eps", [0.2, 1.0])
@pytest.mark.parametrize("share", [0.003, 0.05, 0.3, 0.77, 1.0])
def test_decides_as_the_recurrence_says(share: float, eps: float, burst: int) -> None:
    """The same answers and the same propensities, to the last unit, as the plain transcription."""
    gate, plain = Gate(SECRET, 3), Literal(SECRET, 3, share, eps, burst)
    allowed = allowance(share, random_share=eps, burst=burst)

    for u in uncertainties(1_500):
        choice = gate.decide(u, 0, allowed)
        asked, p = plain.decide(u)
        assert (choice.asked, choice.propensity) == (asked, p / UNIT)


@pytest.mark.parametrize("eps", [0.05, 0.2, 0.35])
@pytest.mark.parametrize("share", [0.01, 0.05, 0.3, 0.5, 1.0])
def test_propensity_never_falls_below_the_floor(share: float, eps: float) -> None:
    """I-a: with a constant budget p >= floor/⌈1/B⌉ > 0 and p <= 1, and p is spent on the blocks."""
    gate, allowed = Gate(SECRET, 0), allowance(share, random_share=eps)
    choices = [gate.decide(u, 0, allowed) for u in uncertainties(3_000)]

    assert min(c.propensity for c in choices) >= eps / math.ceil(1 / share) - 1 / UNIT
    assert max(c.propensity for c in choices) <= 1.0
    assert abs(sum(c.propensity for c in choices) - share * 3_000) < 1.0 + share


@pytest.mark.parametrize("burst", [1, 2, 5])
@pytest.mark.parametrize("share", [0.01, 0.04, 0.1, 0.25])
def test_every_block_asks_exactly_its_burst(share: float, burst: int) -> None:
    """I-b: blocks of burst/B events, each asks `burst` times; ahead of the budget by less."""
    gate, allowed = Gate(SECRET, 0), allowance(share, burst=burst)
    length = round(burst / share)
    asked = [gate.decide(u, 0, allowed).asked for u in uncertainties(length * 40)]

    blocks = [sum(asked[start : start + length]) for start in range(0, len(asked), length)]
    assert set(blocks) == {burst}
    spent = 0
    for events, one in enumerate(asked, start=1):
        spent += one
        assert abs(spent - share * events) < burst + share


Plan = list[tuple[int, float, int, float, bool]]
changes: st.SearchStrategy[Plan] = st.lists(
    st.tuples(
        st.integers(1, 60),  # events
        st.sampled_from([0.0, 0.001, 0.01, 0.07, 0.3, 0.5, 0.99, 1.0]) | st.floats(0.0, 1.0),
        st.integers(1, 3),  # burst
        st.sampled_from([0.01, 0.2, 0.6, 1.0]),  # random share
        st.booleans(),  # limited by the hour and by open queries too
    ),
    min_size=1,
    max_size=8,
)
levels = st.sampled_from([0.0, 0.5, 1.0, float("nan"), float("inf"), -3.0]) | st.floats(0.0, 1.0)
WILD_MS = (0, -1, 10**12, 253_402_300_799_000, -(2**63), 2**63 - 1)
times = st.sampled_from(WILD_MS) | st.integers(10**12, 10**12 + 10**8)


def drive(gate: Gate, plan: Plan, us: list[float], ats: list[int]) -> list[tuple[Choice, int]]:
    """Run the gate through a plan of changed settings; each choice with the burst in force."""
    found: list[tuple[Choice, int]] = []
    for events, share, burst, eps, limited in plan:
        more = {"per_hour": 50.0, "open": 10} if limited else {}
        allowed = allowance(share, burst=burst, random_share=eps, **more)
        for _ in range(events):
            place = len(found)
            choice = gate.decide(
                us[place % len(us)], ats[place % len(ats)], allowed, open_count=place % 12
            )
            found.append((choice, burst))
    return found


@settings(max_examples=150, deadline=None)
@given(changes, st.lists(levels, min_size=1, max_size=40), st.lists(times, min_size=1), st.data())
def test_never_over_budget_in_any_window(
    plan: Plan, us: list[float], ats: list[int], data: st.DataObject
) -> None:
    """I-c: at most ⌈Σ rate⌉ + 2·burst - 1 in any window, whatever changes and whatever the clock.

    The propensity stays a probability, and every answer has one above 0.
    """
    found = drive(Gate(SECRET, 0), plan, us, ats)
    burst = max(one for _, one in found)
    choices = [choice for choice, _ in found]
    assert all(0.0 <= c.propensity <= 1.0 and 0.0 <= c.rate <= 1.0 for c in choices)
    assert all(c.propensity > 0 for c in choices if c.asked)
    for _ in range(40):
        start = data.draw(st.integers(0, len(choices) - 1))
        window = choices[start : start + data.draw(st.integers(1, len(choices)))]
        allowed = math.ceil(sum(c.rate for c in window) - 1e-6) + 2 * burst - 1
        assert sum(c.asked for c in window) <= allowed


@settings(max_examples=100, deadline=None)
@given(changes, st.lists(levels, min_size=1, max_size=40))
def test_asked_follows_the_propensities_at_every_prefix(plan: Plan, us: list[float]) -> None:
    """|asked - Σ propensity| stays below a label: no mass is lost where blocks or settings meet."""
    asked = mass = 0.0
    for choice, _ in drive(Gate(SECRET, 0), plan, us, [0]):
        asked += choice.asked
        mass += choice.propensity
        assert abs(asked - mass) < 1.0 + 1e-6


def test_burst_is_never_above_its_mass_when_the_rate_jumps() -> None:
    """Mass that a short rest of a block can't take is carried into the next one, p stays <= 1."""
    gate = Gate(SECRET, 0)
    slow, fast = allowance(0.01, burst=100, random_share=1.0), allowance(1.0, burst=100)
    choices = [gate.decide(0.5, 0, slow if n % 7 else fast) for n in range(3_000)]

    assert max(c.propensity for c in choices) <= 1.0
    spent, mass = sum(c.asked for c in choices), sum(c.propensity for c in choices)
    assert abs(spent - mass) < 1.0 + 1e-6


@pytest.mark.parametrize("share", [0.01, 0.05, 0.3, 1.0])
@pytest.mark.parametrize("level", [0.0, 0.5, 1.0, float("nan")])
def test_first_query_comes_before_one_over_budget_events(share: float, level: float) -> None:
    """I-g: a cold start asks within its first block, even when every uncertainty is the same."""
    allowed = allowance(share)
    for seed in range(30):
        gate = Gate(b"%d" % seed, 0)
        first = [gate.decide(level, 0, allowed).asked for _ in range(math.ceil(1 / share))]
        assert any(first)


@pytest.mark.parametrize(
    ("before", "after", "lowest", "highest", "mean"),
    [(0.01, 0.10, 9, 11, 9.8), (0.10, 0.01, 0, 2, 1.1)],
)
def test_change_at_run_time_settles_at_once(
    before: float, after: float, lowest: int, highest: int, mean: float
) -> None:
    """I-f: in the next 100 events what the new budget says; nothing owed, nothing paid back."""
    old, new, found = allowance(before), allowance(after), []
    for seed in range(300):
        gate, us = Gate(b"%d" % seed, 0), uncertainties(450 + seed % 100, seed)
        for u in us[:-100]:
            gate.decide(u, 0, old)
        found.append(sum(gate.decide(u, 0, new).asked for u in us[-100:]))

    assert lowest <= min(found)
    assert max(found) <= highest
    assert sum(found) / 300 == pytest.approx(mean, abs=0.25)


def test_two_partitions_and_two_secrets_ask_about_different_events() -> None:
    """Thresholds are keyed by both, so nobody can craft an event that is never asked about."""
    us, allowed = uncertainties(2_000), allowance(0.05)
    runs = []
    for secret, partition in ((b"one", 0), (b"one", 1), (b"two", 0)):
        gate = Gate(secret, partition)
        runs.append([gate.decide(u, 0, allowed).asked for u in us])

    assert runs[0] != runs[1]
    assert runs[0] != runs[2]


def test_empty_secret_is_refused() -> None:
    """A key that everybody knows would let anybody avoid the gate; any length above 0 works."""
    with pytest.raises(ConfigurationError, match=r"gate\.secret_file"):
        Gate(b"", 0)
    assert Gate(b"x" * 1_000, 0).decide(0.5, 0, allowance(1.0)).asked


def test_uncertain_events_are_worth_more() -> None:
    """The concentrated part goes to high ranks, the floor to all; `floor` says which one asked."""
    gate, allowed = Gate(SECRET, 0), allowance(0.05, random_share=0.2)
    draw = Random(7)
    us = [draw.random() for _ in range(200 * REMEMBERED_MAX)]
    choices = [gate.decide(u, 0, allowed) for u in us]
    asked = [u for u, c in zip(us, choices, strict=True) if c.asked]
    by_floor = [c.floor for c in choices if c.asked]

    assert sum(asked) / len(asked) > sum(us) / len(us) + 0.2
    assert not any(c.floor for c in choices if not c.asked)
    assert sum(by_floor) / len(by_floor) == pytest.approx(0.2, abs=0.03)
