"""A clock that disagrees with the log expires and drops nothing, on real loops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_al import ActiveLearner, Event, Label
from stream_al.config import Config
from stream_al.messages import ClosedEntry, ModelEntry
from stream_al.port import Outgoing, Position, Record
from stream_al.service.counters import Counters
from stream_al.service.resolver import ResolverLoop
from stream_al.service.view import journal, records
from stream_al_connectors import SqliteLog
from stream_al_connectors.opening import topics_of
from tests.unit.labels_desk import DAY_MS, START_MS, query

YEAR_MS = 365 * DAY_MS
HOUR_MS = 3_600_000
IN_1973_MS = 100_000_000_000


class HandClock:
    """Both clocks, set by hand; the log stamps its records by the same wall clock."""

    def __init__(self, wall_ms: int = START_MS) -> None:
        self.wall_ms = wall_ms
        self.passed_s = 0.0

    def now_ms(self) -> int:
        return self.wall_ms

    def monotonic_s(self) -> float:
        return self.passed_s

    def sleep(self, seconds: float) -> None:
        self.pass_s(seconds)

    def pass_s(self, seconds: float) -> None:
        """Let time pass, by both clocks."""
        self.passed_s += seconds
        self.wall_ms += int(seconds * 1_000)


class Place:
    """A deployment's file, the worker of the day, and what became of its records."""

    def __init__(self, path: Path, began_ms: int = START_MS) -> None:
        self.config = Config.model_validate({"topics": {"partitions": 1}})
        self.clock = HandClock(began_ms)
        self.log = SqliteLog(path, topics=topics_of(self.config), clock=self.clock.now_ms)
        self.asked = 0
        self.start()

    def start(self) -> None:
        """Begin the life of a worker."""
        self.counters = Counters()
        self.loop = ResolverLoop(
            self.log,
            self.config,
            name="0",
            counters=self.counters,
            clean=lambda features: features,
            clock=self.clock,
        )
        self.work()

    def restart(self, after_ms: int = 0) -> None:
        """End it, and begin another one later; the monotonic clock is another one too."""
        self.loop.leave()
        self.clock.wall_ms += after_ms
        self.clock.passed_s = 0.0
        self.start()

    def work(self) -> None:
        while self.loop.step(timeout_s=0.0):
            pass

    def live(self, seconds: int) -> None:
        """Let a worker run for some time: a look a minute, or an hour where it is long."""
        step_s = 60 if seconds <= 7_200 else 3_600
        for _ in range(0, seconds, step_s):
            self.clock.pass_s(step_s)
            self.work()

    def send(self, count: int, *, events_ms: int | None = None) -> None:
        """Put events in, and what a scorer makes of them; all are asked about.

        `events_ms` is their record time where another machine gives it.
        """
        asked_ms = self.clock.wall_ms if events_ms is None else events_ms
        for _ in range(count):
            self.log.append(self.config.topic("events"), [Outgoing(b"{}", partition=0)])
            asked = query(f"e-{self.asked}", self.asked, asked_at_ms=asked_ms)
            self.log.append(self.config.topic("predictions"), [Outgoing(b"{}", partition=0)])
            self.log.append(self.config.topic("queries"), [Outgoing(asked.to_wire(), partition=0)])
            self.asked += 1
        member = self.log.join(f"{self.config.app}.scorer", self.config.topic("events"), name="s")
        member.poll(limit=1, timeout_s=0)
        with member.transaction() as transaction:
            transaction.commit_position(self.config.topic("events"), 0, Position(self.asked))
        member.leave()
        self.work()

    def closed(self) -> Counter[str]:
        found = [entry for _, entry in journal(self.log, self.config)]
        return Counter(entry.reason for entry in found if isinstance(entry, ClosedEntry))

    def left(self, topic: str) -> list[Record]:
        return list(records(self.log, self.config.topic(topic), 0, 0))

    def assert_whole(self) -> None:
        assert not self.closed()
        kept = {topic: len(self.left(topic)) for topic in ("events", "predictions", "queries")}
        assert kept == dict.fromkeys(kept, self.asked)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path / "m.db")
    yield made
    made.loop.leave()
    made.log.close()


@pytest.mark.parametrize("ahead_ms", [YEAR_MS, 31 * DAY_MS, 8 * DAY_MS], ids=["1y", "31d", "8d"])
def test_a_clock_that_is_ahead_for_a_while_takes_nothing(place: Place, ahead_ms: int) -> None:
    """A6: a year for 75 s; what is written in it by the same clock is no proof that it is right."""
    place.send(10)
    place.clock.wall_ms += ahead_ms
    place.send(10)
    place.live(120)
    place.assert_whole()
    assert place.counters.clock_disagreements == 1

    place.restart()
    place.live(120)
    place.assert_whole()
    assert place.counters.clock_disagreements == 1

    place.clock.wall_ms -= ahead_ms
    place.live(120)
    place.assert_whole()
    place.restart()
    place.live(7_200)
    place.assert_whole()
    assert place.counters.clock_disagreements == 0


