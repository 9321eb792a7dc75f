"""C10: any thread may call an `ActiveLearner`, and whatever breaks an operation off, it goes on."""

from __future__ import annotations

import asyncio
import copy
import os
import pickle
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import FrameType
from typing import Any

import pytest
from pydantic_core import PydanticSerializationError

from stream_al import ActiveLearner, Config, Event, Label, register_uncertainty
from stream_al.errors import ConfigurationError, InvalidInput

START_MS = 1_793_491_200_000
TEXTS = ("free money now", "see you at lunch")
THREADS = 8
EVERY = 37
"""Of so many lines one is a place to break off; with 1 the test takes minutes, and holds."""


def _config(**sections: Any) -> Config:
    gate = {"budget": {"share": 1.0}}
    return Config.model_validate({"gate": gate, "labels": {"classes": ["spam", "ham"]}} | sections)


def _event(number: int) -> Event:
    features = {"text": TEXTS[number % 2], "n": number % 7}
    return Event(event_id=f"e-{number}", features=features)


def _label(number: int, annotator: str = "ana") -> Label:
    return Label(event_id=f"e-{number}", label=("spam", "ham")[number % 2], annotator=annotator)


def _is_whole(learner: ActiveLearner) -> None:
    """Hold what is true between any two operations."""
    engine, resolver = learner._engine, learner._resolver
    gate = engine.gates[0]
    assert not resolver._unconfirmed
    assert resolver.position == engine.version
    assert gate.sent - engine.closed.get(0, 0) == resolver.pending_count
    assert list(gate._sorted) == sorted(gate._remembered)
    pending = resolver._state.pending
    assert len(pending) == pending.count(0) == len(list(pending))
    closed = resolver._state.closed
    assert sorted(name for name, _ in closed.items()) == sorted(closed._table)
    assert all(one.position >= 0 for _, one in closed.items() if one.state == "labelled")


