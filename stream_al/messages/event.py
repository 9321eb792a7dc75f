"""What comes in from the user's stream, and what goes back at once: event, prediction, query."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from stream_al.messages.base import SCHEMA_VERSION, Features, Message, OwnMessage, Source
from stream_al.messages.values import TextOrNone, TimeMs, WholeText

EVENT_ID_CHARACTERS_MAX = 512

Mode = Literal["normal", "paused", "shadow", "frozen"]
Reason = Literal["cold_start", "random", "uncertain", "disagreement", "rule"]


class Event(Message):
    """One thing to predict.

    Attributes
    ----------
    event_id
        The user's id, 1 to 512 characters; a whole number is taken as its decimal. A repeated id is
        predicted and charged again.
    features
        Name → value, as it came; the guard of `model` has the last word on the values.
    at_ms
        When it happened, in ms since 1970: ISO 8601 and epoch times in s, ms, µs and ns are read
        (`time_ms`), what is none of them is None. Information only: it decides nothing.
    segment
        Language, policy or region, for estimates of their own; what is no text is None.
    meta
        Passed through to the query untouched.
    """

    event_id: WholeText = Field(min_length=1, max_length=EVENT_ID_CHARACTERS_MAX)
    features: Features
    at_ms: TimeMs = None
    segment: TextOrNone = None
    meta: Any = None


class Prediction(OwnMessage):
    """What the model said about an event, and what the gate did with it.

    `model_version` is the offset of the last journal record applied + 1; together with the event
    it reproduces the prediction. `propensity` is the true probability of `queried`, given the past;
    `rate` is the gate's budget for this very event (labels per event).
    """

    schema_version: int = SCHEMA_VERSION
    event_id: str
    source: Source
    label: str | None
    probabilities: dict[str, float]
    uncertainty: float
    queried: bool
    reason: Reason | None
    propensity: float
    rate: float
    mode: Mode = "normal"
    model_version: int
    segment: str | None = None
    at_ms: int | None = None


class ShadowPrediction(Prediction):
    """A prediction in shadow mode: `would_query` says what the gate would have asked."""

    would_query: bool


class Query(OwnMessage):
    """A request for one label.

    `asked_at_ms` and `expires_at_ms` count from the event's record time and are information: expiry
    is decided by the resolver alone. `rate` is the gate's budget when asked; it bounds the weight.
    """

    schema_version: int = SCHEMA_VERSION
    query_id: str
    event_id: str
    source: Source
    features: Features
    label: str | None
    probabilities: dict[str, float]
    uncertainty: float
    propensity: float
    rate: float
    model_version: int
    reason: Reason
    priority: float
    votes_wanted: int
    asked_at_ms: int
    expires_at_ms: int
    segment: str | None = None
    meta: Any = None


class DeadLetter(OwnMessage):
    """Input that could not be read: the raw bytes, where they came from, and why.

    `raw_bytes` and `raw_sha256` are set when the raw was cut to fit its topic. With `redrives` it
    is no letter but the mark of one, without a raw: the letter at that place of this very topic
    was sent again. The place of a mark is the letter's own.
    """

    schema_version: int = SCHEMA_VERSION
    raw_base64: str
    topic: str
    partition: int
    offset: int
    error: str
    message: str
    raw_bytes: int | None = None
    raw_sha256: str | None = None
    redrives: Source | None = None
