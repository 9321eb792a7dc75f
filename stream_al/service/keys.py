"""The key that a record is sent with: its event's id where one can be read; information only."""

from __future__ import annotations

from stream_al.config import Config
from stream_al.engine import EventReader, LabelReader
from stream_al.errors import InvalidInput


class KeyReader:
    """Reads keys as the configuration reads events and labels."""

    def __init__(self, config: Config) -> None:
        self._events = EventReader(config.events)
        self._labels = LabelReader(config.labels)

    def key(self, topic: str, value: bytes) -> bytes | None:
        """Return the key of a record of `topic` (its short name); None when no id can be read.

        Examples
        --------
        >>> keys = KeyReader(Config())
        >>> keys.key("labels", b'{"event_id": "p-1", "label": "spam"}')
        b'p-1'
        >>> keys.key("labels", b'{"event_id": 7}'), keys.key("labels", b"spam")
        (b'7', None)
        """
        if topic != "events":
            event_id = self._labels.event_id(value)
            return None if event_id is None else event_id.encode()
        try:
            return self._events.read(value).event_id.encode()
        except InvalidInput:
            return None
