"""What each cell of the table does with a label: an outcome, and the records that it leads to.

Pure: nothing here changes state. The resolver folds the records, and that is the change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from stream_al.config import LabelsSection
from stream_al.labels.annotators import Annotators
from stream_al.labels.closed import ClosedQuery
from stream_al.labels.entries import (
    answer_entry,
    closed_entry,
    label_entry,
    overturning_entry,
    retraction_entry,
    volunteered_entry,
    vote_entry,
)
from stream_al.labels.gold import GoldAnswer, GoldQuestion
from stream_al.labels.pending import PendingQuery
from stream_al.labels.table import Action
from stream_al.labels.votes import Ballot, Settled, Tied, Undecided, decide_votes
from stream_al.messages import JournalRecord, Label, LabelEntry, OutcomeName, Vote

UNREADABLE = "the label record that it bears on can't be read back any more"


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A label in view of the state.

    Attributes
    ----------
    action
        What its cell of the table says.
    pending, ballot
        The event's pending query and what was said about it; both or neither.
    closed
        What is remembered of an event that is not pending.
    gold, answer
        The gold question about an event that was never asked, and what they said to it.
    annotators
        How good everybody is: to look at.
    """

    label: Label
    annotator: str
    action: Action
    pending: PendingQuery | None
    ballot: Ballot | None
    closed: ClosedQuery | None
    gold: GoldQuestion | None
    answer: GoldAnswer | None
    annotators: Annotators
    now_ms: int


@dataclass(frozen=True, slots=True)
class Ruling:
    """The outcome of a label and the records that it leads to, not chained yet."""

    outcome: OutcomeName
    reason: str | None = None
    records: tuple[JournalRecord, ...] = ()


def needs_first(heard: Heard) -> bool:
    """Whether the label record in force has to be read back to rule on a label."""
    closed = heard.closed
    if closed is None:
        return False
    match heard.action:
        case Action.OVERTURN:
            return True
        case Action.RETRACT:
            return closed.label is not None and heard.label.revision >= closed.revision
        case Action.COMPARE:
            return closed.label is not None and heard.label.label != closed.label
        case _:
            return False


def rule(heard: Heard, labels: LabelsSection, first: LabelEntry | None) -> Ruling:
    """Return what becomes of a label.

    Parameters
    ----------
    first
        The label record in force where `needs_first`; None when it can't be read any more.
    """
    match heard.action:
        case Action.VOTE | Action.REPEAT_VOTE | Action.STAND_ASIDE | Action.WITHDRAW:
            return _rule_pending(heard, labels)
        case Action.OVERTURN | Action.COMPARE | Action.RETRACT:
            return _rule_labelled(heard, first)
        case Action.ANSWER | Action.TAKE_BACK:
            return _rule_gold(heard)
        case Action.VOLUNTEER:
            return _volunteered(heard)
        case Action.LATE_OR_VOLUNTEER if heard.label.features is not None:
            return _volunteered(heard)
        case Action.LATE | Action.LATE_OR_VOLUNTEER:
            ruling = Ruling("late", "its query is closed")
        case Action.DECLINE:
            ruling = Ruling("unsure" if heard.label.kind == "unsure" else "skipped")
        case Action.DUPLICATE:
            ruling = Ruling("duplicate")
        case Action.UNKNOWN:
            ruling = Ruling("unknown", "nothing is known that it could bear on")
        case _:
            assert_never(heard.action)
    return ruling


def _volunteered(heard: Heard) -> Ruling:
    said = heard.label.label
    assert said is not None, "only labels are volunteered"
    entry = volunteered_entry(heard.label, said, heard.annotator, now_ms=heard.now_ms)
    return Ruling("volunteered", None, (entry,))


# ---------------------------------------------------------------------- pending


def _rule_pending(heard: Heard, labels: LabelsSection) -> Ruling:
    pending, ballot = heard.pending, heard.ballot
    assert pending is not None, "these actions bear on a pending query"
    assert ballot is not None, "a pending query has a ballot"
    match heard.action:
        case Action.STAND_ASIDE:
            return _stand_aside(heard, pending, ballot, labels.skips_max)
        case Action.WITHDRAW:
            return _withdraw(heard, pending, ballot)
        case _:
            return _vote(heard, pending, ballot, labels.votes_max)


def _vote(heard: Heard, pending: PendingQuery, ballot: Ballot, votes_max: int) -> Ruling:
    label, annotator = heard.label, heard.annotator
    assert label.label is not None, "only labels are votes"
    before = ballot.voices.get(annotator)
    voted = before is not None and before.label is not None
    if before is not None and voted:
        if label.revision < before.revision:
            return Ruling("duplicate", f"revision {before.revision} of theirs is known")
        if (label.revision, label.label) == (before.revision, before.label):
            return Ruling("duplicate")
    vote = Vote(annotator=annotator, label=label.label, revision=label.revision)
    votes = (*ballot.votes(without=annotator), vote)
    wanted = ballot.wanted or pending.votes_wanted
    belief = heard.annotators.belief([(one.annotator, one.label) for one in votes])
    verdict = decide_votes([one.label for one in votes], wanted, votes_max, belief)
    now_ms = heard.now_ms
    match verdict:
        case Settled():
            said = verdict.label
            weight = 1.0 if belief is None else belief[said]
            final = label_entry(
                label, said, pending=pending, votes=votes, now_ms=now_ms, weight=weight
            )
            agrees = said == label.label
            return Ruling("applied", None if agrees else f"the votes say {said}", (final,))
        case Undecided():
            raised = verdict.wanted if verdict.wanted > wanted else None
            entry = vote_entry(label, annotator, place=pending.place, now_ms=now_ms, raised=raised)
            reason = f"{len(votes)} of {verdict.wanted} votes"
            return Ruling("superseded" if voted else "counted", reason, (entry,))
        case Tied():
            entry = vote_entry(label, annotator, place=pending.place, now_ms=now_ms)
            close = closed_entry(
                label.event_id, "unsure", place=pending.place, closes=pending.source, now_ms=now_ms
            )
            return Ruling("superseded" if voted else "counted", "the votes tie", (entry, close))
        case _:
            assert_never(verdict)


