"""One contract for every preset, and for the River classifiers that people bring by `factory:`."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import Any

import pytest
from river import (
    compose,
    feature_extraction,
    forest,
    linear_model,
    multiclass,
    naive_bayes,
    neighbors,
    optim,
    preprocessing,
    tree,
)

from stream_al.config import Config
from stream_al.errors import ConfigurationError
from stream_al.messages import CLASSES_MAX, NumberStatistics
from stream_al.model import Model, check_model
from stream_al.model.baseline import TERMS_MAX, Baseline, BoundedTFIDF
from stream_al.model.one_vs_rest import OneVsRest

HERE = f"{__name__}"
_bayes: Any = naive_bayes  # River leaves these constructors untyped
_linear: Any = linear_model
PRESETS = ["linear", "committee", "river", "tree", "forest"]


def hoeffding_tree() -> Any:
    return tree.HoeffdingTreeClassifier(grace_period=20)


def adaptive_tree(seed: int) -> Any:
    return tree.HoeffdingAdaptiveTreeClassifier(seed=seed)


def one_vs_rest() -> Any:
    return multiclass.OneVsRestClassifier(linear_model.LogisticRegression())


def scaled_regression() -> Any:
    return preprocessing.StandardScaler() | linear_model.LogisticRegression()


def gaussian() -> Any:
    return _bayes.GaussianNB()


def softmax() -> Any:
    return preprocessing.StandardScaler() | linear_model.SoftmaxRegression()


def adaptive_forest(seed: int) -> Any:
    return forest.ARFClassifier(n_models=3, seed=seed)


def mondrian(seed: int) -> Any:
    return forest.AMFClassifier(n_estimators=3, seed=seed)


def neighbours() -> Any:
    return neighbors.KNNClassifier(n_neighbors=3, engine=neighbors.LazySearch(window_size=50))


def passive_aggressive() -> Any:
    return _linear.PAClassifier()


def perceptron() -> Any:
    return linear_model.Perceptron()


def complement() -> Any:
    return feature_extraction.BagOfWords(on="text") | _bayes.ComplementNB()


def multinomial() -> Any:
    return feature_extraction.TFIDF(on="text") | _bayes.MultinomialNB()


def words_regression() -> Any:
    return feature_extraction.BagOfWords(on="text") | linear_model.LogisticRegression()


def unseeded() -> Any:
    return preprocessing.StandardScaler() | forest.ARFClassifier()


def unseeded_hasher() -> Any:
    return preprocessing.FeatureHasher() | linear_model.LogisticRegression()


def with_lambda() -> Any:
    return compose.FuncTransformer(lambda x: x) | linear_model.LogisticRegression()


def no_model() -> Any:
    return object()


class Fragile:
    """Learns counts; stumbles over the feature `bad`, and says NaN about `nan`."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def learn_one(self, x: dict[str, Any], y: str) -> None:
        if "bad" in x:
            raise ZeroDivisionError
        self.counts[y] = self.counts.get(y, 0) + 1

    def predict_proba_one(self, x: dict[str, Any]) -> Any:
        if "crash" in x:
            raise KeyError
        return dict.fromkeys(self.counts, float("nan")) if "nan" in x else self.counts


def fragile() -> Any:
    return Fragile()


NUMBERS: list[Callable[..., Any]] = [
    hoeffding_tree,
    adaptive_tree,
    one_vs_rest,
    scaled_regression,
    gaussian,
    softmax,
    adaptive_forest,
    mondrian,
    neighbours,
    passive_aggressive,
    perceptron,
    fragile,
]
TEXTS: list[Callable[..., Any]] = [complement, multinomial, words_regression]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the factories of this file importable by its name, as people's own are."""
    monkeypatch.setitem(sys.modules, HERE, sys.modules[__name__])


def configured(**fields: Any) -> Config:
    return Config.model_validate({"model": fields})


def by_factory(factory: Callable[..., Any], **fields: Any) -> Config:
    return configured(factory=f"{HERE}:{factory.__name__}", **fields)


