"""The guard: what no model ever sees."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from stream_al.config import EventsSection
from stream_al.errors import InvalidInput
from stream_al.model.guard import Guard


def guard(**fields: Any) -> Guard:
    return Guard(EventsSection.model_validate(fields))


@pytest.mark.parametrize(
    ("error", "features"),
    [
        ("WrongFeatureType", {"n": b"bytes"}),
        ("WrongFeatureType", {"text": 3}),
        ("WrongFeatureType", {"vector": "1 2"}),
        ("WrongFeatureType", {"vector": 1.0}),
        ("WrongFeatureType", {"vector": [1.0, "2"]}),
        ("WrongFeatureType", {7: 1.0}),
        ("TooManyFeatures", {f"f{i}": 0.0 for i in range(2_049)}),
        ("FeatureTooLarge", {"kind": "x" * 257}),
        ("FeatureTooLarge", {"n" * 257: 1.0}),
        ("FeatureTooLarge", {"vector": [0.0] * 4_097}),
        ("LoneSurrogate", {"text": "bad \ud800"}),
        ("LoneSurrogate", {"bad \ud800": 1.0}),
        ("LoneSurrogate", {"kind": "\udc00"}),
    ],
)
def test_bad_features_are_refused_by_name(error: str, features: dict[Any, Any]) -> None:
    """Each refusal has its class and a printable sentence."""
    with pytest.raises(InvalidInput) as caught:
        guard().clean(features)

    assert caught.value.error == error
    assert str(caught.value).isprintable()
    str(caught.value).encode()


def test_long_category_is_told_what_to_do() -> None:
    """The message names the remedy."""
    with pytest.raises(InvalidInput, match="declare it as text"):
        guard().clean({"kind": "x" * 300})

    assert guard(types={"kind": "text"}).clean({"kind": "x" * 300}) == {"kind": "x" * 300}


BAD_NUMBERS = [float("nan"), float("inf"), -float("inf"), 10**400, 1e101, np.float64("nan")]


@pytest.mark.parametrize("bad", BAD_NUMBERS, ids=["nan", "inf", "-inf", "int", "huge", "numpy"])
@pytest.mark.parametrize("name", ["n", "vector"])
def test_bad_numbers_are_dropped_or_refused_as_configured(bad: Any, name: str) -> None:
    """`drop_feature` goes on without it, `dead_letter` refuses the event."""
    value = [1.0, bad] if name == "vector" else bad
    features = {"good": 1.0, name: value}

    assert guard().clean(features) == {"good": 1.0}
    with pytest.raises(InvalidInput) as caught:
        guard(on_bad_number="dead_letter").clean(features)
    assert caught.value.error == "NonFiniteFeature"


@pytest.mark.parametrize(
    ("features", "kept"),
    [
        ({"tags": ["news", "sport", "news", ""]}, {"tags": ["news", "sport"]}),
        ({"tags": [["a", ["b"]], ["c", None]]}, {"tags": ["a", "b", "c"]}),
        ({"ids": [12, 53.5, True]}, {"ids": ["12", "53.5", "True"]}),
        ({"title": ["one", "two", 3]}, {"title": "one\ntwo"}),
        ({"text": ["one", ["two"]]}, {"text": "one\ntwo"}),
        ({"vector": [[1, 2.5], [3]]}, {"vector": [1.0, 2.5, 3.0]}),
        ({"tags": ("a", "b")}, {"tags": ["a", "b"]}),
        ({"tags": [], "text": [None], "title": [{}]}, {}),
    ],
)
def test_a_list_is_what_its_type_says(features: dict[str, Any], kept: dict[str, Any]) -> None:
    """B5: a set of categories, one text or a vector; lists within lists are read as one."""
    one = guard(types={"ids": "category", "title": "text"})

    assert one.clean(features) == kept
    assert one.clean(kept) == kept
    assert one.left_out.total() == 0


@pytest.mark.parametrize("value", [{"deep": 1}, {}, [1.0, 2.0], [[1], ["a"]], ["a", 1], [True]])
def test_what_can_be_no_feature_is_left_out_and_counted(value: Any) -> None:
    """B5: the event is scored without it; names that nobody configured count as one."""
    one = guard(event_id="id", features={"known": "known"})

    assert one.clean({"n": 1.0, "known": value, "unknown": value, "more": value}) == {"n": 1.0}
    assert (one.left_out["known"], one.left_out["other"]) == (1, 2)
    assert one.clean({"text": [1, 2]}) == {}
    assert one.left_out["text"] == 1


def test_a_set_of_categories_is_bounded() -> None:
    """B5: a thousand different entries; entries have the bound of categories."""
    many = [f"tag {i}" for i in range(1_001)]

    assert guard().clean({"tags": many[1:] * 2}) == {"tags": many[1:]}
    with pytest.raises(InvalidInput, match="declare it as text"):
        guard().clean({"tags": many})
    with pytest.raises(InvalidInput, match="declare it as text"):
        guard().clean({"tags": ["x" * 257]})


def test_clean_features_pass_untouched_and_cleaning_is_idempotent() -> None:
    """Good numbers are the same object again; cleaned features are JSON and stay as they are."""
    one = guard(types={"code": "category", "title": "text"})
    numbers = {"a": 1.0, "b": 2, "c": True}
    one.clean(numbers)
    cleaned = one.clean(
        {
            "code": 17,
            "title": "t",
            "kind": "é",
            "none": None,
            "f": np.float32(0.5),
            "i": np.int64(3),
            "vector": np.array([1.0, 2.0]),
        }
    )

    assert one.clean(numbers) is numbers
    assert json.loads(json.dumps(cleaned)) == cleaned
    assert one.clean(cleaned) == cleaned
    assert cleaned == {
        "code": "17",
        "title": "t",
        "kind": "é",
        "f": 0.5,
        "i": 3,
        "vector": [1.0, 2.0],
    }


def test_memo_of_names_is_bounded() -> None:
    """A stream that never repeats a name fills no memory."""
    one = guard()
    for i in range(6_000):
        one.clean({f"name {i}": 1.0})

    assert len(one._names) <= 4_096
