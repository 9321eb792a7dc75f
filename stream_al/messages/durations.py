"""Durations as people write them: `90s`, `15m`, `12h`, `7d`; milliseconds inside."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_FORM = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")


def duration_ms(value: Any) -> Any:
    """Return a duration in milliseconds; whole numbers are milliseconds already.

    Raises
    ------
    ValueError
        When a text is not a number with one of the units ms, s, m, h, d.

    Examples
    --------
    >>> duration_ms("7d"), duration_ms(250)
    (604800000, 250)
    """
    if not isinstance(value, str):
        return value
    found = _FORM.fullmatch(value.strip())
    if found is None:
        msg = f"{value!r} is no duration; write a number and a unit: 90s, 15m, 12h, 7d"
        raise ValueError(msg)
    return round(float(found[1]) * _UNIT_MS[found[2]])


DurationMs = Annotated[int, BeforeValidator(duration_ms), Field(ge=0, le=10**14)]
