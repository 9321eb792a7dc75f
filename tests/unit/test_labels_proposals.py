"""What operators and scorers propose: judged, journaled once, or refused with a sentence."""

from __future__ import annotations

from typing import Any

import pytest

from stream_al.config import Config
from stream_al.labels.proposals import Remembered
from stream_al.labels.statistics import NUMBERS_MAX
from stream_al.messages import (
    ControlEntry,
    ControlProposal,
    ModelEntry,
    NumberSums,
    SeedEntry,
    StatisticsEntry,
    StatisticsProposal,
    chained,
)
from stream_al.messages.statistics import knots_of, merge_sums, statistics_of
from tests.unit.labels_desk import START_MS, Desk


def control(patch: dict[str, Any], proposal_id: str = "1") -> ControlProposal:
    return ControlProposal(proposal_id=proposal_id, actor="ops", reason="why", patch=patch)


def seed(event_id: str = "s", label: str = "ok", **changes: Any) -> ControlProposal:
    values = {"proposal_id": "1", "actor": "ops", "features": {"n": 1.0}, **changes}
    return ControlProposal(kind="seed", event_id=event_id, label=label, **values)


def sums(*values: float, sample: bool = True) -> NumberSums:
    mean = sum(values) / len(values)
    return NumberSums(
        count=len(values),
        mean=mean,
        m2=sum((value - mean) ** 2 for value in values),
        sample=values if sample else (),
    )


def measured(count: int, **numbers: NumberSums) -> StatisticsProposal:
    return StatisticsProposal(partition=0, event_count=count, numbers=numbers)


def statistics(desk: Desk, count: int, **numbers: NumberSums) -> list[StatisticsEntry]:
    records = desk.resolver.on_statistics(measured(count, **numbers), now_ms=desk.now_ms)
    desk.journaled(records)
    assert all(isinstance(record, StatisticsEntry) for record in records)
    return records


# ---------------------------------------------------------------------- start


def test_an_empty_journal_begins_with_lineage_and_settings() -> None:
    """The first records are the model's and the configured settings; a second start adds none."""
    desk = Desk()
    model, settings = desk.journal.values()

    assert isinstance(model, ModelEntry)
    assert (model.config_hash, model.preset) == (desk.config.model_hash(), "linear")
    assert isinstance(settings, ControlEntry)
    assert desk.resolver.settings == desk.config.settings()
    assert desk.resolver.lineage == model
    assert desk.resolver.start(now_ms=START_MS) == []


def test_new_partitions_divide_the_budget_anew() -> None:
    """A journal of four partitions under a configuration of eight gets the new division."""
    desk = Desk()
    desk.config = Config.model_validate({"topics": {"partitions": 8}, "labels": {"votes": 2}})
    desk.resolver = desk.rebuilt()

    (entry,) = desk.journaled(desk.resolver.start(now_ms=START_MS))

    assert isinstance(entry, ControlEntry)
    assert entry.patch == {"partitions": 8, "votes": 2}
    assert desk.resolver.settings.partitions == 8


# ---------------------------------------------------------------------- controls


def test_a_patch_is_in_force_at_once() -> None:
    """A sound patch is journaled with actor and reason, and changes only what it names."""
    desk = Desk()
    result = desk.resolver.on_control(
        control({"gate": {"budget": {"share": 0.02}, "back_pressure": "15m"}}), now_ms=START_MS
    )

    (entry,) = result.records
    assert isinstance(entry, ControlEntry)
    assert (entry.actor, entry.reason, result.problem) == ("ops", "why", None)
    gate = desk.resolver.settings.gate
    assert (gate.budget.share, gate.back_pressure, gate.burst) == (0.02, 900_000, 1)


