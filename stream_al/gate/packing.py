"""A gate's state as text: what a log commits together with a partition's position.

``g1:<integers, by commas>:<remembered uncertainties in base85>:<check>.`` The first two characters
are the version (``g2`` has one integer more, while a record time is in doubt), the full stop is the
end, so a worker may write more behind it. The check covers the partition too: a state that was cut,
edited or taken from another partition would ask wrongly for ever, and is refused instead. Pure;
base85 uses no colon, comma or full stop.
"""

from __future__ import annotations

from base64 import b85decode, b85encode
from hashlib import blake2b
from typing import Any, NamedTuple

from stream_al.errors import Gone

PACKED_CHARACTERS_MAX = 1_024
VERSION_TAG = "g1"
ODD_TAG = "g2"
_END = "."


class GateState(NamedTuple):
    """The fields of a `Gate`, in the order they are written; `last_ms` is empty for None.

    `odd_ms` is written only where there is one, so that older versions read all other states.
    """

    model_version: int
    sent: int
    tokens: int
    peak: int
    floor: int
    concentrated: int
    distance: int
    block_count: int
    credit: int
    last_ms: int | None
    remembered: bytes
    odd_ms: int | None = None


def pack_state(partition: int, state: GateState) -> str:
    """Return `state` as printable ASCII.

    Examples
    --------
    >>> state = GateState(7, 2, 0, 0, 0, 0, 0, 0, 5, None, b"abcd")
    >>> pack_state(3, state)
    'g1:7,2,0,0,0,0,0,0,5,:VPa!s:8e471136.'
    """
    *numbers, remembered, odd_ms = state
    written = ",".join("" if number is None else str(number) for number in numbers)
    tag = VERSION_TAG
    if odd_ms is not None:
        tag, written = ODD_TAG, f"{written},{odd_ms}"
    body = f"{tag}:{written}:{b85encode(remembered).decode()}"
    return f"{body}:{_check(partition, body)}{_END}"


def unpack_state(partition: int, text: str) -> GateState:
    """Return the state that `pack_state` wrote for `partition`.

    Raises
    ------
    Gone
        When `text` is damaged, of another partition or of another version.

    Examples
    --------
    >>> state = GateState(7, 2, 0, 0, 0, 0, 0, 0, 5, None, b"abcd")
    >>> unpack_state(3, pack_state(3, state)) == state
    True
    """
    tag = text.partition(":")[0]
    if tag not in {VERSION_TAG, ODD_TAG}:
        raise Gone(
            f"the gate state of partition {partition} begins with {tag[:20]!r}, this version "
            f"reads {VERSION_TAG!r} and {ODD_TAG!r}; run the version that wrote it"
        )
    body, _, check = text.rpartition(":")
    if check != _check(partition, body) + _END:
        raise Gone(
            f"the gate state of partition {partition} is damaged or another partition's; "
            "restore the log's committed positions"
        )
    _, numbers, remembered = body.split(":")
    *counts, last_ms = numbers.split(",")
    odd_ms = None
    if tag == ODD_TAG:
        odd_ms, last_ms = int(last_ms), counts.pop()
    fields: list[Any] = [int(count) for count in counts]
    fields.append(int(last_ms) if last_ms else None)
    fields += [b85decode(remembered), odd_ms]
    return GateState._make(fields)


def _check(partition: int, body: str) -> str:
    text = f"{partition}|{body}".encode("utf-8", "surrogatepass")
    return blake2b(text, digest_size=4).hexdigest()
