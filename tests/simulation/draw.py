"""From a seed to a scenario with faults, and from a failing one to a small one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from tests.simulation.scenario import Fault, Scenario, scenarios

FAULTS_MAX = 7
RUNS_MAX = 300
_AT_EFFECT = (
    *("crash_before", "crash_after", "crash_after", "lost", "unknown", "unknown"),
    *("stall", "rewound", "rewound"),
)
_AT_POLL = ("slow", "slow", "fails", "read_lost", "reordered")
_AT_TICK = (
    *("crash", "sleep", "sleep", "lag", "lag", "guest", "guest", "clock", "gap", "leave"),
    *("snapshot", "snapshot", "spoil"),
)
_EFFECTS, _POLLS, _TICKS = 110, 190, 30
"""About how many there are in a run: what is drawn beyond never happens."""
_JUMPS_MS = (-3_600_000, -600_000, -1, 1, 59_000, 600_000, 3_600_000)


def drawn(seed: int) -> Scenario:
    """Return the scenario of a seed: one of the files, changed a little, with faults."""
    rng = Random(seed)
    base = rng.choice(list(scenarios().values()))
    events = base.events
    changes: dict[str, Any] = {
        "seed": seed,
        "events": events.model_copy(
            update={"good": rng.randint(events.good // 2, events.good), "burst": rng.randint(2, 8)}
        ),
        "fixed": (*base.fixed, *_faults(rng, base)),
        "control_records": base.control_records or rng.random() < 0.2,
        "slice_records": rng.choice((base.slice_records, 2, 5)),
    }
    if not base.operator and rng.random() < 0.5:
        changes["partitions"] = rng.randint(1, 3)
    if "resolver" not in base.workers and rng.random() < 0.5:
        changes["workers"] = (*base.workers, rng.choice(("all", "scorer")))
    return base.model_copy(update=changes)


def _faults(rng: Random, base: Scenario) -> Iterator[Fault]:
    for _ in range(rng.randint(0, FAULTS_MAX)):
        fault = _fault(rng, base)
        if fault.do == "lag":  # it matters when what another worker owned comes to the one behind
            more = {"do": rng.choice(("crash", "leave")), "worker": fault.worker + 1}
            yield fault.model_copy(update={"ticks": fault.ticks + 8})
            yield fault.model_copy(update=more | {"at": fault.at + rng.randint(2, 8)})
        else:
            yield fault


def _fault(rng: Random, base: Scenario) -> Fault:
    by = rng.choice(("effect", "effect", "effect", "tick", "tick", "poll"))
    if by == "effect":
        do = rng.choice(_AT_EFFECT)
        return Fault(by="effect", at=rng.randint(1, _EFFECTS), do=do)  # type: ignore[arg-type]
    if by == "poll":
        do = rng.choice(_AT_POLL)
        return Fault(by="poll", at=rng.randint(1, _POLLS), do=do)  # type: ignore[arg-type]
    return Fault(
        by="tick",
        at=rng.randint(1, _TICKS),
        do=rng.choice(_AT_TICK),  # type: ignore[arg-type]
        worker=rng.randrange(len(base.workers)),
        ticks=rng.randint(1, 8),
        ms=rng.choice(_JUMPS_MS),
        topic=rng.choice(("events", "labels", "queries", "journal", "controls")),
        count=rng.randint(1, 3),
    )


def shrunk(scenario: Scenario, fails: Callable[[Scenario], bool]) -> Scenario:
    """Return a smaller scenario that still fails: fewer faults, operators, events and workers."""
    runs = 0
    smaller = True
    while smaller:
        smaller = False
        for candidate in _smaller(scenario):
            runs += 1
            if runs > RUNS_MAX:
                return scenario
            if fails(candidate):
                scenario, smaller = candidate, True
                break
    return scenario


def _smaller(scenario: Scenario) -> Iterator[Scenario]:
    for name in ("fixed", "operator"):
        found = getattr(scenario, name)
        for index in range(len(found)):
            yield scenario.model_copy(update={name: found[:index] + found[index + 1 :]})
    if scenario.control_records:
        yield scenario.model_copy(update={"control_records": False})
    for name in ("good", "bad", "poison", "repeated", "deadly"):
        count = getattr(scenario.events, name)
        for less in dict.fromkeys((0, count // 2, count - 1)):
            if 0 <= less < count:
                events = scenario.events.model_copy(update={name: less})
                yield scenario.model_copy(update={"events": events})
    if len(scenario.workers) > 1:
        yield scenario.model_copy(update={"workers": scenario.workers[:-1]})