@pytest.mark.parametrize(
    ("patch", "told"),
    [
        ({}, "patch"),
        ({"gate": {"budget": {"share": 1.5}}}, "gate.budget.share: 1.5"),
        ({"gate": {"budget": {"share": float("nan")}}}, "gate.budget.share: nan"),
        ({"gate": {"budget": {"shere": 0.1}}}, "gate.budget.shere"),
        ({"gate": None}, "gate"),
        ({"gate": {"budget": {"open": 3}}}, "gate.budget.open: 3: below the 4 partitions"),
        ({"gate": {"uncertainty": "magic"}}, "known are entropy, margin"),
        ({"partitions": 9}, "partitions: 9"),
        ({"votes": 9}, "votes: 9"),
        ({"speed": 9}, "speed"),
    ],
    ids=str,
)
def test_a_wrong_patch_is_not_journaled(patch: dict[str, Any], told: str) -> None:
    """Nothing is journaled, nothing changes, and the sentence names field and value."""
    desk = Desk()
    before = desk.resolver.fingerprint()

    result = desk.resolver.on_control(control(patch), now_ms=START_MS)

    assert result.records == ()
    assert told in (result.problem or "")
    assert desk.resolver.fingerprint() == before


def test_the_whole_configured_patch_is_sound() -> None:
    """`budget set --from-config` may propose all settings, partitions and votes included."""
    desk = Desk()
    patch = desk.config.settings().model_dump(mode="json")

    assert desk.resolver.on_control(control(patch), now_ms=START_MS).problem is None
    none_open = control({"gate": {"budget": {"open": 0}}}, "2")
    assert desk.resolver.on_control(none_open, now_ms=START_MS).problem is None


def test_a_proposal_appended_twice_acts_once() -> None:
    """A producer's retry does nothing, also after a rebuild and after a newer proposal."""
    desk = Desk()
    first = control({"gate": {"budget": {"share": 0.02}}}, "1")
    second = control({"gate": {"budget": {"share": 0.04}}}, "2")
    for proposal in (first, second):
        desk.journaled(desk.resolver.on_control(proposal, now_ms=START_MS).records)

    for resolver in (desk.resolver, desk.rebuilt()):
        result = resolver.on_control(first, now_ms=START_MS)
        assert (result.records, result.problem) == ((), None)
        assert resolver.settings.gate.budget.share == 0.04


def test_a_control_record_that_can_not_be_applied_is_skipped() -> None:
    """An older journal may hold a setting that is gone: skipped and counted, everywhere alike."""
    desk = Desk()
    gone = ControlEntry(at_ms=0, actor="a", reason="", patch={"speed": 1})
    desk.resolver.apply(chained(gone, desk.resolver.chain), 50)

    assert desk.resolver.skipped_count == 1
    assert desk.resolver.settings == desk.config.settings()


def test_activate_begins_a_lineage() -> None:
    """A `model` proposal becomes a model record with an id of its own."""
    desk = Desk()
    proposal = ControlProposal(
        kind="model", proposal_id="m", actor="ops", config_hash="abc", preset="river"
    )

    (entry,) = desk.resolver.on_control(proposal, now_ms=START_MS).records

    assert isinstance(entry, ModelEntry)
    assert desk.resolver.lineage == entry
    assert entry.model_id != next(iter(desk.journal.values())).model_id
    assert desk.resolver.on_control(proposal, now_ms=START_MS).records == ()
    bare = proposal.model_copy(update={"preset": None, "proposal_id": "n"})
    assert "preset: None" in (desk.resolver.on_control(bare, now_ms=START_MS).problem or "")


# ---------------------------------------------------------------------- seeds


def test_a_seed_teaches_once() -> None:
    """The same event and label twice is journaled once; another label is a lesson of its own."""
    desk = Desk()
    (entry,) = desk.journaled(desk.resolver.on_control(seed(), now_ms=START_MS).records)

    assert isinstance(entry, SeedEntry)
    assert entry.features == {"n": 1.0}
    for resolver in (desk.resolver, desk.rebuilt()):
        again = resolver.on_control(seed(proposal_id="2"), now_ms=START_MS)
        assert (again.records, again.problem) == ((), None)
    other = desk.resolver.on_control(seed(label="spam", proposal_id="3"), now_ms=START_MS)
    assert len(other.records) == 1