CASES = [
    *(pytest.param(lambda name=name: configured(preset=name), False, id=name) for name in PRESETS),
    *(
        pytest.param(lambda name=name: configured(preset=name), True, id=f"{name}-text")
        for name in PRESETS
    ),
    *(
        pytest.param(
            lambda factory=factory: by_factory(factory), factory in TEXTS, id=factory.__name__
        )
        for factory in [*NUMBERS, *TEXTS]
    ),
]
every_model = pytest.mark.parametrize(("config_of", "on_text"), CASES)
ConfigOf = Callable[[], Config]


def event_of(rng: random.Random, label: str, *, on_text: bool) -> dict[str, Any]:
    place = "abc".index(label)
    if on_text:
        own = ["apple", "brick", "cloud"][place]
        return {"text": " ".join([own, rng.choice(["so", "now", "then"]), own + "s"])}
    x, y = [(0.0, 0.0), (4.0, 0.0), (0.0, -4.0)][place]
    return {"x": rng.gauss(x, 1.0), "y": rng.gauss(y, 1.0)}


def taught(config: Config, labels: str, *, on_text: bool, seed: int = 1) -> Model:
    rng = random.Random(seed)
    model = Model(config)
    model.set_statistics(statistics())
    for label in labels:
        assert model.learn(event_of(rng, label, on_text=on_text), label)
    return model


def statistics() -> dict[str, NumberStatistics]:
    knots = tuple(-6.0 + 2.0 * i for i in range(8))
    return {name: NumberStatistics(mean=0.0, sd=3.0, knots=knots) for name in "xy"}


def probes(on_text: bool) -> list[dict[str, Any]]:
    rng = random.Random(9)
    return [event_of(rng, label, on_text=on_text) for label in "abcabc"]


@every_model
def test_cold_start_says_nothing_and_one_class_is_certain(
    config_of: ConfigOf, *, on_text: bool
) -> None:
    """No label: {}; labels of one class: 1.0, with full disagreement for the gate."""
    model = Model(config_of())
    probe = probes(on_text)[0]
    assert model.predict(probe) == {}
    assert model.predict_with_disagreement(probe) == ({}, 1.0)

    model.learn(probe, "a")
    assert model.predict(probe) == {"a": 1.0}
    assert model.predict_with_disagreement(probe) == ({"a": 1.0}, 1.0)


@every_model
def test_probabilities_are_proper_with_any_features(config_of: ConfigOf, *, on_text: bool) -> None:
    """Finite, ≥ 0, summing to 1 over the known classes, for strange events too."""
    model = taught(config_of(), "abab" * 10, on_text=on_text)
    strange = {"text": "", "kind": "z", "vector": [0.1, 0.2], "flag": True, "n": 1e99, "x": -1e99}
    for probe in [*probes(on_text), {}, {"other": 1.0}, model.clean(strange)]:
        probabilities, disagreement = model.predict_with_disagreement(probe)

        assert list(probabilities) == list(model.classes) == ["a", "b"]
        assert sum(probabilities.values()) == pytest.approx(1.0)
        assert all(0.0 <= p <= 1.0 for p in probabilities.values())
        assert 0.0 <= disagreement <= 1.0
        assert probabilities == model.predict(probe)


@every_model
def test_a_new_class_joins_at_run_time(config_of: ConfigOf, *, on_text: bool) -> None:
    """After the third class's labels it is predicted for its own events, if it can be learnt."""
    model = taught(config_of(), "ab" * 15 + "abc" * 20, on_text=on_text)

    assert model.classes == ("a", "b", "c")
    assert all(list(model.predict(probe)) == ["a", "b", "c"] for probe in probes(on_text))
    assert model.learnt_count == 90


