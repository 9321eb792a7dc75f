"""One world: workers, people and operators on one log, in one thread, under one virtual clock.

The loops of the product run here unchanged. In each tick events arrive, people and operators act,
faults of that tick happen, and every worker gets one step; a live reader looks after every side
effect. Nothing but the scenario decides what happens: the same scenario gives the same trace.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from zlib import crc32

from stream_al.config import Config
from stream_al.errors import Gone, InDoubt
from stream_al.messages import ControlProposal
from stream_al.port import Member, Outgoing
from stream_al.service.follower import SLICE_S
from stream_al.service.groups import scorer_group
from stream_al.service.worker import Worker
from stream_al_connectors.faults import Crash, Effect, Injector
from stream_al_connectors.opening import SINGLE_PARTITION_TOPICS, topics_of
from tests.simulation import invariants, snapshots
from tests.simulation.clocks import VirtualClock, WorkerClock
from tests.simulation.ending import checked, dump
from tests.simulation.people import Annotators, events_of
from tests.simulation.places import Place, look_at_once, place_of
from tests.simulation.scenario import SECRET, Fault, Operator, Scenario
from tests.simulation.slots import ENDING, Result, Slot, WatchedLog, simulated

TICK_MS = 1_000
SETTLE_TICKS_MAX = 400  # three replays of the journal, two records a step
QUIET_TICKS = 3
STALL_TICKS = 3
Bug = Callable[["World"], AbstractContextManager[object]]
NewPlace = Callable[[str, Config, Callable[[], int], Path | None], Place]


class World:
    """One run of a scenario with its faults.

    Parameters
    ----------
    kind, folder
        Which log; a folder for `sqlite`.
    bug
        Breaks the product on purpose while it runs: a context manager over this world.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        kind: str = "memory",
        folder: Path | None = None,
        bug: Bug | None = None,
        new_place: NewPlace = place_of,
    ) -> None:
        self.scenario = scenario
        self.config = scenario.configuration()
        self._folder = None
        if any(fault.do in {"snapshot", "spoil"} for fault in scenario.fixed):
            self._folder = TemporaryDirectory()
            self.config = snapshots.kept_in(self._folder.name, self.config)
        self.clock = VirtualClock()
        self.place = new_place(kind, self.config, self.clock, folder)
        self.log = self.place.log
        self.injector = Injector(
            scenario.faults_by("effect"),  # type: ignore[arg-type]
            scenario.faults_by("poll"),  # type: ignore[arg-type]
            stalled=self._stalled,
            done=self._done,
        )
        self.result = Result()
        self.tick_number = 0
        self._bug = bug
        self._by_tick: dict[int, list[Fault]] = {}
        for fault in scenario.fixed:
            if fault.by == "tick":
                self._by_tick.setdefault(fault.at, []).append(fault)
        self._slots = [Slot(number, role) for number, role in enumerate(scenario.workers)]
        self._events = events_of(scenario)
        self._people = Annotators(self.log, scenario)
        self._reader = invariants.LiveReader(self.log, self.config)
        self._guests: list[tuple[int, Member]] = []
        self._partitions = scenario.partitions

    # ------------------------------------------------------------------ a run

    def run(self) -> Result:
        """Run to the end; a breach ends it and is in the result."""
        result = self.result
        with simulated(), ExitStack() as stack:
            stack.callback(self.place.close)
            if self._folder is not None:
                stack.enter_context(self._folder)
            try:
                if self._bug is not None:
                    with self._bug(self):
                        self._live()
                else:
                    self._live()
                self.injector.effects, self.injector.polls = {}, {}
                self._check()
                self._lose_prefix()
            except Exception as error:  # noqa: BLE001 - whatever a worker dies of is a finding
                result.violation = f"{type(error).__name__}: {error}"
                self._say(f"VIOLATION {result.violation}")
            result.effect_count = self.injector.effect_count
            result.poll_count = self.injector.poll_count
            result.counts.update(self.injector.injected)
            result.counts["events"] = self._reader.events_total
            result.counts["labels"] = self._reader.labels_total
        return result

    def _live(self) -> None:
        last = max([len(self._events), *self._by_tick, *(o.at for o in self.scenario.operator)])
        while self.tick_number <= last:
            self.tick()
        self._settle()
        # A query counts from the time that the log gave it, before the clock went back.
        behind_ms = max(self.clock.highest_ms - self.clock.wall_ms, 0)
        self.clock.advance(behind_ms + self.config.labels.expire_after)
        self._settle()
        self._reader.done()

    def tick(self) -> bool:
        """Let everybody do one step; return whether anybody had something to do."""
        tick = self.tick_number
        self.tick_number += 1
        busy = self._send(tick)
        busy = self._people.tick(tick) > 0 or busy
        for operator in self.scenario.operator:
            if operator.at == tick:
                self._operate(operator)
        for fault in self._by_tick.get(tick, ()):
            self._fault(fault)
        self._guests = [guest for guest in self._guests if self._goes_on(guest)]
        count = len(self._slots)
        for turn in range(count):
            busy = self._step(self._slots[(turn + tick) % count]) or busy
        self.clock.advance(TICK_MS)
        return busy or any(slot.lags_until > self.tick_number for slot in self._slots)

    def _settle(self) -> None:
        """Go on until nobody has anything to do: I8."""
        quiet = 0
        for _ in range(SETTLE_TICKS_MAX):
            busy = self.tick() or self._people.waiting > 0 or bool(self._guests)
            busy = busy or any(slot.worker is None for slot in self._slots)
            quiet = 0 if busy else quiet + 1
            if quiet >= QUIET_TICKS:
                return
        raise AssertionError(f"I8: still busy {SETTLE_TICKS_MAX} ticks after the last fault")

    # ------------------------------------------------------------------ what comes in

    def _send(self, tick: int) -> bool:
        if tick >= len(self._events):
            return False
        events = self._events[tick]
        if self._partitions > self.scenario.partitions:
            newest = self._partitions - 1
            events = [
                Outgoing(one.value, partition=newest) if crc32(one.value) % 3 == 0 else one
                for one in events
            ]
        if events:
            self.log.append(self.config.topic("events"), events)
            self._people.moderate(events, tick)
        return bool(events)

    def _operate(self, operator: Operator) -> None:
        self._say(f"operator: {operator.do} {operator.patch or ''}")
        if operator.do == "grow":
            self._partitions += 1
            counts = topics_of(self.config)
            for topic, count in counts.items():
                if topic not in {self.config.topic(name) for name in SINGLE_PARTITION_TOPICS}:
                    counts[topic] = max(count, self._partitions)
            self.place.grow(counts)
            return
        number = self.result.counts["proposals"]
        self.result.counts["proposals"] += 1
        self.result.counts["replays"] += operator.do == "replay"
        kind = {"patch": "control", "wrong": "control", "seed": "seed"}
        proposal = ControlProposal(
            kind=kind.get(operator.do, "model"),  # type: ignore[arg-type]
            proposal_id=f"proposal-{number}",
            actor="ops",
            patch={"gate": {"budget": {"share": 7}}} if operator.do == "wrong" else operator.patch,
            event_id=f"s-{operator.label}",
            label=operator.label,
            features={"kind": "a"},
            config_hash=self.config.model_hash(),
            preset=self.config.model.factory or self.config.model.preset,
            start="replay" if operator.do == "replay" else "empty",
            without=invariants.first_taught(self.log, self.config, operator.leave_out),
            learn_frozen=operator.learn_frozen,
        )
        # Twice: an operator whose first answer got lost sends the proposal again.
        self.log.append(self.config.topic("controls"), [Outgoing(proposal.to_wire())] * 2)

    # ------------------------------------------------------------------ faults of a tick

    def _fault(self, fault: Fault) -> None:
        slot = self._slots[fault.worker % len(self._slots)]
        self.result.counts[f"tick_{fault.do}"] += 1
        self._say(f"fault: {fault.do} {slot.number}")
        match fault.do:
            case "crash" | "leave" if slot.stepping:
                slot.doomed = True  # it is held up: it dies there
            case "crash":
                self._die(slot)
            case "leave":
                self._exit(slot, "leaves in peace")
            case "sleep":
                slot.awake_at = self.tick_number + fault.ticks
                self._expel(slot)
            case "lag":
                slot.lags_until = self.tick_number + fault.ticks
            case "clock":
                self.clock.jump(fault.ms)
            case "gap":
                topic = self.config.topic(fault.topic)
                self.place.burn(topic, 0, fault.count)
            case "snapshot":
                snapshots.write(self.log, self.config, WorkerClock(self.clock, 0.0))
            case "spoil":
                snapshots.spoil(self.config, fault.count)
            case "guest":
                topic, group = self.config.topic("events"), scorer_group(self.config)
                guest = self.log.join(group, topic, name="guest")
                look_at_once(guest)
                self._guests.append((self.tick_number + fault.ticks, guest))
            case _:
                raise ValueError(f"{fault.do} does not happen at a tick")

    def _goes_on(self, guest: tuple[int, Member]) -> bool:
        until, member = guest
        if self.tick_number >= until:
            member.leave()
            return False
        member.poll(limit=1, timeout_s=0)
        return True

    def _stalled(self, effect: Effect) -> None:
        """Hold a worker up before a side effect; it is taken for dead, and the others go on."""
        slot = self._slots[int(effect.name.partition(".")[0])]
        if any(one.stepping and one is not slot for one in self._slots):
            return  # somebody is held up already
        self._say(f"{effect.name} is held up before {effect.kind} {effect.topic}")
        self._expel(slot)
        for _ in range(STALL_TICKS):
            self.tick()
        if slot.doomed:
            slot.doomed = False
            raise Crash("while it was held up")
        self._say(f"{effect.name} goes on")

    def _done(self, effect: Effect) -> None:
        ends = ""
        if effect.kind == "commit":
            ends = f" -> {self._digest_of_ends()}"
            if self.scenario.control_records:
                self.result.counts["control_gaps"] += 1
                self._burn_after_commit(effect.topic)
        self._say(f"{effect.name} {effect.number} {effect.kind} {effect.topic}{ends}")
        if effect.kind in {"commit", "append"}:
            self._look()

    def _look(self) -> None:
        try:
            self._reader.look()
        except InDoubt as error:  # the reader's trouble, not the worker's whose step this is
            raise AssertionError(f"the live reader can't read: {error}") from error

    def _burn_after_commit(self, topic: str) -> None:
        journal = self.config.topic("journal")
        names = ("outcomes",) if topic == journal else ("predictions", "queries")
        if topic == journal:
            self.place.burn(journal, 0, 1)
        for name in names:
            for partition in range(self.scenario.partitions):
                self.place.burn(self.config.topic(name), partition, 1)

    def _digest_of_ends(self) -> str:
        config, log = self.config, self.log
        return " ".join(
            f"{name}={sum(log.end(config.topic(name), p) for p in range(self._count(name)))}"
            for name in ("predictions", "queries", "journal", "outcomes")
        )

    def _count(self, name: str) -> int:
        return self.log.partition_count(self.config.topic(name))

    # ------------------------------------------------------------------ workers

    def _step(self, slot: Slot) -> bool:
        if slot.stepping or slot.awake_at > self.tick_number:
            return True
        slot.stepping = True
        if slot.clock is not None:
            lags = slot.lags_until > self.tick_number
            slot.clock.look_s = 2 * SLICE_S if lags else SLICE_S / self.scenario.slice_records
        try:
            return self._begin(slot) if slot.worker is None else slot.worker.step()
        except Crash as crash:
            self._say(f"{slot.number}.{slot.life} crashes {crash}")
            self._die(slot)
        except InDoubt as error:
            if slot.expelled:
                self.result.counts["zombies_fenced"] += 1
            self._exit(slot, f"ends: {error.kind}: {error}")
        finally:
            slot.stepping = False
        return True

    def _begin(self, slot: Slot) -> bool:
        slot.life += 1
        slot.expelled = False
        slot.log = WatchedLog(self.log, self.injector, name=f"{slot.number}.{slot.life}")
        slot.clock = WorkerClock(self.clock, SLICE_S / self.scenario.slice_records)
        slot.worker = Worker(
            slot.log,
            self.config,
            role=slot.role,  # type: ignore[arg-type]
            secret=SECRET,
            name=f"worker-{slot.number}",
            clock=slot.clock,
        )
        return True

    def _expel(self, slot: Slot) -> None:
        if slot.log is not None:
            slot.expelled = True
            for member in slot.log.members:
                self.place.expel(member)

    def _die(self, slot: Slot) -> None:
        """Throw a worker away as a killed process: nothing is given back."""
        self._expel(slot)
        slot.worker = slot.log = None
        slot.expelled = False
        slot.awake_at = self.tick_number + 1

    def _exit(self, slot: Slot, why: str) -> None:
        """End a worker as `Worker.run` does: its members leave."""
        self._say(f"{slot.number}.{slot.life} {why}")
        worker = slot.worker
        try:
            for loop in () if worker is None else (worker.scorer, worker.resolver):
                if loop is not None:
                    loop.leave()
        except (Crash, InDoubt) as error:
            self._say(f"{slot.number}.{slot.life} does not leave: {error}")
        self._die(slot)

    # ------------------------------------------------------------------ at the end

    def _check(self) -> None:
        workers = {slot.number: slot.worker for slot in self._slots if slot.worker is not None}
        now_ms = self.clock.wall_ms
        injected = self.injector.injected + self.result.counts
        self.result.outputs = checked(
            self.log,
            self.config,
            workers,
            now_ms=now_ms,
            ended_count=sum(injected[name] for name in ENDING),
        )
        self.result.counts["quarantined"] += self.result.outputs.set_aside

    def _lose_prefix(self) -> None:
        """Lose the journal's beginning: a newcomer without a snapshot ends `gone`, silently."""
        journal = self.config.topic("journal")
        first = invariants.records(self.log, journal, 0)[:3]
        self.place.compact(journal, first[-1].offset + 1)
        before = dump(self.log, self.config)
        snapshots.remove(self.config)
        for slot in self._slots:
            self._die(slot)
        slot = self._slots[0]
        try:
            self._begin(slot)
            for _ in range(3):
                assert slot.worker is not None, "it was begun"
                slot.worker.step()
        except Gone:
            self.result.counts["prefixes_lost"] += 1
        else:
            raise AssertionError("I10: a worker goes on with a journal that lost its beginning")
        same = dump(self.log, self.config) == before
        assert same, "I10: something was written without the journal's beginning"

    def _say(self, line: str) -> None:
        self.result.trace.append(f"{self.tick_number:3} {line}")
