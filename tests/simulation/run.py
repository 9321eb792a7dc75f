"""`make sim`: many seeds, or every side effect of every scenario, and what was injected.

A seed that fails prints one command that repeats it, and the trace of the smallest scenario found
that fails alike.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.simulation.bugs import BUGS
from tests.simulation.draw import drawn, shrunk
from tests.simulation.every_effect import crashed_everywhere
from tests.simulation.scenario import Scenario, scenarios
from tests.simulation.slots import Result
from tests.simulation.world import World

CHUNK = 50
FAILURES_SHOWN = 3
EFFECTS_SHOWN = 10
TRACE_LINES = 40
COUNTED = {
    "crashes": ("crash_before", "crash_after", "tick_crash"),
    "unknown commits and other effects": ("unknown", "lost"),
    "zombies": ("stall", "tick_sleep"),
    "zombies fenced": ("zombies_fenced",),
    "rebalances": ("tick_guest", "tick_leave", "tick_sleep", "tick_crash"),
    "slow or failing polls": ("slow", "fails", "read_lost"),
    "transactions that did not count": ("rewound",),
    "snapshots written, spoilt": ("tick_snapshot", "tick_spoil"),
    "lineages by replay": ("replays",),
    "reordered polls": ("reordered",),
    "clock jumps": ("tick_clock",),
    "gaps in offsets": ("tick_gap", "control_gaps"),
    "journals without their beginning": ("prefixes_lost",),
    "events set aside": ("quarantined",),
    "events": ("events",),
    "labels": ("labels",),
}


@dataclass
class Found:
    """What a chunk of runs came to."""

    runs: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[str, str]] = field(default_factory=list)


def simulate(scenario: Scenario, *, log: str = "memory", bug: str | None = None) -> Result:
    """Run one scenario on a log of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) if log == "sqlite" else None
        return World(scenario, kind=log, folder=path, bug=BUGS[bug] if bug else None).run()


def chunk_of_seeds(seeds: range, log: str, bug: str | None) -> Found:
    """Run some seeds."""
    gc.disable()  # worlds are dropped one by one below
    found = Found()
    for seed in seeds:
        result = simulate(drawn(seed), log=log, bug=bug)
        found.runs += 1
        found.counts.update(result.counts)
        if result.violation is not None:
            found.failures.append((str(seed), result.violation))
    gc.enable()
    gc.collect()
    return found


def chunk_of_effects(name: str, start: int, step: int, log: str) -> Found:
    """Crash at some of the side effects of a scenario."""
    found = Found()
    for where, result in crashed_everywhere(scenarios()[name], start=start, step=step, log=log):
        found.runs += 1
        found.counts.update(result.counts)
        if result.violation is not None:
            found.failures.append((where, result.violation))
    return found


def explain(seed: int, log: str, bug: str | None) -> int:
    """Repeat a seed; print the smallest scenario that fails like it, and its trace."""
    scenario = drawn(seed)
    result = simulate(scenario, log=log, bug=bug)
    print(f"seed {seed}, scenario {scenario.name}: {result.violation or 'no violation'}")
    if result.violation is None:
        return 0
    kind = result.violation.split(":")[:2]

    def fails(candidate: Scenario) -> bool:
        again = simulate(candidate, log=log, bug=bug).violation
        return again is not None and again.split(":")[:2] == kind

    small = shrunk(scenario, fails)
    result = simulate(small, log=log, bug=bug)
    print(
        f"smallest: {small.events.model_dump(exclude_defaults=True)}, {len(small.workers)} workers"
    )
    for fault in small.fixed:
        print(f"  fault: {fault.model_dump(exclude_defaults=True)}")
    print(f"  {result.violation}")
    print(*result.trace[-TRACE_LINES:], sep="\n")
    return 1


def main() -> int:
    """Run what the arguments say; 1 when anything failed."""
    parser = argparse.ArgumentParser(prog="make sim", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--log", choices=("memory", "sqlite"), default="memory")
    parser.add_argument("--bug", choices=sorted(BUGS))
    parser.add_argument("--seed", type=int, help="repeat one seed, shrink it, print its trace")
    parser.add_argument("--no-effects", action="store_true", help="seeds only")
    said = parser.parse_args()
    if said.seed is not None:
        return explain(said.seed, said.log, said.bug)
    started_s = time.monotonic()
    total = Found()
    with ProcessPoolExecutor(said.jobs) as pool:
        waiting = [
            pool.submit(chunk_of_seeds, chunk, said.log, said.bug)
            for chunk in _chunks(said.start, said.seeds)
        ]
        for done in waiting:
            _add(total, done.result())
        seeds_s = time.monotonic() - started_s
        _report(total, seeds_s, said)
        if said.no_effects or said.bug:
            return bool(total.failures)
        effects = Found()
        for done in [
            pool.submit(chunk_of_effects, name, start, 8, said.log)
            for name in scenarios()
            for start in range(1, 9)
        ]:
            _add(effects, done.result())
    print(f"crash at every side effect, before and after: {effects.runs:,} runs")
    _failures(effects, "every effect of")
    return bool(total.failures or effects.failures)


def _chunks(start: int, count: int) -> Iterator[range]:
    for first in range(start, start + count, CHUNK):
        yield range(first, min(first + CHUNK, start + count))


def _add(total: Found, more: Found) -> None:
    total.runs += more.runs
    total.counts.update(more.counts)
    total.failures += more.failures


def _report(total: Found, seconds: float, said: argparse.Namespace) -> None:
    print(f"{total.runs:,} seeds in {seconds:.0f} s, {total.runs / seconds:.0f} seeds/s")
    for words, names in COUNTED.items():
        print(f"{sum(total.counts[name] for name in names):>12,} {words}")
    print(f"{len(total.failures):>12,} seeds with a violation")
    for seed, violation in total.failures[:FAILURES_SHOWN]:
        more = f" --log {said.log}" * (said.log != "memory") + f" --bug {said.bug}" * bool(said.bug)
        print(
            f"\nseed {seed}: {violation}\n  repeat: make sim ARGS='--seed {seed}{more}'", flush=True
        )
        if not said.bug:
            explain(int(seed), said.log, said.bug)


def _failures(found: Found, words: str) -> None:
    print(f"{len(found.failures):>12,} with a violation")
    for where, violation in found.failures[:EFFECTS_SHOWN]:
        print(f"  {words} {where}: {violation}")


if __name__ == "__main__":
    sys.exit(main())