def _stand_aside(heard: Heard, pending: PendingQuery, ballot: Ballot, skips_max: int) -> Ruling:
    label, annotator, now_ms = heard.label, heard.annotator, heard.now_ms
    outcome: OutcomeName = "unsure" if label.kind == "unsure" else "skipped"
    before = ballot.voices.get(annotator)
    if before is not None and (before.label is None or label.revision <= before.revision):
        return Ruling("duplicate")
    entry = vote_entry(label, annotator, place=pending.place, now_ms=now_ms)
    if len({*ballot.passed_by(), annotator}) < skips_max:
        return Ruling(outcome, None, (entry,))
    close = closed_entry(
        label.event_id,
        "unsure" if label.kind == "unsure" else "skipped",
        place=pending.place,
        closes=pending.source,
        now_ms=now_ms,
    )
    return Ruling(outcome, "nobody is left to ask", (entry, close))


def _withdraw(heard: Heard, pending: PendingQuery, ballot: Ballot) -> Ruling:
    voice = ballot.voices.get(heard.annotator)
    if voice is None or voice.label is None:
        return Ruling("unknown", "they have no vote to retract")
    if heard.label.revision < voice.revision:
        return Ruling("duplicate", f"revision {voice.revision} of theirs is known")
    entry = vote_entry(heard.label, heard.annotator, place=pending.place, now_ms=heard.now_ms)
    return Ruling("retracted", None, (entry,))


# ---------------------------------------------------------------------- gold questions


def _rule_gold(heard: Heard) -> Ruling:
    label, gold, before = heard.label, heard.gold, heard.answer
    assert gold is not None, "these actions bear on a gold question"
    entry = answer_entry(label, heard.annotator, truth=gold.label, now_ms=heard.now_ms)
    answered = before is not None and before.label is not None
    if heard.action is Action.TAKE_BACK:
        if before is None or not answered:
            return Ruling("unknown", "they have no vote to retract")
        if label.revision < before.revision:
            return Ruling("duplicate", f"revision {before.revision} of theirs is known")
        return Ruling("retracted", None, (entry,))
    reason = f"gold question, {'right' if label.label == gold.label else 'wrong'}"
    return Ruling("superseded" if answered else "counted", reason, (entry,))


# ---------------------------------------------------------------------- closed by label


def _rule_labelled(heard: Heard, first: LabelEntry | None) -> Ruling:
    closed = heard.closed
    assert closed is not None, "these actions bear on a closed query"
    match heard.action:
        case Action.OVERTURN:
            return _overturn(heard, closed, first)
        case Action.RETRACT:
            return _retract(heard, closed, first)
        case _:
            return _compare(heard, closed, first)


def _overturn(heard: Heard, closed: ClosedQuery, first: LabelEntry | None) -> Ruling:
    label = heard.label
    assert label.label is not None, "only labels overturn"
    if first is None:
        return Ruling("late", UNREADABLE)
    vote = Vote(annotator=heard.annotator, label=label.label, revision=label.revision)
    entry = overturning_entry(
        label,
        vote,
        first=first,
        position=closed.position,
        now_ms=heard.now_ms,
        in_force=closed.label is not None,
    )
    return Ruling("applied", "overturns the label before", (entry,))


def _retract(heard: Heard, closed: ClosedQuery, first: LabelEntry | None) -> Ruling:
    label = heard.label
    if closed.label is None:
        return Ruling("duplicate", "it was retracted before")
    if label.revision < closed.revision:
        return Ruling("duplicate", f"revision {closed.revision} is in force")
    if first is None:
        return Ruling("late", UNREADABLE)
    entry = retraction_entry(
        label, heard.annotator, first=first, position=closed.position, now_ms=heard.now_ms
    )
    return Ruling("retracted", None, (entry,))


def _compare(heard: Heard, closed: ClosedQuery, first: LabelEntry | None) -> Ruling:
    if closed.label is None:
        return Ruling("late", "the label was retracted; a higher revision sets a new one")
    if heard.label.label == closed.label:
        return Ruling("duplicate")
    reason = f"{closed.label} is in force; a higher revision overturns it"
    if first is None:
        return Ruling("conflict", reason)
    entry = vote_entry(heard.label, heard.annotator, place=first.asked.query, now_ms=heard.now_ms)
    return Ruling("conflict", reason, (entry,))
