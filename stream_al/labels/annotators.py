"""How good annotators are: an estimate after Dawid and Skene, bounded, folded from the journal.

Each annotator has a table of confusion: how often they say which class when another is true. The
truth is not seen; what the votes on one event say about it, given the tables so far, is added as
soft counts. Older counts fade, so that people may change. One pass, no clock, no chance: the same
journal gives the same tables.

What teaches: queries that end with two votes or more, and answers to gold questions, whose truth is
known. One vote alone agrees with itself and teaches nothing. A conflict with a closed label is
counted and teaches nothing either: who agrees with a closed label leaves no record, so learning
from those who disagree would make everybody look bad.

Sources: A. P. Dawid and A. M. Skene, "Maximum likelihood estimation of observer error-rates using
the EM algorithm", Applied Statistics 28(1), 1979; O. Cappé and E. Moulines, "On-line
expectation-maximization algorithm for latent data models", JRSS B 71(3), 2009 (stepwise updates of
the sufficient statistics, here with a constant step).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import nlargest

from stream_al.labels.agreement import Agreement
from stream_al.labels.confusion import FORGETTING, Confusion
from stream_al.labels.views import AnnotatorView

ANNOTATORS_MAX = 1_000
"""Annotators remembered; beyond, whoever said nothing for longest is forgotten."""
CLASSES_MAX = 256
"""Classes told apart; later ones count together, as `OTHER_CLASS`."""
CANDIDATES_MAX = 16
"""Classes that are weighed beside the voted ones: the most frequent. Raising it costs time."""
EVIDENCE_MIN = 10.0
"""Soft votes compared with a truth before an annotator counts as known: with nobody known, heads
are counted. Raising it trusts later and errs less on newcomers."""
OTHER_CLASS = ""
"""No class is called so: labels are not empty."""

Cast = tuple[str, str]
"""A vote: who, and what they said."""


class Annotators:
    """What is known of everybody who ever answered, newest last.

    Parameters
    ----------
    classes
        The closed set of classes, None for an open one.
    """

    def __init__(self, classes: Sequence[str] | None) -> None:
        # Name → table, in the order in which they spoke last; at most ANNOTATORS_MAX.
        self._tables: dict[str, Confusion] = {}
        # Class → fading soft count of events that are of it; at most CLASSES_MAX and OTHER_CLASS.
        self._classes: dict[str, float] = dict.fromkeys((classes or ())[:CLASSES_MAX], 0.0)
        self._agreement = Agreement()

    def __len__(self) -> int:
        return len(self._tables)

    # ------------------------------------------------------------------ looking

    def belief(self, votes: Sequence[Cast]) -> dict[str, float] | None:
        """Return the posterior of each voted class; None when nobody who voted is known."""
        tables = self._tables
        if any(name in tables and tables[name].seen >= EVIDENCE_MIN for name, _ in votes):
            voted = {said for _, said in votes}
            return {one: p for one, p in self._posterior(votes).items() if one in voted}
        return None

    def views(self) -> list[AnnotatorView]:
        """Return what is known of everybody, who answered most first."""
        found = [table.view(name) for name, table in self._tables.items()]
        return sorted(found, key=lambda view: (-view.labels - view.gold_answered, view.annotator))

    def alpha(self) -> float | None:
        """Return Krippendorff's alpha over all queries with two votes or more; see `Agreement`."""
        return self._agreement.alpha()

    def described(self) -> list[object]:
        """Return the whole state, to be compared."""
        tables = [(name, table.described()) for name, table in self._tables.items()]
        return [tables, list(self._classes.items()), self._agreement.described()]

    # ------------------------------------------------------------------ folding

    def observe(self, votes: Sequence[Cast], final: str | None) -> None:
        """Take in the votes on a query that ended, with the label `final` if it has one."""
        for name, said in votes:
            self._table(name).answered(agreed=None if len(votes) < 2 else said == final)
        if len(votes) < 2:
            return
        self._agreement.add([said for _, said in votes])
        for _, said in votes:
            self._meet(said)
        truths = {self._known(one): 0.0 for one in self._candidates(votes)}
        for one, p in self._posterior(votes).items():
            truths[self._known(one)] += p
        for name, said in votes:
            self._tables[name].add(truths, self._known(said))
        self._count(truths)

    def observe_conflict(self, name: str) -> None:
        """Take note that somebody contradicted a closed label."""
        self._table(name).conflicts += 1

    def observe_gold(self, name: str, said: str, truth: str) -> None:
        """Take in the answer to a gold question."""
        self._meet(truth)
        self._meet(said)
        table = self._table(name)
        table.gold(+1, right=said == truth)
        table.add({self._known(truth): 1.0}, self._known(said))

    def forget_gold(self, name: str, said: str, truth: str) -> None:
        """Take an answer to a gold question back; what faded since then stays faded."""
        table = self._table(name)
        table.gold(-1, right=said == truth)
        table.take_back(self._known(truth), self._known(said))

    # ------------------------------------------------------------------ the estimate

    def _posterior(self, votes: Sequence[Cast]) -> dict[str, float]:
        """Return the posterior of the voted and the most frequent classes: the E-step."""
        candidates = self._candidates(votes)
        class_count = max(2, len(self._classes), len(candidates))
        total = sum(self._classes.values())
        unknown = Confusion()
        tables = [(self._tables.get(name, unknown), said) for name, said in votes]
        weights: dict[str, float] = {}
        for truth in candidates:
            weight = (self._classes.get(truth, 0.0) + 1.0) / (total + class_count)
            for table, said in tables:
                weight *= table.likelihood(truth, said, class_count)
            weights[truth] = weight
        whole = sum(weights.values())
        return {truth: weight / whole for truth, weight in weights.items()}

    def _candidates(self, votes: Sequence[Cast]) -> list[str]:
        """Return the classes that may be true: voted ones first."""
        classes = self._classes
        frequent = classes
        if len(classes) > CANDIDATES_MAX:
            most = nlargest(CANDIDATES_MAX, classes, key=classes.__getitem__)
            frequent = {one: classes[one] for one in most}
        return list(dict.fromkeys([*(said for _, said in votes), *frequent]))

    def _count(self, truths: Mapping[str, float]) -> None:
        self._classes = {name: count * FORGETTING for name, count in self._classes.items()}
        for name, p in truths.items():
            self._classes[name] = self._classes.get(name, 0.0) + p

    # ------------------------------------------------------------------ bounds

    def _meet(self, name: str) -> None:
        if len(self._classes) < CLASSES_MAX:
            self._classes.setdefault(name, 0.0)

    def _known(self, name: str) -> str:
        return name if name in self._classes else OTHER_CLASS

    def _table(self, name: str) -> Confusion:
        """Return somebody's table, as the one that spoke last."""
        table = self._tables.pop(name, None) or Confusion()
        self._tables[name] = table
        if len(self._tables) > ANNOTATORS_MAX:
            del self._tables[next(iter(self._tables))]
        return table
