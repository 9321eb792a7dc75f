"""What every front end for annotators does: send a label, wait for its outcome."""

from __future__ import annotations

import time

from pydantic import ValidationError

from stream_al.config import Config
from stream_al.engine import parse
from stream_al.errors import ConfigurationError, InvalidInput
from stream_al.messages import Label, LabelKind, Outcome
from stream_al.port import Log, Outgoing
from stream_al.problems import problems_of

OUTCOME_WAIT_S = 3.0
OUTCOME_POLL_S = 0.03
NOT_TAKEN = ("unknown", "invalid")
"""Outcomes of what was a mistake: nothing came of it, and nothing ever will."""


def label_of(
    event_id: str,
    kind: LabelKind,
    label: str | None,
    *,
    annotator: str,
    revision: int,
    now_ms: int,
) -> Label:
    """Return what a person said.

    Raises
    ------
    ConfigurationError
        When it can't be a label: an empty id, a name that is too long.
    """
    try:
        return Label(
            event_id=event_id,
            kind=kind,
            label=label,
            annotator=annotator,
            revision=revision,
            at_ms=now_ms,
        )
    except ValidationError as error:
        raise ConfigurationError(*problems_of(error, Label, None)) from None


def outcome_words(outcome: Outcome, config: Config) -> str:
    """Return what became of a label: the outcome's name, and what it means.

    Examples
    --------
    >>> said = Outcome(event_id="a", annotator="ana", revision=0, kind="label", label="ham",
    ...                outcome="unknown", reason=None, source={"partition": 0, "offset": 0})
    >>> outcome_words(said, Config())
    "unknown (nobody was asked about event 'a', or it is long ago; `stream-al queries` lists ids)"
    """
    why: str | None
    match outcome.outcome:
        case "unknown" if outcome.kind == "retract":
            why = f"there is no label of {outcome.annotator} on event {outcome.event_id!r}"
        case "unknown":
            why = (
                f"nobody was asked about event {outcome.event_id!r}, or it is long ago; "
                "`stream-al queries` lists ids"
            )
        case "invalid" if config.labels.classes is not None and outcome.label is not None:
            known = ", ".join(config.labels.classes)
            why = outcome.reason or f"{outcome.label!r} is none of labels.classes ({known})"
        case "late":
            why = outcome.reason or "the query was closed before; it teaches nothing"
        case _:
            why = outcome.reason
    return f"{outcome.outcome} ({why})" if why else outcome.outcome


def append_label(log: Log, config: Config, label: Label) -> tuple[int, int]:
    """Append a label; return its partition and offset in the labels topic."""
    outgoing = Outgoing(value=label.to_wire(), key=label.event_id.encode())
    return log.append(config.topic("labels"), [outgoing])[0]


def await_outcome(log: Log, config: Config, place: tuple[int, int]) -> Outcome | None:
    """Wait a little for the outcome of the label at `place`; None when no worker took it."""
    partition, offset = place
    topic = config.topic("outcomes")
    position = max(log.begin(topic, partition), log.end(topic, partition) - 1_000)
    deadline = time.monotonic() + OUTCOME_WAIT_S
    while time.monotonic() < deadline:
        for record in log.read(topic, partition, position, limit=1_000):
            position = record.offset + 1
            try:
                outcome = parse(Outcome, record.value)
            except InvalidInput:
                continue  # no outcome of ours: `audit` names it
            if outcome.source.offset == offset and outcome.source.partition == partition:
                return outcome
        time.sleep(OUTCOME_POLL_S)
    return None
