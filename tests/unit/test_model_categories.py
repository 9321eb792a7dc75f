"""A set of categories, a list of strings, teaches every preset."""

from __future__ import annotations

import pytest

from stream_al.config import Config
from stream_al.model import Model
from stream_al.model.adapters import with_entries

PRESETS = ("linear", "committee", "river", "tree", "forest")


@pytest.mark.parametrize("preset", PRESETS[:3])  # trees can't split on one category either
def test_a_preset_learns_from_a_set(preset: str) -> None:
    """B5: what decides is what is in the set."""
    model = Model(Config.model_validate({"model": {"preset": preset}}))
    for number in range(60):
        side = "bad" if number % 2 else "good"
        lesson = model.clean({"tags": [side, f"more {number % 3}"], "kind": "post"})
        assert model.learn(lesson, "spam" if number % 2 else "ham")

    asked = ({"tags": [side, "more 0"], "kind": "post"} for side in ("bad", "good"))
    bad, good = (model.predict(model.clean(features)) for features in asked)

    assert bad["spam"] > 0.5 > good["spam"]
    assert model.failed_count == model.prediction_failed_count == 0


@pytest.mark.parametrize("preset", PRESETS)
def test_one_category_alone_is_a_set_of_one(preset: str) -> None:
    """B5: a producer that sends `"a"` or `["a"]` says the same."""
    model = Model(Config.model_validate({"model": {"preset": preset}}))
    for number in range(20):
        model.learn({"tags": "a" if number % 2 else "b"}, "spam" if number % 2 else "ham")

    assert model.predict({"tags": ["a"]}) == model.predict({"tags": "a"})


def test_a_factorys_model_sees_each_entry() -> None:
    """B5: as a column of its own, as River's one-hot encoder names it."""
    assert with_entries({"tags": ["a"], "n": 1}) == {"tags=a": 1.0, "n": 1}
