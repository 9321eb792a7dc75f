"""A position is believed when all below it is answered, and nothing above it."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections.abc import Iterator
from unittest.mock import Mock

import pytest

from stream_al.config import Config
from stream_al.errors import Gone
from stream_al.messages import Start
from stream_al.port import Outgoing, Position
from stream_al.service.answered import LOADED_S, Input, judged, true_position
from stream_al.service.answers import last_record
from stream_al.service.inputs import events_input, labels_input
from stream_al_connectors.memory import MemoryLog
from tests.simulation.clocks import VirtualClock, WorkerClock

CONFIG = Config.model_validate({"app": "t"})
EVENTS, PREDICTIONS, LETTERS = "t.events", "t.predictions", "t.dead-letters"
OURS = "g1:1,0:"
TOPICS = {EVENTS: 1, PREDICTIONS: 1, LETTERS: 1, "t.labels": 1, "t.outcomes": 1, "t.journal": 1}


def _clock() -> WorkerClock:
    """Return a clock that goes on only where somebody waits."""
    return WorkerClock(VirtualClock(), look_s=0.0)


@pytest.fixture
def log() -> Iterator[MemoryLog]:
    made = MemoryLog(topics=TOPICS)
    _events(made, *range(10))
    yield made
    made.close()


def _events(log: MemoryLog, *numbers: int) -> None:
    for number in numbers:
        log.append(EVENTS, [Outgoing(b'{"event_id": "e-%d"}' % number, partition=0)])


def _predict(log: MemoryLog, *offsets: int) -> None:
    for offset in offsets:
        body = {"event_id": f"e-{offset}", "source": {"partition": 0, "offset": offset}}
        log.append(PREDICTIONS, [Outgoing(json.dumps(body).encode(), partition=0)])


def _set_aside(log: MemoryLog, *offsets: int, topic: str = EVENTS) -> None:
    for offset in offsets:
        body = {
            "raw_base64": b64encode(b'{"event_id": "e-%d"}' % offset).decode(),
            "topic": topic,
            "partition": 0,
            "offset": offset,
            "error": "BrokenJson",
            "message": "",
        }
        log.append(LETTERS, [Outgoing(json.dumps(body).encode(), partition=0)])


def _again(log: MemoryLog, topic: str) -> None:
    """Delete a topic and make it again."""
    stream = log._state.stream(topic, 0)
    stream.records.clear()
    stream.begin = stream.end = 0


def _drop(log: MemoryLog, topic: str) -> None:
    """Let retention drop all of a topic."""
    stream = log._state.stream(topic, 0)
    stream.records.clear()
    stream.begin = stream.end


def _told(log: MemoryLog, monkeypatch: pytest.MonkeyPatch, *told: Position | None) -> None:
    """Let the log tell one position after the other, and the last one for ever."""
    left = list(told)
    monkeypatch.setattr(log, "committed", lambda *_: left.pop(0) if len(left) > 1 else left[0])


def _events_of(start: Start | None = None) -> Input:
    return events_input(CONFIG, 0, start or Start())


@pytest.mark.parametrize("true", [None, Position(0), Position(4, OURS)])
def test_a_position_above_all_predictions_is_true(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch, true: Position | None
) -> None:
    if true == Position(4, OURS):
        _predict(log, 0, 1, 2, 3)
    _told(log, monkeypatch, true)
    clock = _clock()

    found = true_position(log, _events_of(), clock=clock)

    assert (found, clock.monotonic_s()) == (true or Position(0), 0.0)


def test_a_position_told_before_it_was_loaded_is_asked_for_again(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    _predict(log, 2, 3)
    _told(log, monkeypatch, None, Position(2, OURS), Position(3, OURS), Position(4, OURS))

    found = true_position(log, _events_of(), clock=_clock())

    assert found == Position(4, OURS)


@pytest.mark.parametrize("told", [None, Position(3, OURS)])
def test_a_position_that_stays_below_is_refused_with_both_offsets(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch, told: Position | None
) -> None:
    _predict(log, 2, 3)
    _told(log, monkeypatch, told)
    clock = _clock()

    with pytest.raises(Gone, match=r"answered up to offset 3 .* is [03]: .* goes on at 4"):
        true_position(log, _events_of(), clock=clock)

    assert LOADED_S < clock.monotonic_s() < LOADED_S + 1


def test_a_process_that_was_stopped_at_its_question_asks_again(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another owner answered meanwhile: that is no position that was set back."""
    _predict(log, 0, 1)
    world = VirtualClock()
    told = [Position(2, OURS), Position(4, OURS)]

    def committed(*_: object) -> Position:
        if len(told) == 2:
            _predict(log, 2, 3)
            world.advance(60_000)
        return told.pop(0)

    monkeypatch.setattr(log, "committed", committed)
    clock = WorkerClock(world, look_s=0.0)

    found = true_position(log, _events_of(), clock=clock)

    assert found == Position(4, OURS)


