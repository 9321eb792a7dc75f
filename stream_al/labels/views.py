"""What the resolver shows of its pending queries: to people, and to the service that commits."""

from __future__ import annotations

from dataclasses import dataclass

from stream_al.messages import Query, Source, Vote


@dataclass(frozen=True, slots=True)
class OldestPending:
    """The oldest pending query of a partition; `offset` is what may be committed for queries."""

    asked_ms: int
    offset: int


@dataclass(frozen=True, slots=True)
class OpenQuery:
    """A pending query with what annotators said about it so far."""

    query: Query
    place: Source
    asked_ms: int
    votes: tuple[Vote, ...]
    votes_wanted: int
    passed_by: tuple[str, ...]
