"""The scenario language: one YAML file says who lives, what comes in, what people and operators do.

A scenario is data and has no code of its own, so the same file runs on every log. Time is the
number of the tick: in each tick everybody gets one step. Faults may be part of a scenario
(`fixed`); the seeds draw more.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field

from stream_al.config import Config
from stream_al.messages import Section

FOLDER = Path(__file__).parent / "scenarios"
SECRET = b"the secret of every simulation"
FACTORY = "tests.simulation.cheap:majority"


class Fault(Section):
    """One thing that goes wrong.

    Attributes
    ----------
    by
        What `at` counts: ticks of the world, side effects or polls of all workers.
    do
        At an effect or poll: see `stream_al_connectors.faults`. At a tick: `crash` (a worker dies
        between two steps), `sleep` (it is taken for dead, and wakes up `ticks` later), `lag`
        (for `ticks` its slices of the journal are empty), `guest` (a
        member joins for `ticks` and reads nothing), `clock` (jumps by `ms`), `gap` (`count`
        offsets of a topic are used up), `leave` (a worker is restarted in peace), `snapshot` (one
        is written, and read by whoever starts later), `spoil` (a byte of the newest is another).
    """

    by: Literal["tick", "effect", "poll"]
    at: int = Field(ge=0)
    do: Literal[
        "crash_before", "crash_after", "lost", "unknown", "stall", "rewound",
        "slow", "fails", "read_lost", "reordered",
        "crash", "sleep", "lag", "guest", "clock", "gap", "leave", "snapshot", "spoil",
    ]  # fmt: skip
    worker: int = 0
    ticks: int = 4
    ms: int = 0
    topic: str = "events"
    count: int = 1


class Events(Section):
    """How many events of each kind; they come in batches of up to `burst` a tick.

    `bad` can't be read, `poison` makes the model raise, `deadly` kills the process that predicts
    it, `repeated` comes again at another place. `numbers` adds two that the encoder scales.
    """

    good: int = 40
    bad: int = 0
    poison: int = 0
    repeated: int = 0
    deadly: int = 0
    burst: int = Field(default=4, ge=1)
    numbers: bool = False


class People(Section):
    """What annotators do: shares in [0, 1], delays in ticks; see `tests.simulation.people`."""

    delay: tuple[int, int] = (0, 4)
    noise: float = 0.0
    loss: float = 0.0
    duplicates: float = 0.0
    conflicts: float = 0.0
    skip: float = 0.0
    unsure: float = 0.0
    retract: float = 0.0
    overturn: float = 0.0
    volunteered: float = 0.0
    stranger: float = 0.0
    nameless: float = 0.0
    unreadable: float = 0.0


class Operator(Section):
    """What an operator proposes at a tick; `grow` adds partitions to every topic of events.

    `replay` begins a lineage that learns the journal again, without the `leave_out` events that
    were taught first, and with the lessons of a freeze when `learn_frozen`.
    """

    at: int
    do: Literal["patch", "seed", "activate", "replay", "wrong", "grow"]
    leave_out: int = 0
    learn_frozen: bool = False
    patch: dict[str, Any] = {}
    label: str = "ham"


class Scenario(Section):
    """One world.

    Attributes
    ----------
    workers
        The role of each worker.
    slice_records
        About how many journal records a scorer folds a step: small ones make it lag.
    control_records
        Every commit uses up one offset more in each partition that it writes to.
    all_asked
        Everything is asked, so queries, labels and outcomes are the same whatever goes wrong.
    """

    name: str
    about: str
    partitions: int = 2
    workers: tuple[Literal["all", "scorer", "resolver"], ...] = ("all",)
    config: dict[str, Any] = {}
    events: Events = Events()
    people: People = People()
    operator: tuple[Operator, ...] = ()
    fixed: tuple[Fault, ...] = ()
    seed: int = 1
    slice_records: int = 1_000
    control_records: bool = False
    all_asked: bool = False

    def faults_by(self, by: str) -> dict[int, str]:
        """Return number → what goes wrong there, of effects or of polls."""
        return {fault.at: fault.do for fault in self.fixed if fault.by == by}

    def configuration(self) -> Config:
        """Return the configuration of every worker; the same object for the same scenario."""
        return _configuration(self.model_dump_json(include={"partitions", "config"}))


@cache
def _configuration(described: str) -> Config:
    said = yaml.safe_load(described)
    body = {
        "app": "sim",
        "log": {"connector": "memory"},
        "topics": {"partitions": said["partitions"]},
        "labels": {"expire_after": "1h"},
        "model": {"factory": FACTORY},
    }
    for name, section in said["config"].items():
        body[name] = body.get(name, {}) | section
    if "preset" in body["model"]:
        del body["model"]["factory"]
    return Config.model_validate(body)


@cache
def scenarios() -> dict[str, Scenario]:
    """Return every scenario of the folder, by name."""
    found = {}
    for path in sorted(FOLDER.glob("*.yaml")):
        one = Scenario.model_validate({"name": path.stem} | yaml.safe_load(path.read_text()))
        found[one.name] = one
    return found
