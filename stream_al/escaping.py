"""What came from outside, as a terminal may show it: one function escapes everything that is shown.

Event ids, annotators, classes, features, error texts and whatever quotes them may hold sequences
that clear a screen, reverse what is read, or can't be seen. `visible` writes such characters as
escapes; `visible_json` does it inside of JSON, whose value stays the same. Pure.
"""

from __future__ import annotations

import json
import re
from typing import Any
from unicodedata import category

# C0, DEL, C1; line and paragraph separators; what Unicode calls ignorable by default (zero-width
# characters, bidi controls, fillers, tags); interlinear annotation; halves of characters; and what
# is no character.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufdd0-\ufdef\ufe00-\ufe0f\ufeff\uffa0"
    "\ufff0-\ufffb\ufffe\uffff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_LINE_ENDS = re.compile("\r\n|\r|\n")
_JOINERS = "\u200c\u200d"
_VARIATIONS = "\ufe0e\ufe0f"
_KEYCAP = "\u20e3"
_TAB = "    "
# Below it are the Latin, Greek and Cyrillic letters, which never need a joiner.
_JOINED_FROM = "\u0590"


def visible(text: str) -> str:
    r"""Return `text` as one line that a terminal shows and does not obey.

    A joiner between two characters that it joins, as in emojis, Persian and Hindi, stays.

    Examples
    --------
    >>> visible("a\x1b[2Jb"), visible("spam\u200b"), visible("two\nlines")
    ('a\\x1b[2Jb', 'spam\\u200b', 'two\\nlines')
    >>> visible("Größe 中文 👩\u200d💻"), visible("fr\u200dee")
    ('Größe 中文 👩\u200d💻', 'fr\\u200dee')
    """
    return _UNSEEN.sub(_escaped, text)


def is_text(text: str) -> bool:
    r"""Whether `text` can be written as UTF-8: a byte that was none, or half a pair, can't.

    Examples
    --------
    >>> is_text("ä"), is_text("\udcff")
    (True, False)
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def visible_lines(text: str) -> str:
    r"""Return `text` of several lines that a terminal shows and does not obey.

    Its line ends stay, in any of their spellings; a tab becomes spaces.

    Examples
    --------
    >>> visible_lines("a\r\n\tb\x1b[2J")
    'a\n    b\\x1b[2J'
    """
    lines = _LINE_ENDS.split(text)
    return "\n".join(visible(line.replace("\t", _TAB)) for line in lines)


def visible_json(value: Any) -> str:
    r"""Return `value` as one line of JSON that a terminal shows and does not obey.

    Escapes are JSON's own, so that whoever parses it gets what came.

    Examples
    --------
    >>> visible_json({"id": "é\x9b2J\u202e"}), json.loads(visible_json("\U000e0041\ud800"))
    ('{"id": "é\\u009b2J\\u202e"}', '\U000e0041\ud800')
    """
    return _UNSEEN.sub(_json_escaped, json.dumps(value, ensure_ascii=False))


def only_seen(text: str) -> str:
    r"""Return `text` without the characters that `visible` would escape.

    Examples
    --------
    >>> only_seen("sp\u200bam\x07"), only_seen("👩\u200d💻")
    ('spam', '👩\u200d💻')
    """
    return _UNSEEN.sub(lambda found: found[0] if _escaped(found) == found[0] else "", text)


def _json_escaped(found: re.Match[str]) -> str:
    halves = found[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{halves[at : at + 4]}" for at in range(0, len(halves), 4))


def _escaped(found: re.Match[str]) -> str:
    character, text, at = found[0], found.string, found.start()
    before, after = text[at - 1 : at], text[at + 1 : at + 2]
    if character in _VARIATIONS and _is_symbol(before, after):
        return character
    if character in _JOINERS and _is_joined(before) and _is_joined(after):
        return character
    number = ord(character)
    if not character.isprintable():
        return repr(character)[1:-1]
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"


def _is_symbol(character: str, after: str) -> bool:
    """Whether a variation selector after this character says how it looks: ☺, ‼, 1 of a keycap."""
    if after == _KEYCAP:
        return True
    return character != "" and (category(character)[0] == "S" or character in "‼⁉〰")


def _is_joined(beside: str) -> bool:
    if beside == "":
        return False
    return beside in _VARIATIONS or (beside > _JOINED_FROM and _UNSEEN.match(beside) is None)
