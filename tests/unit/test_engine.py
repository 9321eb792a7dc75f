"""The engine across lineages, settings and votes: what a fold must keep, forget and charge."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_al import ActiveLearner, Config, ConfigurationError, Decision, Engine, Event, Label
from stream_al.engine.decision import prediction_fields
from stream_al.gate import Choice
from stream_al.messages import (
    ControlEntry,
    ControlProposal,
    ModelEntry,
    NumberStatistics,
    ShadowPrediction,
    Source,
    StatisticsEntry,
    VoteEntry,
    read_journal_record,
)

SECRET = b"a secret of the tests"


def model_entry(preset: str = "linear") -> ModelEntry:
    return ModelEntry(
        at_ms=0,
        model_id="m",
        config_hash=Config().model_hash(),
        preset=preset,
        actor="test",
        reason="test",
    )


def statistics() -> StatisticsEntry:
    knots = tuple(float(value) for value in range(8))
    numbers = {"n": NumberStatistics(mean=3.5, sd=2.0, knots=knots)}
    return StatisticsEntry(at_ms=0, event_count=200, numbers=numbers, send_every=50)


def test_a_new_lineage_keeps_the_statistics_of_the_numbers() -> None:
    """They are of events, not of labels: without them the new model would be blind to numbers."""
    engine = Engine(Config(), secret=SECRET)
    for position, entry in enumerate([model_entry(), statistics(), model_entry()]):
        engine.apply(entry, position)
    for turn in range(40):
        label = "high" if turn % 2 else "low"
        engine.model.learn({"n": 7.0 if turn % 2 else 0.0}, label)

    assert engine.model.predict({"n": 7.0})["high"] > 0.7
    assert engine.model.predict({"n": 0.0})["low"] > 0.7
    engine.open_partition(0)
    again = Engine.load(engine.dump())
    assert again.model.predict({"n": 7.0}) == engine.model.predict({"n": 7.0})
    again.apply(model_entry(), again.version)
    assert again.model.digest() == Engine.load(again.dump()).model.digest()


def test_a_control_that_can_not_be_applied_is_skipped() -> None:
    """A newer version may have let it pass; every reader skips it alike."""
    engine = Engine(Config(), secret=SECRET)
    before = engine.settings
    patch = {"gate": {"setting_of_next_year": 1}}
    engine.apply(ControlEntry(at_ms=0, actor="a", reason="", patch=patch), 0)

    assert engine.settings == before
    assert engine.version == 1


def test_an_unknown_kind_of_record_stops_the_reader_with_a_sentence() -> None:
    """Skipping a lesson would make it another model."""
    with pytest.raises(ConfigurationError, match="upgrade this worker"):
        read_journal_record(b'{"kind": "merge", "at_ms": 0}')


def raised(position_of_query: int) -> VoteEntry:
    return VoteEntry(
        at_ms=0,
        event_id="e",
        vote_kind="label",
        annotator="a",
        revision=0,
        label="ok",
        query=Source(partition=0, offset=position_of_query),
        votes_wanted=2,
    )


def hourly() -> Engine:
    config = Config.model_validate(
        {"topics": {"partitions": 1}, "gate": {"budget": {"share": 1.0, "per_hour": 100}}}
    )
    engine = Engine(config, secret=SECRET)
    engine.apply(model_entry(), 0)
    return engine


def credit(engine: Engine) -> float:
    engine.score(Event(event_id="x", features={"n": 1.0}), partition=0, offset=9, at_ms=10**6)
    return engine.gates[0].credit_labels


def test_a_raised_vote_is_charged_once_however_the_worker_restarts() -> None:
    """Before the partition is opened, after it, or already in the state that was committed."""
    steady = hourly()
    steady.open_partition(0)
    credit(steady)
    before = steady.pack_partition(0)
    steady.apply(raised(0), 1)
    packed_after = steady.pack_partition(0)
    expected = credit(steady)

    missed = hourly()
    missed.apply(raised(0), 1)
    missed.open_partition(0, before)
    contained = hourly()
    contained.apply(raised(0), 1)
    contained.open_partition(0, packed_after)
    refolded = hourly()
    refolded.open_partition(0, packed_after)
    refolded.apply(raised(0), 1)

    assert [credit(engine) for engine in (missed, contained, refolded)] == [expected] * 3


def test_a_lesson_does_not_depend_on_settings_that_may_change() -> None:
    """What is journaled was guarded already; a lower bound later must not unlearn it."""
    narrow = Config.model_validate({"events": {"features_max": 1}})
    engine = Engine(narrow, secret=SECRET)

    assert engine.model.learn({"a": "x", "b": "y"}, "ok")
    assert engine.model.failed_count == 0


def test_topics_must_differ() -> None:
    """Predictions that flow back as events would never end."""
    with pytest.raises(ConfigurationError, match="named more than once"):
        Config.model_validate({"topics": {"events": "x", "predictions": "x"}})


def test_seeds_teach_a_new_lineage_again() -> None:
    """Twice the same teaches once, but a new model has been taught nothing."""
    learner = ActiveLearner(Config())
    examples = [(Event(event_id="s1", features={"text": "free"}), "spam")]

    assert learner.seed(examples, now_ms=0) == 1
    assert learner.seed(examples, now_ms=0) == 0
    other = ControlProposal(
        kind="model", proposal_id="p", actor="a", config_hash=Config().model_hash(), preset="linear"
    )
    learner._fold(learner._resolver.on_control(other, now_ms=0).records)
    assert learner.engine.model.classes == ()
    assert learner.seed(examples, now_ms=0) == 1


def test_labels_have_bounds() -> None:
    """They stay in the journal for ever."""
    with pytest.raises(ValueError, match="at most 512"):
        Label(event_id="e", label="x" * 513, annotator="a")


@given(
    text=st.text(st.characters(codec="utf-8")),
    shares=st.tuples(*[st.floats(0.0, 1.0)] * 4),
    whole=st.integers(0, 2**53),
    mode=st.sampled_from(["normal", "paused", "shadow", "frozen"]),
)
def test_a_prediction_is_written_as_its_message_is(
    text: str, shares: tuple[float, float, float, float], whole: int, mode: Any
) -> None:
    """Two encoders, the same bytes: who reads predictions back compares them."""
    probability, uncertainty, propensity, rate = shares
    fields = prediction_fields(
        Event(event_id=text or "e", features={}, segment=text),
        {"partition": whole, "offset": whole},
        whole,
        {text: probability, "other": 1.0 - probability},
        uncertainty,
        Choice(asked=True, propensity=propensity, rate=rate, floor=False),
        rate,
        mode,
        "uncertain",
        whole,
    )

    decision = Decision(fields, None)

    assert decision.wire() == decision.prediction.to_wire()
    assert (mode == "shadow") == isinstance(decision.prediction, ShadowPrediction)
