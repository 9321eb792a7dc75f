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


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassView:
    """What is known of one class.

    Attributes
    ----------
    labels, seeds, gold
        Events that bear it by a label, seeds of it, gold questions whose answer it is.
    annotators
        Who said it, the newest first, not all of them.
    first_at_ms, last_at_ms
        When the resolver met it, by its clock.
    like
        Another class, met before, that people take for the same.
    """

    name: str
    labels: int
    seeds: int
    gold: int
    annotators: tuple[str, ...]
    first_at_ms: int
    last_at_ms: int
    like: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotatorView:
    """What is known of one annotator.

    Attributes
    ----------
    labels, compared, agreed
        Votes in queries that ended; those that others voted in too; of these, like the final label.
    conflicts
        Labels that contradicted a closed one.
    gold_answered, gold_right
        Answers to gold questions.
    error_rate, evidence
        Estimated share of wrong answers, None without evidence, and the soft number of votes that
        it rests on; old ones fade.
    """

    annotator: str
    labels: int
    compared: int
    agreed: int
    conflicts: int
    gold_answered: int
    gold_right: int
    error_rate: float | None
    evidence: float