@every_model
def test_bad_numbers_never_poison(config_of: ConfigOf, *, on_text: bool) -> None:
    """NaN, infinity and absurd numbers in predict and learn leave every later answer finite."""
    model = taught(config_of(), "abab" * 5, on_text=on_text)
    twin = taught(config_of(), "abab" * 5, on_text=on_text)
    for bad in [float("nan"), float("inf"), 10**400, 1e300]:
        features = event_of(random.Random(4), "a", on_text=on_text)
        model.learn(features | {"x": bad}, "a")
        twin.learn({name: value for name, value in features.items() if name != "x"}, "a")

    assert all(isfinite(p) for probe in probes(on_text) for p in model.predict(probe).values())
    assert model.digest() == twin.digest()


@every_model
def test_predicting_changes_nothing(config_of: ConfigOf, *, on_text: bool) -> None:
    """A replica that predicted a thousand other events is the same model."""
    model = taught(config_of(), "abc" * 8, on_text=on_text)
    twin = taught(config_of(), "abc" * 8, on_text=on_text)
    for i in range(50):
        model.predict({f"new{i}": 1.0, "kind": f"k{i}", "text": f"never seen {i}"})
    rng, again = random.Random(5), random.Random(5)
    for label in "abcabc":
        model.learn(event_of(rng, label, on_text=on_text), label)
        twin.learn(event_of(again, label, on_text=on_text), label)

    assert model.digest() == twin.digest()


@every_model
def test_a_dump_has_the_same_future(config_of: ConfigOf, *, on_text: bool) -> None:
    """Predictions are identical after a round trip, and after more lessons."""
    model = taught(config_of(), "abc" * 8, on_text=on_text)
    loaded = Model.load(config_of(), model.dump())
    assert loaded.digest() == model.digest()

    for one in (model, loaded):
        rng = random.Random(6)
        for label in "cbabca":
            one.learn(event_of(rng, label, on_text=on_text), label)

    assert [loaded.predict(p) for p in probes(on_text)] == [
        model.predict(p) for p in probes(on_text)
    ]
    assert (loaded.digest(), loaded.learnt_count) == (model.digest(), model.learnt_count)


@every_model
def test_the_digest_sees_every_lesson(config_of: ConfigOf, *, on_text: bool) -> None:
    """One label more is another digest."""
    digests = {taught(config_of(), "ab" * 5 + "b" * n, on_text=on_text).digest() for n in range(4)}

    assert len(digests) == 4


@pytest.mark.parametrize("preset", ["linear", "committee", "river"])
def test_presets_learn(preset: str) -> None:
    """After 60 labels of three clouds and three words at least 9 of 10 are right."""
    for on_text in (False, True):
        if preset == "committee" and on_text:
            continue
        model = taught(configured(preset=preset), "abc" * 20, on_text=on_text)
        rng = random.Random(8)
        right = 0
        for label in "abc" * 30:
            probabilities = model.predict(event_of(rng, label, on_text=on_text))
            right += max(probabilities, key=probabilities.__getitem__) == label
        assert right >= 81


def test_failed_lessons_are_counted_alike_and_predictions_go_on() -> None:
    """An exception in learn, a refused feature and a full class table: False, everywhere."""
    models = [Model(by_factory(fragile)) for _ in range(2)]
    lessons: list[tuple[dict[str, Any], str]] = [
        ({"x": 1.0}, "a"),
        ({"bad": 1.0}, "b"),
        ({"x": 1.0}, "b"),
        ({"x": [1.0]}, "b"),
        ({"x": 2.0}, ""),
    ]
    answers = [[model.learn(features, label) for features, label in lessons] for model in models]

    assert answers == [[True, False, True, False, False]] * 2
    assert [(m.learnt_count, m.failed_count) for m in models] == [(2, 3)] * 2
    assert models[0].digest() == models[1].digest()
    assert models[0].predict({"x": 1.0}) == {"a": 0.5, "b": 0.5}


