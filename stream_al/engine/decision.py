"""The messages of one decision: prediction and query, from what model and gate said. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

from stream_al.gate import Choice
from stream_al.messages import (
    SCHEMA_VERSION,
    Event,
    Mode,
    Prediction,
    Query,
    Reason,
    ShadowPrediction,
    Source,
    query_id_of,
)


class Decision(NamedTuple):
    """What became of one event: always a prediction, and a query when the gate asks."""

    prediction: Prediction
    query: Query | None


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


def prediction_of(
    event: Event,
    source: Source,
    at_ms: int,
    probabilities: dict[str, float],
    uncertainty: float,
    choice: Choice,
    rate: float,
    mode: Mode,
    reason: Reason | None,
    model_version: int,
) -> Prediction:
    """Return the prediction of one event; in shadow mode it only says what would be asked."""
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
        return ShadowPrediction.of_valid(fields | {"would_query": asked})
    return Prediction.of_valid(fields)


def query_of(
    event: Event,
    features: dict[str, Any],
    prediction: Prediction,
    *,
    votes_wanted: int,
    asked_at_ms: int,
    expire_after_ms: int,
) -> Query:
    """Return the query about an event: its features as scored, and the prediction."""
    return Query.of_valid(
        {
            "schema_version": SCHEMA_VERSION,
            "query_id": query_id_of(event.event_id),
            "event_id": event.event_id,
            "source": prediction.source,
            "features": features,
            "label": prediction.label,
            "probabilities": prediction.probabilities,
            "uncertainty": prediction.uncertainty,
            "propensity": prediction.propensity,
            "rate": prediction.rate,
            "model_version": prediction.model_version,
            "reason": prediction.reason,
            "priority": prediction.uncertainty,
            "votes_wanted": votes_wanted,
            "asked_at_ms": asked_at_ms,
            "expires_at_ms": asked_at_ms + expire_after_ms,
            "segment": event.segment,
            "meta": event.meta,
        }
    )
