"""Values as people's JSON has them, turned into what messages hold: texts, and times in ms.

Pure. Whole numbers and booleans become their decimal, or `true` and `false`, wherever a message
holds an id, a class or a name: the label `1` of one tool is the label `"1"` of another.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BeforeValidator

WHOLE_MAX = 2**53
"""Above it a number with a point or an exponent does not say which whole number it was."""

SECONDS_BELOW = 253_402_300_800
"""The year 10000. Counted in the next smaller unit the same number is in 1978: so each unit has the
times from 1978 to 9999 for itself."""
MILLISECONDS_BELOW = 1_000 * SECONDS_BELOW
MICROSECONDS_BELOW = 1_000 * MILLISECONDS_BELOW
NANOSECONDS_BELOW = 1_000 * MICROSECONDS_BELOW
AS_NAMED_BELOW = SECONDS_BELOW // 1_000
"""Numbers nearer to zero are milliseconds as they stand: a counter, not a date in any unit."""

_TIME_CHARACTERS_MAX = 64
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DATE_DIGITS = 8
_DATE_SPAN = (19_000_101, 22_000_101)
_UTC_NAMES = (" UTC", " GMT")


def text_of(value: Any) -> Any:
    """Return a whole number or boolean as a text; anything else comes back as it is.

    Examples
    --------
    >>> text_of(7), text_of(7.0), text_of(1e3), text_of(-0.0), text_of(2**70)
    ('7', '7', '1000', '0', '1180591620717411303424')
    >>> text_of(True), text_of("7"), text_of(7.5), text_of(None)
    ('true', '7', 7.5, None)
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float) and value.is_integer() and abs(value) <= WHOLE_MAX:
        return str(int(value))
    return value


def time_ms(value: Any) -> int | None:
    """Return a time in ms since 1970, UTC; None when it is none that can be told.

    Parameters
    ----------
    value
        ISO 8601 (without a zone it is UTC), or a number since 1970, also as a text. Its size says
        the unit: s, ms, µs or ns, whichever puts it between 1978 and 9999. A number too small for
        that counts as ms.

    Examples
    --------
    >>> time_ms("2026-11-30T12:00:00+01:00"), time_ms("2026-11-30 11:00:00")
    (1796036400000, 1796036400000)
    >>> {time_ms(number) for number in (1796036400, 1796036400000, "1796036400000000")}
    {1796036400000}
    >>> time_ms(1796036400.25), time_ms(0), time_ms("yesterday"), time_ms(True)
    (1796036400250, 0, None, None)
    """
    if isinstance(value, str):
        return _text_ms(value.strip())
    if isinstance(value, datetime):
        return _datetime_ms(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return _number_ms(value)


def _number_ms(value: float) -> int | None:
    size = abs(value)
    if not size < NANOSECONDS_BELOW:  # NaN and infinity too
        return None
    if size < AS_NAMED_BELOW:
        return int(value)
    if size < SECONDS_BELOW:
        return round(value * 1_000)
    if size < MILLISECONDS_BELOW:
        return int(value)
    return int(value // 1_000) if size < MICROSECONDS_BELOW else int(value // 1_000_000)


def _text_ms(text: str) -> int | None:
    if not text or len(text) > _TIME_CHARACTERS_MAX or not text.isascii():
        return None
    for name in _UTC_NAMES:
        if text.upper().endswith(name):
            text = text[: -len(name)] + "Z"
    number = _number_of(text)
    if number is not None and not _is_date(text):
        return _number_ms(number)
    try:
        return _datetime_ms(datetime.fromisoformat(text.upper()))
    except (ValueError, OverflowError):
        return None


def _number_of(text: str) -> float | None:
    """Return the number that a text is; whole ones exactly."""
    try:
        return int(text) if text.lstrip("+-").isdigit() else float(text)
    except ValueError:
        return None


def _is_date(text: str) -> bool:
    """Whether a text of digits is a date: `20261130`."""
    if len(text) != _DATE_DIGITS or not text.isdigit():
        return False
    return _DATE_SPAN[0] <= int(text) < _DATE_SPAN[1]


def _datetime_ms(value: datetime) -> int:
    aware = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    span = aware - _EPOCH
    return (span.days * 86_400 + span.seconds) * 1_000 + span.microseconds // 1_000


def whole_text(value: Any) -> Any:
    """Return a whole number as a text: for ids, which no boolean is.

    Examples
    --------
    >>> whole_text(7), whole_text(7.0), whole_text(True)
    ('7', '7', True)
    """
    return value if isinstance(value, bool) else text_of(value)


def text_or_none(value: Any) -> str | None:
    """Return a text, whole number or boolean as a text, None for anything else: information.

    Examples
    --------
    >>> text_or_none("en"), text_or_none(3), text_or_none(["en"])
    ('en', '3', None)
    """
    text = text_of(value)
    return text if isinstance(text, str) else None


def whole_ms(value: Any) -> int | None:
    """Return a duration in ms as a whole number, None for what is no number: information.

    Examples
    --------
    >>> whole_ms(12.7), whole_ms("12"), whole_ms("a while"), whole_ms(None)
    (12, 12, None, None)
    """
    number = _number_of(value.strip()) if isinstance(value, str) else value
    if isinstance(number, bool) or not isinstance(number, int | float):
        return None
    return int(number) if abs(number) < NANOSECONDS_BELOW else None


Text = Annotated[str, BeforeValidator(text_of)]
"""A class or a name; whole numbers and booleans are taken as texts."""

WholeText = Annotated[str, BeforeValidator(whole_text)]
"""An id; whole numbers are taken as texts."""

TextOrNone = Annotated[str | None, BeforeValidator(text_or_none)]
"""Information: what is no text is None, and never an error."""

TimeMs = Annotated[int | None, BeforeValidator(time_ms)]
"""Information: a time that can't be read is None, and never an error."""

WholeMs = Annotated[int | None, BeforeValidator(whole_ms)]
"""Information: a duration that can't be read is None, and never an error."""
