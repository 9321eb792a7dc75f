"""The table of label and state, cell by cell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from stream_al.config import Config
from stream_al.labels import Action, Said, State, action_of
from stream_al.messages import (
    ControlProposal,
    Label,
    LabelEntry,
    RetractionEntry,
    VolunteeredEntry,
    VoteEntry,
)
from tests.unit.labels_desk import DAY_MS, Desk

FEATURES = {"followers": 3.0}


def one_wanted(desk: Desk) -> None:
    desk.ask("e")


def one_skipped(desk: Desk) -> None:
    desk.ask("e")
    desk.say("e", None, kind="skip")


def many_wanted(desk: Desk) -> None:
    desk.ask("e", votes_wanted=2)
    desk.say("e", "spam")


def labelled(desk: Desk) -> None:
    desk.ask("e")
    desk.say("e", "spam")


def retracted(desk: Desk) -> None:
    labelled(desk)
    desk.say("e", None, kind="retract")


def skipped_by_two(desk: Desk) -> None:
    desk.ask("e")
    desk.say("e", None, kind="skip")
    desk.say("e", None, kind="skip", annotator="bob")


def expired(desk: Desk) -> None:
    desk.ask("e")
    desk.tick(8 * DAY_MS)


def old_labelled(desk: Desk) -> None:
    labelled(desk)
    desk.now_ms += 31 * DAY_MS


def old_and_forgotten(desk: Desk) -> None:
    old_labelled(desk)
    desk.ask("other")
    desk.say("other")


def never_asked(desk: Desk) -> None:
    pass


def gold(desk: Desk) -> None:
    proposal = ControlProposal(
        kind="gold", proposal_id="g", actor="ops", event_id="e", label="spam", features=FEATURES
    )
    desk.journaled(desk.resolver.on_control(proposal, now_ms=desk.now_ms).records)


def gold_answered(desk: Desk) -> None:
    gold(desk)
    desk.say("e", "spam")


def gold_retracted(desk: Desk) -> None:
    gold_answered(desk)
    desk.say("e", None, kind="retract", revision=1)


def gold_asked(desk: Desk) -> None:
    gold(desk)
    desk.ask("e")


def gold_labelled(desk: Desk) -> None:
    gold_asked(desk)
    desk.say("e", "spam")


def volunteered(desk: Desk) -> None:
    desk.say("e", "spam", features=FEATURES)


@dataclass(frozen=True)
class Cell:
    """One cell: a state, a label and what comes back."""

    state: Callable[[Desk], None]
    outcome: str
    journaled: tuple[str, ...] = ()
    label: str | None = "spam"
    said: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        said = " ".join(f"{name}={value}" for name, value in self.said.items())
        return f"{self.state.__name__}: {self.label} {said} -> {self.outcome}".replace("  ", " ")


SKIP: dict[str, Any] = {"kind": "skip"}
UNSURE: dict[str, Any] = {"kind": "unsure"}
RETRACT: dict[str, Any] = {"kind": "retract"}
BOB: dict[str, Any] = {"annotator": "bob"}
HIGHER: dict[str, Any] = {"revision": 1}
CARRIES: dict[str, Any] = {"features": FEATURES}

CELLS = [
    # pending, 1 vote wanted
    Cell(one_wanted, "applied", ("label",)),
    Cell(one_wanted, "applied", ("label",), said=HIGHER),
    Cell(one_wanted, "skipped", ("vote",), None, SKIP),
    Cell(one_wanted, "unsure", ("vote",), None, UNSURE),
    Cell(one_wanted, "unknown", (), None, RETRACT),
    Cell(one_skipped, "applied", ("label",)),
    Cell(one_skipped, "duplicate", (), None, SKIP),
    Cell(one_skipped, "skipped", ("vote", "closed"), None, SKIP | BOB),
    Cell(one_skipped, "unsure", ("vote", "closed"), None, UNSURE | BOB),
    # pending, n votes wanted
    Cell(many_wanted, "applied", ("label",), said=BOB),
    Cell(many_wanted, "counted", ("vote",), "ok", BOB),
    Cell(many_wanted, "duplicate"),
    Cell(many_wanted, "superseded", ("vote",), "ok"),
    Cell(many_wanted, "superseded", ("vote",), "ok", HIGHER),
    Cell(many_wanted, "superseded", ("vote",), "spam", HIGHER),
    Cell(many_wanted, "skipped", ("vote",), None, SKIP | BOB),
    Cell(many_wanted, "duplicate", (), None, SKIP),
    Cell(many_wanted, "retracted", ("vote",), None, RETRACT),
    Cell(many_wanted, "unknown", (), None, RETRACT | BOB),
    # closed by label, within revise_within
    Cell(labelled, "duplicate", (), "spam", BOB),
    Cell(labelled, "conflict", ("vote",), "ok", BOB),
    Cell(labelled, "duplicate"),
    Cell(labelled, "duplicate", (), "ok"),
    Cell(labelled, "applied", ("label",), "ok", HIGHER),
    Cell(labelled, "applied", ("label",), "ok", HIGHER | BOB),
    Cell(labelled, "duplicate", (), None, SKIP),
    Cell(labelled, "duplicate", (), None, UNSURE | BOB),
    Cell(labelled, "retracted", ("retraction",), None, RETRACT),
    # … and retracted since
    Cell(retracted, "duplicate", (), None, RETRACT),
    Cell(retracted, "duplicate"),
    Cell(retracted, "late", (), "ok", BOB),
    Cell(retracted, "applied", ("label",), "ok", HIGHER),
    # closed otherwise, within revise_within
    Cell(expired, "late"),
    Cell(expired, "volunteered", ("volunteered",), said=CARRIES),
    Cell(skipped_by_two, "duplicate"),
    Cell(skipped_by_two, "late", (), said=HIGHER),
    Cell(skipped_by_two, "duplicate", (), None, SKIP),
    Cell(skipped_by_two, "unknown", (), None, RETRACT),
    # older than revise_within
    Cell(old_labelled, "late", (), "ok", BOB),
    Cell(old_labelled, "late"),
    Cell(old_labelled, "late", (), "ok", HIGHER),
    Cell(old_labelled, "late", (), None, SKIP),
    Cell(old_labelled, "late", (), None, RETRACT),
    Cell(old_and_forgotten, "unknown", (), "ok", BOB),
    Cell(old_and_forgotten, "unknown"),
    Cell(old_and_forgotten, "unknown", (), "ok", HIGHER),
    Cell(old_and_forgotten, "unknown", (), None, SKIP),
    Cell(old_and_forgotten, "unknown", (), None, RETRACT),
    # never asked, label carries features
    Cell(never_asked, "volunteered", ("volunteered",), said=CARRIES),
    Cell(volunteered, "duplicate", (), said=CARRIES),
    Cell(volunteered, "volunteered", ("volunteered",), "ok", CARRIES | HIGHER),
    Cell(never_asked, "skipped", (), None, SKIP | CARRIES),
    Cell(never_asked, "unsure", (), None, UNSURE | CARRIES),
    Cell(never_asked, "unknown", (), None, RETRACT | CARRIES),
    # never asked, a gold question
    Cell(gold, "counted", ("vote",)),
    Cell(gold, "counted", ("vote",), "ok", CARRIES),
    Cell(gold, "skipped", (), None, SKIP),
    Cell(gold, "unsure", (), None, UNSURE),
    Cell(gold, "unknown", (), None, RETRACT),
    Cell(gold_answered, "duplicate"),
    Cell(gold_answered, "duplicate", (), "ok"),
    Cell(gold_answered, "superseded", ("vote",), "ok", HIGHER),
    Cell(gold_answered, "counted", ("vote",), "ok", BOB),
    Cell(gold_answered, "retracted", ("vote",), None, RETRACT),
    Cell(gold_retracted, "duplicate"),
    Cell(gold_retracted, "unknown", (), None, RETRACT),
    Cell(gold_retracted, "counted", ("vote",), "ok", {"revision": 2}),
    # … once asked about, it is a query as any other
    Cell(gold_asked, "applied", ("label",)),
    Cell(gold_labelled, "conflict", ("vote",), "ok", BOB),
    # never asked, no features
    Cell(never_asked, "unknown"),
    Cell(volunteered, "unknown"),
    Cell(volunteered, "unknown", (), "spam", HIGHER),
    Cell(never_asked, "unknown", (), None, SKIP),
    Cell(never_asked, "unknown", (), None, RETRACT),
]


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_cell(cell: Cell) -> None:
    """A label met in a state has the table's outcome and leaves the table's records."""
    desk = Desk()
    cell.state(desk)

    resolution = desk.say("e", cell.label, **cell.said)

    assert resolution.outcome.outcome == cell.outcome
    assert tuple(record.kind for record in resolution.records) == cell.journaled


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_cell_after_a_rebuild(cell: Cell) -> None:
    """The outcome is the same when another process took over just before."""
    desk = Desk()
    cell.state(desk)
    desk.resolver = desk.rebuilt()

    assert desk.say("e", cell.label, **cell.said).outcome.outcome == cell.outcome


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("said", Said)
def test_every_cell_says_something(state: State, said: Said) -> None:
    """No combination of row and column is left out."""
    assert isinstance(action_of(state, said), Action)


@pytest.mark.parametrize(
    ("label", "said"),
    [("spam", {"annotator": None}), ("spam", {"annotator": ""}), ("fraud", {})],
    ids=["no annotator", "empty annotator", "unknown class"],
)
def test_invalid(label: str, said: dict[str, Any]) -> None:
    """Without annotator or of a class outside a closed set, a label is invalid, harms nothing."""
    desk = Desk(Config.model_validate({"labels": {"classes": ["ok", "spam"]}}))
    desk.ask("e")

    resolution = desk.say("e", label, **said)

    assert (resolution.outcome.outcome, resolution.records) == ("invalid", ())
    assert resolution.outcome.reason
    assert desk.say("e", "spam").outcome.outcome == "applied"


def test_label_record_carries_what_was_asked() -> None:
    """The label record holds features, prediction, propensity, latency and what it closes."""
    desk = Desk()
    place = desk.ask("e")
    asked = desk.asked[0][0]
    desk.now_ms += 60_000

    (entry,) = desk.say("e", "ok").records

    assert isinstance(entry, LabelEntry)
    assert (entry.label, entry.features, entry.closes) == ("ok", asked.features, asked.source)
    assert entry.asked.query == place
    assert entry.asked.probabilities == asked.probabilities
    assert (entry.asked.label, entry.asked.segment) == ("spam", "en")
    assert (entry.asked.propensity, entry.asked.rate) == (asked.propensity, asked.rate)
    assert entry.asked.model_version == asked.model_version
    assert (entry.latency_ms, entry.weight) == (60_000, 1.0)
    assert [(vote.annotator, vote.label) for vote in entry.votes] == [("ann", "ok")]
    assert entry.overturns is None


def test_overturning_reads_the_first_record_back() -> None:
    """A higher revision teaches the features of the first label and closes nothing again."""
    desk = Desk()
    desk.ask("e")
    (first,) = desk.say("e", "spam").records
    position = max(desk.journal)
    desk.now_ms += 1_000

    (entry,) = desk.say("e", "ok", revision=1, annotator="bob").records

    assert isinstance(first, LabelEntry)
    assert isinstance(entry, LabelEntry)
    assert (entry.overturns, entry.replaced_label) == (position, "spam")
    assert (entry.features, entry.asked) == (first.features, first.asked)
    assert (entry.closes, entry.revision, entry.latency_ms) == (None, 1, 1_000)
    assert desk.say("e", "spam", revision=1).outcome.outcome == "conflict"
    assert desk.say("e", "ok", revision=1, annotator="bob").outcome.outcome == "duplicate"


def test_overturning_after_a_retraction_replaces_nothing() -> None:
    """What was retracted is not in force any more, so the new label replaces no label."""
    desk = Desk()
    retracted(desk)

    (entry,) = desk.say("e", "ok", revision=1).records

    assert isinstance(entry, LabelEntry)
    assert entry.replaced_label is None


def test_a_late_retraction_of_an_old_revision_changes_nothing() -> None:
    """A redelivered retraction can't take back the label that came after it."""
    desk = Desk()
    labelled(desk)
    desk.say("e", "ok", revision=1)

    assert desk.say("e", None, kind="retract", revision=0).outcome.outcome == "duplicate"
    assert desk.say("e", None, kind="retract", revision=1).outcome.outcome == "retracted"


