"""Rows sorted outside of memory: what has to be compared across a whole topic, in bounded memory.

Rows are numpy records with an unsigned `key`. Full buffers are sorted and written to a temporary
file, one run each; reading goes over ranges of keys, so that a key's rows come together.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROWS_MAX = 8_192
"""Rows in memory before a run is written, and about so many at once while reading."""


class Runs:
    """Rows to be read back in groups of one key.

    Parameters
    ----------
    columns
        Names of further columns, each a 64-bit signed integer.
    key_bits
        Keys are below 2 to this power; the ranges of reading follow from it.
    rows_max
        How many rows are held in memory.

    Examples
    --------
    >>> rows = Runs(["where"], rows_max=2)
    >>> for key, where in ((7, 1), (3, 2), (7, 3)):
    ...     rows.add(key, where)
    >>> list(rows.groups())
    [[(3, 2)], [(7, 1), (7, 3)]]
    >>> rows.close()
    """

    def __init__(
        self, columns: Sequence[str], *, key_bits: int = 64, rows_max: int = ROWS_MAX
    ) -> None:
        self._type = np.dtype([("key", "<u8"), *((name, "<i8") for name in columns)])
        self._key_bits = key_bits
        self._rows_max = rows_max
        self._rows: list[tuple[int, ...]] = []
        self._runs: list[tuple[int, int]] = []  # (first row, rows) in the file
        self._file: Any = None
        self._written = 0

    def __len__(self) -> int:
        return self._written + len(self._rows)

    def add(self, *row: int) -> None:
        """Add a row: the key and the other columns."""
        self._rows.append(row)
        if len(self._rows) >= self._rows_max:
            self._write()

    def groups(self) -> Iterator[list[tuple[int, ...]]]:
        """Yield the rows of each key, sorted by their columns; keys ascend."""
        if not self._runs:
            self._rows.sort()
            yield from _grouped(self._rows)
            return
        if self._rows:
            self._write()
        parts = -(-self._written // self._rows_max)
        bounds = [(part << self._key_bits) // parts for part in range(1, parts)]
        starts = [0] * len(self._runs)
        for bound in (*bounds, None):
            pieces = []
            for number, (first, count) in enumerate(self._runs):
                end = count if bound is None else self._search(first, count, bound)
                pieces.append(self._read(first + starts[number], end - starts[number]))
                starts[number] = end
            rows: list[tuple[int, ...]] = [row for piece in pieces for row in piece.tolist()]
            rows.sort()
            yield from _grouped(rows)

    def close(self) -> None:
        """Give the temporary file back."""
        if self._file is not None:
            self._file.close()

    def _write(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._rows.sort()
        np.array(self._rows, dtype=self._type).tofile(self._file)
        self._file.flush()
        self._runs.append((self._written, len(self._rows)))
        self._written += len(self._rows)
        self._rows = []

    def _read(self, first: int, count: int) -> NDArray[Any]:
        self._file.seek(first * self._type.itemsize)
        return np.fromfile(self._file, dtype=self._type, count=count)

    def _search(self, first: int, count: int, key: int) -> int:
        """Return how many rows of a run are below `key`."""
        low, high = 0, count
        while low < high:
            middle = (low + high) // 2
            if int(self._read(first + middle, 1)["key"][0]) < key:
                low = middle + 1
            else:
                high = middle
        return low


def _grouped(rows: list[tuple[int, ...]]) -> Iterator[list[tuple[int, ...]]]:
    for _, group in groupby(rows, key=itemgetter(0)):
        yield list(group)


PLACE_BITS = 40
"""An offset fits into so many bits beside a partition number."""


def packed(partition: int, offset: int) -> int:
    """Return a place within a topic as one number.

    Examples
    --------
    >>> unpacked(packed(3, 17))
    (3, 17)
    """
    return partition << PLACE_BITS | offset


def unpacked(place: int) -> tuple[int, int]:
    """Return what `packed` put together: partition and offset."""
    return place >> PLACE_BITS, place & ((1 << PLACE_BITS) - 1)


def spread(number: int) -> int:
    """Return a key for `number`, one to one, that lies anywhere among all keys.

    Examples
    --------
    >>> spread(1) != spread(2)
    True
    """
    return number * 0x9E37_79B9_7F4A_7C15 & 0xFFFF_FFFF_FFFF_FFFF


def hashed(*parts: object) -> int:
    """Return a 63-bit hash of `parts`, the same within this process only.

    Examples
    --------
    >>> hashed("a", 1) == hashed("a", 1), hashed("a", 1) >= 0
    (True, True)
    """
    return hash(parts) & 0x7FFF_FFFF_FFFF_FFFF
