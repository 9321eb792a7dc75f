"""`ActiveLearner`: the loop in memory, as people embed it in a service of their own."""

from __future__ import annotations

import time
from random import Random

import pytest

from stream_al import ActiveLearner, Config, Decision, Event, Label
from stream_al.errors import ConfigurationError, InvalidInput
from stream_al.learner import JOURNAL_LABELS_MAX
from stream_al.testing import number_stream, text_stream

DAY_MS = 86_400_000


def _config(**sections: object) -> Config:
    return Config.model_validate({"gate": {"budget": {"share": 1.0}}} | sections)


def _event(event_id: str, text: str = "free money") -> Event:
    return Event(event_id=event_id, features={"text": text})


def _label(event_id: str, label: str = "spam", **more: object) -> Label:
    return Label.model_validate({"event_id": event_id, "label": label, "annotator": "a7"} | more)


def test_example_of_the_interface() -> None:
    """The lines that the documentation shows, word by word."""
    learner = ActiveLearner(Config())
    decision = learner.score(Event(event_id="p-1", features={"text": "free money"}))
    assert decision.prediction.label is None
    assert decision.prediction.probabilities == {}
    assert decision.query is None or decision.query.event_id == "p-1"
    outcome = learner.label(Label(event_id="p-1", label="spam", annotator="a7"))
    assert outcome.outcome == ("applied" if decision.query else "unknown")
    learner.set_budget(share=0.02, actor="ops", reason="night shift")
    state = learner.dump()
    learner = ActiveLearner.load(state)
    assert learner.engine.settings.gate.budget.share == 0.02
    assert learner.engine.last_control is not None
    assert (learner.engine.last_control.actor, learner.engine.last_control.reason) == (
        "ops",
        "night shift",
    )


def test_the_loop_learns() -> None:
    """Asked about a tenth, it predicts the other nine tenths of a learnable stream well."""
    learner = ActiveLearner(Config.model_validate({"gate": {"budget": {"share": 0.1}}}))
    right = 0
    stream = list(text_stream(4, 2_000))
    for number, example in enumerate(stream):
        decision = learner.score(example.event, now_ms=number * 1_000)
        right += number >= 1_000 and decision.prediction.label == example.label
        if decision.query is not None:
            said = _label(example.event.event_id, example.label)
            assert learner.label(said, now_ms=number * 1_000 + 1).outcome == "applied"

    assert right / 1_000 > 0.75
    assert learner.engine.model.learnt_count in (199, 200, 201)
    assert learner.quality.accuracy is not None
    assert learner.pending_count == 0


def test_budget_holds_for_the_next_event() -> None:
    """A budget of 0 asks nothing from now on; what is left out of `set_budget` stays."""
    learner = ActiveLearner(_config())
    assert learner.score(_event("a"), now_ms=0).query is not None
    learner.set_budget(share=0.0, actor="ops", reason="", now_ms=1)
    decision = learner.score(_event("b"), now_ms=2)
    assert (decision.query, decision.prediction.rate) == (None, 0.0)
    learner.set_budget(open=5, actor="ops", reason="", now_ms=3)
    budget = learner.engine.settings.gate.budget
    assert (budget.share, budget.open) == (0.0, 5)


@pytest.mark.parametrize(
    ("wrong", "field"), [({"share": 1.5}, "share"), ({"per_hour": -1.0}, "per_hour")]
)
def test_wrong_budget_changes_nothing(wrong: dict[str, float], field: str) -> None:
    """A value out of range is a ConfigurationError that names the field and the value."""
    learner = ActiveLearner(_config())
    with pytest.raises(ConfigurationError, match=rf"gate\.budget\.{field}.*{wrong[field]:g}"):
        learner.set_budget(**wrong, actor="ops", reason="", now_ms=0)  # type: ignore[arg-type]
    assert learner.engine.settings.gate.budget.share == 1.0


