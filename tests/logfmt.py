"""A reader of logfmt, as log shippers have one: `name=value`, values bare or quoted like JSON."""

from __future__ import annotations

import json
import re

_PAIR = re.compile(r'([^\s="]+)=(?:("(?:[^"\\]|\\.)*")|([^\s="]*))(?: |$)')


def parsed(line: str) -> dict[str, str]:
    """Return the fields of a line; all of it must be pairs."""
    found: dict[str, str] = {}
    at = 0
    line = line.removesuffix("\n")
    while at < len(line):
        pair = _PAIR.match(line, at)
        assert pair is not None, f"no pair at {at} of {line!r}"
        name, quoted, bare = pair.groups()
        found[name] = json.loads(quoted) if quoted is not None else bare
        at = pair.end()
    return found
