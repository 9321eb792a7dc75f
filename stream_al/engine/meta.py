"""What an event may bring along for its query: anything that every reader of it can read."""

from __future__ import annotations

from typing import Any

from stream_al.errors import InvalidInput

META_DEPTH_MAX = 100
"""Levels that `meta` may be nested: readers of a query take 200 in all."""

_NESTED = (dict, list, tuple)


def check_meta(meta: Any) -> None:
    """Refuse a `meta` that no reader of a query could read: before anything is decided.

    Raises
    ------
    InvalidInput
        `TooDeep`, with how deep it may be.

    Examples
    --------
    >>> check_meta({"url": ["a", {"b": None}]})
    """
    level = [meta] if isinstance(meta, _NESTED) else []
    depth = 0
    while level:
        depth += 1
        if depth > META_DEPTH_MAX:
            raise InvalidInput(
                "TooDeep", f"`meta` is nested more than {META_DEPTH_MAX} levels deep; flatten it"
            )
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, _NESTED)
        ]
