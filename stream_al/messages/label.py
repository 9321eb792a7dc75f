"""What people send back, and what became of it: label and outcome."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from stream_al.messages.base import SCHEMA_VERSION, Features, Message, OwnMessage, Source
from stream_al.messages.values import Text, TextOrNone, TimeMs, WholeMs, WholeText, text_of

LabelKind = Literal["label", "skip", "unsure", "retract"]
OutcomeName = Literal[
    "applied",
    "counted",
    "duplicate",
    "superseded",
    "conflict",
    "late",
    "unknown",
    "invalid",
    "skipped",
    "unsure",
    "retracted",
    "volunteered",
]


CLASSES_MAX = 256
"""Classes that a model tells apart."""
CLASS_CHARACTERS_MAX = 256
"""What the name of a class may be long for a model to learn it."""
NAME_CHARACTERS_MAX = 512
"""What an id, a class or an annotator may be long: they stay in the journal for ever."""


class Label(Message):
    """What one annotator says about one event.

    A label for an event that nobody asked about may carry `features` of its own (a moderator's own
    action): it then teaches and estimates nothing. A missing annotator is an `invalid` outcome, not
    a dead letter, so it is optional here.

    Whole numbers and booleans are taken as texts: the class `1`, the annotator `7`, the id `4711`.
    `at_ms`, `source` and `lead_time_ms` are information: None where they can't be read.
    """

    event_id: WholeText = Field(min_length=1, max_length=NAME_CHARACTERS_MAX)
    label: Text | None = Field(default=None, max_length=NAME_CHARACTERS_MAX)
    kind: LabelKind = "label"
    annotator: Text | None = Field(default=None, max_length=NAME_CHARACTERS_MAX)
    revision: int = Field(default=0, ge=0, le=2**31)
    at_ms: TimeMs = None
    source: TextOrNone = None
    lead_time_ms: WholeMs = None
    features: Features | None = None

    @model_validator(mode="before")
    @classmethod
    def _named_label(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        # Some tools write null for what they leave out.
        given = {
            name: value
            for name, value in data.items()
            if value is not None or name not in {"kind", "revision"}
        }
        label = given.get("label")
        if isinstance(label, list) and len(label) == 1:
            given["label"] = label = label[0]  # of a form where several could be ticked
        if given.get("kind", "label") == "label":
            label = text_of(label)
            if not isinstance(label, str) or not label:
                msg = "a label is a class: a text that is not empty, a whole number, true or false"
                raise ValueError(msg)
        return given


class Outcome(OwnMessage):
    """What became of one received label; `source` is its place in the labels topic."""

    schema_version: int = SCHEMA_VERSION
    event_id: str
    annotator: str | None
    revision: int
    kind: LabelKind
    label: str | None
    outcome: OutcomeName
    reason: str | None
    source: Source
