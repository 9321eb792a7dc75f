"""The envelope of a snapshot: what says whose it is, and that not a bit of it was changed.

A snapshot's payload is a pickle, so nothing of it is decoded before the whole file is verified::

    prefix   magic, format, whether it is signed, length of the header
    tag      HMAC-SHA256 of prefix, header and payload; their SHA-256 when it is not signed
    header   JSON: which journal position, of which chain, configuration and environment
    payload  the folds, one after the other

Bytes in, bytes out: no file is touched here. Lengths are checked before anything is cut.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from stream_al.errors import StreamAlError

MAGIC = b"\x89streamal"
FORMAT = 3
"""Raised also when what the payload holds gets another shape: who reads it then replays."""

HEADER_BYTES_MAX = 16_384
PAYLOAD_BYTES_MAX = 1 << 33
"""Far above any model that folds as fast as labels come."""
_PREFIX = struct.Struct(">9sHBI")
_TAG_BYTES = 32
ENVELOPE_BYTES_MIN = _PREFIX.size + _TAG_BYTES

Text = Annotated[str, Field(max_length=2_000)]
Hash = Annotated[str, Field(max_length=128, pattern=r"^[0-9a-f]*$")]


class RejectedSnapshot(StreamAlError):
    """A snapshot that must not be used; the message says why, for people."""


class SnapshotHeader(BaseModel):
    """What a snapshot is of.

    Attributes
    ----------
    model_id, config_hash
        Of the lineage in force at `position`, and of the model that was folded.
    labels_hash
        Of the label settings that the resolver's fold depends on.
    position, chain
        The next journal position to fold, and the chain hash of the record before it.
    environment
        Where it was folded, in one line: elsewhere the same journal may give other numbers.
    engine_bytes, payload_bytes, payload_sha256
        The payload is the engine's fold, then the resolver's.
    created_at_ms
        The writer's clock; information only.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    model_id: Text
    position: int = Field(ge=1, lt=1 << 63)
    chain: Hash
    config_hash: Hash
    labels_hash: Hash
    environment: Text
    engine_bytes: int = Field(ge=0, le=PAYLOAD_BYTES_MAX)
    payload_bytes: int = Field(ge=0, le=PAYLOAD_BYTES_MAX)
    payload_sha256: Hash
    created_at_ms: int = Field(ge=0, lt=1 << 63)

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.engine_bytes > self.payload_bytes:
            msg = "the engine's part is larger than the payload"
            raise ValueError(msg)
        return self


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A verified snapshot: only now its parts may be decoded."""

    header: SnapshotHeader
    payload: bytes

    @property
    def engine(self) -> bytes:
        """The engine's fold of the journal."""
        return self.payload[: self.header.engine_bytes]

    @property
    def resolver(self) -> bytes:
        """The resolver's fold of the journal."""
        return self.payload[self.header.engine_bytes :]


def seal(header: SnapshotHeader, payload: bytes, key: bytes | None) -> bytes:
    """Return the file of a snapshot, signed when there is a key.

    Examples
    --------
    >>> header = SnapshotHeader(
    ...     model_id="m", position=7, chain="0a", config_hash="", labels_hash="", environment="",
    ...     engine_bytes=1, payload_bytes=2, payload_sha256=sha256(b"xy"), created_at_ms=0)
    >>> unseal(seal(header, b"xy", b"key"), b"key").resolver
    b'y'
    """
    text = header.model_dump_json().encode()
    prefix = _PREFIX.pack(MAGIC, FORMAT, key is not None, len(text))
    return b"".join((prefix, _tag(key, prefix, text, payload), text, payload))


def sha256(data: bytes) -> str:
    """Return the SHA-256 of `data` in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def unseal(data: bytes, key: bytes | None) -> Snapshot:
    """Return the snapshot in a file, once all of it is verified.

    Parameters
    ----------
    data
        The file's bytes; anybody's.
    key
        With it only what was signed with it is taken; without it only what is not signed.

    Raises
    ------
    RejectedSnapshot
        Saying which check failed.
    """
    prefix, tag, text, payload = _cut(data)
    signed = bool(prefix[-5])
    if signed is not (key is not None):
        raise RejectedSnapshot(
            "it is signed, and no key is set" if signed else "it is not signed, and a key is set"
        )
    if not hmac.compare_digest(tag, _tag(key, prefix, text, payload)):
        raise RejectedSnapshot(
            "its HMAC does not fit: it was changed, or signed with another key"
            if signed
            else "its checksum does not fit: it was changed, or cut off"
        )
    try:
        header = SnapshotHeader.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise RejectedSnapshot(f"its header can't be used: {place}: {first['msg']}") from None
    if header.payload_bytes != len(payload) or header.payload_sha256 != sha256(payload):
        raise RejectedSnapshot("its payload is not the one that its header names")
    return Snapshot(header, payload)


def _cut(data: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """Return prefix, tag, header and payload; every length is checked before it is used."""
    if len(data) < ENVELOPE_BYTES_MIN:
        raise RejectedSnapshot(f"it has {len(data)} bytes: it was cut off")
    magic, written_format, signed, header_bytes = _PREFIX.unpack_from(data)
    if magic != MAGIC or signed > 1:
        raise RejectedSnapshot("it is no snapshot")
    if written_format != FORMAT:
        raise RejectedSnapshot(f"it has format {written_format}, this version reads {FORMAT}")
    body = ENVELOPE_BYTES_MIN + header_bytes
    if header_bytes > HEADER_BYTES_MAX or body > len(data):
        raise RejectedSnapshot(f"its header would have {header_bytes} bytes")
    return (
        data[: _PREFIX.size],
        data[_PREFIX.size : ENVELOPE_BYTES_MIN],
        data[ENVELOPE_BYTES_MIN:body],
        data[body:],
    )


def _tag(key: bytes | None, *parts: bytes) -> bytes:
    digest = hashlib.sha256() if key is None else hmac.new(key, digestmod="sha256")
    for part in parts:
        digest.update(part)
    return digest.digest()
