"""From bytes to events: the user's own JSON by dotted paths, or the native event.

What can't be read raises `InvalidInput` with a name from a closed set and a sentence for people;
nothing else ever leaves this module. What is information only (time, segment, version) never
refuses an event: it is left out and counted. Features are taken as they are: the guard of `model`
has the last word on their values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from msgspec import Meta, MsgspecError, Struct
from msgspec.json import Decoder
from pydantic import ValidationError

from stream_al.config import EventsSection
from stream_al.engine.paths import (
    BYTE_ORDER_MARK,
    MISSING,
    at,
    broken,
    decoded,
    is_given,
    path_of,
    quoted,
)
from stream_al.errors import InvalidInput
from stream_al.messages import (
    EVENT_ID_CHARACTERS_MAX,
    MILLISECONDS_BELOW,
    SECONDS_BELOW,
    Event,
    Message,
    text_of,
    text_or_none,
    time_ms,
    whole_text,
)

_Read = TypeVar("_Read", bound=Message)
_Value = TypeVar("_Value")


class EventReader:
    """Reads events as the configuration's `events` section says.

    Attributes
    ----------
    missing
        Configured feature → events read in which its path led to nothing, or to null.
    unreadable
        `at_ms`, `segment`, `version` → events read in which it was there and could not be used.

    Examples
    --------
    >>> section = EventsSection(event_id="post.id", features={"text": "post.parts.0.body"})
    >>> line = b'{"post": {"id": 7, "parts": [{"body": "hi"}]}}'
    >>> EventReader(section).read(line).features
    {'text': 'hi'}
    """

    def __init__(self, section: EventsSection) -> None:
        self._bytes_max = section.bytes_max
        self._event_id = path_of(section.event_id)
        self._at_ms = path_of(section.at_ms)
        self._segment = path_of(section.segment)
        self._meta = path_of(section.meta)
        self._version = path_of(section.version)
        self._features = [(name, path_of(path)) for name, path in section.features.items()]
        self._section = section
        self._native = section.native
        self._paths = bool(section.at_ms or section.segment or section.meta or section.version)
        self.missing: Counter[str] = Counter(dict.fromkeys(section.features, 0))
        self.unreadable: Counter[str] = Counter(dict.fromkeys(("at_ms", "segment"), 0))
        if self._version:
            self.unreadable["version"] = 0

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
        if not self._native:
            return self._mapped(value)
        event = _plain(value, self.unreadable) or self._careful(value)
        return self._with_paths(event, value) if self._paths else event

    def _mapped(self, value: bytes) -> Event:
        body = decoded(value)
        features = {}
        for name, path in self._features:
            found = at(body, path)
            if found is not MISSING and found is not None:
                features[name] = found
            else:
                self.missing[name] += 1
        return Event.of_valid(
            {
                "event_id": self._identifier(body, at(body, self._event_id)),
                "features": features,
                "at_ms": self._counted("at_ms", at(body, self._at_ms), time_ms),
                "segment": self._counted("segment", at(body, self._segment), text_or_none),
                "meta": self._meta_of(body),
            }
        )

    def _careful(self, value: bytes) -> Event:
        """Return a native event of which something has to be converted, or refuse it."""
        value = value.removeprefix(BYTE_ORDER_MARK)
        event = parse(Event, value)
        if event.at_ms is None or event.segment is None:
            body = decoded(value)
            self._counted("at_ms", at(body, ("at_ms",)), time_ms)
            self._counted("segment", at(body, ("segment",)), text_or_none)
        return event

    def _with_paths(self, event: Event, value: bytes) -> Event:
        """Return a native event with what paths of the configuration lead to."""
        body = decoded(value)
        found = dict(event)
        if self._at_ms:
            found["at_ms"] = self._counted("at_ms", at(body, self._at_ms), time_ms)
        if self._segment:
            found["segment"] = self._counted("segment", at(body, self._segment), text_or_none)
        if self._meta:
            found["meta"] = self._meta_of(body)
        found["event_id"] = self._versioned(event.event_id, body)
        return Event.of_valid(found)

    def _counted(
        self, field: str, found: Any, read: Callable[[Any], _Value | None]
    ) -> _Value | None:
        """Return what `read` makes of a value; what it can't read is counted."""
        if found is MISSING or found is None:
            return None
        value = read(found)
        if value is None:
            self.unreadable[field] += 1
        return value

    def _meta_of(self, body: Any) -> Any:
        found = at(body, self._meta)
        return None if found is MISSING else found

    def _identifier(self, body: Any, found: Any) -> str:
        path = self._section.event_id
        if found is MISSING or found is None or found == "":
            raise InvalidInput("MissingField", f"`{path}` (events.event_id) is missing or empty")
        event_id = whole_text(found)
        if not isinstance(event_id, str):
            raise InvalidInput(
                "WrongType",
                f"`{path}` (events.event_id) is {quoted(found)}; "
                "it must be a text or a whole number",
            )
        if self._version:
            return self._versioned(event_id, body)
        return _checked_length(event_id, path)

    def _versioned(self, event_id: str, body: Any) -> str:
        """Return the engine's id of this version of an event: `<id>@<version>`."""
        found = at(body, self._version)
        if is_given(found) and found != "":
            version = text_of(found)
            if isinstance(version, float):
                version = repr(version)
            if isinstance(version, str):
                event_id = f"{event_id}@{version}"
            else:
                self.unreadable["version"] += 1
        return _checked_length(event_id, self._section.event_id or "event_id")


def _checked_length(event_id: str, path: str | None) -> str:
    if len(event_id) > EVENT_ID_CHARACTERS_MAX:
        raise InvalidInput(
            "TooLarge",
            f"`{path}` (events.event_id) has {len(event_id):,} characters, "
            f"{EVENT_ID_CHARACTERS_MAX} are allowed",
        )
    return event_id


class _Plain(Struct):
    """A native event of which nothing has to be converted."""

    event_id: Annotated[str, Meta(min_length=1, max_length=EVENT_ID_CHARACTERS_MAX)]
    features: dict[str, Any]
    at_ms: Any = None
    segment: str | None = None
    meta: Any = None


_PLAIN = Decoder(_Plain)


def _plain(value: bytes, unreadable: Counter[str]) -> Event | None:
    """Return the native event in `value`, or None where `parse` has to look at it more closely.

    What most records are, at half of the cost. `parse` is what decides: it converts more, and says
    in a sentence what is wrong.

    Examples
    --------
    >>> _plain(b'{"event_id": "a", "features": {"n": 1}}', Counter()).features
    {'n': 1}
    >>> _plain(b'{"event_id": "a", "features": {"n": NaN}}', Counter())
    """
    try:
        found = _PLAIN.decode(value)
    except (MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    at_ms = found.at_ms
    # Milliseconds of our time, or nothing, are what they are.
    if at_ms is not None and not (
        type(at_ms) is int and SECONDS_BELOW <= at_ms < MILLISECONDS_BELOW
    ):
        at_ms = time_ms(at_ms)
        if at_ms is None:
            unreadable["at_ms"] += 1
    return Event.of_valid(
        {
            "event_id": found.event_id,
            "features": found.features,
            "at_ms": at_ms,
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
        raise broken(error) from None
    if first["type"] == "json_invalid":
        raise broken(first["ctx"]["error"])
    place = ".".join(str(part) for part in first["loc"]) or "the record"
    if first["type"] == "missing":
        raise InvalidInput("MissingField", f"`{place}` is missing; every record needs it")
    raise InvalidInput("WrongType", f"`{place}` is {quoted(first['input'])}: {first['msg']}")
