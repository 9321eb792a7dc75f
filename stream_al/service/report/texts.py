"""Texts from outside, made fit to be shown: nothing in them can be markup or disguise itself."""

from __future__ import annotations

import unicodedata
from html import escape

TEXT_CHARACTERS_MAX = 160


def shown(text: str) -> str:
    """Return `text` as it may stand in a document, between tags or in a quoted attribute.

    Examples
    --------
    >>> shown('<b title="x">')
    '&lt;b title=&quot;x&quot;&gt;'
    """
    return escape(plain(text))


def plain(text: str) -> str:
    r"""Return `text` as one line that can be written: controls and lone surrogates are replaced.

    Direction marks count as controls: they could show a text as another one.

    Examples
    --------
    >>> plain("a\x00b\n c")
    'a b c'
    """
    kept = (" " if unicodedata.category(letter)[0] == "C" else letter for letter in text)
    return " ".join("".join(kept).split())


def cut(text: str, characters_max: int = TEXT_CHARACTERS_MAX) -> str:
    """Return `text` with at most `characters_max` characters, the last one an ellipsis when cut.

    Examples
    --------
    >>> cut("free money", 5), cut("free", 5)
    ('free…', 'free')
    """
    return text if len(text) <= characters_max else text[: characters_max - 1] + "…"