@pytest.fixture
def switchy() -> Iterator[None]:
    """Let threads alternate as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_eight_threads_without_a_lock_learn(switchy: None) -> None:
    """C10: scoring, labelling, budgets, looks and dumps at once; every label is taken."""
    learner = ActiveLearner(_config())
    outcomes: Counter[str] = Counter()
    dumps: list[bytes] = []

    def work(thread: int) -> None:
        for step in range(60):
            number = step * THREADS + thread
            if learner.score(_event(number)).query is not None:
                outcomes[learner.label(_label(number)).outcome] += 1
            if step % 20 == thread:
                learner.set_budget(share=0.9 + thread / 100, actor="ops", reason="turn")
                learner.queries()
                assert learner.quality is not None
                assert learner.pending_count >= 0
                dumps.append(learner.dump())

    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(work, thread) for thread in range(THREADS)]:
            done.result()

    assert set(outcomes) == {"applied"}
    assert learner.engine.model.learnt_count == outcomes.total() > 300
    _is_whole(learner)
    for dumped in dumps:
        _is_whole(ActiveLearner.load(dumped))


def test_seeds_of_many_threads_are_all_taught(switchy: None) -> None:
    """C10: each example is an operation, so that a source may itself use the learner."""
    learner = ActiveLearner(_config())

    def source(thread: int) -> Iterator[tuple[Event, str]]:
        for step in range(20):
            number = 1_000 + step * THREADS + thread
            learner.score(_event(number))
            yield _event(number), "spam"

    with ThreadPoolExecutor(THREADS) as pool:
        taught = list(pool.map(lambda thread: learner.seed(source(thread)), range(THREADS)))

    assert taught == [20] * THREADS
    _is_whole(learner)


def test_a_turn_costs_less_than_a_microsecond() -> None:
    """C10: what the lock adds to an operation, in the best of several rounds."""

    def best(call: Callable[[], object]) -> float:
        rounds = []
        for _ in range(300):
            began = time.perf_counter()
            for _ in range(300):
                call()
            rounds.append((time.perf_counter() - began) / 300)
        return min(rounds)

    learner = ActiveLearner(_config())
    alone: Any = type(learner).pending_count.fget  # type: ignore[attr-defined]
    with_turn = best(lambda: alone(learner))
    without = best(lambda: alone.__wrapped__(learner))

    assert with_turn - without < 1e-6


class Cut(BaseException):
    """What breaks an operation off: no model and no guard takes it for an error of theirs."""


def _cut_at(line: int, act: Callable[[], object]) -> bool:
    """Run `act` and raise before its `line`-th line of this project; return whether it came."""
    left = line

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal left
        if "/stream_al/" not in frame.f_code.co_filename or "/turns.py" in frame.f_code.co_filename:
            return None if event == "call" else trace
        if event == "line":
            left -= 1
            if left == 0:
                raise Cut
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        act()
    except Cut:
        pass
    except PydanticSerializationError as error:
        if "Cut" not in str(error):  # pydantic makes an error of its own of it
            raise
    finally:
        sys.settrace(before)
    return left <= 0


ACTS: dict[str, Callable[[ActiveLearner], object]] = {
    "score": lambda it: it.score(_event(200), now_ms=START_MS + 200_000),
    "label": lambda it: it.label(_label(101), now_ms=START_MS + 200_000),
    "vote": lambda it: it.label(
        Label(event_id="e-102", kind="skip", annotator="bo"), now_ms=START_MS + 200_000
    ),
    "overturn": lambda it: it.label(
        Label(event_id="e-1", label="spam", annotator="ana", revision=1), now_ms=START_MS + 200_000
    ),
    "retract": lambda it: it.label(
        Label(event_id="e-2", kind="retract", annotator="ana", revision=1),
        now_ms=START_MS + 200_000,
    ),
    "budget": lambda it: it.set_budget(
        share=0.5, actor="ops", reason="night", now_ms=START_MS + 200_000
    ),
    "seed": lambda it: it.seed([(_event(900), "ham")], now_ms=START_MS + 200_000),
    "expiry": lambda it: it.label(_label(101), now_ms=START_MS + 9 * 86_400_000),
}


@pytest.fixture(scope="module")
def begun() -> bytes:
    """Return a learner that has labels, open queries and a full memory of uncertainties."""
    learner = ActiveLearner(_config())
    for number in range(120):
        learner.score(_event(number), now_ms=START_MS + number * 1_000)
        if number < 100:
            learner.label(_label(number), now_ms=START_MS + number * 1_000)
    return learner.dump()


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_broken_off_at_any_line_it_goes_on(act: Callable[[Any], object], begun: bytes) -> None:
    """C10: Ctrl-C anywhere in an operation, and the next label works, and the state is whole."""
    line, cut = 0, True
    while cut:
        line += EVERY
        learner = ActiveLearner.load(begun)
        cut = _cut_at(line, lambda it=learner: act(it))  # type: ignore[misc]
        now_ms = START_MS + (10 * 86_400_000 if act is ACTS["expiry"] else 201_000)
        decision = learner.score(_event(300), now_ms=now_ms)
        assert learner.label(_label(300), now_ms=now_ms).outcome == (
            "applied" if decision.query is not None else "unknown"
        ), line
        _is_whole(learner)
        again = ActiveLearner.load(learner.dump())
        _is_whole(again)
        assert again.score(_event(301), now_ms=now_ms) == learner.score(_event(301), now_ms=now_ms)
    assert line > 50


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # in a callback
def test_a_real_ctrl_c_is_survived() -> None:
    """C10: SIGINT at many moments of a busy loop; every label after it is taken."""
    learner = ActiveLearner(_config())
    armed = [False]

    def interrupt(*_: object) -> None:
        if armed[0]:
            armed[0] = False
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    number = 0
    try:
        for moment in range(30):
            timer = threading.Timer(0.001 + moment / 5_000, os.kill, (os.getpid(), signal.SIGINT))
            with suppress(KeyboardInterrupt, PydanticSerializationError):
                armed[0] = True
                timer.start()
                while armed[0]:
                    number += 1
                    if learner.score(_event(number)).query is not None:
                        learner.label(_label(number))
            timer.join()
            number += 1
            assert learner.score(_event(number)).query is not None
            assert learner.label(_label(number)).outcome == "applied"
            _is_whole(learner)
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_strategy_that_fails_or_calls_back_leaves_the_state_whole() -> None:
    """C10: its error is the caller's; a call from within is refused and does not wait for ever."""
    learners: list[ActiveLearner] = []
    doing: list[str] = ["fail"]

    def measure(probabilities: Any) -> float:
        if doing[0] == "fail":
            raise ZeroDivisionError("a strategy of the user's own")
        if doing[0] == "call":
            learners[0].queries()
        return 1.0 - max(probabilities.values(), default=0.0)

    register_uncertainty("of_test_turns", measure)
    gate = {"budget": {"share": 1.0}, "uncertainty": "of_test_turns"}
    learner = ActiveLearner(_config(gate=gate))
    learners.append(learner)
    learner.seed([(_event(1), "ham"), (_event(2), "spam")])

    with pytest.raises(ZeroDivisionError):
        learner.score(_event(3))
    doing[0] = "call"
    with pytest.raises(ConfigurationError, match=r"ActiveLearner\.queries is called from within"):
        learner.score(_event(4))
    doing[0] = "well"
    with pytest.raises(InvalidInput):
        learner.score(Event(event_id="e-5", features={"text": 7}))

    assert learner.score(_event(6)).query is not None
    assert learner.label(_label(6)).outcome == "applied"
    _is_whole(learner)


def test_it_is_used_from_asyncio() -> None:
    """C10: directly, and by threads so that no event waits for another's model."""
    learner = ActiveLearner(_config())

    async def one(number: int) -> str:
        decision = await asyncio.to_thread(learner.score, _event(number))
        assert decision.query is not None
        return learner.label(_label(number)).outcome

    async def all_of_them() -> list[str]:
        return await asyncio.gather(*map(one, range(100)))

    assert set(asyncio.run(all_of_them())) == {"applied"}
    _is_whole(learner)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # to fork beside threads is what is tried
def test_a_fork_in_the_middle_of_an_operation_does_not_hang_the_child() -> None:
    """C10: who held the lock is not in the child; its copy goes on by itself."""
    learner = ActiveLearner(_config())
    stop = threading.Event()

    def score_on() -> None:
        number = 10_000
        while not stop.is_set():
            number += 1
            learner.score(_event(number))

    thread = threading.Thread(target=score_on)
    thread.start()
    try:
        for number in range(20):
            child = os.fork()
            if child == 0:
                signal.alarm(10)
                took = learner.score(_event(number)).query is not None
                os._exit(0 if took and learner.label(_label(number)).outcome == "applied" else 1)
            _, status = os.waitpid(child, 0)
            assert os.waitstatus_to_exitcode(status) == 0
    finally:
        stop.set()
        thread.join()


def test_a_copy_is_another_learner(begun: bytes) -> None:
    """C10: by `copy` and by `pickle`, as before there was a lock."""
    learner = ActiveLearner.load(begun)
    for other in (copy.deepcopy(learner), pickle.loads(pickle.dumps(learner))):
        assert other.score(_event(400), now_ms=START_MS + 400_000).prediction.label is not None
        assert other.pending_count == learner.pending_count + 1
        _is_whole(other)
