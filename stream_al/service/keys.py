"""The key that a record is sent with: its event's id where one can be read; information only."""

from __future__ import annotations

from pydantic_core import from_json

from stream_al.engine import EventReader
from stream_al.errors import InvalidInput


def record_key(reader: EventReader, topic: str, value: bytes) -> bytes | None:
    """Return the key of a record of `topic` (its short name); None when no id can be read.

    Examples
    --------
    >>> from stream_al.config import EventsSection
    >>> reader = EventReader(EventsSection())
    >>> record_key(reader, "labels", b'{"event_id": "p-1", "label": "spam"}')
    b'p-1'
    >>> record_key(reader, "labels", b"spam") is None
    True
    """
    try:
        if topic == "events":
            return reader.read(value).event_id.encode()
        event_id = from_json(value)["event_id"]
        return event_id.encode() if isinstance(event_id, str) else None
    except (InvalidInput, ValueError, TypeError, KeyError):
        return None
