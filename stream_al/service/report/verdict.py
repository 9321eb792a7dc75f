"""Whether the arms are separated beyond their spread: said plainly, also when they are not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from stream_al.service.report.figures import Arm, ArmName
from stream_al.service.report.scales import share_text

SEEDS_MIN = 2


@dataclass(frozen=True, slots=True)
class Verdict:
    """One sentence, and whether it says that this gate is better than random queries."""

    better: bool
    sentence: str


def verdict(arms: Sequence[Arm], score_name: str) -> Verdict:
    """Compare this gate with random queries by the final scores of all seeds.

    Two arms are separated when every seed of one is above every seed of the other: a rule without
    assumptions, and a strict one.

    Examples
    --------
    >>> def arm(name, *final):
    ...     return Arm(name=name, by_events=(), by_labels=(), final=final, labels_mean=100)
    >>> verdict([arm("gate", 0.95, 0.97), arm("random", 0.90, 0.94)], "accuracy").better
    True
    >>> verdict([arm("gate", 0.93, 0.97), arm("random", 0.90, 0.94)], "accuracy").sentence[:15]
    'Not separated: '
    """
    named = {arm.name: arm for arm in arms}
    gate, chance = named.get("gate"), named.get("random")
    if gate is None or chance is None or min(len(gate.final), len(chance.final)) < SEEDS_MIN:
        return Verdict(
            False, "Not separated: with fewer than two seeds per arm there is no spread."
        )
    measured = (
        f"{score_name} {_range(gate)} with this gate, {_range(chance)} with random queries "
        f"({len(gate.final)} seeds, about {gate.labels_mean:,.0f} and "
        f"{chance.labels_mean:,.0f} labels)"
    )
    if min(gate.final) > max(chance.final):
        return Verdict(True, f"Separated, this gate is better: {measured}.{_of_all(named, gate)}")
    if max(gate.final) < min(chance.final):
        return Verdict(False, f"Separated, this gate is worse: {measured}.")
    return Verdict(
        False,
        f"Not separated: {measured}. The ranges overlap, so these runs do not show that one "
        f"is better.{_of_all(named, gate)}",
    )


def _range(arm: Arm) -> str:
    return f"{fmean(arm.final):.3f} ({min(arm.final):.3f}–{max(arm.final):.3f})"


def _of_all(named: dict[ArmName, Arm], gate: Arm) -> str:
    everything = named.get("all")
    if everything is None or not everything.final or everything.labels_mean <= 0:
        return ""
    share = gate.labels_mean / everything.labels_mean
    return f" All labels reach {_range(everything)}; this gate used {share_text(share)} of them."
