"""Several messages in one record, a JSON array: a client's cost is in records, not in bytes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

PACKED_BYTES_MAX = 262_144
_DECODER = json.JSONDecoder()


def packed(values: Iterable[bytes], *, bytes_max: int = PACKED_BYTES_MAX) -> Iterator[bytes]:
    """Yield records that hold all of `values` in their order, each of about `bytes_max` at most.

    Examples
    --------
    >>> list(packed([b'{"a":1}', b'{"a":2}', b'{"a":3}'], bytes_max=16))
    [b'[{"a":1},{"a":2}]', b'[{"a":3}]']
    """
    held: list[bytes] = []
    size = 0
    for value in values:
        if held and size + len(value) > bytes_max:
            yield b"[" + b",".join(held) + b"]"
            held, size = [], 0
        held.append(value)
        size += len(value)
    if held:
        yield b"[" + b",".join(held) + b"]"


def unpacked(value: bytes) -> list[bytes]:
    """Return the messages in a record: of an array as `packed` makes it each, else what is there.

    Raises
    ------
    ValueError
        When it begins as an array and is none.

    Examples
    --------
    >>> unpacked(b'[{"a":1e-05},{"a":2}]'), unpacked(b'{"a": 1}')
    ([b'{"a":1e-05}', b'{"a":2}'], [b'{"a": 1}'])
    """
    if not value.startswith(b"["):
        return [value]
    text = value.decode()
    found: list[bytes] = []
    end = 0
    while text[end : end + 1] == ("," if found else "["):
        try:
            _, after = _DECODER.raw_decode(text, end + 1)  # the bytes as they are: compared
        except RecursionError:
            raise ValueError("no array of messages: it is nested too deep") from None
        found.append(text[end + 1 : after].encode())
        end = after
    if text[end:] != "]":
        raise ValueError(f"no array of messages: {text[end : end + 20]!r} at character {end}")
    return found
