"""What a world holds: a place for each worker, the log as it sees it, and what a run came to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from unittest.mock import patch

from stream_al.service import follower as follower_module
from stream_al.service import resolver as resolver_module
from stream_al.service.worker import Worker
from stream_al_connectors.faults import FaultyLog, FaultyMember
from tests.simulation.clocks import WorkerClock
from tests.simulation.ending import Outputs
from tests.simulation.places import look_at_once

DIGEST_EVERY = 16

ENDING = (
    *("crash_before", "crash_after", "lost", "unknown", "stall", "fails", "read_lost"),
    *("tick_crash", "tick_sleep", "tick_leave"),
)
"""Faults that end a worker's life from outside."""


@dataclass(slots=True)
class Slot:
    """The place of one worker; its processes come and go."""

    number: int
    role: str
    life: int = 0
    worker: Worker | None = None
    log: FaultyLog | None = None
    clock: WorkerClock | None = None
    awake_at: int = 0
    lags_until: int = 0
    expelled: bool = False
    stepping: bool = False
    doomed: bool = False


@dataclass(slots=True)
class Result:
    """What a run came to."""

    violation: str | None = None
    trace: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    outputs: Outputs | None = None
    effect_count: int = 0
    poll_count: int = 0


class WatchedLog(FaultyLog):
    """A faulty log whose members look around at every poll."""

    def join(self, group: str, topic: str, *, name: str) -> FaultyMember:
        member = super().join(group, topic, name=name)
        look_at_once(self.members[-1])
        return member


@contextmanager
def simulated() -> Iterator[None]:
    """Take digests often, and say the same environment in every process."""
    with ExitStack() as stack:
        for module in (follower_module, resolver_module):
            stack.enter_context(patch.object(module, "environment", lambda: "simulated"))
        stack.enter_context(patch.object(follower_module, "DIGEST_EVERY", DIGEST_EVERY))
        yield
