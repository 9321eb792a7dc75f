"""Streams of short texts: made-up words, some common to all classes and some typical of one.

The words are invented so that nothing but the counts of words tells the classes apart, and so that
a drift can bring words that nobody has seen before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from random import Random

from stream_al.errors import ConfigurationError
from stream_al.testing.examples import Example, checked_classes, concept_at, example_of

COMMON_WORDS = 400
CLASS_WORDS = 60
WORDS_MIN = 5
WORDS_MAX = 25
TYPICAL_SHARE = 0.25
"""Share of the words of a text that are typical of its class."""

_ONSETS = (*"bcdfghjklmnprstvw", "br", "cl", "dr", "fl", "gr", "pl", "pr", "sh", "st", "tr")
_VOWELS = (*"aeiou", "ai", "ea", "oo")
_LOOKALIKES = {"a": "@4", "e": "3€", "i": "1!", "o": "0", "s": "$5", "t": "7", "l": "1"}
_WAVE_TEXT = "claim your free voucher now reply win to this number before midnight today"


def text_stream(
    seed: int,
    count: int,
    classes: Sequence[str] = ("ham", "spam"),
    *,
    weights: Sequence[float] | None = None,
    drift_at: int | None = None,
    gradual: int = 0,
    label_noise: float = 0.0,
) -> Iterator[Example]:
    """Return `count` texts of 5 to 25 words under the feature `text`.

    Parameters
    ----------
    seed
        The same seed gives the same stream.
    weights
        How frequent the classes are; equal when left out.
    drift_at
        From this event on every class has new typical words.
    gradual
        Events over which the new words take over; 0 is a sudden drift.
    label_noise
        Share of examples with a class drawn at random: a bound on any model's accuracy.

    Raises
    ------
    ConfigurationError
        At once, when the classes or weights are wrong.

    Examples
    --------
    >>> first, second = text_stream(1, 2)
    >>> list(text_stream(1, 2)) == [first, second], first.label in ("ham", "spam")
    (True, True)
    """
    shares = checked_classes(classes, weights)
    rng = Random(seed)
    common = _words(rng, COMMON_WORDS)
    typical = [{name: _words(rng, CLASS_WORDS) for name in classes} for _ in range(2)]

    def examples() -> Iterator[Example]:
        for index in range(count):
            label = rng.choices(classes, shares)[0]
            concept = concept_at(index, drift_at=drift_at, gradual=gradual, rng=rng)
            text = _text(rng, common, typical[concept][label])
            if rng.random() < label_noise:
                label = rng.choice(classes)
            yield example_of(index, {"text": text}, label)

    return examples()


def new_class_stream(
    seed: int,
    count: int,
    *,
    appears_at: int,
    classes: Sequence[str] = ("ham", "spam"),
    new_class: str = "scam",
    share: float = 0.2,
) -> Iterator[Example]:
    """Return a text stream in which `new_class` is never seen before the event `appears_at`.

    From there on each event is of the new class with probability `share`; the event `appears_at`
    itself always is.

    Examples
    --------
    >>> stream = [example.label for example in new_class_stream(1, 50, appears_at=30)]
    >>> stream.index("scam")
    30
    """
    if new_class in classes:
        raise ConfigurationError(f"new_class={new_class!r} is one of classes already; rename it")
    weights = checked_classes(classes, None)
    rng = Random(seed)
    common = _words(rng, COMMON_WORDS)
    typical = {name: _words(rng, CLASS_WORDS) for name in (*classes, new_class)}

    def examples() -> Iterator[Example]:
        for index in range(count):
            new = index == appears_at or (index > appears_at and rng.random() < share)
            label = new_class if new else rng.choices(classes, weights)[0]
            yield example_of(index, {"text": _text(rng, common, typical[label])}, label)

    return examples()


def spam_wave(
    base: Iterable[Example],
    seed: int,
    *,
    starts_at: int,
    count: int,
    share: float = 0.5,
    text: str = _WAVE_TEXT,
    label: str = "spam",
) -> Iterator[Example]:
    """Insert `count` near-duplicates of one text into a base stream.

    From the base event `starts_at` on, copies of `text` come with probability `share` an event,
    each with small obfuscations of its own, until all are sent; those that a short base leaves over
    follow at its end. Their ids begin with `wave`.

    Raises
    ------
    ConfigurationError
        When `share` is outside [0, 1): a wave of share 1 would hold up the base for ever.

    Examples
    --------
    >>> stream = list(spam_wave(text_stream(1, 20), 1, starts_at=5, count=7))
    >>> len(stream), [example.label for example in stream if "wave" in example.event.event_id][0]
    (27, 'spam')
    """
    if not 0 <= share < 1:
        raise ConfigurationError(f"share={share!r}: give a number in [0, 1)")
    rng = Random(seed)

    def copy(index: int) -> Example:
        return example_of(index, {"text": obfuscated(text, rng)}, label, prefix="wave")

    def examples() -> Iterator[Example]:
        sent = 0
        for index, example in enumerate(base):
            while index >= starts_at and sent < count and rng.random() < share:
                yield copy(sent)
                sent += 1
            yield example
        for left in range(sent, count):
            yield copy(left)

    return examples()


def obfuscated(text: str, rng: Random, *, changes: int = 3) -> str:
    """Return `text` with up to `changes` small disguises: lookalikes, doubled letters, dots.

    Examples
    --------
    >>> obfuscated("free voucher", Random(1)) != "free voucher"
    True
    >>> obfuscated("", Random(1))
    ''
    """
    letters = list(text)
    places = [place for place, letter in enumerate(letters) if letter.isalpha()]
    for place in rng.sample(places, min(changes, len(places))):
        letter = letters[place]
        disguises = [*_LOOKALIKES.get(letter.lower(), ""), letter * 2, letter + "."]
        letters[place] = rng.choice(disguises)
    return "".join(letters)


def _words(rng: Random, count: int) -> list[str]:
    syllable_counts = (2, 3, 3)
    return [
        "".join(
            rng.choice(_ONSETS) + rng.choice(_VOWELS) for _ in range(rng.choice(syllable_counts))
        )
        for _ in range(count)
    ]


def _text(rng: Random, common: Sequence[str], typical: Sequence[str]) -> str:
    words = []
    for _ in range(rng.randint(WORDS_MIN, WORDS_MAX)):
        source = typical if rng.random() < TYPICAL_SHARE else common
        # The square makes early words frequent and late ones rare, as in any language.
        words.append(source[int(len(source) * rng.random() ** 2)])
    return " ".join(words)
