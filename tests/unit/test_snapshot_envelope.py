"""The envelope of a snapshot: no bit of it can be changed unseen, with and without a key."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_al_connectors.snapshot_envelope import (
    ENVELOPE_BYTES_MIN,
    HEADER_BYTES_MAX,
    RejectedSnapshot,
    SnapshotHeader,
    seal,
    sha256,
    unseal,
)

KEY = b"a key of sixteen"
PAYLOAD = bytes(range(256))
HEADER = SnapshotHeader(
    model_id="383514a7283609e6",
    position=7,
    chain="0a" * 16,
    config_hash="ab" * 8,
    labels_hash="cd" * 8,
    environment="CPython 3.13.1 x86_64",
    engine_bytes=100,
    payload_bytes=len(PAYLOAD),
    payload_sha256=sha256(PAYLOAD),
    created_at_ms=1_795_406_400_000,
)


@pytest.mark.parametrize("key", [None, KEY], ids=["unsigned", "signed"])
def test_what_was_sealed_comes_back(key: bytes | None) -> None:
    """Header and both parts of the payload are those that went in."""
    found = unseal(seal(HEADER, PAYLOAD, key), key)

    assert found.header == HEADER
    assert (found.engine, found.resolver) == (PAYLOAD[:100], PAYLOAD[100:])


@pytest.mark.parametrize("key", [None, KEY], ids=["unsigned", "signed"])
def test_every_flipped_bit_is_rejected(key: bytes | None) -> None:
    """Each bit of prefix, tag, header and payload is covered."""
    data = seal(HEADER, PAYLOAD, key)
    for place in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[place] ^= 1 << bit
            with pytest.raises(RejectedSnapshot):
                unseal(bytes(changed), key)


@pytest.mark.parametrize("key", [None, KEY], ids=["unsigned", "signed"])
def test_every_truncation_and_every_addition_is_rejected(key: bytes | None) -> None:
    """A file that ends early, anywhere, or goes on too long."""
    data = seal(HEADER, PAYLOAD, key)
    for length in range(len(data)):
        with pytest.raises(RejectedSnapshot):
            unseal(data[:length], key)
    with pytest.raises(RejectedSnapshot):
        unseal(data + b"\0", key)


@pytest.mark.parametrize("name", sorted(SnapshotHeader.model_fields))
@pytest.mark.parametrize("key", [None, KEY], ids=["unsigned", "signed"])
def test_every_changed_header_field_is_rejected(name: str, key: bytes | None) -> None:
    """A header that is well-formed and says something else does not fit its tag."""
    data = seal(HEADER, PAYLOAD, key)
    text = HEADER.model_dump_json().encode()
    value = getattr(HEADER, name)
    other = value + 1 if isinstance(value, int) else value[:-1] + "10"[value[-1] == "1"]
    changed = HEADER.model_copy(update={name: other}).model_dump_json().encode()
    assert changed != text
    assert len(changed) == len(text)

    with pytest.raises(RejectedSnapshot, match="does not fit"):
        unseal(data.replace(text, changed), key)


@pytest.mark.parametrize(
    ("sealed_with", "read_with", "why"),
    [
        (KEY, b"another key, long", "signed with another key"),
        (KEY, None, "it is signed, and no key is set"),
        (None, KEY, "it is not signed, and a key is set"),
    ],
    ids=["wrong key", "missing key", "unsigned"],
)
def test_the_key_decides(sealed_with: bytes | None, read_with: bytes | None, why: str) -> None:
    """With a key only what it signed counts; without one only what nobody signed."""
    with pytest.raises(RejectedSnapshot, match=why):
        unseal(seal(HEADER, PAYLOAD, sealed_with), read_with)


@pytest.mark.parametrize(
    "changes",
    [
        {"position": 0},
        {"position": "7"},
        {"engine_bytes": len(PAYLOAD) + 1},
        {"payload_bytes": 3},
        {"payload_sha256": "00" * 32},
        {"chain": "../etc"},
        {"environment": "x" * 3_000},
        {"more": 1},
        {"position": None},
    ],
    ids=lambda changes: ", ".join(f"{name} {str(value)[:9]}" for name, value in changes.items()),
)
def test_a_sealed_header_is_not_trusted_either(changes: dict[str, Any]) -> None:
    """Whoever has the key can still write nonsense: types, ranges and sums are checked."""
    body = {**HEADER.model_dump(), **changes}
    forged = SnapshotHeader.model_construct(**body)
    object.__setattr__(forged, "model_dump_json", lambda: json.dumps(body))

    with pytest.raises(RejectedSnapshot):
        unseal(seal(forged, PAYLOAD, KEY), KEY)


@given(st.binary(max_size=2 * ENVELOPE_BYTES_MIN))
def test_noise_is_rejected(data: bytes) -> None:
    """Anybody's bytes give a sentence, never another error."""
    prefix = seal(HEADER, PAYLOAD, None)[:11]
    for made in (data, prefix + data):
        with pytest.raises(RejectedSnapshot):
            unseal(made, None)


def test_lengths_are_checked_before_they_are_used() -> None:
    """A header of 4 GiB in a file of a kilobyte, and one beyond the bound in a large file."""
    data = bytearray(seal(HEADER, PAYLOAD, None))
    data[12:16] = b"\xff" * 4
    with pytest.raises(RejectedSnapshot, match="its header would have"):
        unseal(bytes(data), None)
    data[12:16] = (HEADER_BYTES_MAX + 1).to_bytes(4, "big")
    with pytest.raises(RejectedSnapshot, match="its header would have"):
        unseal(bytes(data) + b"\0" * HEADER_BYTES_MAX, None)
