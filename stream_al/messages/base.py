"""What all messages share: frozen, keyword-only, JSON on the wire, tolerant of unknown fields.

Only definitions live in `stream_al.messages`: no decision, no arithmetic, no I/O. Units are in the
names. A message that we *write* always carries `schema_version`; one that people write need not.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from pydantic import BaseModel, ConfigDict

SCHEMA_VERSION = 1

Features = dict[str, Any]
"""Name → number, boolean, text, category or vector (a list of numbers)."""


class Message(BaseModel):
    """Base of every message: immutable, and deaf to fields that it does not know."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    def to_wire(self) -> bytes:
        """Return the message as one JSON object in UTF-8."""
        return self.__pydantic_serializer__.to_json(self)


class Source(Message):
    """The place of a record in a topic that the context names."""

    partition: int
    offset: int


def query_id_of(event_id: str) -> str:
    """Return the query's id: a function of the event's, so that a second record is the same query.

    Examples
    --------
    >>> query_id_of("p-1") == query_id_of("p-1")
    True
    >>> len(query_id_of("p-1"))
    24
    """
    return blake2b(event_id.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
