"""Settings that can change while it runs: they begin in the file and live on in the journal."""

from __future__ import annotations

from enum import Enum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stream_al.messages.durations import DurationMs


class Off(Enum):
    """What lifts a limit, where None means that nothing is said about it."""

    OFF = "off"

    def __repr__(self) -> str:
        return self.name


OFF = Off.OFF


class Section(BaseModel):
    """A closed group of settings: unknown keys are errors, values never change in place."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Budget(Section):
    """What may be spent on queries; the smallest allowed rate wins.

    Attributes
    ----------
    share
        Queries per event, in [0, 1]. Raising it asks more often; 0 asks nothing.
    per_hour
        Labels per hour of record time over all partitions; off when None.
    open
        Pending queries over all partitions above which nothing is asked; off when None.
    """

    share: float = Field(default=0.05, ge=0.0, le=1.0, allow_inf_nan=False)
    per_hour: float | None = Field(default=None, ge=0.0, allow_inf_nan=False, le=1e9)
    open: int | None = Field(default=None, ge=0, le=10**9)


class GateSettings(Section):
    """How the gate decides.

    Attributes
    ----------
    uncertainty
        Name of a registered strategy: `least_confidence`, `margin`, `entropy`, `disagreement`.
    random_share
        Part of the budget spent at random, in [0.01, 1]: raising it measures better, lowering it
        learns a little faster.
    burst
        Queries a block may hold (M): 1 is the hardest budget.
    back_pressure
        Age of a partition's oldest open query at which it stops asking; off when None.
    """

    uncertainty: str = "margin"
    random_share: float = Field(default=0.2, ge=0.01, le=1.0, allow_inf_nan=False)
    burst: int = Field(default=1, ge=1, le=100)
    budget: Budget = Budget()
    back_pressure: DurationMs | None = None


class Modes(Section):
    """Pause asks nothing, shadow asks only on paper, freeze does not learn."""

    paused: bool = False
    shadow: bool = False
    frozen: bool = False


class Settings(Section):
    """The run-time settings in force at one journal position.

    `partitions` divides `per_hour` and `open`; `votes` is what a query is expected to cost.
    """

    gate: GateSettings = GateSettings()
    modes: Modes = Modes()
    partitions: int = Field(default=1, ge=1)
    votes: int = Field(default=1, ge=1)

    def patched(self, patch: dict[str, Any], *, strict: bool = False) -> Settings:
        """Return these settings with `patch` merged into them, key by key.

        Parameters
        ----------
        patch
            Section → setting → value.
        strict
            Whether `true` is no number and a text none: of what is not journaled yet.

        Raises
        ------
        pydantic.ValidationError
            When a key is unknown or a value is out of range.

        Examples
        --------
        >>> Settings().patched({"gate": {"budget": {"share": 0.02}}}).gate.budget.share
        0.02
        """
        return Settings.model_validate(_merged(self.model_dump(), patch), strict=strict)

    def folded(self, patch: dict[str, Any]) -> Settings:
        """Return `patched`, or these settings when the patch can't be applied.

        For readers of the journal: the resolver refuses such a patch, but one of another version
        may have let it pass, and then every reader has to skip it alike.

        Examples
        --------
        >>> Settings().folded({"gate": {"budget": {"share": 7}}}) == Settings()
        True
        """
        try:
            return self.patched(patch)
        except ValidationError:
            return self


def _merged(base: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in patch.items():
        below = merged.get(key)
        both = isinstance(below, dict) and isinstance(value, dict)
        merged[key] = _merged(below, value) if both else value  # type: ignore[arg-type]
    return merged