def test_a_learner_that_stumbles_answers_uniformly() -> None:
    """An exception or NaN in predict is a uniform answer, counted, and no part of the fold."""
    model = Model(by_factory(fragile))
    for label in "aab":
        model.learn({"x": 1.0, "crash_": 1.0}, label)
    model.learn({"nan": 1.0, "crash": 1.0}, "a")

    assert model.predict({"nan": 1.0}) == model.predict({"crash": 1.0}) == {"a": 0.5, "b": 0.5}
    assert model.prediction_failed_count == 2
    assert model.predict({"x": 1.0}) == {"a": 0.75, "b": 0.25}


def test_classes_are_bounded_and_closed_sets_are_closed() -> None:
    """The 257th class is refused; so is a class outside a configured set."""
    model = Model(Config())
    answers = [model.learn({"text": "t"}, f"class {i}") for i in range(CLASSES_MAX + 1)]
    assert answers == [True] * CLASSES_MAX + [False]
    assert len(model.predict({"text": "t"})) == CLASSES_MAX

    closed = Model(Config.model_validate({"labels": {"classes": ["a", "b"]}}))
    assert [closed.learn({"text": "t"}, label) for label in "abc"] == [True, True, False]


def test_disagreement_without_members_is_one_minus_the_margin() -> None:
    """A `linear` model has no members."""
    model = taught(Config(), "aabab", on_text=True)
    probabilities, disagreement = model.predict_with_disagreement({"text": "apple"})
    low, high = sorted(probabilities.values())

    assert disagreement == pytest.approx(1.0 - (high - low))


def test_only_our_own_presets_want_statistics() -> None:
    """The scorers of other models need not send any."""
    wanting = [preset for preset in PRESETS if Model(configured(preset=preset)).wants_statistics]

    assert wanting == ["linear", "committee"]


def test_the_baseline_is_rivers_own_pipeline() -> None:
    """On numbers of two classes it predicts exactly what the pipeline predicts."""
    rng = random.Random(11)
    ours = Baseline({})
    regression = linear_model.LogisticRegression(optim.SGD(0.5))
    theirs = preprocessing.StandardScaler() | regression
    for _ in range(80):
        label = rng.choice("ab")
        x = event_of(rng, label, on_text=False)
        if len(ours._classifier.classes) == 2:
            positive = theirs.predict_proba_one(x)[True]
            assert ours.predict_proba_one(x)[ours._classifier.classes[1]] == positive
        ours.learn_one(x, label)
        theirs.learn_one(x, label != ours._classifier.classes[0])


def test_a_third_class_leaves_the_first_two_where_they_were() -> None:
    """The first class goes on with the shared model, read upside down."""
    rng = random.Random(12)
    model = OneVsRest(linear_model.LogisticRegression(optim.SGD(0.1)))
    for label in "abba" * 10:
        model.learn_one(event_of(rng, label, on_text=False), label)
    probe = {"x": 1.0, "y": 1.0}
    before = model.predict_proba_one(probe)
    model.learn_one({}, "c")
    after = model.predict_proba_one(probe)

    assert after["a"] == pytest.approx(before["a"], abs=0.02)
    assert after["b"] == pytest.approx(before["b"], abs=0.02)


