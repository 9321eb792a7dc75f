"""What a snapshot holds: the engine's fold without partitions, the resolver's without queries."""

from __future__ import annotations

import pickle

import pytest

from stream_al.config import Config
from stream_al.engine import Engine
from stream_al.errors import ConfigurationError
from stream_al.messages import Event, ModelEntry, Source, VoteEntry
from tests.unit.labels_desk import Desk

CONFIG = Config.model_validate(
    {"topics": {"partitions": 1}, "gate": {"budget": {"share": 1.0, "per_hour": 100}}}
)


def engine_of(config: Config = CONFIG) -> Engine:
    engine = Engine(config, secret=b"s" * 16)
    body = {"at_ms": 0, "model_id": "m", "config_hash": config.model_hash(), "preset": "linear"}
    engine.apply(ModelEntry.model_validate(body | {"actor": "ops", "reason": ""}), 0)
    return engine


def raised() -> VoteEntry:
    return VoteEntry(
        at_ms=0,
        event_id="e",
        vote_kind="label",
        annotator="a",
        revision=0,
        label="ok",
        query=Source(partition=0, offset=0),
        votes_wanted=2,
    )


def credit(engine: Engine) -> float:
    engine.score(Event(event_id="x", features={"n": 1.0}), partition=0, offset=9, at_ms=10**6)
    return engine.gates[0].credit_labels


def loaded(engine: Engine) -> Engine:
    again = Engine(engine.config, secret=b"s" * 16)
    again.load_journal(engine.dump_journal())
    return again


def test_votes_raised_before_the_snapshot_are_charged_once() -> None:
    """To a partition that is opened after the load, whether or not its state had seen them."""
    steady = engine_of()
    steady.open_partition(0)
    credit(steady)
    before = steady.pack_partition(0)
    steady.apply(raised(), 1)
    after = steady.pack_partition(0)
    again = Engine.load(steady.dump())
    expected = credit(steady)

    missed, contained = loaded(steady), loaded(steady)
    missed.open_partition(0, before)
    contained.open_partition(0, after)

    assert [credit(one) for one in (missed, contained, again)] == [expected] * 3


def test_the_secret_and_the_partitions_stay_out() -> None:
    """What lies in a folder for the next worker holds nothing of this one."""
    engine = engine_of()
    engine.open_partition(0)

    data = engine.dump_journal()

    assert b"s" * 16 not in data
    assert not loaded(engine).gates


def test_what_does_not_load_changes_nothing() -> None:
    """Of another model, or of another version: the engine can still fold from nothing."""
    other = Config.model_validate({"model": {"preset": "river"}})
    engine = Engine(CONFIG, secret=b"")
    parts = pickle.loads(engine_of().dump_journal())

    for data in (engine_of(other).dump_journal(), pickle.dumps(parts | {"format": 1})):
        with pytest.raises(ConfigurationError):
            engine.load_journal(data)
        assert (engine.version, engine.lineage, engine.model.learnt_count) == (0, None, 0)


def test_the_resolvers_fold_remembers_no_closed_query_below_the_committed_positions() -> None:
    """Moving the begin forward in steps gives what a fold from there on gives."""
    desk = Desk()
    for number in range(40):
        desk.ask(f"e-{number}")
        desk.say(f"e-{number}")
    committed = desk.resolver.queries_end[0]
    following, direct = desk.new_resolver(), desk.new_resolver()
    direct.begin_queries(0, committed)
    for count, (position, record) in enumerate(desk.journal.items()):
        following.apply(record, position)
        direct.apply(record, position)
        if count % 10 == 0:
            following.begin_queries(0, committed // 2)
    assert len(following._state.closed_ahead[0]) > 10

    following.begin_queries(0, committed)
    following.begin_queries(0, committed // 2)  # an older position changes nothing

    assert not following._state.closed_ahead.get(0)
    assert following.fingerprint() == direct.fingerprint()


def test_the_begin_of_queries_is_for_folds_without_queries() -> None:
    """A pending query must not be declared closed."""
    desk = Desk()
    desk.ask("e")

    with pytest.raises(AssertionError, match="what is pending is not closed"):
        desk.resolver.begin_queries(0, 10)
