"""Dotted paths into people's JSON, and what is wrong with JSON that can't be read."""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json

from stream_al.errors import InvalidInput

Path = tuple[str | int, ...]
MISSING = object()
"""What lies at the end of a path that leads nowhere."""
SHOWN_CHARACTERS = 60
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def path_of(dotted: str | None) -> Path:
    """Return a dotted path in parts; a number may be an index into a list.

    Examples
    --------
    >>> path_of("post.parts.0.body"), path_of(None)
    (('post', 'parts', 0, 'body'), ())
    """
    if not dotted:
        return ()
    return tuple(int(part) if part.isdigit() else part for part in dotted.split("."))


def at(body: Any, path: Path) -> Any:
    """Follow `path` into `body`; `MISSING` where it leads nowhere or is empty.

    Examples
    --------
    >>> at({"post": {"parts": ["hi"]}}, ("post", "parts", 0)), at({}, ("post",)) is MISSING
    ('hi', True)
    """
    if not path:
        return MISSING
    for part in path:
        if isinstance(body, dict):
            body = body.get(str(part), MISSING)
        elif isinstance(body, list) and isinstance(part, int) and part < len(body):
            body = body[part]
        else:
            return MISSING
    return body


def is_given(found: Any) -> bool:
    """Whether something is there: neither missing nor null."""
    return found is not MISSING and found is not None


def decoded(value: bytes) -> Any:
    """Return what a record says; a mark of byte order before it is passed over.

    Raises
    ------
    InvalidInput
        `BrokenJson`.
    """
    try:
        return from_json(value.removeprefix(BYTE_ORDER_MARK))
    except (ValueError, RecursionError) as error:
        raise broken(error) from None


def utf8(value: bytes | str) -> bytes:
    r"""Return a record as bytes.

    Raises
    ------
    InvalidInput
        `BrokenJson` for a text with half of a character.

    Examples
    --------
    >>> utf8("é"), utf8(b"{}")
    (b'\xc3\xa9', b'{}')
    """
    if not isinstance(value, str):
        return bytes(value)
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise broken(error) from None


def broken(error: object) -> InvalidInput:
    """Return why a record is no JSON, as an error for people."""
    said = str(error)
    if "hex escape" in said:
        said += " (a lone surrogate is half of a character)"
    return InvalidInput("BrokenJson", f"not a JSON object: {said}; send one JSON object a record")


def quoted(value: Any) -> str:
    """Return a value as a message shows it, cut."""
    return repr(value)[:SHOWN_CHARACTERS]
