"""The settings in force at each journal position, as a fold of control records of our own."""

from __future__ import annotations

from bisect import bisect_right
from math import ceil
from typing import Any, NamedTuple

from pydantic import ValidationError

from stream_al.messages import Settings
from stream_al.service.audit.spend import UNIT

RATE_DIGITS = 8


class Rules(NamedTuple):
    """What the settings say about a prediction.

    Attributes
    ----------
    since
        The first `model_version` that they are in force for.
    share_units
        The share in units of 2^-30 label, rounded up; 0 while paused.
    rate
        How that share reads in a message.
    limited
        Whether hours, open queries or back-pressure may lower the rate.
    rate_may_vanish
        Whether a rate above 0 may be so small that it reads 0.
    burst
        Labels in a block.
    mode
        What predictions say.
    chosen
        The reason of a query that is neither random nor from a cold start.
    frozen
        Whether lessons are not learnt.
    """

    since: int
    share_units: int
    rate: float
    limited: bool
    rate_may_vanish: bool
    burst: int
    mode: str
    chosen: str
    frozen: bool


def rules_of(settings: Settings, since: int) -> Rules:
    """Return the rules that `settings` make.

    Examples
    --------
    >>> rules = rules_of(Settings(), 2)
    >>> rules.rate, rules.limited, rules.mode
    (0.05, False, 'normal')
    """
    gate, modes = settings.gate, settings.modes
    share_units = 0 if modes.paused else ceil(gate.budget.share * UNIT)
    rate = round(share_units / UNIT, RATE_DIGITS)
    hours_or_open = gate.budget.per_hour is not None or gate.budget.open is not None
    return Rules(
        since=since,
        share_units=share_units,
        rate=rate,
        limited=hours_or_open or gate.back_pressure is not None,
        rate_may_vanish=gate.back_pressure is not None or (rate == 0.0 and share_units > 0),
        burst=gate.burst,
        mode=_mode(paused=modes.paused, shadow=modes.shadow, frozen=modes.frozen),
        chosen="disagreement" if gate.uncertainty == "disagreement" else "uncertain",
        frozen=modes.frozen,
    )


def _mode(*, paused: bool, shadow: bool, frozen: bool) -> str:
    if paused:
        return "paused"
    if shadow:
        return "shadow"
    return "frozen" if frozen else "normal"


class Rulebook:
    """The rules of every journal position, growing with the journal's control records.

    Attributes
    ----------
    now
        The rules after the last record folded.
    """

    def __init__(self, configured: Settings) -> None:
        self._values: dict[str, Any] = configured.model_dump()
        self.now = rules_of(configured, 0)
        self._all = [self.now]

    def fold(self, patch: Any, position: int) -> bool:
        """Take in the patch of the control record at `position`; False when it can't be applied."""
        values = merged(self._values, patch) if isinstance(patch, dict) else None
        try:
            settings = Settings.model_validate(values)
        except ValidationError:
            return False
        self._values = settings.model_dump()
        self.now = rules_of(settings, position + 1)
        if self._all[-1][1:] != self.now[1:]:
            self._all.append(self.now)
        return True

    def at(self, version: int) -> tuple[Rules, int]:
        """Return the rules for a `model_version`, and the first version that has others."""
        index = bisect_right(self._all, version, key=lambda rules: rules.since)
        until = self._all[index].since if index < len(self._all) else 1 << 62
        return self._all[max(0, index - 1)], until


def merged(base: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """Return `base` with `patch` in it, key by key.

    Examples
    --------
    >>> merged({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}})
    {'a': {'b': 1, 'c': 3}}
    """
    both = dict(base)
    for key, value in patch.items():
        below = both.get(key)
        deep = isinstance(below, dict) and isinstance(value, dict)
        both[key] = merged(below, value) if deep else value  # type: ignore[arg-type]
    return both
