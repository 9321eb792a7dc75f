"""Time in a simulation: one world, and each process as it looks at it."""

from __future__ import annotations

START_MS = 1_800_000_000_000


class VirtualClock:
    """Time that only the world moves."""

    def __init__(self) -> None:
        self.wall_ms = self.highest_ms = START_MS
        self.monotonic_s = 0.0

    def __call__(self) -> int:
        return self.wall_ms

    def jump(self, ms: int) -> None:
        self.highest_ms = max(self.highest_ms, self.wall_ms)
        self.wall_ms += ms

    def advance(self, ms: int) -> None:
        self.wall_ms += ms
        self.monotonic_s += ms / 1_000


class WorkerClock:
    """The time as one process sees it: each look costs `look_s`, so that its slices end."""

    def __init__(self, world: VirtualClock, look_s: float) -> None:
        self.look_s = look_s
        self._world = world
        self._spent_s = 0.0

    def now_ms(self) -> int:
        return self._world.wall_ms

    def monotonic_s(self) -> float:
        self._spent_s += self.look_s
        return self._world.monotonic_s + self._spent_s

    def sleep(self, seconds: float) -> None:
        self._spent_s += seconds
