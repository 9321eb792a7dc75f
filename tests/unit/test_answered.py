"""A position below what is predicted is not believed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from unittest.mock import Mock

import pytest

from stream_al.errors import Gone
from stream_al.port import Outgoing, Position
from stream_al.service.answered import LOADED_S, last_record, true_position
from stream_al_connectors.memory import MemoryLog
from tests.simulation.clocks import VirtualClock, WorkerClock


def _clock() -> WorkerClock:
    """Return a clock that goes on only where somebody waits."""
    return WorkerClock(VirtualClock(), look_s=0.0)


@pytest.fixture
def log() -> Iterator[MemoryLog]:
    made = MemoryLog(topics={"events": 1, "predictions": 1})
    made.append("events", [Outgoing(b"{}", partition=0)] * 10)
    yield made
    made.close()


def _predict(log: MemoryLog, *offsets: int) -> None:
    for offset in offsets:
        value = json.dumps({"source": {"partition": 0, "offset": offset}}).encode()
        log.append("predictions", [Outgoing(value, partition=0)])


def _told(log: MemoryLog, monkeypatch: pytest.MonkeyPatch, *told: Position | None) -> None:
    """Let the log tell one position after the other, and the last one for ever."""
    left = list(told)
    monkeypatch.setattr(log, "committed", lambda *_: left.pop(0) if len(left) > 1 else left[0])


@pytest.mark.parametrize("true", [None, Position(0), Position(4)])
def test_a_position_above_all_predictions_is_true(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch, true: Position | None
) -> None:
    if true == Position(4):
        _predict(log, 0, 1, 2, 3)
    _told(log, monkeypatch, true)
    clock = _clock()

    found = true_position(log, "g", ("events", 0), answers="predictions", clock=clock)

    assert (found, clock.monotonic_s()) == (true or Position(0), 0.0)


def test_a_position_told_before_it_was_loaded_is_asked_for_again(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    _predict(log, 2, 3)
    _told(log, monkeypatch, None, Position(2), Position(3), Position(4))

    found = true_position(log, "g", ("events", 0), answers="predictions", clock=_clock())

    assert found == Position(4)


@pytest.mark.parametrize("told", [None, Position(3)])
def test_a_position_that_stays_below_is_refused_with_both_offsets(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch, told: Position | None
) -> None:
    _predict(log, 2, 3)
    _told(log, monkeypatch, told)
    clock = _clock()

    with pytest.raises(Gone, match=r"answered up to offset 3 .* is [03]: .* set it to 4"):
        true_position(log, "g", ("events", 0), answers="predictions", clock=clock)

    assert LOADED_S < clock.monotonic_s() < LOADED_S + 1


def test_a_process_that_was_stopped_at_its_question_asks_again(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another owner answered meanwhile: that is no position that was set back."""
    _predict(log, 0, 1)
    world = VirtualClock()
    told = [Position(2), Position(4)]

    def committed(*_: object) -> Position:
        if len(told) == 2:
            _predict(log, 2, 3)
            world.advance(60_000)
        return told.pop(0)

    monkeypatch.setattr(log, "committed", committed)
    clock = WorkerClock(world, look_s=0.0)

    found = true_position(log, "g", ("events", 0), answers="predictions", clock=clock)

    assert found == Position(4)


def test_another_owner_that_goes_on_and_on_does_not_keep_a_stopped_one_for_ever(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = 0

    def committed(*_: object) -> Position:
        nonlocal done
        _predict(log, done)  # behind the position that is told
        done += 1
        return Position(done - 1)

    monkeypatch.setattr(log, "committed", committed)
    clock = _clock()

    found = true_position(log, "g", ("events", 0), answers="predictions", clock=clock)

    assert found == Position(done - 1)
    assert LOADED_S < clock.monotonic_s() < LOADED_S + 1


@pytest.mark.parametrize("value", [b"", b"x", b"{}", b"[]", b'{"source": 1}', b"[1]"])
def test_a_record_of_somebody_else_says_nothing(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch, value: bytes
) -> None:
    log.append("predictions", [Outgoing(value, partition=0)])
    _told(log, monkeypatch, None)

    found = true_position(log, "g", ("events", 0), answers="predictions", clock=_clock())

    assert found == Position(0)


@pytest.mark.parametrize("empty", [0, 1, 7, 8, 9, 500])
def test_the_last_record_is_found_behind_empty_offsets(log: MemoryLog, empty: int) -> None:
    _predict(log, 1, 2)
    log._state.burn(("predictions", 0), empty)

    found = last_record(log, "predictions", 0)

    assert found is not None
    assert found.offset == 1


def test_retention_while_looking_is_met_by_another_look(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    _predict(log, 1)
    told = [Gone("dropped"), log.read("predictions", 0, 0, limit=1)]
    monkeypatch.setattr(log, "read", Mock(side_effect=told))

    found = last_record(log, "predictions", 0)

    assert found is not None
    assert found.offset == 0
