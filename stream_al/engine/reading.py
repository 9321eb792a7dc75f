"""From bytes to messages: the user's own JSON by dotted paths, or the native event.

What can't be read raises `InvalidInput` with a name from a closed set and a sentence for people;
nothing else ever leaves this module. Features are taken as they are: the guard of `model` has the
last word on their values.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from msgspec import Meta, MsgspecError, Struct
from msgspec.json import Decoder
from pydantic import ValidationError
from pydantic_core import from_json

from stream_al.config import EventsSection
from stream_al.errors import InvalidInput
from stream_al.messages import EVENT_ID_CHARACTERS_MAX, Event, Message

_Read = TypeVar("_Read", bound=Message)
_MISSING = object()
_SHOWN_CHARACTERS = 60


class EventReader:
    """Reads events as the configuration's `events` section says.

    Examples
    --------
    >>> section = EventsSection(event_id="post.id", features={"text": "post.parts.0.body"})
    >>> line = b'{"post": {"id": 7, "parts": [{"body": "hi"}]}}'
    >>> EventReader(section).read(line).features
    {'text': 'hi'}
    """

    def __init__(self, section: EventsSection) -> None:
        self._bytes_max = section.bytes_max
        self._native = section.native
        self._event_id = _path(section.event_id)
        self._at_ms = _path(section.at_ms)
        self._segment = _path(section.segment)
        self._meta = _path(section.meta)
        self._features = [(name, _path(path)) for name, path in section.features.items()]
        self._section = section

    def read(self, value: bytes) -> Event:
        """Return the event in `value`.

        Raises
        ------
        InvalidInput
            `TooLarge`, `BrokenJson`, `MissingField` or `WrongType`.
        """
        if len(value) > self._bytes_max:
            raise InvalidInput(
                "TooLarge",
                f"the record has {len(value):,} bytes, {self._bytes_max:,} are allowed; "
                "send less, or raise events.bytes_max",
            )
        if self._native:
            return _plain(value) or parse(Event, value)
        return self._mapped(value)

    def _mapped(self, value: bytes) -> Event:
        try:
            body = from_json(value)
        except ValueError as error:
            raise _broken(error) from None
        section = self._section
        features = {}
        for name, path in self._features:
            found = _at(body, path)
            if found is not _MISSING and found is not None:
                features[name] = found
        return Event(
            event_id=_identifier(_at(body, self._event_id), section.event_id),
            features=features,
            at_ms=_milliseconds(_at(body, self._at_ms), section.at_ms),
            segment=_segment(_at(body, self._segment), section.segment),
            meta=None if self._meta == () else _or_none(_at(body, self._meta)),
        )


class _Plain(Struct):
    """A native event of which nothing has to be converted."""

    event_id: Annotated[str, Meta(min_length=1, max_length=EVENT_ID_CHARACTERS_MAX)]
    features: dict[str, Any]
    at_ms: int | None = None
    segment: str | None = None
    meta: Any = None


_PLAIN = Decoder(_Plain)


def _plain(value: bytes) -> Event | None:
    """Return the native event in `value`, or None where `parse` has to look at it more closely.

    What most records are, at half of the cost. `parse` is what decides: it converts more, and says
    in a sentence what is wrong.

    Examples
    --------
    >>> _plain(b'{"event_id": "a", "features": {"n": 1}}').features
    {'n': 1}
    >>> _plain(b'{"event_id": "a", "features": {"n": NaN}}')
    """
    try:
        found = _PLAIN.decode(value)
    except (MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return Event.of_valid(
        {
            "event_id": found.event_id,
            "features": found.features,
            "at_ms": found.at_ms,
            "segment": found.segment,
            "meta": found.meta,
        }
    )


def parse(message: type[_Read], value: bytes) -> _Read:
    """Return the `message` in `value`.

    Raises
    ------
    InvalidInput
        `BrokenJson`, `MissingField` or `WrongType`, naming the field, the value and what to do.

    Examples
    --------
    >>> parse(Event, b'{"event_id": "a", "features": {"n": 1}}').features
    {'n': 1}
    """
    try:
        return message.model_validate_json(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    except RecursionError as error:
        raise _broken(error) from None
    if first["type"] == "json_invalid":
        raise _broken(first["ctx"]["error"])
    place = ".".join(str(part) for part in first["loc"]) or "the record"
    if first["type"] == "missing":
        raise InvalidInput("MissingField", f"`{place}` is missing; every record needs it")
    shown = repr(first["input"])[:_SHOWN_CHARACTERS]
    raise InvalidInput("WrongType", f"`{place}` is {shown}: {first['msg']}")


def _broken(error: object) -> InvalidInput:
    said = str(error)
    if "hex escape" in said:
        said += " (a lone surrogate is half of a character)"
    return InvalidInput("BrokenJson", f"not a JSON object: {said}; send one JSON object a record")


def _path(dotted: str | None) -> tuple[str | int, ...]:
    if not dotted:
        return ()
    return tuple(int(part) if part.isdigit() else part for part in dotted.split("."))


def _at(body: Any, path: tuple[str | int, ...]) -> Any:
    """Follow `path`; `_MISSING` where it leads nowhere or is empty."""
    if not path:
        return _MISSING
    for part in path:
        if isinstance(body, dict):
            body = body.get(str(part), _MISSING)
        elif isinstance(body, list) and isinstance(part, int) and part < len(body):
            body = body[part]
        else:
            return _MISSING
    return body


def _or_none(value: Any) -> Any:
    return None if value is _MISSING else value


def _identifier(value: Any, path: str | None) -> str:
    if value is _MISSING or value is None or value == "":
        raise InvalidInput("MissingField", f"`{path}` (events.event_id) is missing or empty")
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise InvalidInput(
            "WrongType",
            f"`{path}` (events.event_id) is {repr(value)[:_SHOWN_CHARACTERS]}; "
            "it must be a text or a whole number",
        )
    if len(value) > EVENT_ID_CHARACTERS_MAX:
        raise InvalidInput(
            "TooLarge",
            f"`{path}` (events.event_id) has {len(value):,} characters, "
            f"{EVENT_ID_CHARACTERS_MAX} are allowed",
        )
    return value


def _milliseconds(value: Any, path: str | None) -> int | None:
    if value is _MISSING or value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value - value != 0:
        raise InvalidInput(
            "WrongType",
            f"`{path}` (events.at_ms) is {repr(value)[:_SHOWN_CHARACTERS]}; "
            "it must be a number of milliseconds since 1970",
        )
    return int(value)


def _segment(value: Any, path: str | None) -> str | None:
    if value is _MISSING or value is None:
        return None
    if isinstance(value, str | int):
        return str(value)
    raise InvalidInput(
        "WrongType",
        f"`{path}` (events.segment) is {repr(value)[:_SHOWN_CHARACTERS]}; it must be a text",
    )
