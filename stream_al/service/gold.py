"""Gold questions at an annotator's desk: which one comes when, and how it looks. Pure.

Nothing on the screen tells it from a query: it borrows the prediction and the reason of a query
that is open, and what became of the answer is said as for any other.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from hashlib import blake2b

from stream_al.labels import GoldQuestion, OpenQuery
from stream_al.messages import NO_QUERY, OutcomeName, query_id_of

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
    """Return a gold question as a query that looks like another one that nobody answered."""
    query = like.query.model_copy(
        update={
            "query_id": query_id_of(gold.event_id),
            "event_id": gold.event_id,
            "features": gold.features,
            "meta": None,
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
