"""The journal's own proof: payload hashes and the chain over all headers, computed from raw JSON.

A record's header is every field except `features`, `meta` and `chain`; `payload_hash` is the hash
of the features, of a list of both where there is a `meta`. `chain` is the hash of the chain before
it and the header. Hashes are BLAKE2b, 16 bytes, of compact JSON with sorted keys.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from hashlib import blake2b
from typing import Any

CHAIN_START = "0" * 32
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode


def hash_of(value: Any) -> str:
    """Return the hash of a JSON value.

    Examples
    --------
    >>> hash_of({"b": 1, "a": 2}) == hash_of({"a": 2, "b": 1})
    True
    >>> len(hash_of(None))
    32
    """
    return blake2b(_encode(value).encode(), digest_size=16).hexdigest()


class Chain:
    """Follows the chain from record to record.

    Attributes
    ----------
    redacted_count
        Records whose features were blanked: their payload hash stands, and can't be compared.

    Parameters
    ----------
    from_start
        Whether the first record given is the journal's first.
    """

    def __init__(self, *, from_start: bool) -> None:
        self.redacted_count = 0
        # What the next record may continue: nothing known is the empty set, anything goes then.
        self._heads: set[str] = {CHAIN_START} if from_start else set()

    def lose(self) -> None:
        """Take note of a record that can't be read: the next one can't be checked."""
        self._heads = set()

    def continues(self, body: dict[str, Any]) -> bool:
        """Whether a record continues what is known; before anything is, whether it has a chain."""
        chain = body.get("chain")
        return isinstance(chain, str) and (not self._heads or chain in self.after(body))

    def after(self, body: dict[str, Any]) -> set[str]:
        """Return the chain hashes that a record may have here."""
        header = _header(body)
        return {hash_of([head, header]) for head in self._heads}

    def follow(self, body: dict[str, Any]) -> list[tuple[str, str]]:
        """Check one record; return (kind, sentence) of what is wrong with it."""
        problems = []
        features, payload_hash = body.get("features"), body.get("payload_hash")
        if features is not None:
            meta = body.get("meta")
            if hash_of(features if meta is None else [features, meta]) != payload_hash:
                problems.append(
                    ("payload", "its features are not those that its payload hash was made of")
                )
        elif payload_hash is not None:
            self.redacted_count += 1
        header = _header(body)
        chain = body.get("chain")
        known = self._heads
        if known and chain not in {hash_of([head, header]) for head in known}:
            problems.append(
                ("broken", "its chain hash does not continue the record before it: one was changed")
            )
            # Whoever was changed, the next record may continue what stands here or what should.
            known = {hash_of([head, header]) for head in known}
        else:
            known = set()
        self._heads = {chain, *known} if isinstance(chain, str) else known
        return problems


def continues(body: dict[str, Any], heads: Collection[str]) -> bool:
    """Whether a record continues the chain from one of `heads`.

    Examples
    --------
    >>> continues({"chain": "", "a": 1}, {CHAIN_START})
    False
    """
    header = _header(body)
    return body.get("chain") in {hash_of([head, header]) for head in heads}


def _header(body: dict[str, Any]) -> dict[str, Any]:
    return {key: body[key] for key in body if key not in {"features", "meta", "chain"}}
