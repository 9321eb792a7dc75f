"""Durations as people write them: `90s`, `15m`, `12h`, `7d`; milliseconds inside.

In a file or a variable a duration needs a unit; in Python and in the journal a whole number is
milliseconds. Who validates what was written says so by `WRITTEN` in the validation's context.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo

WRITTEN = "written"
"""Key of the context of a validation: the values stand in a file or a variable."""
_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_FORM = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*(ms|s|m|h|d)")
_CLOCK = re.compile(r"([0-9]{1,6}):([0-5]?[0-9])(?::([0-5]?[0-9]))?")
_HOW = "write a number and a unit: 90s, 15m, 12h, 7d"


def duration_ms(value: Any, *, written: bool = False) -> Any:
    """Return a duration in milliseconds; whole numbers are milliseconds already.

    Parameters
    ----------
    value
        A text with a unit, or a number.
    written
        Whether it stands in a file or a variable, where only 0 needs no unit.

    Raises
    ------
    ValueError
        When a text is not a number with one of the units ms, s, m, h, d.

    Examples
    --------
    >>> duration_ms("7d"), duration_ms(250)
    (604800000, 250)
    >>> duration_ms(30, written=True)
    Traceback (most recent call last):
    ValueError: a duration needs a unit: write 30s, 30m, 30h or 30d
    """
    if isinstance(value, bool):
        msg = f"{value!r} is no duration; {_HOW}"
        raise ValueError(msg)  # noqa: TRY004 - pydantic tells a ValueError, not a TypeError
    if isinstance(value, int | float) and written and value != 0:
        choices = ", ".join(f"{value}{unit}" for unit in ("s", "m", "h"))
        msg = f"a duration needs a unit: write {choices} or {value}d"
        raise ValueError(msg)
    if not isinstance(value, str):
        return value
    found = _FORM.fullmatch(value.strip())
    if found is None:
        msg = f"{value[:40]!r} is no duration; {_meant(value.strip()) or _HOW}"
        raise ValueError(msg)
    if re.match(r"0[0-9]", found[1]):
        msg = f"{value!r} has a leading zero; write {found[1].lstrip('0') or '0'}{found[2]}"
        raise ValueError(msg)
    return round(float(found[1]) * _UNIT_MS[found[2]])


def _meant(text: str) -> str | None:
    """Return how to write what looks like hours, minutes and seconds."""
    found = _CLOCK.fullmatch(text)
    if found is None:
        return None
    parts = [int(part) for part in found.groups() if part is not None]
    seconds = parts[0] * 60 + parts[1] if len(parts) == 2 else 0
    seconds = seconds or sum(part * unit for part, unit in zip(parts, (3_600, 60, 1), strict=False))
    unit, size = next((u, s) for u, s in (("h", 3_600), ("m", 60), ("s", 1)) if not seconds % s)
    return f"if you mean hours, minutes and seconds, write {seconds // size}{unit}"


def _checked(least: str | None) -> Callable[[Any, ValidationInfo], Any]:
    """Return what turns a value into milliseconds and keeps it from being below `least`."""
    floor_ms = 0 if least is None else duration_ms(least)

    def check(value: Any, info: ValidationInfo) -> Any:
        found = duration_ms(value, written=WRITTEN in (info.context or {}))
        if isinstance(found, int) and found < floor_ms:
            msg = (
                f"it must be at least {least}: with less, what is needed is gone before it is used"
            )
            raise ValueError(msg)
        return found

    return check


def at_least(least: str) -> BeforeValidator:
    """Return what refuses a duration below `least`, in place of `DurationMs`'s own check."""
    return BeforeValidator(_checked(least))


DurationMs = Annotated[int, BeforeValidator(_checked(None)), Field(ge=0, le=10**14)]
RetentionMs = Annotated[int, at_least("1h"), Field(le=10**14)]
"""Below an hour, people's answers and a worker that was down find nothing any more."""
ExpiryMs = Annotated[int, at_least("1m"), Field(le=10**14)]
"""Below a minute nobody can answer."""
