"""What people send back, and what became of it: label and outcome."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from stream_al.messages.base import SCHEMA_VERSION, Features, Message, Source

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


NAME_CHARACTERS_MAX = 512
"""What an id, a class or an annotator may be long: they stay in the journal for ever."""


class Label(Message):
    """What one annotator says about one event.

    A label for an event that nobody asked about may carry `features` of its own (a moderator's own
    action): it then teaches and estimates nothing. A missing annotator is an `invalid` outcome, not
    a dead letter, so it is optional here.
    """

    event_id: str = Field(min_length=1, max_length=NAME_CHARACTERS_MAX)
    label: str | None = Field(default=None, max_length=NAME_CHARACTERS_MAX)
    kind: LabelKind = "label"
    annotator: str | None = Field(default=None, max_length=NAME_CHARACTERS_MAX)
    revision: int = Field(default=0, ge=0, le=2**31)
    at_ms: int | None = None
    source: str | None = None
    lead_time_ms: int | None = None
    features: Features | None = None

    @model_validator(mode="before")
    @classmethod
    def _named_label(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("kind", "label") == "label":
            label = data.get("label")
            if not isinstance(label, str) or not label:
                msg = "`label` must be a non-empty string when `kind` is `label`"
                raise ValueError(msg)
        return data


class Outcome(Message):
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
