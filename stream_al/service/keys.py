"""The key that a record is sent with: its event's id where one can be read; information only."""

from __future__ import annotations

from stream_al.config import Config
from stream_al.engine import EventReader, LabelReader
from stream_al.errors import InvalidInput
from stream_al.service.grouping import Problems


class KeyReader:
    """Reads keys as the configuration reads events and labels.

    Attributes
    ----------
    problems
        Events and labels that can't be read.
    """

    def __init__(self, config: Config) -> None:
        self._events = EventReader(config.events)
        self._labels = LabelReader(config.labels)
        self.problems = Problems()

    def key(self, topic: str, value: bytes, line: int = 0) -> bytes | None:
        """Return the key of a record of `topic` (its short name); None when no id can be read.

        Examples
        --------
        >>> keys = KeyReader(Config())
        >>> keys.key("labels", b'{"event_id": "p-1", "label": "spam"}')
        b'p-1'
        >>> keys.key("labels", b'{"event_id": 7}'), keys.key("labels", b"spam")
        (b'7', None)
        >>> keys.problems.count
        2
        """
        try:
            if topic == "events":
                return self._events.read(value).event_id.encode()
            if topic == "labels":
                self._labels.read(value)
        except InvalidInput as error:
            self.problems.note(line, error)
        event_id = self._labels.event_id(value) if topic != "events" else None
        return None if event_id is None else event_id.encode()
