"""Gold questions at an annotator's desk: which one comes when, and how it looks. Pure.

Nothing on the screen tells it from a query: it has segment and meta of its own, it is not put where
it would stand out by the names of its fields, and what became of the answer is said as for any
other.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from hashlib import blake2b
from typing import Any

from stream_al.labels import GoldQuestion, OpenQuery
from stream_al.messages import NO_QUERY, Features, OutcomeName, query_id_of
from stream_al.service.question import values_of

_RANGE = 2**64


def gold_before(
    event_id: str,
    annotator: str,
    questions: Sequence[GoldQuestion],
    *,
    share: float,
    answered: Collection[str],
) -> GoldQuestion | None:
    """Return the gold question that `annotator` gets before the query about `event_id`, if any.

    Parameters
    ----------
    questions
        Those that they have not answered, and of which `answered` may name some that they have.
    share
        Gold questions for each query, in [0, 1].

    Examples
    --------
    >>> one = GoldQuestion("g", "spam", {"text": "free money"})
    >>> gold_before("e", "ana", [one], share=1.0, answered=()).event_id
    'g'
    >>> gold_before("e", "ana", [one], share=1.0, answered={"g"})
    >>> gold_before("e", "ana", [one], share=0.0, answered=())
    """
    if _hashed("when", annotator, event_id) >= share * _RANGE:
        return None
    left = [one for one in questions if one.event_id not in answered]
    return min(left, key=lambda one: _hashed("which", annotator, one.event_id), default=None)


def disguised(gold: GoldQuestion, like: OpenQuery) -> OpenQuery:
    """Return a gold question as a query; its times and votes are those of another one."""
    query = like.query.model_copy(
        update={
            "query_id": query_id_of(gold.event_id),
            "event_id": gold.event_id,
            "features": gold.features,
            "segment": gold.segment,
            "meta": gold.meta,
            "label": None,
            "probabilities": {},
        }
    )
    return OpenQuery(
        query=query,
        place=NO_QUERY,
        asked_ms=like.asked_ms,
        votes=(),
        votes_wanted=like.votes_wanted,
        passed_by=(),
    )


def alike(questions: Sequence[GoldQuestion], queries: Sequence[OpenQuery]) -> list[GoldQuestion]:
    """Return the gold questions that the names of their fields do not tell from `queries`.

    One that lacks a field which all queries show stands out, and one that has a field of its own.

    Examples
    --------
    >>> alike([GoldQuestion("g", "spam", {"text": "free"})], ())
    []
    """
    shown = [_names(one.query.features, one.query.segment, one.query.meta) for one in queries]
    if not shown:
        return []
    every, some = frozenset.intersection(*shown), frozenset[str]().union(*shown)
    return [
        one for one in questions if every <= _names(one.features, one.segment, one.meta) <= some
    ]


def _names(features: Features, segment: str | None, meta: Any) -> frozenset[str]:
    return frozenset(name for name, _ in values_of(features, segment, meta))


def outcome_shown(opened: OpenQuery, outcome: OutcomeName) -> OutcomeName:
    """Return the outcome of an answer as its annotator sees it: one to gold looks like any other.

    `applied` is what becomes of the answer to a query that wants one vote.
    """
    if opened.place == NO_QUERY and opened.votes_wanted == 1 and outcome == "counted":
        return "applied"
    return outcome


def _hashed(*parts: str) -> int:
    text = "".join(f"{len(part)}:{part}" for part in parts)
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")
