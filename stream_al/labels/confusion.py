"""One annotator's table of confusion: soft counts of what they say when a class is true.

Sparse and bounded: a cell that faded away is dropped, and beyond the bound the lightest one goes.
The rate of a class with few counts leans on the annotator's overall rate, and that on a prior.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from stream_al.labels.views import AnnotatorView

FORGETTING = 0.999
"""What a count keeps at every new one: a memory of about 1,000. Raising it measures better and
notices later that somebody changed."""
PRIOR_RIGHT = 0.8
"""How often a stranger is taken to be right."""
PRIOR_VOTES = 4.0
"""How many votes the prior weighs. Raising it trusts evidence later."""
CLASS_VOTES = 20.0
"""How many votes the overall rate weighs in that of one class. Raising it errs less on who is as
good at every class, and later finds who is not."""
CELLS_MAX = 100
"""Classes, and pairs of classes, for which one annotator has counts of their own."""
NEGLIGIBLE = 1e-3

Cell = tuple[str, str]
"""A true class, and what was said instead."""
_Key = TypeVar("_Key", str, Cell)


class Confusion:
    """What is known of one annotator.

    Attributes
    ----------
    seen, right
        Soft counts of votes compared with a truth, and of those that were right; they fade.
    labels, compared, agreed
        Votes in queries that ended; those that others voted in too; of these, like the final label.
    conflicts
        Labels that contradicted a closed one.
    gold_answered, gold_right
        Answers to gold questions.
    """

    __slots__ = (
        "_rows",
        "_wrongs",
        "agreed",
        "compared",
        "conflicts",
        "gold_answered",
        "gold_right",
        "labels",
        "right",
        "seen",
    )

    def __init__(self) -> None:
        self.seen = 0.0
        self.right = 0.0
        # True class → [seen, right]; (true class, said class) → count. At most CELLS_MAX of each.
        self._rows: dict[str, tuple[float, float]] = {}
        self._wrongs: dict[Cell, float] = {}
        self.labels = self.compared = self.agreed = 0
        self.conflicts = self.gold_answered = self.gold_right = 0

    def likelihood(self, truth: str, said: str, class_count: int) -> float:
        """Return the probability that they say `said` of an event that is `truth`.

        Parameters
        ----------
        truth, said
            Two of the classes.
        class_count
            How many classes there are, at least 2: what is not known is spread over them.

        Examples
        --------
        >>> stranger = Confusion()
        >>> stranger.likelihood("ok", "ok", 3), round(stranger.likelihood("ok", "spam", 3), 3)
        (0.8, 0.1)
        """
        overall = shrunk(self.right, self.seen, PRIOR_RIGHT)
        row_seen, row_right = self._rows.get(truth, (0.0, 0.0))
        right = shrunk(row_right, row_seen, overall, CLASS_VOTES)
        if said == truth:
            return right
        cell = self._wrongs.get((truth, said), 0.0)
        return (1.0 - right) * shrunk(cell, max(row_seen - row_right, cell), 1 / (class_count - 1))

    def add(self, truths: Mapping[str, float], said: str) -> None:
        """Count a vote, given how probable each class is: the M-step, with a constant step."""
        self.seen = self.seen * FORGETTING + 1.0
        right = truths.get(said, 0.0)
        self.right = self.right * FORGETTING + right
        rows = {
            truth: (seen * FORGETTING, kept * FORGETTING)
            for truth, (seen, kept) in self._rows.items()
        }
        wrongs = faded(self._wrongs)
        for truth, p in truths.items():
            if p <= NEGLIGIBLE:
                continue
            seen, kept = rows.get(truth, (0.0, 0.0))
            rows[truth] = (seen + p, kept + p if truth == said else kept)
            if truth != said:
                wrongs[truth, said] = wrongs.get((truth, said), 0.0) + p
        self._rows = bounded(rows)
        self._wrongs = bounded(wrongs)

    def take_back(self, truth: str, said: str) -> None:
        """Undo one certain count."""
        self.seen = max(0.0, self.seen - 1.0)
        right = 1.0 if truth == said else 0.0
        self.right = min(self.seen, max(0.0, self.right - right))
        seen, kept = self._rows.get(truth, (0.0, 0.0))
        seen = max(0.0, seen - 1.0)
        self._rows[truth] = (seen, min(seen, max(0.0, kept - right)))
        if truth != said:
            left = max(0.0, self._wrongs.get((truth, said), 0.0) - 1.0)
            self._wrongs[truth, said] = left
        self._rows = bounded(self._rows)
        self._wrongs = bounded(faded(self._wrongs, 1.0))

    def answered(self, *, agreed: bool | None) -> None:
        """Count a vote in a query that ended; `agreed` is None when they were the only one."""
        self.labels += 1
        if agreed is not None:
            self.compared += 1
            self.agreed += agreed

    def gold(self, step: int, *, right: bool) -> None:
        """Count an answer to a gold question, or take it back (`step` -1)."""
        self.gold_answered = max(0, self.gold_answered + step)
        self.gold_right = max(0, self.gold_right + (step if right else 0))

    def view(self, name: str) -> AnnotatorView:
        """Return what people see."""
        return AnnotatorView(
            annotator=name,
            labels=self.labels,
            compared=self.compared,
            agreed=self.agreed,
            conflicts=self.conflicts,
            gold_answered=self.gold_answered,
            gold_right=self.gold_right,
            error_rate=1.0 - self.right / self.seen if self.seen > NEGLIGIBLE else None,
            evidence=self.seen,
        )

    def described(self) -> list[Any]:
        """Return the whole state, to be compared."""
        counts = [self.labels, self.compared, self.agreed, self.conflicts]
        gold = [self.gold_answered, self.gold_right]
        tables = [list(self._rows.items()), [(str(k), v) for k, v in self._wrongs.items()]]
        return [self.seen, self.right, counts, gold, tables]


def shrunk(part: float, whole: float, prior: float, votes: float = PRIOR_VOTES) -> float:
    """Return the rate `part / whole`, drawn to `prior` as if by so many `votes` more.

    Parameters
    ----------
    part, whole
        Counts, 0 ≤ part ≤ whole.
    prior
        The rate without any count, in (0, 1].

    Examples
    --------
    >>> shrunk(0.0, 0.0, 0.8), shrunk(0.0, 4.0, 0.8)
    (0.8, 0.4)
    """
    return (part + votes * prior) / (whole + votes)


def faded(counts: dict[Cell, float], keep: float = FORGETTING) -> dict[Cell, float]:
    """Return counts, each a little smaller, without those that are negligible.

    Examples
    --------
    >>> faded({("ok", "spam"): 0.001, ("spam", "ok"): 1.0})
    {('spam', 'ok'): 0.999}
    """
    return {cell: count * keep for cell, count in counts.items() if count * keep > NEGLIGIBLE}


def bounded(counts: dict[_Key, Any]) -> dict[_Key, Any]:
    """Return the heaviest `CELLS_MAX` of `counts`, in their order.

    Examples
    --------
    >>> bounded({"ok": 1.0})
    {'ok': 1.0}
    """
    if len(counts) <= CELLS_MAX:
        return counts
    heaviest = set(sorted(counts, key=lambda key: (counts[key], key))[-CELLS_MAX:])
    return {key: count for key, count in counts.items() if key in heaviest}
