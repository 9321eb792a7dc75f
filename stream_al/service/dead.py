"""Dead letters: input that can't be used, kept as it came, with a sentence for people."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256

from stream_al.errors import InvalidInput
from stream_al.messages import DeadLetter
from stream_al.port import Record


def dead_letter(topic: str, record: Record, error: InvalidInput, *, raw_max: int) -> DeadLetter:
    """Return the dead letter of `record`; a raw over `raw_max` bytes is cut, with its SHA-256."""
    raw = record.value
    cut = len(raw) > raw_max
    return DeadLetter(
        raw_base64=b64encode(raw[:raw_max]).decode(),
        topic=topic,
        partition=record.partition,
        offset=record.offset,
        error=error.error,
        message=str(error),
        raw_bytes=len(raw) if cut else None,
        raw_sha256=sha256(raw).hexdigest() if cut else None,
    )
