"""The encoder: which keys an event gets, and with which values."""

from __future__ import annotations

import pickle
from math import log, sqrt
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_al.messages import NumberStatistics
from stream_al.model.encoder import (
    BIAS,
    MEMO_ENTRIES_MAX,
    TEXT_TOKENS_MAX,
    Encoder,
    hats_of,
    token_keys,
    tokens_of,
)

KNOTS = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0)


def key(text: str, start: int = 0) -> int:
    return crc32(text.encode(), start) & (2**20 - 1)


def encoder_with(**numbers: NumberStatistics) -> Encoder:
    encoder = Encoder({})
    encoder.set_statistics(numbers)
    return encoder


def test_token_has_its_own_key_and_four_grams_with_its_borders() -> None:
    """crc32 of the token, then of the 4-grams of the padded token with start value 1."""
    assert token_keys("free") == (key("free"), key(" fre", 1), key("free", 1), key("ree ", 1))


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("ＦＲＥＥ Straße", ["free", "strasse"]),
        ("hi 🎁!!", ["hi", "🎁", "!", "!"]),
        ("see https://Evil.example/a?b=1 now", ["see", "xurl", "evil", ".", "example", "now"]),
        ("go www.evil.example/x", ["go", "xurl", "evil", ".", "example"]),
        ("@Bob and bob@x", ["xuser", "and", "bob", "@", "x"]),
        ("", []),
    ],
)
def test_text_is_normalised_before_it_is_cut_into_tokens(text: str, tokens: list[str]) -> None:
    """NFKC and casefold; an address is `xurl` and its host, a mention is `xuser`."""
    assert tokens_of(text) == tokens


def test_text_is_bounded() -> None:
    """A text of any length costs at most 1,000 tokens of its first 5,000 characters."""
    assert len(tokens_of("a " * 100_000)) == TEXT_TOKENS_MAX
    assert tokens_of("x" * 9_000 + " end") == ["x" * 5_000]


def test_text_values_are_logarithmic_counts_with_norm_one() -> None:
    """Twice "!" counts 1 + ln 2; the whole text has L2 norm 1; the bias is 1."""
    sparse, mass, _ = Encoder({}).encode({"text": "a ! !"})
    scale = 1.0 / sqrt(2.0 + 2.0 * (1.0 + log(2)) ** 2)

    assert sparse == {
        **dict.fromkeys(token_keys("a"), pytest.approx(scale)),
        **dict.fromkeys(token_keys("!"), pytest.approx((1.0 + log(2)) * scale)),
        BIAS: 1.0,
    }
    assert mass == pytest.approx(sum(sparse.values()))


def test_disguised_text_shares_its_four_grams() -> None:
    """A variant of a word meets most keys of the word: obfuscation is half undone."""
    plain, disguised = set(token_keys("moneymaker")), set(token_keys("moneymakers"))

    assert len(plain & disguised) >= 7


@given(st.text(max_size=60))
def test_memo_changes_no_result(text: str) -> None:
    """The same text gives the same keys in the same order, remembered or not."""
    warm = Encoder({})
    first = warm.encode({"text": text})

    assert list(warm.encode({"text": text}).sparse.items()) == list(first.sparse.items())
    assert list(Encoder({}).encode({"text": text}).sparse) == list(first.sparse)


def test_memo_is_bounded_and_no_part_of_a_dump() -> None:
    """It never holds more than its bound, holds no giant token, and is not pickled."""
    encoder = Encoder({})
    for start in range(0, MEMO_ENTRIES_MAX + 900, 900):
        encoder.encode({"text": " ".join(f"{i:05}" for i in range(start, start + 800))})
    encoder.encode({"text": "y" * 4_000})

    assert 0 < len(encoder._memo) <= MEMO_ENTRIES_MAX
    assert "y" * 4_000 not in encoder._memo
    assert pickle.loads(pickle.dumps(encoder))._memo == {}


def test_number_gets_a_clipped_z_and_two_hats_in_a_group_of_norm_one() -> None:
    """Value 2.25 lies a quarter of the way from knot 2 to knot 3."""
    encoder = encoder_with(n=NumberStatistics(mean=1.25, sd=2.0, knots=KNOTS))
    sparse = encoder.encode({"n": 2.25}).sparse
    scale = 1.0 / sqrt(0.5**2 + 0.75**2 + 0.25**2)

    assert sparse[-1 - crc32(b"n")] == pytest.approx(0.5 * scale)
    assert sparse[crc32(b"n#2")] == pytest.approx(0.75 * scale)
    assert sparse[crc32(b"n#3")] == pytest.approx(0.25 * scale)
    assert len(sparse) == 4


def test_number_without_statistics_is_missing_and_without_knots_has_no_hats() -> None:
    """Nothing is standardised by a guess."""
    encoder = encoder_with(n=NumberStatistics(mean=0.0, sd=1.0))

    assert list(encoder.encode({"n": 99.0, "other": 1.0}).sparse) == [-1 - crc32(b"n"), BIAS]


def test_mass_counts_presence_keys_only() -> None:
    """A z, whose key is negative, has no part in the mass of naive Bayes."""
    encoder = encoder_with(n=NumberStatistics(mean=0.0, sd=1.0, knots=KNOTS))
    sparse, mass, _ = encoder.encode({"n": 2.5, "kind": "a", "text": "so so"})

    assert mass == pytest.approx(sum(v for k, v in sparse.items() if k >= 0))


def test_knots_stay_once_a_number_has_some() -> None:
    """Mean and sd move on; moving knots would change what a weight means."""
    encoder = encoder_with(n=NumberStatistics(mean=0.0, sd=1.0, knots=KNOTS))
    moved = tuple(knot + 9 for knot in KNOTS)
    encoder.set_statistics({"n": NumberStatistics(mean=5.0, sd=3.0, knots=moved)})

    assert encoder.numbers["n"].knots == KNOTS
    assert (encoder.numbers["n"].mean, encoder.numbers["n"].sd) == (5.0, 3.0)


@given(st.floats(-20, 20), st.lists(st.floats(-10, 10), min_size=8, max_size=8).map(sorted))
def test_hats_are_a_partition_of_one(value: float, knots: list[float]) -> None:
    """At most two neighbouring knots, positive weights that sum to 1, ties or not."""
    hats = hats_of(value, knots)

    assert sum(weight for _, weight in hats) == pytest.approx(1.0)
    assert all(0.0 <= weight <= 1.0 for _, weight in hats)
    assert len(hats) == 1 or hats[1][0] - hats[0][0] == 1


def test_category_vector_and_boolean_have_their_own_forms() -> None:
    """A category is one key, a vector has norm 1, a zero vector and an empty text are nothing."""
    encoder = encoder_with(ok=NumberStatistics(mean=0.5, sd=0.5))
    sparse, _, vectors = encoder.encode({"kind": "a", "ok": True, "vector": [3.0, 4.0]})

    assert sparse[crc32(b"kind=a")] == sparse[-1 - crc32(b"ok")] == pytest.approx(sqrt(0.5))
    assert vectors["vector"].tolist() == pytest.approx([0.6, 0.8])
    assert encoder.encode({"vector": [0.0, 0.0], "text": ""}) == ({BIAS: 1.0}, 1.0, {})


def test_two_texts_add_up_and_a_declared_name_is_text() -> None:
    """`types` makes a title text; its words share their keys with the body."""
    encoder = Encoder({"title": "text"})
    both = encoder.encode({"title": "a", "text": "a"}).sparse

    assert both == {**dict.fromkeys(token_keys("a"), pytest.approx(sqrt(2.0))), BIAS: 1.0}