def test_another_owner_that_goes_on_and_on_does_not_keep_a_stopped_one_for_ever(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = 0

    def committed(*_: object) -> Position:
        nonlocal done
        _events(log, 10 + done)
        _predict(log, done)  # behind the position that is told
        done += 1
        return Position(done - 1, OURS)

    monkeypatch.setattr(log, "committed", committed)
    clock = _clock()

    found = true_position(log, _events_of(), clock=clock)

    assert found == Position(done - 1, OURS)
    assert LOADED_S < clock.monotonic_s() < LOADED_S + 1


@pytest.mark.parametrize("value", [b"", b"x", b"{}", b"[]", b'{"source": 1}', b"[1]"])
def test_a_record_of_somebody_else_says_nothing(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch, value: bytes
) -> None:
    log.append(PREDICTIONS, [Outgoing(value, partition=0)])
    _told(log, monkeypatch, None)

    found = true_position(log, _events_of(), clock=_clock())

    assert found == Position(0)


@pytest.mark.parametrize("empty", [0, 1, 7, 8, 9, 500])
def test_the_last_record_is_found_behind_empty_offsets(log: MemoryLog, empty: int) -> None:
    _predict(log, 1, 2)
    log._state.burn((PREDICTIONS, 0), empty)

    found = last_record(log, PREDICTIONS, 0)

    assert found is not None
    assert found.offset == 1


def test_retention_while_looking_is_met_by_another_look(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    _predict(log, 1)
    told = [Gone("dropped"), log.read(PREDICTIONS, 0, 0, limit=1)]
    monkeypatch.setattr(log, "read", Mock(side_effect=told))

    found = last_record(log, PREDICTIONS, 0)

    assert found is not None
    assert found.offset == 0


# ---------------------------------------------------------------------- set forward


@pytest.mark.parametrize("metadata", ["", OURS, "a1:7,1,0,9,0", "spark"])
def test_a_record_that_was_skipped_is_named_with_both_offsets(
    log: MemoryLog, metadata: str
) -> None:
    """A2: `--to-latest`, or another program that reads with the group's name."""
    _predict(log, 0, 1, 2)

    wrong = judged(log, _events_of(), Position(7, metadata))

    assert wrong is not None
    assert "up to offset 2" in wrong.sentence
    assert "is 7: the records from 3 on have no answer" in wrong.sentence
    assert (wrong.offset, wrong.anew) == (3, False)


def test_a_record_below_the_position_with_a_dead_letter_is_answered(log: MemoryLog) -> None:
    """A2: the last of them decides, whatever labels have set aside behind it."""
    _predict(log, 0, 1, 2)
    _set_aside(log, 3, 4)
    _set_aside(log, *range(600), topic="t.labels")

    assert judged(log, _events_of(), Position(5, OURS)) is None
    wrong = judged(log, _events_of(), Position(6, OURS))

    assert wrong is not None
    assert wrong.offset == 5


def test_a_position_below_a_dead_letter_is_set_back(log: MemoryLog) -> None:
    """A2: what was set aside is answered, and no prediction shows it."""
    _predict(log, 0, 1)
    _set_aside(log, 2, 3)

    wrong = judged(log, _events_of(), Position(2, OURS))

    assert wrong is not None
    assert wrong.offset == 4


def test_offsets_without_records_below_the_position_need_no_answer(log: MemoryLog) -> None:
    """A2: markers of a producer's transactions, and what was compacted away."""
    _predict(log, *range(10))
    log._state.burn((EVENTS, 0), 5)

    assert judged(log, _events_of(), Position(15, OURS)) is None


def test_answers_that_retention_dropped_prove_nothing(log: MemoryLog) -> None:
    """A2: predictions, or the dead letters that were the last answers."""
    _predict(log, *range(6))
    _drop(log, PREDICTIONS)
    assert judged(log, _events_of(), Position(6)) is None
    assert judged(log, _events_of(), Position(9, OURS)) is None

    _predict(log, 6)
    _set_aside(log, 7, 8)
    _drop(log, LETTERS)
    assert judged(log, _events_of(), Position(9, OURS)) is None


def test_a_position_without_state_beside_it_is_refused_where_answers_are(log: MemoryLog) -> None:
    """A2: nothing was skipped, but the gate is lost."""
    _predict(log, *range(4))

    wrong = judged(log, _events_of(), Position(4, ""))

    assert wrong is not None
    assert "position 4" in wrong.sentence
    assert "not committed by a worker" in wrong.sentence
    assert wrong.offset == 4


def test_records_skipped_before_the_first_answer_are_named(log: MemoryLog) -> None:
    """A2: another program read the topic before the first worker."""
    wrong = judged(log, _events_of(), Position(7, ""))

    assert wrong is not None
    assert "is 7: it was set" in wrong.sentence
    assert wrong.offset == 0


def test_a_recorded_start_proves_nothing(log: MemoryLog) -> None:
    """A2: `run --from latest` skips on purpose."""
    start = Start(7, {"predictions": 0})

    assert judged(log, _events_of(start), Position(7, OURS)) is None
    assert true_position(log, _events_of(start), clock=_clock()) == Position(7)
    wrong = judged(log, _events_of(start), Position(9, ""))
    assert wrong is not None
    assert wrong.offset == 7


def test_labels_of_an_older_version_have_nothing_beside_their_position(log: MemoryLog) -> None:
    """A2: and where the journal's position has, they must."""
    log.append("t.labels", [Outgoing(b'{"event_id": "e-0"}', partition=0)])
    body = {"event_id": "e-0", "source": {"partition": 0, "offset": 0}}
    log.append("t.outcomes", [Outgoing(json.dumps(body).encode(), partition=0)])

    assert judged(log, labels_input(log, CONFIG, 0), Position(1)) is None
    member = log.join("t.resolver", "t.journal", name="r")
    member.poll(limit=1, timeout_s=0)
    with member.transaction() as transaction:
        transaction.commit_position("t.journal", 0, Position(0, "r1"))

    wrong = judged(log, labels_input(log, CONFIG, 0), Position(1))
    assert wrong is not None
    assert wrong.offset == 1
    assert judged(log, labels_input(log, CONFIG, 0), Position(1, "r1")) is None


# ---------------------------------------------------------------------- topics made again


@pytest.mark.parametrize("told", [None, Position(0), Position(8, "")])
@pytest.mark.parametrize("count", [3, 6, 13])
def test_another_record_where_an_answer_was_is_another_topic(
    log: MemoryLog, told: Position | None, count: int
) -> None:
    """A3: whatever its length, all of it is read."""
    _predict(log, *range(6))
    _again(log, EVENTS)
    _events(log, *range(100, 100 + count))

    wrong = judged(log, _events_of(), told)

    assert wrong is not None
    assert "deleted and made again" in wrong.sentence
    assert (wrong.offset, wrong.anew) == (0, True)


def test_a_topic_made_again_with_the_same_records_is_answered_so_far(log: MemoryLog) -> None:
    """A3: what was sent again has its predictions."""
    _predict(log, *range(6))
    _again(log, EVENTS)
    _events(log, *range(9))

    wrong = judged(log, _events_of(), None)

    assert wrong is not None
    assert (wrong.offset, wrong.anew) == (6, False)


def test_a_position_above_the_end_of_another_topic_reads_all_of_it(log: MemoryLog) -> None:
    """A3: brokers that keep the position of a deleted topic."""
    _predict(log, *range(10))
    _again(log, EVENTS)
    _events(log, *range(100, 104))

    wrong = judged(log, _events_of(), Position(10, OURS))

    assert wrong is not None
    assert (wrong.offset, wrong.anew) == (0, True)


def test_the_last_answer_may_be_a_dead_letter(log: MemoryLog) -> None:
    """A3: its raw bytes tell whether the record is the same."""
    _set_aside(log, 0, 1)

    same = judged(log, _events_of(), None)
    _again(log, EVENTS)
    _events(log, 50, 51, 52)
    other = judged(log, _events_of(), None)

    assert same is not None
    assert other is not None
    assert (same.offset, same.anew, other.offset, other.anew) == (2, False, 0, True)


def test_answers_that_were_made_again_are_said_so(log: MemoryLog) -> None:
    """A3: the predictions topic is empty from its beginning, the position is a worker's."""
    wrong = judged(log, _events_of(), Position(8, OURS))

    assert wrong is not None
    assert f"'{PREDICTIONS}' has no answer" in wrong.sentence
    assert (wrong.offset, wrong.anew, wrong.keeps) == (8, True, True)


def test_a_topic_made_again_beyond_its_old_position_is_noticed(log: MemoryLog) -> None:
    """A3: what was answered last is not there, and what is there came after the answer."""
    _predict(log, *range(10))
    _again(log, EVENTS)
    time.sleep(0.01)
    _events(log, *range(100, 120))

    wrong = judged(log, events_input(CONFIG, 0, Start()), Position(10, OURS))

    assert wrong is not None
    assert (wrong.offset, wrong.anew) == (0, True)
    assert "deleted and made again" in wrong.sentence
