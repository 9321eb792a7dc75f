"""Event → sparse features: hashed text, standardised numbers with a hat basis, categories.

The encoder learns nothing, from labels or from events: its only state is what the journal's
statistics records said. So encoding is part of the exact fold. Keys are crc32 of UTF-8, never
`hash()`, and every sum runs in insertion order. Keys ≥ 0 are *presence* features (naive Bayes and
softmax), keys < 0 are signed (softmax only).
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from math import log, sqrt
from typing import Any, NamedTuple
from unicodedata import normalize
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from stream_al.messages import NumberStatistics

TEXT_CHARACTERS_MAX = 5_000
TEXT_TOKENS_MAX = 1_000
MEMO_ENTRIES_MAX = 50_000
MEMO_TOKEN_CHARACTERS_MAX = 32  # bounds what one entry can weigh
NUMBERS_MAX = 4_096
Z_MAX = 5.0
SD_MIN = 1e-12  # relative to the mean
BIAS = 2**32
KEY_MASK = 2**20 - 1
_NGRAM = 4
_URL = re.compile(r"(?:https?://|www\.)([^\s/?#]+)\S*")
_MENTION = re.compile(r"(?<!\w)@\w+")
_TOKEN = re.compile(r"\w+|[^\w\s]")

Vector = NDArray[np.float64]


class Encoded(NamedTuple):
    """One event as the learner sees it; `mass` is the sum of the values of keys ≥ 0."""

    sparse: dict[int, float]
    mass: float
    vectors: dict[str, Vector]


class NumberCode(NamedTuple):
    """How one number is encoded: by what it is standardised, and under which keys."""

    mean: float
    sd: float
    knots: tuple[float, ...]
    z_key: int
    hat_keys: tuple[int, ...]


def tokens_of(text: str) -> list[str]:
    """Return the tokens of a text: words, and every other visible symbol by itself.

    NFKC and casefold undo the cheap disguises; an address becomes `xurl` and its host, a mention
    `xuser`. At most 5,000 characters and 1,000 tokens.

    Examples
    --------
    >>> tokens_of("ＦＲ33 money!! ask @Bob at https://Bit.ly/x?y=1")[:9]
    ['fr33', 'money', '!', '!', 'ask', 'xuser', 'at', 'xurl', 'bit']
    """
    text = text[:TEXT_CHARACTERS_MAX]
    if not text.isascii():
        text = normalize("NFKC", text)
    text = text.casefold()
    if "http" in text or "www." in text:
        text = _URL.sub(r" xurl \1 ", text)
    if "@" in text:
        text = _MENTION.sub(" xuser ", text)
    return _TOKEN.findall(text[:TEXT_CHARACTERS_MAX])[:TEXT_TOKENS_MAX]


def token_keys(token: str) -> tuple[int, ...]:
    """Return the keys of a token: its own, and one for each 4-gram of `" token "`; 20 bits each.

    A token of one character has one gram, all of `" t "`: it counts twice as any short word does.

    Examples
    --------
    >>> len(token_keys("free")), len(token_keys("ok")), len(token_keys("!"))
    (4, 2, 2)
    """
    padded = f" {token} "
    gram_count = max(1, len(padded) - _NGRAM + 1)
    grams = (padded[i : i + _NGRAM] for i in range(gram_count))
    own = crc32(token.encode()) & KEY_MASK
    return (own, *(crc32(gram.encode(), 1) & KEY_MASK for gram in grams))


def hats_of(value: float, knots: Sequence[float]) -> list[tuple[int, float]]:
    """Return the hat basis of `value`: (index of a knot, weight) of the one or two neighbours.

    Weights are in (0, 1] and sum to 1; outside the knots the outermost one gets all.

    Examples
    --------
    >>> hats_of(2.5, [1.0, 2.0, 4.0])
    [(1, 0.75), (2, 0.25)]
    >>> hats_of(-9.0, [1.0, 2.0, 4.0]), hats_of(4.0, [1.0, 2.0, 4.0])
    ([(0, 1.0)], [(2, 1.0)])
    """
    above = bisect_left(knots, value)
    if above == len(knots):
        return [(above - 1, 1.0)]
    if above == 0 or knots[above] == value:
        return [(above, 1.0)]
    low = knots[above - 1]
    share = (value - low) / (knots[above] - low)
    return [(above - 1, 1.0 - share), (above, share)]


def category_key(name: str, value: str) -> int:
    """Return the key of a category's value, 32 bits.

    Examples
    --------
    >>> category_key("country", "se") == category_key("country", "se") != category_key("c", "se")
    True
    """
    return crc32(f"{name}={value}".encode())


def number_code(name: str, statistics: NumberStatistics) -> NumberCode:
    """Return how the number `name` is encoded under `statistics`.

    Examples
    --------
    >>> code = number_code("age", NumberStatistics(mean=1.0, sd=2.0, knots=(0.0, 1.0)))
    >>> code.z_key < 0, len(code.hat_keys)
    (True, 2)
    """
    hats = tuple(crc32(f"{name}#{i}".encode()) for i in range(len(statistics.knots)))
    return NumberCode(
        statistics.mean, statistics.sd, statistics.knots, -1 - crc32(name.encode()), hats
    )


def z_of(value: float, mean: float, sd: float) -> float:
    """Return how many sd `value` is from the mean, clipped to ±5; 0 when nothing varies.

    A sd of the size of rounding errors is none: a constant would stand anywhere between its ±1.

    Examples
    --------
    >>> z_of(3.0, 1.0, 2.0), z_of(99.0, 1.0, 2.0), z_of(99.0, 1.0, 0.0)
    (1.0, 5.0, 0.0)
    >>> z_of(0.1, 0.1 + 1e-17, 1e-17)
    0.0
    """
    if sd <= abs(mean) * SD_MIN:
        return 0.0
    return max(-Z_MAX, min(Z_MAX, (value - mean) / sd))


class Encoder:
    """Cleaned features → `Encoded`.

    Attributes
    ----------
    numbers
        Name → `NumberCode` of the last statistics record; once a name has knots they stay.
    _memo
        Token → its keys: a pure function remembered, never part of a dump.
    """

    def __init__(self, types: Mapping[str, str]) -> None:
        self._types = dict(types)
        self.numbers: dict[str, NumberCode] = {}
        self._memo: dict[str, tuple[int, ...]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_memo": {}}

    def set_statistics(self, numbers: Mapping[str, NumberStatistics]) -> None:
        """Take mean and sd of every number, and knots where there were none yet."""
        for name, statistics in numbers.items():
            known = self.numbers.get(name)
            if known is None and len(self.numbers) >= NUMBERS_MAX:
                continue
            knots = known.knots if known is not None and known.knots else statistics.knots
            frozen = NumberStatistics(mean=statistics.mean, sd=statistics.sd, knots=knots)
            self.numbers[name] = number_code(name, frozen)

    def is_text(self, name: str) -> bool:
        """Return whether the string feature `name` is text; any other string is a category."""
        return self._types.get(name, name) == "text"

    def encode(self, features: Mapping[str, Any]) -> Encoded:
        """Return the sparse features of an event; what is unknown is simply missing."""
        sparse: dict[int, float] = {}
        group: dict[int, float] = {}
        vectors: dict[str, Vector] = {}
        mass = 1.0
        for name, value in features.items():
            if isinstance(value, str):
                if self.is_text(name):
                    words, words_mass = self._text(value)
                    mass += words_mass
                    sparse = _added(sparse, words) if sparse else words
                else:
                    group[category_key(name, value)] = 1.0
            elif isinstance(value, list):
                if value and isinstance(value[0], str):
                    for entry in value:
                        group[category_key(name, entry)] = 1.0
                elif (vector := unit_vector(value)) is not None:
                    vectors[name] = vector
            else:
                code = self.numbers.get(name)
                if code is not None:
                    _add_number(group, float(value), code)
        if group:
            mass += _scale(group)
            sparse = _added(sparse, group) if sparse else group
        sparse[BIAS] = 1.0
        return Encoded(sparse, mass, vectors)

    def _text(self, text: str) -> tuple[dict[int, float], float]:
        """Return the keys of a text with L2 norm 1, and the sum of their values."""
        keys: list[int] = []
        memo = self._memo
        for token in tokens_of(text):
            found = memo.get(token)
            keys += found if found is not None else self._remembered(token)
        if not keys:
            return {}, 0.0
        counts = Counter(keys)
        total = squares = float(len(counts))
        repeated = [(key, count) for key, count in counts.items() if count > 1]
        for _, count in repeated:
            value = 1.0 + log(count)
            total += value - 1.0
            squares += value * value - 1.0
        scale = 1.0 / sqrt(squares)
        sparse = dict.fromkeys(counts, scale)
        for key, count in repeated:
            sparse[key] = (1.0 + log(count)) * scale
        return sparse, total * scale

    def _remembered(self, token: str) -> tuple[int, ...]:
        keys = token_keys(token)
        if len(token) <= MEMO_TOKEN_CHARACTERS_MAX:
            if len(self._memo) >= MEMO_ENTRIES_MAX:
                self._memo.clear()
            self._memo[token] = keys
        return keys


def unit_vector(values: Sequence[float]) -> Vector | None:
    """Return `values` with L2 norm 1, or None when nothing points anywhere.

    Examples
    --------
    >>> unit_vector([3.0, 4.0]).tolist(), unit_vector([0.0])
    ([0.6, 0.8], None)
    """
    vector = np.array(values, dtype=np.float64)
    largest = float(np.abs(vector).max(initial=0.0))
    if largest == 0.0:
        return None
    vector /= largest
    unit: Vector = vector / sqrt(float((vector * vector).sum()))
    return unit


def _add_number(group: dict[int, float], value: float, code: NumberCode) -> None:
    z = z_of(value, code.mean, code.sd)
    if z != 0.0:
        group[code.z_key] = z
    if code.knots:
        for index, share in hats_of(value, code.knots):
            group[code.hat_keys[index]] = share


def _scale(group: dict[int, float]) -> float:
    """Scale `group` in place to L2 norm 1; return the sum of the values of keys ≥ 0."""
    squares = 0.0
    for value in group.values():
        squares += value * value
    scale = 1.0 / sqrt(squares) if squares > 0.0 else 0.0
    mass = 0.0
    for key, value in group.items():
        group[key] = value * scale
        if key >= 0:
            mass += value * scale
    return mass


def _added(sparse: dict[int, float], more: Mapping[int, float]) -> dict[int, float]:
    for key, value in more.items():
        sparse[key] = sparse.get(key, 0.0) + value
    return sparse