@pytest.mark.parametrize(
    ("proposal", "told"),
    [
        (seed(label="fraud"), "label: 'fraud'"),
        (seed(features=None), "features: None"),
        (seed(event_id=""), "event_id: ''"),
    ],
    ids=["class", "features", "id"],
)
def test_a_wrong_seed_is_refused(proposal: ControlProposal, told: str) -> None:
    """The sentence names the field and the value."""
    desk = Desk(Config.model_validate({"labels": {"classes": ["ok", "spam"]}}))

    result = desk.resolver.on_control(proposal, now_ms=START_MS)

    assert result.records == ()
    assert told in (result.problem or "")


def test_what_is_remembered_is_bounded() -> None:
    """The oldest keys go first, and keys do not run into each other."""
    remembered = Remembered(3)
    for key in ("a", "b", "c", "d"):
        remembered.add((key,))

    assert len(remembered) == 3
    assert [(key,) in remembered for key in "abcd"] == [False, True, True, True]
    remembered.add(("ab", "c"))
    assert ("a", "bc") not in remembered


# ---------------------------------------------------------------------- statistics


def test_statistics_are_journaled_at_growing_counts() -> None:
    """Ten events at a time: records at 30, 60, 120, 200, then after every tenth more."""
    desk = Desk()
    counts = [
        record.event_count
        for _ in range(40)
        for record in statistics(desk, 10, n=sums(1.0, 2.0, sample=False))
    ]

    assert counts == [30, 60, 120, 200, 220, 250, 280, 310, 350, 390]


def test_statistics_merge_exactly() -> None:
    """Mean and sd over two partitions are those of all values together."""
    desk = Desk()
    values = [float(value * value % 17) for value in range(40)]
    statistics(desk, 13, n=sums(*values[:13], sample=False))

    (entry,) = statistics(desk, 27, n=sums(*values[13:], sample=False))

    expected = statistics_of(sums(*values))
    assert entry.numbers["n"].mean == pytest.approx(expected.mean, rel=1e-12)
    assert entry.numbers["n"].sd == pytest.approx(expected.sd, rel=1e-12)
    assert entry.numbers["n"].knots == ()
    assert entry.send_every >= 30


def test_knots_freeze_with_the_first_200_values() -> None:
    """Samples of all proposals are joined up to 200; then knots stand and do not move."""
    desk = Desk()
    low = [float(value) for value in range(200)]
    high = [value + 1_000.0 for value in low]
    (none,) = statistics(desk, 30, n=sums(*low[:29]))
    (first,) = statistics(desk, 200, n=sums(*low))
    (second,) = statistics(desk, 200, n=sums(*high))

    assert none.numbers["n"].knots == ()
    frozen = knots_of(low[:29] + low[:171])
    assert first.numbers["n"].knots == frozen
    assert second.numbers["n"].knots == frozen
    rebuilt = desk.rebuilt()
    assert rebuilt.fingerprint() == desk.resolver.fingerprint()
    (third,) = rebuilt.on_statistics(measured(200, n=sums(*high)), now_ms=START_MS)
    assert isinstance(third, StatisticsEntry)
    assert third.event_count == 630
    assert third.numbers["n"].knots == frozen


def test_statistics_survive_wild_numbers() -> None:
    """Sums that are not finite are left out; the names are bounded."""
    desk = Desk()
    wild = NumberSums(count=30, mean=float("inf"), m2=0.0, sample=(float("nan"),) * 30)
    huge = NumberSums(count=30, mean=1e300, m2=0.0)
    many = {f"n{index}": sums(1.0, 2.0) for index in range(NUMBERS_MAX + 5)}

    (entry,) = statistics(desk, 30, wild=wild, huge=huge, **many)

    assert "wild" not in entry.numbers
    assert len(entry.numbers) == NUMBERS_MAX
    (after,) = statistics(desk, 30, huge=NumberSums(count=30, mean=-1e300, m2=0.0))
    assert after.numbers["huge"].mean == 1e300


def test_merging_sums_keeps_the_first_sample() -> None:
    """Sums of nothing change nothing."""
    nothing = NumberSums(count=0, mean=0.0, m2=0.0)
    some = sums(1.0, 2.0, 6.0)

    assert merge_sums(nothing, nothing).count == 0
    assert merge_sums(nothing, some) == some
    assert merge_sums(some, nothing) == some
