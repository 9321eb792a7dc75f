"""The table of label and state (docs/ARCHITECTURE.md): one cell for everything that can happen.

Pure: `said_of` finds the column, `action_of` reads the cell. What an action does is in `resolver`.
"""

from __future__ import annotations

from enum import Enum
from typing import assert_never

from stream_al.messages import LabelKind


class State(Enum):
    """What an event is to the resolver: a row."""

    ONE_WANTED = "pending, 1 vote wanted"
    MANY_WANTED = "pending, n votes wanted"
    LABELLED = "closed by label, within revise_within"
    CLOSED = "closed otherwise, within revise_within"
    OLD = "older than revise_within"
    NEVER_ASKED = "never asked, label carries features"
    UNKNOWN = "never asked, no features"
    GOLD = "never asked, a gold question"


class Said(Enum):
    """What a label says in view of what its annotator said before: a column."""

    FIRST = "label"
    AGAIN = "same annotator again, same revision"
    HIGHER = "higher revision"
    PASSED = "skip, unsure"
    RETRACTED = "retract"


class Action(Enum):
    """What a cell says."""

    VOTE = "counts as their vote; applied when it is the last needed one"
    REPEAT_VOTE = "same label: duplicate; another: superseded, counts as their vote"
    STAND_ASIDE = "skipped or unsure: open for others, closes after skips_max annotators"
    WITHDRAW = "retracted: their vote"
    OVERTURN = "applied: a new label record with the features of the first"
    COMPARE = "same label: duplicate; another: conflict, journaled, nothing reopened"
    RETRACT = "retracted: a journal record"
    VOLUNTEER = "volunteered: it teaches and estimates nothing"
    LATE_OR_VOLUNTEER = "late; volunteered if it carries features"
    LATE = "late"
    DECLINE = "skipped or unsure, nothing to close"
    DUPLICATE = "duplicate"
    UNKNOWN = "unknown"
    ANSWER = "counted: how good the annotator is; superseded when it replaces an answer of theirs"
    TAKE_BACK = "retracted: their answer"


def said_of(kind: LabelKind, revision: int, *, known: int | None, final: int | None) -> Said:
    """Return the column of a label.

    Parameters
    ----------
    kind, revision
        The label's own.
    known
        Revision of what this annotator said last about the event; None if nothing is remembered.
    final
        Revision of the label that closed the event, where one did: to overturn is to exceed it.

    Examples
    --------
    >>> said_of("label", 0, known=None, final=None), said_of("label", 0, known=0, final=None)
    (<Said.FIRST: 'label'>, <Said.AGAIN: 'same annotator again, same revision'>)
    >>> said_of("label", 1, known=None, final=0)
    <Said.HIGHER: 'higher revision'>
    """
    if kind == "retract":
        return Said.RETRACTED
    if kind in {"skip", "unsure"}:
        return Said.PASSED
    if final is not None and revision > final:
        return Said.HIGHER
    if known is None:
        return Said.FIRST
    if revision <= known:
        return Said.AGAIN
    return Said.HIGHER if final is None else Said.FIRST


def action_of(state: State, said: Said) -> Action:
    """Return what the table's cell says.

    Examples
    --------
    >>> action_of(State.LABELLED, Said.HIGHER)
    <Action.OVERTURN: 'applied: a new label record with the features of the first'>
    """
    match state:
        case State.ONE_WANTED:
            return _pending(said, again=Action.VOTE, withdrawn=Action.UNKNOWN)
        case State.MANY_WANTED:
            return _pending(said, again=Action.REPEAT_VOTE, withdrawn=Action.WITHDRAW)
        case State.LABELLED:
            return _labelled(said)
        case State.CLOSED:
            return _closed(said)
        case State.NEVER_ASKED | State.GOLD:
            return _gold(said) if state is State.GOLD else _never_asked(said)
        case State.OLD | State.UNKNOWN:
            return Action.LATE if state is State.OLD else Action.UNKNOWN
        case _:
            assert_never(state)


def _pending(said: Said, *, again: Action, withdrawn: Action) -> Action:
    match said:
        case Said.FIRST | Said.HIGHER:
            return Action.VOTE
        case Said.AGAIN:
            return again
        case Said.PASSED:
            return Action.STAND_ASIDE
        case Said.RETRACTED:
            return withdrawn
        case _:
            assert_never(said)


def _labelled(said: Said) -> Action:
    match said:
        case Said.FIRST:
            return Action.COMPARE
        case Said.AGAIN | Said.PASSED:
            return Action.DUPLICATE
        case Said.HIGHER:
            return Action.OVERTURN
        case Said.RETRACTED:
            return Action.RETRACT
        case _:
            assert_never(said)


def _closed(said: Said) -> Action:
    match said:
        case Said.FIRST:
            return Action.LATE_OR_VOLUNTEER
        case Said.AGAIN | Said.PASSED:
            return Action.DUPLICATE
        case Said.HIGHER:
            return Action.LATE
        case Said.RETRACTED:
            return Action.UNKNOWN
        case _:
            assert_never(said)


def _never_asked(said: Said) -> Action:
    match said:
        case Said.FIRST | Said.HIGHER:
            return Action.VOLUNTEER
        case Said.AGAIN:
            return Action.DUPLICATE
        case Said.PASSED:
            return Action.DECLINE
        case Said.RETRACTED:
            return Action.UNKNOWN
        case _:
            assert_never(said)


def _gold(said: Said) -> Action:
    match said:
        case Said.FIRST | Said.HIGHER:
            return Action.ANSWER
        case Said.AGAIN:
            return Action.DUPLICATE
        case Said.PASSED:
            return Action.DECLINE
        case Said.RETRACTED:
            return Action.TAKE_BACK
        case _:
            assert_never(said)
