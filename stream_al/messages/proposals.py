"""What operators propose; the resolver validates it and journals what comes of it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from stream_al.messages.base import Features, OwnMessage
from stream_al.messages.inputs import Inputs
from stream_al.messages.journal import LineageStart

WITHOUT_MAX = 10_000
"""Events that a lineage may leave out: the record that says so has to fit into a log."""


class Selected(OwnMessage):
    """What a proposed replay leaves out beside events.

    Attributes
    ----------
    corrections
        Corrections of the events in `without` count, those that are there and those to come.
    anew
        What earlier replays left out counts again, but for what is left out for ever.
    corrected, since_ms, without_annotators, without_classes, renamed
        As in `ModelEntry`.
    """

    corrections: bool = False
    anew: bool = False
    corrected: bool = False
    since_ms: int | None = None
    without_annotators: tuple[str, ...] = Field(default=(), max_length=1_000)
    without_classes: tuple[str, ...] = Field(default=(), max_length=1_000)
    renamed: dict[str, str] = Field(default={}, max_length=1_000)


class ControlProposal(OwnMessage):
    """What an operator proposes on the controls topic; the resolver validates and journals it.

    `kind` is `control` (a settings patch), `seed` (one labelled example), `gold` (one known
    answer), `model` (activate) or `mapping` (activate). A model comes with what to start from,
    `without` which events, and whether lessons that were frozen so far are learnt now.
    """

    kind: Literal["control", "seed", "gold", "model", "mapping"] = "control"
    proposal_id: str
    actor: str = Field(min_length=1)
    reason: str = ""
    patch: dict[str, Any] = {}
    event_id: str | None = None
    label: str | None = None
    features: Features | None = None
    segment: str | None = None
    meta: Any = None
    config_hash: str | None = None
    preset: str | None = None
    start: LineageStart = "empty"
    without: tuple[str, ...] = Field(default=(), max_length=WITHOUT_MAX)
    learn_frozen: bool = False
    selected: Selected | None = None
    inputs: Inputs | None = None
