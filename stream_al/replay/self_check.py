"""Whether the recorded settings give the recorded decisions again: trust rests on that.

The gate is a function of secret, uncertainties and settings. So under the settings as recorded and
the deployment's own secret every propensity and every decision must come out as it was written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stream_al.replay.recorded import Recorded
from stream_al.replay.rerun import Place, Rerun, Step

_ANY_SECRET = b"any: propensities do not depend on it"


@dataclass(frozen=True, slots=True)
class SelfChecked:
    """What the self-check found.

    Attributes
    ----------
    why_not
        Why nothing was compared; None when it was.
    compared
        Predictions compared.
    propensities_differ, decisions_differ
        How many came out otherwise; decisions are None without the deployment's secret.
    first
        Events partition and offset of the first of them.
    """

    why_not: str | None
    compared: int
    propensities_differ: int
    decisions_differ: int | None
    first: tuple[int, int] | None


class SelfCheck:
    """Folds the recorded predictions under the recorded settings.

    Parameters
    ----------
    recorded
        The journal, folded.
    secret
        The deployment's own; None compares propensities only.
    """

    def __init__(self, recorded: Recorded, secret: bytes | None) -> None:
        self._rerun = Rerun(recorded, [secret or _ANY_SECRET], {})
        self._knows_secret = secret is not None
        self._compared = 0
        self._propensities_differ = 0
        self._decisions_differ = 0
        self._first: tuple[int, int] | None = None
        self._why_not: str | None = None
        if any(found.gate.back_pressure is not None for _, found in recorded.settings):
            self.give_up("back-pressure was in force, and the ages it saw are recorded nowhere")
        elif secret is None and self._rerun.counts_open:
            self.give_up("a budget on open queries was in force, and the secret is not at hand")

    @property
    def steps(self) -> list[Step]:
        """The settings as recorded."""
        return self._rerun.steps

    def step_at(self, version: int) -> Step:
        """Return the settings in force for an event of this model version."""
        return self._rerun.step_at(version)

    def give_up(self, why: str) -> None:
        """Compare nothing: what is there can't be compared. The first reason stays."""
        self._why_not = self._why_not or why

    def add(self, uncertainty: float, place: Place, step: Step, said: Mapping[str, Any]) -> None:
        """Compare one prediction."""
        if self._why_not is not None:
            return
        choice, asked = self._rerun.decide(uncertainty, place, step)
        self._compared += 1
        differs = False
        if choice.propensity != said["propensity"]:
            self._propensities_differ += 1
            differs = True
        if self._knows_secret and bool(asked) != said.get("would_query", place.queried):
            self._decisions_differ += 1
            differs = True
        if differs and self._first is None:
            self._first = (place.partition, said["source"]["offset"])

    def found(self) -> SelfChecked:
        """Return what was found so far."""
        gave_up = self._why_not is not None
        return SelfChecked(
            why_not=self._why_not,
            compared=0 if gave_up else self._compared,
            propensities_differ=0 if gave_up else self._propensities_differ,
            decisions_differ=self._decisions_differ if self._knows_secret and not gave_up else None,
            first=None if gave_up else self._first,
        )