def test_retraction_names_what_it_takes_back() -> None:
    """A retraction record holds the label, its place and what was asked."""
    desk = Desk()
    labelled(desk)
    position = max(desk.journal)

    (entry,) = desk.say("e", None, kind="retract").records

    assert isinstance(entry, RetractionEntry)
    assert (entry.retracts, entry.label) == (position, "spam")
    assert entry.asked.query == desk.asked[0][1]


def test_a_conflict_is_journaled_once() -> None:
    """The same annotator's conflict, sent again, is a duplicate."""
    desk = Desk()
    labelled(desk)
    (entry,) = desk.say("e", "ok", annotator="bob").records

    assert isinstance(entry, VoteEntry)
    assert entry.query == desk.asked[0][1]
    assert desk.say("e", "ok", annotator="bob").outcome.outcome == "duplicate"


def test_a_late_label_with_features_is_volunteered_once() -> None:
    """After the query expired, a label of its own features teaches; its repetition does not."""
    desk = Desk()
    expired(desk)
    (entry,) = desk.say("e", "ok", features=FEATURES).records

    assert isinstance(entry, VolunteeredEntry)
    assert (entry.features, entry.label) == (FEATURES, "ok")
    assert desk.say("e", "ok", features=FEATURES).outcome.outcome == "duplicate"


def test_a_lost_first_record_can_not_be_overturned() -> None:
    """Where the journal can't be read back any more, the label is late and nothing breaks."""
    desk = Desk()
    labelled(desk)
    desk.journal[max(desk.journal)] = desk.journal[0]

    assert desk.say("e", "ok", revision=1).outcome.outcome == "late"
    assert desk.say("e", "ok", annotator="bob").outcome.outcome == "conflict"


def test_not_ready_before_the_first_record_has_its_place() -> None:
    """A label that overturns one of the same batch has to wait for the commit; others need not."""
    desk = Desk(confirming=False)
    desk.commit()
    desk.ask("e")
    desk.say("e", "spam")

    higher = Label(event_id="e", label="ok", annotator="ann", revision=1)
    same = Label(event_id="e", label="spam", annotator="bob")
    assert not desk.resolver.ready(higher, now_ms=desk.now_ms)
    assert desk.resolver.ready(same, now_ms=desk.now_ms)

    desk.commit()

    assert desk.resolver.ready(higher, now_ms=desk.now_ms)
