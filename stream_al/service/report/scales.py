"""Scales and ticks of a chart: from values to places in a drawing, and to texts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["linear", "log"]


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps [low, high] to [start, stop] in the drawing; `log` needs 0 < low < high."""

    low: float
    high: float
    start: float
    stop: float
    kind: Kind = "linear"

    def place(self, value: float) -> float:
        """Return where `value` is drawn; values outside are drawn at the edge.

        Examples
        --------
        >>> Scale(0, 10, 100, 200).place(5), Scale(1, 100, 0, 2, "log").place(10)
        (150.0, 1.0)
        """
        clipped = min(max(value, self.low), self.high)
        turn: Callable[[float], float] = math.log10 if self.kind == "log" else float
        low, high = turn(self.low), turn(self.high)
        if high <= low:
            return self.start
        return self.start + (turn(clipped) - low) / (high - low) * (self.stop - self.start)

    def ticks(self) -> list[float]:
        """Return about five round values within the scale."""
        if self.kind == "log":
            return log_ticks(self.low, self.high)
        return nice_ticks(self.low, self.high)


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about `count` multiples of 1, 2 or 5 × 10ⁿ within [low, high].

    Examples
    --------
    >>> nice_ticks(0, 4862)
    [0.0, 1000.0, 2000.0, 3000.0, 4000.0]
    >>> nice_ticks(0.8, 1.0)
    [0.8, 0.85, 0.9, 0.95, 1.0]
    """
    if high <= low:
        return [low]
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return the powers of ten within [low, high], with 2 and 5 times them when these are few.

    Examples
    --------
    >>> log_ticks(1, 5000)
    [1.0, 10.0, 100.0, 1000.0]
    >>> log_ticks(10, 60)
    [10.0, 20.0, 50.0]
    """
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 2, 5)):
        found = [round(factor * 10.0**power, 10) for power in exponents for factor in factors]
        inside = [value for value in found if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]
        if len(inside) > 2:
            break
    return inside


def count_text(value: float) -> str:
    """Return a count for people.

    Examples
    --------
    >>> count_text(4862), count_text(0.5)
    ('4,862', '0.5')
    """
    return f"{value:,.0f}" if value == round(value) else f"{value:,.3g}"


def share_text(value: float) -> str:
    """Return a share in [0, 1] in percent.

    Examples
    --------
    >>> share_text(0.9612), share_text(0.5), share_text(1)
    ('96.1 %', '50 %', '100 %')
    """
    return f"{100 * value:.1f}".removesuffix(".0") + " %"
