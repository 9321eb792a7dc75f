"""Runs over seeds become rows of a table; rows become one paragraph in plain words. Pure.

Nothing is chosen by its result: the paragraph is about the first strategy and the first delay that
were named, at the smallest budget whose mean macro-F1 reaches 95 % of that of all labels (or the
largest budget). Whether that is more than chance is said by `report.verdict`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, log
from statistics import fmean, stdev

from stream_al.service.evaluate.plan import Plan
from stream_al.service.evaluate.run import Ran
from stream_al.service.report import Arm, ArmName, Verdict, arm_figures, share_text, verdict

SCORE_NAME = "macro-F1"
REACHED = 0.95
KAPPA_MIN = 0.1


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over seeds; `sd` is None for a single run."""

    mean: float
    sd: float | None
    low: float
    high: float


def spread_of(values: Sequence[float]) -> Spread:
    """Return mean, sample sd, lowest and highest.

    Examples
    --------
    >>> spread_of([0.5, 0.7]).mean, spread_of([0.5]).sd
    (0.6, None)
    """
    sd = stdev(values) if len(values) > 1 else None
    return Spread(fmean(values), sd, min(values), max(values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """All seeds of one arm at one budget, strategy and delay: a row of the table.

    `of_all` is its mean macro-F1 over that of all labels with the same delay.
    """

    arm: ArmName
    strategy: str | None
    share: float
    delay: int
    accuracy: Spread
    macro_f1: Spread
    kappa: Spread
    labels: Spread
    allowed: float
    of_all: float
    curves: Arm


def grouped(runs: Iterable[Ran]) -> list[Group]:
    """Return the rows: for each delay all labels first, then by budget, this gate before random."""
    kept: dict[tuple[ArmName, str | None, float, int], list[Ran]] = {}
    for ran in runs:
        cell = ran.cell
        kept.setdefault((cell.arm, cell.strategy, cell.share, cell.delay), []).append(ran)
    everything = {
        delay: fmean(ran.macro_f1 for ran in found)
        for (arm, _, _, delay), found in kept.items()
        if arm == "all"
    }
    rows = [
        _group(arm, strategy, share, delay, found, everything[delay])
        for (arm, strategy, share, delay), found in kept.items()
    ]
    delays = list(dict.fromkeys(row.delay for row in rows))
    return sorted(rows, key=lambda row: (delays.index(row.delay), row.arm != "all", row.share))


def _group(
    arm: ArmName, strategy: str | None, share: float, delay: int, runs: list[Ran], best: float
) -> Group:
    macro_f1 = spread_of([ran.macro_f1 for ran in runs])
    return Group(
        arm=arm,
        strategy=strategy,
        share=share,
        delay=delay,
        accuracy=spread_of([ran.accuracy for ran in runs]),
        macro_f1=macro_f1,
        kappa=spread_of([ran.kappa for ran in runs]),
        labels=spread_of([ran.labels for ran in runs]),
        allowed=fmean(ran.allowed for ran in runs),
        of_all=macro_f1.mean / best if best else 0.0,
        curves=arm_figures(arm, [ran.run for ran in runs]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the paragraph is about: all labels, and gate and random at each budget."""

    everything: Group
    gate: tuple[Group, ...]
    chance: tuple[Group, ...]

    @property
    def chosen(self) -> int:
        """The index of the budget that the paragraph names first."""
        reached = (i for i, row in enumerate(self.gate) if row.of_all >= REACHED)
        return next(reached, len(self.gate) - 1)

    def verdict(self, index: int) -> Verdict:
        """Return how gate and random queries differ at one budget."""
        rows = (self.gate[index], self.chance[index], self.everything)
        return verdict([row.curves for row in rows], SCORE_NAME)


def told_of(groups: Sequence[Group], *, strategy: str, delay: int) -> Told:
    """Return the rows of one strategy and one delay, by rising budget."""

    def rows(keep: Callable[[Group], bool]) -> tuple[Group, ...]:
        return tuple(group for group in groups if group.delay == delay and keep(group))

    return Told(
        everything=rows(lambda row: row.arm == "all")[0],
        gate=rows(lambda row: row.strategy == strategy),
        chance=rows(lambda row: row.arm == "random"),
    )


def labels_needed(points: Sequence[tuple[float, float]], score: float) -> float | None:
    """Return how many labels a curve needs for `score`, log-linear between its points.

    Parameters
    ----------
    points
        (labels, score), labels > 0 and rising. Scores may fall: the first crossing counts.

    Returns
    -------
    float or None
        None when no point reaches it; the first point's labels when that one does already.

    Examples
    --------
    >>> round(labels_needed([(100, 0.8), (400, 0.9)], 0.85))
    200
    >>> labels_needed([(100, 0.8), (400, 0.9)], 0.95) is None
    True
    """
    if points and points[0][1] >= score:
        return points[0][0]
    for (low, before), (high, after) in pairwise(points):
        if before < score <= after:
            part = (score - before) / (after - before)
            return exp(log(low) + part * (log(high) - log(low)))
    return None


def paragraph(told: Told, plan: Plan, event_count: int) -> str:
    """Return how many labels buy what, honestly, in a few sentences."""
    gate = told.gate[told.chosen]
    all_labels = told.everything.labels.mean
    first = (
        f"{_count(gate.labels.mean)} labels ({share_text(gate.labels.mean / event_count)} of "
        f"{event_count:,} events) reach {share_text(gate.of_all)} of what all "
        f"{_count(all_labels)} labels reach (macro-F1 {gate.macro_f1.mean:.3f} of "
        f"{told.everything.macro_f1.mean:.3f})"
    )
    said = [f"{first}; {_chance(told, gate)}."]
    said.append(told.verdict(told.chosen).sentence.split(" All labels reach")[0])
    if len(told.gate) > 1:
        said.append(_budgets(told))
    if len(told.gate) > 1 and plan.seeds > 1:
        said.append(_seeds(told))
    if told.everything.kappa.mean < KAPPA_MIN:
        said.append(
            f"Even all labels hardly beat guessing by class frequency (kappa "
            f"{told.everything.kappa.mean:.2f}): this model finds little in these features, and a "
            "share of little means little."
        )
    if gate.delay:
        said.append(f"Each label comes {gate.delay:,} events after its query.")
    if len(plan.strategies) > 1 or len(plan.delays) > 1:
        said.append(
            f"This is strategy {gate.strategy} with delay {gate.delay:,}, named first, not chosen "
            "by its result; the others are in the table."
        )
    return " ".join(said)


def _chance(told: Told, gate: Group) -> str:
    """Return what random queries need for the same, only where they were measured."""
    points = [(row.labels.mean, row.macro_f1.mean) for row in told.chance]
    needed = labels_needed(points, gate.macro_f1.mean)
    largest = points[-1][0]
    if needed is None:
        return f"random queries do not reach that with {_count(largest)} labels, the most tried"
    if needed <= points[0][0]:
        return f"random queries reach it with {_count(needed)} or fewer, the fewest tried"
    return f"random queries need about {_count(needed)} for the same"


def _budgets(told: Told) -> str:
    """Return what every budget reaches, beside what chance reaches with it."""
    bought = "; ".join(
        f"{_count(gate.labels.mean)} labels reach {share_text(gate.of_all)} "
        f"(random queries {share_text(chance.of_all)})"
        for gate, chance in zip(told.gate, told.chance, strict=True)
    )
    return f"By budget: {bought}."


def _seeds(told: Told) -> str:
    """Return at how many budgets a difference is shown, by `report.verdict`."""
    found = [told.verdict(index) for index in range(len(told.gate))]
    better, worse = sum(each.better for each in found), sum(each.worse for each in found)
    return (
        f"Over the {len(found)} budgets, this gate is better than random queries at {better}, "
        f"worse at {worse}; at {len(found) - better - worse} the interval holds 0."
    )


def _count(value: float) -> str:
    return f"{value:,.0f}"
