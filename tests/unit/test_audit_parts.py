"""The audit's arithmetic against the real gate, and its sorting outside of memory."""

from __future__ import annotations

from random import Random

import pytest

from stream_al.gate import Allowance, Gate
from stream_al.messages import Settings
from stream_al.service.audit.rules import Rulebook, rules_of
from stream_al.service.audit.runs import Runs
from stream_al.service.audit.spend import ROUNDING_UNITS, UNIT, Spend


def _changed(rng: Random) -> dict[str, object]:
    budget = {
        "share": rng.choice([0.01, 0.05, 0.3, 1.0, 0.0]),
        "per_hour": rng.choice([None, None, 50.0, 5_000.0]),
        "open": rng.choice([None, None, 8]),
    }
    return {
        "burst": rng.choice([1, 1, 2, 5]),
        "random_share": rng.choice([0.01, 0.2, 1.0]),
        "budget": budget,
    }


def _spends(seed: int, *, from_start: bool, events: int = 4_000) -> list[object]:
    """Return what `Spend` finds in the decisions of a real gate under changing settings."""
    rng = Random(seed)
    gate, settings = Gate(b"secret", seed), Settings()
    spend = Spend(from_start=from_start)
    found: list[object] = []
    open_count = 0
    for number in range(events):
        if rng.random() < 0.005:
            settings = settings.patched({"gate": _changed(rng)})
        allowance = Allowance.of(settings)
        doubt = rng.choice([rng.random(), 0.0, 1.0, number / events])
        choice = gate.decide(doubt, number * 700, allowance, open_count=open_count)
        open_count = max(0, open_count + choice.asked - (rng.random() < 0.05))
        if choice.rate == 0 or (not from_start and number < 777):
            continue
        rules = rules_of(settings, 0)
        low = high = rules.share_units
        if rules.limited:
            middle = round(round(choice.rate, 8) * UNIT)
            low, high = max(0, middle - ROUNDING_UNITS), middle + ROUNDING_UNITS
        units = int(choice.propensity * UNIT)
        problem = spend.add(units, low, high, asked=choice.asked, burst=rules.burst)
        found += [] if problem is None else [(number, problem)]
    return found


@pytest.mark.parametrize("from_start", [True, False])
def test_no_real_gate_breaks_the_bounds(from_start: bool) -> None:
    """Forty gates under budgets, bursts and limits that change all the time."""
    assert [_spends(seed, from_start=from_start) for seed in range(40)] == [[]] * 40


def test_spending_twice_a_budget_is_found_within_two_labels() -> None:
    """Asked every tenth event at a rate of one in twenty."""
    spend = Spend(from_start=True)
    found = [
        spend.add(UNIT // 10, UNIT // 20, UNIT // 20, asked=number % 10 == 9, burst=1)
        for number in range(60)
    ]

    first = next(number for number, problem in enumerate(found) if problem is not None)
    assert found[first][0] == "I4"
    assert first <= 20


def test_propensities_above_the_rate_are_found() -> None:
    """Queries that fit their propensities, which promise three times the budget."""
    spend = Spend(from_start=True)
    found = [
        spend.add(UNIT * 3 // 20, UNIT // 20, UNIT // 20, asked=False, burst=1) for _ in range(6)
    ]

    assert [problem for problem in found if problem is not None] == []
    found = [
        spend.add(UNIT * 3 // 20, UNIT // 20, UNIT // 20, asked=number % 7 == 0, burst=1)
        for number in range(12)
    ]
    assert "propensity" in {problem[0] for problem in found if problem is not None}


def test_rows_come_back_in_groups_from_disk_as_from_memory() -> None:
    """Ten runs and one give the same groups."""
    rng = Random(1)
    rows = [(rng.getrandbits(63) % 5_000, rng.randint(-1, 9), n) for n in range(20_000)]
    spilled, held = (
        Runs(["a", "b"], key_bits=13, rows_max=2_000),
        Runs(["a", "b"], rows_max=10**6),
    )
    for row in rows:
        spilled.add(*row)
        held.add(*row)

    assert list(spilled.groups()) == list(held.groups())
    assert len(spilled) == 20_000
    spilled.close()


def test_a_patch_that_nobody_can_apply_changes_nothing() -> None:
    """Every reader skips it alike."""
    book = Rulebook(Settings())

    assert book.fold({"gate": {"budget": {"share": 0.5}}}, 3)
    assert not book.fold({"gate": {"budget": {"share": 7}}}, 4)
    assert not book.fold("nonsense", 5)

    assert book.at(3)[0].rate == 0.05
    assert book.at(4)[0].rate == 0.5
    assert book.at(9)[0].rate == 0.5