def test_modes_through_control() -> None:
    """Pause, shadow and freeze act on the next event; an unknown setting is refused."""
    learner = ActiveLearner(_config())
    learner.control({"modes": {"shadow": True}}, actor="ops", reason="", now_ms=0)
    prediction = learner.score(_event("a"), now_ms=1).prediction
    assert (prediction.mode, prediction.queried) == ("shadow", False)
    learner.control({"modes": {"shadow": False, "frozen": True}}, actor="ops", reason="", now_ms=2)
    learner.score(_event("b"), now_ms=3)
    assert learner.label(_label("b"), now_ms=4).outcome == "applied"
    assert learner.engine.model.learnt_count == 0
    with pytest.raises(ConfigurationError, match="modes"):
        learner.control({"modes": {"asleep": True}}, actor="ops", reason="", now_ms=5)


def test_bad_features_change_nothing() -> None:
    """An event that the guard refuses leaves the gate and the model as they were."""
    learner = ActiveLearner(_config())
    learner.score(_event("a"), now_ms=0)
    before = learner.engine.pack_partition(0)
    with pytest.raises(InvalidInput, match="text"):
        learner.score(Event(event_id="b", features={"text": 7}), now_ms=1)
    assert learner.engine.pack_partition(0) == before


def test_seed_teaches_once_and_estimates_nothing() -> None:
    """History is learnt before any query; the same examples again are none."""
    learner = ActiveLearner(_config())
    examples = [(one.event, one.label) for one in text_stream(1, 50)]
    assert learner.seed(examples, now_ms=0) == 50
    assert learner.seed(examples, now_ms=1) == 0
    assert set(learner.score(_event("x"), now_ms=2).prediction.probabilities) == {"ham", "spam"}
    assert learner.quality.prequential.count == 0


def _run(learner: ActiveLearner, start: int, count: int) -> list[object]:
    """Score numbers and texts and label some; return all that came back."""
    said: list[object] = []
    rng = Random(start)
    texts = list(text_stream(2, start + count))[start:]
    numbers = list(number_stream(2, start + count))[start:]
    for number, (text, figures) in enumerate(zip(texts, numbers, strict=True), start):
        now_ms = number * 500
        features = text.event.features | figures.event.features
        event = Event(event_id=f"m-{number}", features=features)
        decision = learner.score(event, now_ms=now_ms)
        said.append(decision)
        waiting = [query.event_id for query in learner.queries(5)]
        if waiting and rng.random() < 0.3:
            label = _label(rng.choice(waiting), text.label)
            said.append(learner.label(label, now_ms=now_ms + 1))
    return said


@pytest.mark.parametrize("preset", ["linear", "committee", "river"])
def test_dumped_learner_has_the_same_future(preset: str) -> None:
    """Pending queries, votes, statistics, estimates and the gate: all go on as if never stopped."""
    config = _config(
        model={"preset": preset},
        gate={"budget": {"share": 0.3}},
        labels={"votes": 2, "votes_max": 3, "expire_after": "60s"},
    )
    learner = ActiveLearner(config, secret=b"a secret of this test")
    _run(learner, 0, 300)
    assert learner.pending_count > 0

    other = ActiveLearner.load(learner.dump())

    assert other.queries() == learner.queries()
    assert other.quality == learner.quality
    assert _run(other, 300, 300) == _run(learner, 300, 300)
    assert other.quality == learner.quality
    assert other.engine.model.digest() == learner.engine.model.digest()
    assert other.engine.pack_partition(0) == learner.engine.pack_partition(0)


def test_loaded_learner_overturns_an_old_label() -> None:
    """The first label's features are still known after a load: a revision teaches them again."""
    learner = ActiveLearner(_config())
    learner.score(_event("a"), now_ms=0)
    learner.label(_label("a", "spam"), now_ms=1)
    learner = ActiveLearner.load(learner.dump())
    outcome = learner.label(_label("a", "ham", revision=1), now_ms=2)
    assert (outcome.outcome, learner.engine.model.learnt_count) == ("applied", 2)
    assert learner.label(_label("a", "ham", revision=1), now_ms=3).outcome == "duplicate"


def test_time_is_an_input() -> None:
    """`now_ms` decides expiry and latency; without it the machine's clock does."""
    learner = ActiveLearner(_config())
    learner.score(_event("a"), now_ms=0)
    learner.score(_event("b"), now_ms=DAY_MS)
    assert learner.pending_count == 2
    learner.score(_event("c"), now_ms=7 * DAY_MS)
    assert [query.event_id for query in learner.queries()] == ["b", "c"]
    assert learner.label(_label("a"), now_ms=7 * DAY_MS + 1).outcome == "late"

    decision = ActiveLearner(_config()).score(_event("d"))
    assert abs(decision.prediction.at_ms - time.time() * 1_000) < 60_000  # type: ignore[operator]


