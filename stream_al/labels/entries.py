"""Decisions as journal records and outcomes; each builder is pure.

Records leave here without their chain hash: the resolver, who knows the one before, adds it.
"""

from __future__ import annotations

from typing import Literal

from stream_al.labels.pending import PendingQuery
from stream_al.messages import (
    NO_QUERY,
    Asked,
    ClosedEntry,
    Label,
    LabelEntry,
    Outcome,
    OutcomeName,
    Query,
    RetractionEntry,
    Source,
    VolunteeredEntry,
    Vote,
    VoteEntry,
)


def asked_of(query: Query, place: Source) -> Asked:
    """Return what the journal keeps of a query, whose record lies at `place`."""
    return Asked(
        query=place,
        label=query.label,
        probabilities=query.probabilities,
        model_version=query.model_version,
        propensity=query.propensity,
        rate=query.rate,
        asked_at_ms=query.asked_at_ms,
        segment=query.segment,
    )


def label_entry(
    label: Label,
    final: str,
    *,
    pending: PendingQuery,
    votes: tuple[Vote, ...],
    now_ms: int,
    weight: float = 1.0,
) -> LabelEntry:
    """Return the record that closes a pending query with the label `final`."""
    query = pending.query()
    return LabelEntry(
        at_ms=now_ms,
        event_id=label.event_id,
        revision=label.revision,
        label=final,
        features=query.features,
        asked=asked_of(query, pending.place),
        votes=votes,
        weight=weight,
        latency_ms=max(0, now_ms - pending.base_ms),
        closes=query.source,
    )


def overturning_entry(
    label: Label, vote: Vote, *, first: LabelEntry, position: int, now_ms: int, in_force: bool
) -> LabelEntry:
    """Return the record that replaces the label record `first`, which lies at `position`.

    `in_force`: the first was not retracted since, so there is a label to replace.
    """
    base_ms = first.at_ms - first.latency_ms
    return LabelEntry(
        at_ms=now_ms,
        event_id=label.event_id,
        revision=label.revision,
        label=vote.label,
        features=first.features,
        payload_hash=first.payload_hash,
        blank=True if first.features is None else None,
        asked=first.asked,
        votes=(vote,),
        latency_ms=max(0, now_ms - base_ms),
        overturns=position,
        replaced_label=first.label if in_force else None,
    )


def retraction_entry(
    label: Label, annotator: str, *, first: LabelEntry, position: int, now_ms: int
) -> RetractionEntry:
    """Return the record that takes back the label record `first`, which lies at `position`."""
    return RetractionEntry(
        at_ms=now_ms,
        event_id=label.event_id,
        revision=label.revision,
        annotator=annotator,
        retracts=position,
        label=first.label,
        asked=first.asked,
    )


def vote_entry(
    label: Label, annotator: str, *, place: Source, now_ms: int, raised: int | None = None
) -> VoteEntry:
    """Return the record of a vote, skip, unsure, retracted vote or conflict."""
    return VoteEntry(
        at_ms=now_ms,
        event_id=label.event_id,
        vote_kind=label.kind,
        annotator=annotator,
        revision=label.revision,
        label=label.label if label.kind == "label" else None,
        query=place,
        votes_wanted=raised,
    )


def answer_entry(label: Label, annotator: str, *, truth: str, now_ms: int) -> VoteEntry:
    """Return the record of an answer to a gold question, or of one taken back."""
    return VoteEntry(
        at_ms=now_ms,
        event_id=label.event_id,
        vote_kind=label.kind,
        annotator=annotator,
        revision=label.revision,
        label=label.label if label.kind == "label" else None,
        query=NO_QUERY,
        truth=truth,
    )


def closed_entry(
    event_id: str,
    reason: Literal["skipped", "unsure", "expired", "repeated"],
    *,
    place: Source,
    closes: Source,
    now_ms: int,
) -> ClosedEntry:
    """Return the record that closes a query record without a label."""
    return ClosedEntry(at_ms=now_ms, event_id=event_id, reason=reason, query=place, closes=closes)


def volunteered_entry(label: Label, said: str, annotator: str, *, now_ms: int) -> VolunteeredEntry:
    """Return the record of a label that nobody asked for."""
    return VolunteeredEntry(
        at_ms=now_ms,
        event_id=label.event_id,
        revision=label.revision,
        annotator=annotator,
        label=said,
        features=label.features,
    )


def outcome_of(label: Label, outcome: OutcomeName, reason: str | None, source: Source) -> Outcome:
    """Return the outcome of the label that lies at `source`."""
    return Outcome(
        event_id=label.event_id,
        annotator=label.annotator,
        revision=label.revision,
        kind=label.kind,
        label=label.label,
        outcome=outcome,
        reason=reason,
        source=source,
    )
