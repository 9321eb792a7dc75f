"""The seeded streams of the public test kit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from math import dist
from random import Random

import pytest

from stream_al.errors import ConfigurationError
from stream_al.testing import (
    Example,
    new_class_stream,
    number_stream,
    obfuscated,
    spam_wave,
    text_stream,
    vector_stream,
)

STREAMS: dict[str, Callable[[int], Iterator[Example]]] = {
    "text": lambda seed: text_stream(seed, 120, drift_at=60, gradual=20),
    "number": lambda seed: number_stream(seed, 120, classes=3, drift_at=60, gradual=20),
    "vector": lambda seed: vector_stream(seed, 120, drift_at=60),
    "new class": lambda seed: new_class_stream(seed, 120, appears_at=60),
    "wave": lambda seed: spam_wave(text_stream(seed, 100), seed, starts_at=50, count=20),
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_is_a_function_of_its_seed(name: str) -> None:
    """The same seed gives the same examples, another seed gives others, every id is its own."""
    first = list(STREAMS[name](1))

    assert first == list(STREAMS[name](1))
    assert first != list(STREAMS[name](2))
    assert len({example.event.event_id for example in first}) == len(first) == 120


def _seen_words(examples: Iterable[Example], label: str) -> Counter[str]:
    texts = (example.event.features["text"] for example in examples if example.label == label)
    return Counter(word for text in texts for word in text.split())


def _typical(examples: list[Example]) -> set[str]:
    """Words that are frequent in spam and never seen in ham."""
    ham = _seen_words(examples, "ham")
    return {word for word, n in _seen_words(examples, "spam").items() if n > 10 and word not in ham}


def test_text_drift_brings_new_typical_words() -> None:
    """Before the drift the typical words of spam last; after it they are others."""
    stream = list(text_stream(3, 2_000, drift_at=1_000))
    early, later, after = stream[:500], stream[500:1_000], stream[1_000:1_500]

    assert len(_typical(early) & _typical(later)) > 10
    assert not _typical(early) & _typical(after)


def _agreement(left: list[Example], right: list[Example]) -> float:
    return sum(a.label == b.label for a, b in zip(left, right, strict=True)) / len(left)


def test_gradual_drift_lies_between_the_two_concepts() -> None:
    """Within the window some events follow the new rule already; before it none, after it all."""
    steady = list(number_stream(5, 3_000, noise=0))
    # The draws of the window shift the generator, so only the part before it can be compared.
    drifted = list(number_stream(5, 3_000, noise=0, drift_at=1_000))

    assert _agreement(steady[:1_000], drifted[:1_000]) == 1.0
    assert _agreement(steady[1_000:], drifted[1_000:]) < 0.9


def test_gradual_drift_rises() -> None:
    """Where the old words fade over 1,000 events, the middle has both sorts."""
    stream = list(text_stream(3, 3_000, drift_at=1_000, gradual=1_000))
    old, new = _typical(stream[:1_000]), _typical(stream[2_000:])
    middle = _seen_words(stream[1_300:1_700], "spam")

    assert old & middle.keys()
    assert new & middle.keys()


def test_weights_set_how_frequent_a_class_is() -> None:
    """With 9 : 1 about a tenth is spam."""
    labels = Counter(e.label for e in text_stream(1, 2_000, weights=(9, 1)))

    assert 130 < labels["spam"] < 270


def test_new_class_never_comes_early() -> None:
    """The class appears exactly at its event, and then about as often as asked."""
    labels = [e.label for e in new_class_stream(2, 1_000, appears_at=500, share=0.2)]

    assert labels.index("scam") == 500
    assert 60 < labels.count("scam") < 140


def test_wave_keeps_the_base_and_varies_its_copies() -> None:
    """All base events come in their order; the copies differ from each other by little."""
    base = list(text_stream(1, 100))
    stream = list(spam_wave(base, 1, starts_at=40, count=60, text="claim your free voucher now"))
    copies = [e.event.features["text"] for e in stream if e.event.event_id.startswith("wave")]

    assert [e for e in stream if not e.event.event_id.startswith("wave")] == base
    assert stream[:40] == base[:40]
    assert len(copies) == 60
    assert len(set(copies)) > 50
    assert all(abs(len(copy) - 27) <= 3 for copy in copies)


def test_wave_longer_than_its_base_is_sent_whole() -> None:
    """What a short base leaves over follows at its end."""
    assert len(list(spam_wave([], 1, starts_at=0, count=9))) == 9


def test_obfuscation_changes_only_what_it_should() -> None:
    """Without letters there is nothing to disguise."""
    assert obfuscated("0800 123", Random(1)) == "0800 123"


def test_vectors_of_a_class_are_near_each_other() -> None:
    """The mean of a class keeps its place before the drift and moves with it."""

    def middle(examples: list[Example]) -> list[float]:
        vectors = [e.event.features["vector"] for e in examples if e.label == "c0"]
        return [sum(column) / len(vectors) for column in zip(*vectors, strict=True)]

    def distance(left: list[float], right: list[float]) -> float:
        return dist(left, right)

    stream = list(vector_stream(1, 4_000, dimensions=8, spread=0.3, drift_at=2_000))
    early, later, after = stream[:1_000], stream[1_000:2_000], stream[2_000:]

    assert distance(middle(early), middle(later)) < 0.2 < distance(middle(early), middle(after))


MISUSES: dict[str, Callable[[], object]] = {
    "one class": lambda: text_stream(1, 1, classes=("one",)),
    "too few weights": lambda: text_stream(1, 1, weights=(1,)),
    "weights of nothing": lambda: text_stream(1, 1, weights=(0, 0)),
    "a new class that is old": lambda: new_class_stream(1, 1, appears_at=0, new_class="spam"),
    "one class of numbers": lambda: number_stream(1, 1, classes=1),
    "no dimension": lambda: vector_stream(1, 1, dimensions=0),
    "an endless wave": lambda: spam_wave([], 1, starts_at=0, count=1, share=1.0),
}


@pytest.mark.parametrize("name", MISUSES)
def test_misuse_is_named_at_once(name: str) -> None:
    """A wrong argument raises when the stream is made, not events later."""
    with pytest.raises(ConfigurationError):
        MISUSES[name]()