def test_two_learners_with_one_secret_decide_alike() -> None:
    """Same configuration, secret and inputs: the same predictions, queries and outcomes."""
    config = _config(gate={"budget": {"share": 0.2}})
    one, two = (ActiveLearner(config, secret=b"shared by both of them") for _ in range(2))
    assert _run(one, 0, 200) == _run(two, 0, 200)
    other = ActiveLearner(config, secret=b"known to nobody else")
    asked = [isinstance(said, Decision) and said.query is not None for said in _run(other, 0, 200)]
    again = ActiveLearner(config, secret=b"shared by both of them")
    assert asked != [
        isinstance(said, Decision) and said.query is not None for said in _run(again, 0, 200)
    ]


def test_journal_in_memory_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest labels stay for overturning; a revision of one that is gone is late, not lost."""
    assert JOURNAL_LABELS_MAX == 10_000
    monkeypatch.setattr("stream_al.learner.JOURNAL_LABELS_MAX", 100)
    learner = ActiveLearner(_config(model={"preset": "river"}))
    for number in range(300):
        event = Event(event_id=f"n-{number}", features={"n": number % 7})
        learner.score(event, now_ms=number)
        learner.label(_label(event.event_id, "ab"[number % 2]), now_ms=number)

    assert len(learner._labels) == 100
    assert learner.engine.model.learnt_count == 300
    newest = learner.label(_label("n-299", "a", revision=1), now_ms=400)
    oldest = learner.label(_label("n-0", "b", revision=1), now_ms=400)
    assert newest.outcome == "applied"
    assert oldest.outcome == "late"
    assert learner.engine.model.learnt_count == 301


OWN = {
    "events": {"event_id": "post.id", "at_ms": "post.at", "features": {"text": "post.body"}},
    "labels": {"event_id": "task", "label": "choice", "annotator": "who"},
    "gate": {"budget": {"share": 1.0}},
}


def test_people_s_own_json_is_scored_and_labelled() -> None:
    """C10: by the mappings `events:` and `labels:`, as bytes or text; native without."""
    learner = ActiveLearner(Config.model_validate(OWN))

    decision = learner.score_json(
        b'{"post": {"id": 7, "at": "2026-11-30", "body": "hi"}}', now_ms=0
    )
    outcome = learner.label_json('{"task": 7, "choice": true, "who": 3}', now_ms=1)

    assert decision.prediction.at_ms == 1795996800000
    assert decision.query is not None
    assert decision.query.features == {"text": "hi"}
    assert (outcome.outcome, outcome.label, outcome.annotator) == ("applied", "true", "3")
    again = ActiveLearner.load(learner.dump())
    assert again.score_json('{"post": {"id": 8, "body": "é"}}', now_ms=2).prediction.label == "true"
    native = ActiveLearner(Config())
    assert native.score_json('{"event_id": 9, "features": {}}').prediction.event_id == "9"
    assert native.label_json(b'{"event_id": 9, "label": "x"}').outcome == "invalid"


@pytest.mark.parametrize(
    ("line", "error"),
    [(b"{", "BrokenJson"), ("\ud800", "BrokenJson"), ("{}", "MissingField"),
     ('{"post": {"id": 1, "body": 7}}', "WrongFeatureType")],
)  # fmt: skip
def test_json_that_can_not_be_read_changes_nothing(line: bytes | str, error: str) -> None:
    """C10: an `InvalidInput` with its class, as for events."""
    learner = ActiveLearner(Config.model_validate(OWN))
    learner.score_json('{"post": {"id": 0}}', now_ms=0)
    before = learner.engine.version, learner.pending_count

    with pytest.raises(InvalidInput) as caught:
        learner.score_json(line, now_ms=0)

    assert caught.value.error == error
    assert (learner.engine.version, learner.pending_count) == before
    assert learner.score_json('{"post": {"id": 1}}', now_ms=0).prediction.source.offset == 1
    with pytest.raises(InvalidInput):
        learner.label_json(line if line != '{"post": {"id": 1, "body": 7}}' else "[]")