def test_baseline_tables_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts of ever new words stop growing the tables at their bound."""
    assert TERMS_MAX == 2**18
    monkeypatch.setattr("stream_al.model.baseline.TERMS_MAX", 100)
    model = Baseline({})
    for i in range(60):
        model.learn_one({"text": f"one{i} two{i} three{i}", "kind": f"k{i}"}, "ab"[i % 2])

    assert len(model.terms) == 100
    assert len(model._texts["text"].dfs) <= 100
    assert isinstance(model._texts["text"], BoundedTFIDF)


@pytest.mark.parametrize("preset", ["tree", "forest"])
def test_flat_models_see_bounded_columns(monkeypatch: pytest.MonkeyPatch, preset: str) -> None:
    """Ever new names stop growing the table at its bound."""
    monkeypatch.setattr("stream_al.model.adapters.COLUMNS_MAX", 40)
    model = Model(configured(preset=preset))
    for i in range(60):
        model.learn({f"n{i}": 1.0, "text": f"word{i}"}, "ab"[i % 2])

    assert model.learnt_count == 60
    assert len(model._learner.columns) == 40


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"factory": f"{HERE}:unseeded"}, "ARFClassifier without a seed"),
        ({"factory": f"{HERE}:unseeded_hasher"}, "FeatureHasher without a seed"),
        ({"factory": f"{HERE}:with_lambda"}, "can't be pickled"),
        ({"factory": f"{HERE}:no_model"}, "predict_proba_one"),
        ({"factory": "no.such.module:f"}, "can't be imported"),
        ({"factory": "no_colon"}, "can't be imported"),
        ({"factory": f"{HERE}:gaussian", "parameters": {"depth": 3}}, "model.parameters"),
        ({"preset": "linear", "parameters": {"depth": 3}}, "model.parameters"),
        ({"preset": "tree", "parameters": {"depth": 3}}, "model.parameters"),
    ],
    ids=str,
)
def test_doubtful_models_are_refused_with_a_remedy(fields: dict[str, Any], words: str) -> None:
    """Building raises, checking lists the same problem."""
    config = configured(**fields)
    with pytest.raises(ConfigurationError, match=words) as caught:
        Model(config)

    assert check_model(config) == list(caught.value.problems)


def test_costly_models_are_warned_about() -> None:
    """ComplementNB takes milliseconds on text; other models bring no warning."""
    assert ["ComplementNB" in warning for warning in check_model(by_factory(complement))] == [True]
    assert check_model(by_factory(adaptive_forest)) == []


def test_parameters_and_seed_reach_the_model() -> None:
    """A preset's parameters go to its learner, a factory is given the seed."""
    assert Model(configured(parameters={"lr": 0.1}))._learner.learner.lr == 0.1
    assert Model(by_factory(mondrian, seed=7))._learner.model.seed == 7
    assert Model(configured(preset="tree", seed=5))._learner.model.seed == 5


def test_a_dump_of_another_model_is_refused() -> None:
    """A snapshot can't be loaded under another configuration."""
    dump = Model(Config()).dump()

    with pytest.raises(ConfigurationError, match="fold the journal"):
        Model.load(configured(preset="river"), dump)


SCRIPT = """
import random
from stream_al.config import Config
from stream_al.model import Model
for preset in ["linear", "committee", "river", "tree", "forest"]:
    rng = random.Random(1)
    model = Model(Config.model_validate({"model": {"preset": preset, "seed": 3}}))
    for i in range(40):
        words = rng.choices(["free", "money", "home", "tonight", "call", "ok"], k=5)
        features = {"text": " ".join(words), "n": rng.gauss(0, 1), "kind": rng.choice("xyz")}
        model.learn(features, rng.choice(["a", "b", "c"]))
    print(preset, model.digest())
"""


@pytest.mark.parametrize("preset", ["tree", "forest"])
def test_an_order_of_collisions_is_not_part_of_a_model(preset: str) -> None:
    """Many classes whose hashes collide differently after a round trip: the same digests."""
    rng, names = random.Random(9), [f"class {i}" for i in range(20)]
    for start in range(0, 20, 4):
        config = Config.model_validate({"model": {"preset": preset, "seed": 3}})
        model = Model(config)
        for i in range(60):
            model.learn({"x": rng.gauss(i % 4, 1.0), "y": rng.gauss(0, 1)}, names[start + i % 4])

        assert Model.load(config, model.dump()).digest() == model.digest()


def test_digests_agree_between_fresh_processes() -> None:
    """Two processes with PYTHONHASHSEED pinned, one of ours with another: the same digests."""
    root = Path(__file__).parents[2]
    outputs = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        for seed in ["0", "0", "77"]
    ]

    assert outputs[0] == outputs[1]
    assert len(outputs[0]) == 5
    assert outputs[0][:2] == outputs[2][:2]
