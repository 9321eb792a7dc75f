"""What every benchmark shares: a row of the table, and made-up input."""

from __future__ import annotations

import gc
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from stream_al.config import Config
from stream_al.engine import Engine
from stream_al.messages import SeedEntry

SECRET = b"benchmark secret"
WORDS = 25
REPEATS = 7
JOIN_MS = 10_000
"""How long a bare loop's first poll of kafka-python may take.

The group's answer is lost where it comes between two polls; the loop then spins and never reads.
"""


class NotMeasured(Exception):
    """Rows could not be measured; the sentence says what is missing. It counts as broken."""


@dataclass(frozen=True)
class Row:
    """One figure: what was measured, the ratio and its bound (at most, or at least)."""

    name: str
    value: float
    bound: float
    at_least: bool = False
    detail: str = ""

    @property
    def kept(self) -> bool:
        return self.value >= self.bound if self.at_least else self.value <= self.bound


def texts(count: int, seed: int = 1) -> list[str]:
    """Return messages of 25 words from a skewed vocabulary of 5,000, one word in fifty unseen."""
    rng = Random(seed)
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(rng.choices(alphabet, k=rng.randint(2, 9))) for _ in range(5_000)]
    weights = [1 / (rank + 5) for rank in range(len(words))]
    return [
        " ".join(
            word if rng.random() > 0.02 else "".join(rng.choices(alphabet, k=8))
            for word in rng.choices(words, weights, k=WORDS)
        )
        for _ in range(count)
    ]


def numbers(count: int, seed: int = 1) -> list[dict[str, float]]:
    rng = Random(seed)
    return [{f"n{i}": rng.gauss(0, 1) for i in range(20)} for _ in range(count)]


def taught(config: Config, features: list[dict], every: int = 10) -> Engine:
    """Return an engine with two classes, taught by every tenth example."""
    engine = Engine(config, secret=SECRET)
    engine.open_partition(0)
    for position, example in enumerate(features[::every]):
        label = "spam" if position % 2 else "ham"
        entry = SeedEntry(at_ms=0, event_id=str(position), label=label, features=example)
        engine.apply(entry, position)
    return engine


def resident() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1_024


def paired(first: Callable[[], object], second: Callable[[], object]) -> tuple[float, float]:
    """Return the median CPU seconds of both, run in turn so that the machine's moods hit both."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(REPEATS):
        for run, found in ((first, times[0]), (second, times[1])):
            gc.collect()
            gc.disable()
            started = time.process_time()
            run()
            found.append(time.process_time() - started)
            gc.enable()
    return statistics.median(times[0]), statistics.median(times[1])
