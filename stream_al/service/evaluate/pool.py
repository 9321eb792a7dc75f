"""Runs in parallel, in processes of their own: progress, a stop that is heard, no orphans.

A process is started afresh (`spawn`) with a fixed hash seed, so that River's trees are the same in
each. It ends itself when it is told to or its parent is gone, whatever it does: an executor that is
shut down while its processes start can wait for one of them for ever (CPython 3.11). A process that
dies by itself ends everything with a sentence: what one run takes, the next would take too.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from typing import Any

from stream_al.errors import Ambiguous, ConfigurationError, StreamAlError
from stream_al.importing import look_beside, looked_beside
from stream_al.service.evaluate.plan import Cell, Plan
from stream_al.service.evaluate.run import Ran, run_cell
from stream_al.service.strategies import load_plugins
from stream_al.testing import Example

SHOWN_EVERY_S = 0.1
LOOKED_EVERY_S = 0.1
HASH_SEED = "0"
_given: dict[str, Any] = {}
"""What the initializer gave to this process: plan, examples, events counted."""


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def run_all(
    plan: Plan, examples: Sequence[Example], jobs: int, show: Callable[[int], None]
) -> list[Ran]:
    """Run all cells of `plan`, in the plan's order.

    Parameters
    ----------
    show
        Called with the events done in all processes so far, about ten times a second.

    Raises
    ------
    Ambiguous
        When a process died: it was killed, or the memory is not enough.
    ConfigurationError
        When a run refused its model or its features.
    """
    os.environ["PYTHONHASHSEED"] = HASH_SEED
    context = get_context("spawn")
    done, stop = context.Value("Q", 0), context.Event()
    pool = ProcessPoolExecutor(
        jobs,
        mp_context=context,
        initializer=_begin,
        initargs=(plan, tuple(examples), done, stop, looked_beside()),
    )
    try:
        with _interrupts_held():
            futures = [pool.submit(_run, cell) for cell in plan.cells()]
        while _unfinished(futures):
            show(done.value)
        show(done.value)
        return [future.result() for future in futures]
    except BrokenProcessPool:
        raise Ambiguous(
            "a run's process died: it was killed, or there is not enough memory; nothing was "
            "written. Try --jobs 1, or fewer rows with --limit"
        ) from None
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Keep Ctrl-C waiting: processes started meanwhile never hear it, for it reaches all of us.

    Other threads hear it for this one, and its handler would break off a start half-way.
    """
    heard: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        signal.signal(signal.SIGINT, handler)
    if heard:
        signal.raise_signal(signal.SIGINT)


def _unfinished(futures: Sequence[Future[Ran]]) -> bool:
    """Wait a moment; return whether runs are left, and raise what one of them raised."""
    done, left = wait(futures, timeout=SHOWN_EVERY_S)
    for future in done:
        future.result()
    return bool(left)


def _begin(
    plan: Plan, examples: tuple[Example, ...], done: Any, stop: Any, beside: Path | None
) -> None:
    threading.Thread(target=_end_when_told, args=(stop,), daemon=True).start()
    look_beside(beside)
    load_plugins(plan.base)
    _given.update(plan=plan, examples=examples, done=done)


def _end_when_told(stop: Any) -> None:
    """End this process when it is told to, or when its parent is gone: a run holds nothing."""
    parent = parent_process()
    assert parent is not None
    while not (connection.wait([parent.sentinel], LOOKED_EVERY_S) or stop.is_set()):
        pass
    os._exit(0)


def _run(cell: Cell) -> Ran:
    done = _given["done"]

    def tell(events: int) -> None:
        with done.get_lock():
            done.value += events

    try:
        return run_cell(_given["plan"], cell, _given["examples"], tell)
    except StreamAlError as error:
        # Only this one of our errors comes through the pipe between processes as it is.
        raise ConfigurationError(f"{cell.arm} at {cell.share:.2%}: {error}") from None
