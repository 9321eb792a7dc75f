"""Finds the cell of the table for a label: what its event is by now, and what was said before.

Reads the state and changes nothing.
"""

from __future__ import annotations

from stream_al.config import LabelsSection
from stream_al.labels.closed import ClosedQuery
from stream_al.labels.rulings import Heard
from stream_al.labels.state import LabelState
from stream_al.labels.table import State, action_of, said_of
from stream_al.messages import Label


def hear(state: LabelState, label: Label, labels: LabelsSection, *, now_ms: int) -> Heard:
    """Return a valid label in view of the state.

    A query about the event, pending or remembered, goes before a gold question about it.
    """
    annotator = label.annotator or ""
    pending = state.pending.get(label.event_id)
    ballot = closed = gold = answer = known = final = None
    if pending is not None:
        ballot = state.ballot(pending)
        voice = ballot.voices.get(annotator)
        known = voice.revision if voice is not None and voice.label is not None else None
        row = State.MANY_WANTED if state.votes_wanted(pending) > 1 else State.ONE_WANTED
    else:
        closed = state.closed.get(label.event_id)
        row = _row(closed, labels.revise_within, now_ms)
        if row is State.UNKNOWN and state.gold.get(label.event_id) is not None:
            row = State.GOLD
        elif row is State.UNKNOWN and label.features is not None:
            row = State.NEVER_ASKED
    if row is State.GOLD:
        gold = state.gold.get(label.event_id)
        answer = state.gold.answer(label.event_id, annotator)
        known = None if answer is None else answer.revision
    elif closed is not None:
        known = closed.known(annotator)
        final = closed.revision if closed.state == "labelled" else None
    return Heard(
        label=label,
        annotator=annotator,
        action=action_of(row, said_of(label.kind, label.revision, known=known, final=final)),
        pending=pending,
        ballot=ballot,
        closed=closed,
        gold=gold,
        answer=answer,
        annotators=state.annotators,
        now_ms=now_ms,
    )


def answerable(state: LabelState, event_id: str) -> bool:
    """Whether an answer about a gold question's event would be taken as one."""
    closed = state.closed.get(event_id)
    unasked = closed is None or closed.state == "volunteered"
    return unasked and state.pending.get(event_id) is None


def _row(closed: ClosedQuery | None, revise_within_ms: int, now_ms: int) -> State:
    """Return the row of an event that is not pending; `UNKNOWN` for all that was never asked."""
    if closed is None or closed.state == "volunteered":
        return State.UNKNOWN
    if now_ms - closed.at_ms > revise_within_ms:
        return State.OLD
    return State.LABELLED if closed.state == "labelled" else State.CLOSED
