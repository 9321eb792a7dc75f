"""The whole system under faults from one seed: nothing lost, nothing twice, all reproducible."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stream_al.service.worker import Worker
from stream_al_connectors.opening import topics_of
from tests.simulation.bugs import BUGS
from tests.simulation.clocks import VirtualClock, WorkerClock
from tests.simulation.draw import drawn, shrunk
from tests.simulation.every_effect import crashed_everywhere
from tests.simulation.people import events_of
from tests.simulation.places import MemoryPlace
from tests.simulation.run import simulate
from tests.simulation.scenario import SECRET, Fault, Scenario, scenarios

ROOT = Path(__file__).parents[2]
SEEDS = 150
EFFECT_STEP = 9
FOUND_BY = {
    "commit_before_produce": 0,
    "produce_before_commit": 0,
    "unknown_commit_retried": 2,
    "gate_state_of_another_offset": 0,
    "learnt_twice_on_redelivery": 0,
    "budget_by_wall_clock": 3,
    "no_fencing": 35,
    "query_position_past_the_oldest_pending": 0,
    "version_back_on_takeover": 89,
    "expiry_without_a_record": 0,
    "rewound_and_gone_on": 11,
}
"""Bug → the first seed that finds it; a drawing that changes needs `--bug NAME` run again."""

NAMES = sorted(scenarios())


@pytest.mark.parametrize("chunk", range(3))
def test_seeds_show_no_violation(chunk: int) -> None:
    """Whatever the first seeds do to the system, every invariant holds."""
    each = SEEDS // 3
    found = {
        seed: result.violation
        for seed in range(chunk * each, (chunk + 1) * each)
        if (result := simulate(drawn(seed))).violation is not None
    }

    assert found == {}


@pytest.mark.parametrize("name", NAMES)
def test_crash_at_side_effects(name: str) -> None:
    """After a crash before or after a side effect the outputs are those of the quiet run."""
    found = list(crashed_everywhere(scenarios()[name], start=1, step=EFFECT_STEP))

    assert [(where, result.violation) for where, result in found if result.violation] == []
    assert len(found) > 5
    assert all(result.counts["crash_before"] + result.counts["crash_after"] for _, result in found)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_file_runs_on_sqlite(name: str) -> None:
    """One scenario leaves the same records, positions and trace in memory and in a file."""
    memory, file = simulate(scenarios()[name]), simulate(scenarios()[name], log="sqlite")

    assert (memory.violation, file.violation) == (None, None)
    assert file.trace == memory.trace
    assert file.outputs == memory.outputs


def test_faults_run_on_sqlite() -> None:
    """Crashes, zombies and unknown commits are survived on the file too."""
    found = {
        seed: result.violation
        for seed in range(1_000, 1_012)
        if (result := simulate(drawn(seed), log="sqlite")).violation is not None
    }

    assert found == {}


def test_a_seed_is_a_run() -> None:
    """The same seed gives the same trace and the same log, in this process and in another."""
    script = (
        "from tests.simulation.run import simulate; from tests.simulation.draw import drawn\n"
        "for seed in (3, 8): print(simulate(drawn(seed)).outputs.dump, simulate(drawn(seed)).trace)"
    )
    here = [simulate(drawn(seed)) for seed in (3, 8)]
    dumps = [one.outputs.dump for one in here if one.outputs is not None]
    environment = os.environ | {
        "PYTHONHASHSEED": "12345",
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "connectors"))),
    }
    there = subprocess.run(
        [sys.executable, "-c", script],
        check=True, capture_output=True, text=True, cwd=ROOT, env=environment,
    )  # fmt: skip

    assert there.stdout == "".join(
        f"{dump} {one.trace}\n" for dump, one in zip(dumps, here, strict=True)
    )


def test_a_zombie_wakes_up_fenced() -> None:
    """A worker that was taken for dead ends `fenced`, and nothing of it is visible."""
    fault = Fault(by="tick", at=6, do="sleep", worker=1, ticks=5)
    result = simulate(scenarios()["all_asked"].model_copy(update={"fixed": (fault,)}))

    assert result.violation is None
    assert result.counts["zombies_fenced"] == 1
    assert any("1.1 ends: fenced" in line for line in result.trace)


def test_a_worker_held_up_before_its_commit_is_fenced() -> None:
    """Others took over while it was held up: the commit that it then tries does not count."""
    quiet = simulate(scenarios()["all_asked"])
    commits = [
        int(line.split()[2])
        for line in quiet.trace
        if " commit sim.events" in line and line.split()[1].startswith("1.")
    ]
    fault = Fault(by="effect", at=commits[3], do="stall")

    result = simulate(scenarios()["all_asked"].model_copy(update={"fixed": (fault,)}))

    assert result.violation is None
    assert (result.counts["stall"], result.counts["zombies_fenced"]) == (1, 1)


def test_control_records_at_the_end_are_no_backlog() -> None:
    """A worker that runs until idle ends, though the last offsets of every topic are empty."""
    scenario = scenarios()["plain"]
    config, clock = scenario.configuration(), VirtualClock()
    place = MemoryPlace(config, clock)
    place.log.append(config.topic("events"), events_of(scenario)[2])
    for topic, count in topics_of(config).items():
        for partition in range(count):
            place.burn(topic, partition, 2)
    worker = Worker(
        place.log, config, secret=SECRET, name="w", clock=WorkerClock(clock, look_s=0.001)
    )
    worker.run(until_idle=True)

    ends = [place.log.end(config.topic("predictions"), partition) for partition in range(2)]
    assert sum(ends) == len(events_of(scenario)[2]) + 4


@pytest.mark.parametrize("seed", [17, 24, 25, 32, 37, 38])
def test_votes_outlive_owners_who_meet_an_event_twice(seed: int) -> None:
    """Events come twice on two partitions, and the resolver dies all the time: no vote is lost."""
    base = scenarios()["votes"]
    deaths = [Fault(by="tick", at=at, do="crash", worker=1) for at in range(2, 14, 3)]
    scenario = base.model_copy(
        update={
            "seed": seed,
            "partitions": 2,
            "workers": ("scorer", "resolver"),
            "events": base.events.model_copy(update={"good": 6, "repeated": 18}),
            "people": base.people.model_copy(update={"delay": (0, 8)}),
            "fixed": tuple(deaths),
        }
    )

    assert simulate(scenario).violation is None


def test_deadly_events_are_set_aside() -> None:
    """An event that kills every process becomes a dead letter; the others are predicted."""
    result = simulate(scenarios()["deadly"])

    assert result.violation is None
    assert result.counts["quarantined"] >= 1


@pytest.mark.parametrize("name", FOUND_BY)
def test_a_deliberate_bug_is_found(name: str) -> None:
    """The seed passes without the bug, and shows a violation with it."""
    seed = FOUND_BY[name]

    assert simulate(drawn(seed)).violation is None
    assert simulate(drawn(seed), bug=name).violation is not None


def test_every_bug_is_tested() -> None:
    """Every deliberate bug has its seed."""
    assert FOUND_BY.keys() == BUGS.keys()


def test_a_failing_seed_is_shrunk() -> None:
    """What is left fails alike and has fewer faults and events."""
    before = drawn(FOUND_BY["budget_by_wall_clock"])

    def fails(candidate: Scenario) -> bool:
        return simulate(candidate, bug="budget_by_wall_clock").violation is not None

    after = shrunk(before, fails)

    assert fails(after)
    assert len(after.fixed) <= 2
    assert after.events.good < before.events.good
