"""The messages of one decision: prediction and query, from what model and gate said. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from msgspec.json import Encoder

from stream_al.gate import Choice
from stream_al.messages import (
    SCHEMA_VERSION,
    Event,
    Mode,
    Modes,
    Prediction,
    Query,
    Reason,
    ShadowPrediction,
    Source,
    query_id_of,
)

_encoded = Encoder().encode


@dataclass(slots=True)
class Decision:
    """What became of one event: always a prediction, and a query when the gate asks.

    A worker writes most predictions without looking at them, so the message is made when it is
    asked for; made each time, three objects and their encoding took a sixth of a worker's CPU.

    Attributes
    ----------
    fields
        Of the prediction; its place is a dict. Not to be changed.
    query
        None when nothing is asked.
    """

    fields: dict[str, Any]
    query: Query | None

    @property
    def prediction(self) -> Prediction:
        """The prediction; in shadow mode a `ShadowPrediction`."""
        kind = ShadowPrediction if "would_query" in self.fields else Prediction
        source = Source.of_valid(dict(self.fields["source"]))
        return kind.of_valid(self.fields | {"source": source})

    def wire(self) -> bytes:
        """Return the same bytes as `prediction.to_wire()`."""
        return prediction_wire(self.fields)


def prediction_wire(fields: dict[str, Any]) -> bytes:
    """Return a prediction as one JSON object in UTF-8: the same bytes as `Message.to_wire`.

    They are so for numbers below 1e16; none of a prediction's is above 1 but whole ones.

    Examples
    --------
    >>> prediction_wire({"uncertainty": 0.00001, "reason": None})
    b'{"uncertainty":0.00001,"reason":null}'
    """
    return _encoded(fields)


def reason_of(choice: Choice, *, cold: bool, chosen: Reason) -> Reason | None:
    """Return why an event was asked about; None when it was not.

    Parameters
    ----------
    choice
        What the gate decided.
    cold
        Whether fewer than two classes are known.
    chosen
        The reason beside chance: `uncertain`, or `disagreement`.

    Examples
    --------
    >>> reason_of(Choice(True, 0.3, 0.05, False), cold=False, chosen="uncertain")
    'uncertain'
    """
    if not choice.asked:
        return None
    if cold:
        return "cold_start"
    return "random" if choice.floor else chosen


def prediction_fields(
    event: Event,
    source: dict[str, int],
    at_ms: int,
    probabilities: dict[str, float],
    uncertainty: float,
    choice: Choice,
    rate: float,
    mode: Mode,
    reason: Reason | None,
    model_version: int,
) -> dict[str, Any]:
    """Return the prediction of one event; in shadow mode it only says what would be asked.

    Parameters
    ----------
    source
        The event's place: `partition` and `offset`.
    """
    asked = choice.asked
    fields: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "event_id": event.event_id,
        "source": source,
        "label": max(probabilities, key=probabilities.__getitem__) if probabilities else None,
        "probabilities": probabilities,
        "uncertainty": uncertainty,
        "queried": asked and mode != "shadow",
        "reason": reason,
        "propensity": choice.propensity,
        "rate": rate,
        "mode": mode,
        "model_version": model_version,
        "segment": event.segment,
        "at_ms": at_ms if event.at_ms is None else event.at_ms,
    }
    if mode == "shadow":
        fields["would_query"] = asked
    return fields


def query_of(
    event: Event,
    features: dict[str, Any],
    prediction: dict[str, Any],
    *,
    votes_wanted: int,
    asked_at_ms: int,
    expire_after_ms: int,
) -> Query:
    """Return the query about an event: its features as scored, and the prediction's fields."""
    return Query.of_valid(
        {
            "schema_version": SCHEMA_VERSION,
            "query_id": query_id_of(event.event_id),
            "event_id": event.event_id,
            "source": Source.of_valid(dict(prediction["source"])),
            "features": features,
            "label": prediction["label"],
            "probabilities": prediction["probabilities"],
            "uncertainty": prediction["uncertainty"],
            "propensity": prediction["propensity"],
            "rate": prediction["rate"],
            "model_version": prediction["model_version"],
            "reason": prediction["reason"],
            "priority": prediction["uncertainty"],
            "votes_wanted": votes_wanted,
            "asked_at_ms": asked_at_ms,
            "expires_at_ms": asked_at_ms + expire_after_ms,
            "segment": event.segment,
            "meta": event.meta,
        }
    )


def mode_of(modes: Modes) -> Mode:
    """Return what predictions say of the modes in force."""
    if modes.paused:
        return "paused"
    if modes.shadow:
        return "shadow"
    return "frozen" if modes.frozen else "normal"