@pytest.mark.parametrize("restarts", [True, False], ids=["restarts", "runs on"])
@pytest.mark.parametrize("events_ms", [IN_1973_MS, START_MS], ids=["all", "worker"])
def test_a_first_start_in_1973_expires_nothing_of_what_comes_later(
    tmp_path: Path, *, restarts: bool, events_ms: int
) -> None:
    """A6: the journal's first record is of 1973, as are the times of the first queries."""
    place = Place(tmp_path / "m.db", IN_1973_MS)
    place.send(5, events_ms=events_ms)
    place.clock.wall_ms = START_MS
    if restarts:
        place.restart()
    place.send(5)
    place.live(1_800)
    place.assert_whole()

    place.live(3_600)
    early = 0 if events_ms == START_MS else 5
    assert place.closed() == ({"expired": early} if early else {})
    place.live(4 * 86_400)
    assert place.loop.active is not None
    assert all(place.loop.active.open_query(f"e-{n}") for n in range(5, 10))
    place.live(4 * 86_400)
    assert place.closed() == {"expired": 10}
    place.loop.leave()
    place.log.close()


def test_a_clock_that_went_back_for_a_while_forgets_nothing_when_it_returns(place: Place) -> None:
    """A6: what was closed in "1973" is not older than `revise_within` a minute later."""
    place.send(1)
    place.clock.wall_ms = IN_1973_MS
    topic = place.config.topic("labels")
    first = Label(event_id="e-0", label="spam", annotator="ann")
    place.log.append(topic, [Outgoing(first.to_wire(), partition=0)])
    place.live(120)
    place.clock.wall_ms = START_MS + 300_000
    again = first.model_copy(update={"label": "ok", "revision": 1})
    place.send(1)
    place.log.append(topic, [Outgoing(again.to_wire(), partition=0)])
    place.live(60)

    told = [record.value for record in place.left("outcomes")]
    assert [b'"outcome":"applied"' in value for value in told] == [True, True]


def test_a_deployment_that_was_off_for_a_week_waits_an_hour(place: Place) -> None:
    """A6: its queries expire after an hour by the monotonic clock, and not before."""
    place.send(3)
    place.restart(8 * DAY_MS)
    place.live(3_500)
    place.assert_whole()
    place.live(200)

    assert place.closed() == {"expired": 3}
    assert place.counters.clock_disagreements == 1


def test_a_quiet_weekend_with_a_worker_is_no_disagreement(place: Place) -> None:
    """A6: time that passed by the monotonic clock too is believed, records or none."""
    place.send(3)
    place.live(8 * 86_400)

    assert place.closed() == {"expired": 3}
    assert place.counters.clock_disagreements == 0


@pytest.mark.parametrize(("every_hours", "doubts"), [(6, 0), (30, 1)])
def test_events_prove_that_time_passed_while_the_journal_was_quiet(
    place: Place, every_hours: int, doubts: int
) -> None:
    """A6: a worker that starts again after a week without labels sees a week of events."""
    place.send(3)
    for _ in range(8 * 24 // every_hours):
        place.clock.wall_ms += every_hours * HOUR_MS
        place.log.append(place.config.topic("events"), [Outgoing(b"{}", partition=0)])
    place.restart()
    place.live(120)

    assert place.closed() == ({} if doubts else {"expired": 3})
    assert place.counters.clock_disagreements == doubts


def test_a_first_record_of_2100_keeps_no_query_for_ever(tmp_path: Path) -> None:
    """A6: the first start was in the future: what comes after it was put right expires."""
    place = Place(tmp_path / "m.db", START_MS + 74 * YEAR_MS)
    place.clock.wall_ms = START_MS
    place.restart()
    place.live(3_660)
    assert isinstance(next(journal(place.log, place.config))[1], ModelEntry)
    place.send(3)
    place.restart()
    place.live(8 * 86_400)

    assert place.closed() == {"expired": 3}
    place.loop.leave()
    place.log.close()


@pytest.mark.parametrize("wild_ms", [YEAR_MS, 74 * YEAR_MS, -40 * YEAR_MS])
def test_records_of_a_wild_time_neither_go_early_nor_keep_others(
    place: Place, wild_ms: int
) -> None:
    """A6: one `send` from a machine with a wrong clock, between others."""
    topic = place.config.topic("predictions")
    for ahead_ms in (0, wild_ms, 0):
        place.clock.wall_ms += ahead_ms
        place.log.append(topic, [Outgoing(b"{}", partition=0)])
        place.clock.wall_ms -= ahead_ms
    keep = {topic: 30 * DAY_MS}
    now_ms = place.clock.wall_ms

    assert place.log.enforce_retention(keep, {}, now_ms=now_ms + 29 * DAY_MS) == 0
    assert place.log.enforce_retention(keep, {}, now_ms=now_ms + 31 * DAY_MS) == 3


def test_a_learner_in_memory_believes_no_jump_of_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A6: where the caller gives no time, its clocks are judged as a worker's are."""
    clock = HandClock()
    monkeypatch.setattr("stream_al.learner.time.time_ns", lambda: clock.wall_ms * 1_000_000)
    monkeypatch.setattr("stream_al.learner.time.monotonic", clock.monotonic_s)
    config = Config.model_validate({"gate": {"budget": {"share": 1.0}}})
    learner = ActiveLearner(config)
    learner.score(Event(event_id="a", features={"n": 1}))
    clock.wall_ms += YEAR_MS
    learner.score(Event(event_id="b", features={"n": 1}))
    assert learner.pending_count == 2

    learner = ActiveLearner.load(learner.dump())
    learner.score(Event(event_id="c", features={"n": 1}))
    assert learner.pending_count == 3
    clock.pass_s(3_700)
    learner.score(Event(event_id="d", features={"n": 1}))
    clock.wall_ms -= YEAR_MS
    learner.score(Event(event_id="e", features={"n": 1}))
    assert learner.pending_count == 2
