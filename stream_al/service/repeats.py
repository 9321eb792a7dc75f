"""Ids that come again with other features: an edit that a label could not tell from the first.

Records, not features, are remembered: an id costs a table look-up, and two records are read only
when the same id came with other bytes. What is remembered is bounded by its bytes, so what is seen
is a lower bound: an edit long after the first record is not.
"""

from __future__ import annotations

import json
from typing import Any

from stream_al.config import EventsSection
from stream_al.engine import EventReader
from stream_al.messages import Event

REMEMBERED_BYTES_MAX = 4_194_304
"""Of records in the younger half; the older half is no larger."""
ENTRY_BYTES = 200
"""What an entry costs beside its record."""


class Repeats:
    """Remembers the newest records by their event's id.

    Attributes
    ----------
    changed
        Records whose id came before with other features.
    """

    def __init__(self, section: EventsSection) -> None:
        self._reader = EventReader(section)  # one of its own: it counts nothing that shows
        self._young: dict[str, bytes] = {}
        self._old: dict[str, bytes] = {}
        self._bytes = 0
        self.changed = 0

    def note(self, event: Event, value: bytes) -> None:
        """Take in an event and the record that it was read from."""
        event_id, young = event.event_id, self._young
        before = young.get(event_id) or self._old.get(event_id)
        young[event_id] = value
        self._bytes += len(value) + ENTRY_BYTES
        if self._bytes > REMEMBERED_BYTES_MAX:
            self._old, self._young, self._bytes = young, {}, 0
        if before is not None and before != value and self._differs(before, event.features):
            self.changed += 1

    def _differs(self, before: bytes, features: dict[str, Any]) -> bool:
        known = self._reader.read(before).features
        return known != features and _described(known) != _described(features)


def _described(features: dict[str, Any]) -> str:
    """Return features as a text that is equal for equal ones, NaN among them."""
    return json.dumps(features, sort_keys=True, default=str)
