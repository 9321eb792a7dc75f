"""One recorded run with everything in it, and the tools to break a copy of it by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

from stream_al.config import Config
from stream_al.messages import ControlProposal, Query, chained, read_journal_record
from stream_al.port import Outgoing, Position, Record
from stream_al.service.audit import audit
from stream_al.service.worker import Worker
from stream_al.testing import SimulatedAnnotators
from stream_al_connectors.memory import MemoryLog
from stream_al_connectors.memory_state import Stream
from stream_al_connectors.opening import topics_of

CONFIG = Config.model_validate(
    {
        "app": "t",
        "log": {"connector": "memory"},
        "topics": {"partitions": 2},
        "labels": {"votes": 2, "votes_max": 3},
        "gate": {"budget": {"share": 0.3}},
    }
)
SECRET = b"audit tests"
BATCH = 20
BATCHES = 110


class StepClock:
    """Time that moves with every look, so that a run is repeatable."""

    def __init__(self) -> None:
        self._now_ms = 1_700_000_000_000

    def now_ms(self) -> int:
        self._now_ms += 1
        return self._now_ms

    def monotonic_s(self) -> float:
        return self.now_ms() / 1_000

    def sleep(self, seconds: float) -> None:
        self._now_ms += int(seconds * 1_000)


OPERATIONS: dict[int, dict[str, Any]] = {
    12: {"patch": {"gate": {"budget": {"share": 0.1}}}},
    18: {"patch": {"gate": {"burst": 3, "random_share": 0.4}}},
    22: {"patch": {"modes": {"paused": True}}},
    24: {"patch": {"modes": {"paused": False, "shadow": True}}},
    28: {"patch": {"modes": {"shadow": False, "frozen": True}}},
    31: {"patch": {"modes": {"frozen": False}, "gate": {"burst": 1}}},
    34: {"patch": {"gate": {"budget": {"per_hour": 2_000_000.0, "open": 40}}}},
    40: {"patch": {"gate": {"budget": {"share": 0.5, "per_hour": None}}}},
    44: {"kind": "model", "start": "replay", "without": ["e-3", "e-4"]},
    50: {"kind": "model"},
    52: {"patch": {"gate": {"budget": {"share": 0.1, "open": None}}}},
}


def recorded(*, gaps: bool = False, after: Callable[[MemoryLog], None] | None = None) -> MemoryLog:
    """Return the log of a run; `after` looks at it between the steps of its workers."""
    clock = StepClock()
    log = MemoryLog(topics=topics_of(CONFIG), clock=clock.now_ms)
    worker = Worker(log, CONFIG, secret=SECRET, name="w", clock=clock)
    people = SimulatedAnnotators(
        3,
        classes=("ham", "spam"),
        delay_events=(0, 4),
        noise=0.15,
        loss=0.1,
        duplicates=0.1,
        conflicts=0.1,
        annotators=4,
    )
    rng = Random(5)
    seen = [0, 0]
    for batch in range(BATCHES):
        log.append("t.events", [_event(batch * BATCH + n, rng) for n in range(BATCH)])
        if batch in OPERATIONS:
            log.append("t.controls", [Outgoing(_proposal(batch))])
        log.append("t.labels", _labels(people, batch))
        idle = 0
        while idle < 3:
            idle = 0 if _stepped(worker) else idle + 1
            if after is not None:
                after(log)
        for partition in (0, 1):
            for record in log.read("t.queries", partition, seen[partition], limit=1_000):
                seen[partition] = record.offset + 1
                query = Query.model_validate_json(record.value)
                people.ask(query, _truth(query.event_id), batch)
        if gaps:
            for stream in log._state.streams.values():
                stream.end += 1
    return log


def _stepped(worker: Worker) -> bool:
    """Give both roles a step that does not wait; return whether there was anything to do."""
    assert worker.resolver is not None
    assert worker.scorer is not None
    busy = worker.resolver.step(timeout_s=0.0)
    return worker.scorer.step(timeout_s=0.0) or busy


def _truth(event_id: str) -> str:
    return "spam" if int(event_id.split("-")[1]) % 3 == 0 else "ham"


def _event(number: int, rng: Random) -> Outgoing:
    if number % 97 == 50:
        return Outgoing(b"{broken", partition=number % 2)
    if number % 89 == 60:
        number -= 30  # the same event again
    event_id = f"e-{number}"
    words = "free money now" if _truth(event_id) == "spam" else "see you at lunch"
    text = f"{words} {rng.choice('abcdef')} é{number}"
    body = {"event_id": event_id, "features": {"text": text}}
    return Outgoing(json.dumps(body).encode(), partition=number % 2)


def _proposal(batch: int) -> bytes:
    fields = {"proposal_id": str(batch), "actor": "ops", "reason": "test"} | OPERATIONS[batch]
    if fields.get("kind") == "model":
        fields |= {"config_hash": CONFIG.model_hash(), "preset": "linear"}
    return ControlProposal.model_validate(fields).to_wire()


def _labels(people: SimulatedAnnotators, batch: int) -> list[Outgoing]:
    bodies = [label.to_wire() for label in people.due(batch)]
    more: list[dict[str, Any]] = [
        {"event_id": f"v-{batch}", "label": "ham", "annotator": "m", "features": {"text": "hi"}},
        {"event_id": "nobody", "label": "ham", "annotator": "m"},
    ]
    if bodies:
        first = json.loads(bodies[0])
        more += [
            first | {"revision": 1, "label": "spam"},
            first | {"kind": "retract", "label": None, "revision": 2},
            first | {"kind": "skip", "label": None, "annotator": "z"},
        ]
    bodies += [json.dumps(one).encode() for one in more]
    if batch % 20 == 7:
        bodies.append(b"not a label")
    return [Outgoing(body) for body in bodies]


class Edited:
    """A copy of a recorded log that is edited by hand."""

    def __init__(self, original: MemoryLog) -> None:
        self.log = MemoryLog(topics=topics_of(CONFIG))
        state, source = self.log._state, original._state
        for place, stream in source.streams.items():
            state.streams[place] = Stream(stream.begin, stream.end, list(stream.records))
        state.positions = dict(source.positions)

    def records(self, topic: str, partition: int = 0) -> list[Record]:
        return self.log._state.streams[f"t.{topic}", partition].records

    def bodies(self, topic: str, partition: int = 0) -> list[tuple[int, dict[str, Any]]]:
        """Return (index, message) of every record."""
        return [(n, json.loads(r.value)) for n, r in enumerate(self.records(topic, partition))]

    def find(
        self, topic: str, true: Callable[[dict[str, Any]], bool], *, after: int = 0
    ) -> tuple[int, dict[str, Any]]:
        """Return the first message behind `after` for which something is true (partition 0)."""
        return next(found for found in self.bodies(topic) if found[0] >= after and true(found[1]))

    def put(self, topic: str, index: int, value: dict[str, Any] | bytes) -> int:
        """Write another value in the place of a record; return its offset."""
        records = self.records(topic)
        old = records[index]
        raw = value if isinstance(value, bytes) else _wire(value)
        records[index] = Record(old.partition, old.offset, old.timestamp_ms, old.key, raw)
        return old.offset

    def drop(self, topic: str, index: int) -> int:
        return self.records(topic).pop(index).offset

    def append(self, topic: str, body: dict[str, Any]) -> int:
        """Add a message at the end; return its offset."""
        return self.log._state.extend((f"t.{topic}", 0), [(None, _wire(body))], 0)[0]

    def commit(self, offset: int) -> None:
        """Set the scorers' position of partition 0, with the metadata that it has."""
        key = ("t.scorer", "t.events", 0)
        position, at_ms = self.log._state.positions[key]
        self.log._state.positions[key] = (Position(offset, position.metadata), at_ms)

    def rechain(self) -> None:
        """Make the journal's chain whole again, as somebody would who knows how."""
        chain = "0" * 32
        for index, record in enumerate(self.records("journal")):
            entry = chained(read_journal_record(record.value), chain)
            chain = entry.chain
            self.put("journal", index, entry.to_wire())

    def expire(self, topic: str, count: int) -> None:
        """Drop records at the beginning, as retention does."""
        for partition in range(self.log.partition_count(f"t.{topic}")):
            stream = self.log._state.streams[f"t.{topic}", partition]
            dropped = stream.records[:count]
            del stream.records[:count]
            stream.begin = dropped[-1].offset + 1 if dropped else stream.begin

    def found(self) -> dict[str, set[tuple[str, int, int]]]:
        """Return invariant → places of the violations that an audit names."""
        places: dict[str, set[tuple[str, int, int]]] = {}
        for one in audit(self.log, CONFIG).violations:
            places.setdefault(one.invariant, set()).add(tuple(one.place))
        return places


def _wire(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode()
