"""Whether this gate does better than random queries: the difference, and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from stream_al.service.report.figures import Arm, ArmName
from stream_al.service.report.scales import share_text
from stream_al.service.report.welch import Difference, difference

SEEDS_MIN = 2


@dataclass(frozen=True, slots=True)
class Verdict:
    """One sentence, whether it says that this gate is better than random queries, and by how much.

    `difference` is None where there are not seeds enough.
    """

    better: bool
    sentence: str
    difference: Difference | None = None

    @property
    def worse(self) -> bool:
        """Whether the whole interval lies below 0."""
        return self.difference is not None and self.difference.high < 0.0


def verdict(arms: Sequence[Arm], score_name: str) -> Verdict:
    """Compare this gate with random queries by the final scores of all seeds.

    The difference of the means with its 95 % interval over the seeds (Welch): better where all of
    it lies above 0.

    Examples
    --------
    >>> def arm(name, *final):
    ...     return Arm(name=name, by_events=(), by_labels=(), final=final, labels_mean=100)
    >>> verdict([arm("gate", 0.95, 0.96, 0.97), arm("random", 0.90, 0.91, 0.92)], "x").better
    True
    >>> verdict([arm("gate", 0.93, 0.97), arm("random", 0.9, 0.94)], "accuracy").sentence[:22]
    'No difference is shown'
    """
    named = {arm.name: arm for arm in arms}
    gate, chance = named.get("gate"), named.get("random")
    if gate is None or chance is None or min(len(gate.final), len(chance.final)) < SEEDS_MIN:
        return Verdict(
            False, "No difference is shown: with fewer than two seeds per arm there is no spread."
        )
    found = difference(gate.final, chance.final)
    better, worse = found.low > 0.0, found.high < 0.0
    begins = (
        "This gate is better" if better else "This gate is worse" if worse
        else "No difference is shown"
    )  # fmt: skip
    measured = (
        f"{score_name} {fmean(gate.final):.3f} with this gate, {fmean(chance.final):.3f} with "
        f"random queries, {_difference(found)} (95 % interval over {len(gate.final)} seeds, "
        f"Welch; about {gate.labels_mean:,.0f} and {chance.labels_mean:,.0f} labels)"
    )
    why = "" if better or worse else " The interval holds 0."
    return Verdict(better, f"{begins}: {measured}.{why}{_of_all(named, gate)}", found)


def _difference(found: Difference) -> str:
    """Return a difference in points: of scores in [0, 1] one point is a hundredth."""
    mean, low, high = (100 * value for value in (found.mean, found.low, found.high))
    return f"a difference of {mean:+.1f} points, {low:+.1f} to {high:+.1f}"


def _of_all(named: dict[ArmName, Arm], gate: Arm) -> str:
    everything = named.get("all")
    if everything is None or not everything.final or everything.labels_mean <= 0:
        return ""
    share = gate.labels_mean / everything.labels_mean
    return (
        f" All labels reach {fmean(everything.final):.3f}; "
        f"this gate used {share_text(share)} of them."
    )
