"""What a file of records is before it is taken for lines of JSON: its first bytes say it. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Literal

from pydantic_core import from_json

from stream_al.config import EVENT_PATHS, LABEL_PATHS, Config
from stream_al.engine.paths import BYTE_ORDER_MARK, path_of

_PACKED = {
    b"\x1f\x8b": ("gzip", "gunzip -c"),
    b"\x28\xb5\x2f\xfd": ("zstd", "zstd -dc"),
    b"BZh": ("bzip2", "bunzip2 -c"),
    b"\xfd7zXZ\x00": ("xz", "xz -dc"),
    b"\x04\x22\x4d\x18": ("lz4", "lz4 -dc"),
    b"PK\x03\x04": ("zip", "unzip -p"),
}
_WIDE = {
    b"\xff\xfe\x00\x00": "UTF-32LE",
    b"\x00\x00\xfe\xff": "UTF-32BE",
    b"\xff\xfe": "UTF-16LE",
    b"\xfe\xff": "UTF-16BE",
}
_WIDE_LOOKED = 64
_WIDE_PAIRS_MIN = 2

Form = Literal["array", "object over lines"]


def paths_of(config: Config, topic: str) -> dict[str, str]:
    """Return setting → configured path into records of a topic, `events` or `labels`."""
    if topic == "labels":
        named = {name: getattr(config.labels, name) for name in LABEL_PATHS}
    else:
        events = config.events
        named = {name: getattr(events, name) for name in EVENT_PATHS} | {
            f"features.{name}": path for name, path in events.features.items()
        }
    return {f"{topic}.{name}": path for name, path in named.items() if path}


def refused(head: bytes, name: str, then: str, paths: Mapping[str, str]) -> str | None:
    """Return why a file can't be taken line by line, and what to do; None when it can.

    Parameters
    ----------
    head
        Its first bytes, a line or two.
    name
        As people gave it; `-` for stdin.
    then
        The command that takes the lines from stdin.
    paths
        The configured dotted paths: one that begins with an index reads arrays.

    Examples
    --------
    >>> refused(b'{"event_id": "a"}', "posts.jsonl", "stream-al send -", {}) is None
    True
    >>> print(refused(b"[1]", "posts.json", "stream-al send -", {}))
    'posts.json' is one JSON array, not one object a line: jq -c '.[]' posts.json | stream-al send -
    """
    source = "" if name == "-" else f" {shlex.quote(name)}"
    for magic, (what, command) in _PACKED.items():
        if head.startswith(magic):
            return f"{name!r} is compressed with {what}: {command}{source} | {then}"
    if head.startswith(b"PAR1"):
        return f"{name!r} is a Parquet file: write it as JSON lines, one object a line"
    wide = _wide(head)
    if wide is not None:
        return f"{name!r} is {wide}, not UTF-8: iconv -f {wide} -t UTF-8{source} | {then}"
    form = _form(head.removeprefix(BYTE_ORDER_MARK).lstrip(), paths)
    if form == "array":
        return f"{name!r} is one JSON array, not one object a line: jq -c '.[]'{source} | {then}"
    if form is not None:
        return f"{name!r} has JSON objects over several lines: jq -c .{source} | {then}"
    return None


def _wide(head: bytes) -> str | None:
    """Return the encoding of a text of 16 or 32 bits a character."""
    for mark, encoding in _WIDE.items():
        if head.startswith(mark):
            text = head[len(mark) :].decode(encoding, errors="replace").lstrip()
            return encoding if text.startswith(("{", "[")) else None  # a broken line, not a file
    even, odd = head[:_WIDE_LOOKED:2], head[1:_WIDE_LOOKED:2]
    if len(odd) < _WIDE_PAIRS_MIN:
        return None
    if odd.count(0) == len(odd) and even.count(0) == 0:
        return "UTF-16LE"
    if even.count(0) == len(even) and odd.count(0) == 0:
        return "UTF-16BE"
    return None


def _form(head: bytes, paths: Mapping[str, str]) -> Form | None:
    """Return what begins here when it is no record."""
    first, _, rest = head.partition(b"\n")
    if first.startswith(b"["):
        indexed = any(isinstance(path_of(path)[0], int) for path in paths.values() if path)
        return None if indexed and _is_json(first) else "array"
    if first.strip() == b"{" and rest.lstrip().startswith((b'"', b"}")):
        return "object over lines"
    return None


def _is_json(line: bytes) -> bool:
    try:
        from_json(line)
    except ValueError:
        return False
    return True


def begins_with_mark(head: bytes) -> bool:
    """Whether a mark of byte order (UTF-8) stands before the first line."""
    return head.startswith(BYTE_ORDER_MARK)
