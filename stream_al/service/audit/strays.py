"""The journal's records without strays: what other programs wrote between them by mistake.

What does not continue the chain is held. It is a stray when a later record continues the chain from
before it, and none when a record continues it: then it is for the chain to say what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from stream_al.service.audit.chain import Chain, continues
from stream_al.service.audit.reading import Reader, decoded
from stream_al.service.audit.report import Findings, Place

HELD_MAX = 1_000
"""So many records in a row may be strays."""
HASH_CHARACTERS = 32
"""Of a chain hash: what has none is no record of the journal's."""


class _Held(NamedTuple):
    """A record that may be a stray, and the hashes that one behind it might continue."""

    offset: int
    body: dict[str, Any] | None
    heads: frozenset[str]


class Unstrayed:
    """Offset and body of the journal's records; None for the body of what can't be read.

    Attributes
    ----------
    _held
        Do not continue the chain; at most `HELD_MAX`.
    _passed
        Were behind the last record but one: strays, unless the journal goes on from one of them.
    """

    def __init__(self, reader: Reader, chain: Chain, findings: Findings) -> None:
        self._reader = reader
        self._chain = chain
        self._findings = findings
        self._held: list[_Held] = []
        self._passed: list[_Held] = []

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any] | None]]:
        for record in self._reader:
            body = decoded(record.value)
            if body is not None and self._chain.continues(body):
                self._settle()
                self._passed, self._held = self._held, []
            elif not self._goes_on_from_held(body) and len(self._held) < HELD_MAX:
                self._held.append(self._hold(record.offset, body))
                continue
            else:
                yield from ((one.offset, one.body) for one in self._held)
                self._held = []
            yield record.offset, body
        self._settle()
        if any(one.heads for one in self._held):
            yield from ((one.offset, one.body) for one in self._held)
        else:
            self._note(self._held, "no record is behind it yet")

    def _hold(self, offset: int, body: dict[str, Any] | None) -> _Held:
        chain = None if body is None else body.get("chain")
        if body is None or not isinstance(chain, str) or len(chain) != HASH_CHARACTERS:
            return _Held(offset, body, frozenset())
        return _Held(offset, body, frozenset({chain, *self._chain.after(body)}))

    def _goes_on_from_held(self, body: dict[str, Any] | None) -> bool:
        """Whether a record continues what was held or passed over, which then was no stray."""
        if body is None:
            return False
        wrong = [one for one in self._passed if continues(body, one.heads)]
        for one in wrong:
            self._passed.clear()
            place = Place(self._reader.topic, 0, one.offset)
            sentence = "its chain hash does not continue the record before it, but a later one's it"
            self._findings.add("chain", "broken", place, sentence)
        return bool(wrong) or any(continues(body, one.heads) for one in self._held)

    def _settle(self) -> None:
        self._note(self._passed, "the next record continues the chain from before it")
        self._passed = []

    def _note(self, strays: list[_Held], why: str) -> None:
        for one in strays:
            place = Place(self._reader.topic, 0, one.offset)
            sentence = f"it does not continue the journal's chain, and {why}: workers pass over it"
            self._findings.stray(place, sentence)
