"""Which lessons are the last word about their event: one pass over what comes before a replay.

Memory grows with lessons, some 17 bytes each and one for a journal position, never with events.
"""

from __future__ import annotations

from array import array
from hashlib import blake2b
from itertools import groupby
from operator import itemgetter

import numpy as np

FINAL, CORRECTED, RETRACTED = 1, 2, 4


class Finals:
    """Statements about events in the journal's order: lessons, and labels that were taken back.

    Examples
    --------
    >>> finals = Finals()
    >>> for event_id, position, takes_back in (("a", 1, False), ("b", 2, False), ("a", 3, False),
    ...                                        ("b", 4, True)):
    ...     finals.add(event_id, position, takes_back=takes_back)
    >>> finals.close()
    >>> [finals.at(position) for position in (1, 2, 3)] == [0, RETRACTED, FINAL | CORRECTED]
    True
    """

    def __init__(self) -> None:
        self._keys = array("Q")
        self._places = array("q")  # position, and whether it takes back
        self._flags = bytearray()

    def add(self, event_id: str, position: int, *, takes_back: bool = False) -> None:
        """Note the record at `position`; positions only grow."""
        digest = blake2b(event_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        self._keys.append(int.from_bytes(digest, "big"))
        self._places.append(position << 1 | takes_back)

    def close(self) -> None:
        """Find the last statement about each event; nothing is added any more."""
        if not self._places:
            return
        keys, places = np.asarray(self._keys), np.asarray(self._places)
        order = np.lexsort((places, keys))
        self._flags = bytearray((self._places[-1] >> 1) + 1)
        pairs = zip(keys[order].tolist(), places[order].tolist(), strict=True)
        for _, group in groupby(pairs, key=itemgetter(0)):
            self._mark([place for _, place in group])
        self._keys, self._places = array("Q"), array("q")

    def _mark(self, places: list[int]) -> None:
        last = places[-1]
        if not last & 1:
            self._flags[last >> 1] = FINAL | (CORRECTED if len(places) > 1 else 0)
            return
        for place in places:
            self._flags[place >> 1] = RETRACTED

    def at(self, position: int) -> int:
        """Return flags of the lesson at `position`.

        `FINAL`: nothing came after it; with `CORRECTED` when something came before. `RETRACTED`:
        its event has no label any more. 0: another lesson took its place.
        """
        return self._flags[position] if position < len(self._flags) else FINAL
