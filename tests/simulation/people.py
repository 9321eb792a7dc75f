"""Annotators and senders of a scenario. What they do about an event depends on nothing else.

So two runs that ask the same events get the same labels in the same order for each, however
crashes and rebalances moved them in time.
"""

from __future__ import annotations

import json
from heapq import heappop, heappush
from random import Random
from typing import Any
from zlib import crc32

from stream_al.messages import Label, Query
from stream_al.port import Log, Outgoing
from stream_al.testing import SimulatedAnnotators
from tests.simulation.scenario import Scenario

CLASSES = ("ham", "spam")


def rng_of(scenario: Scenario, *what: object) -> Random:
    """Return a generator that belongs to one thing in one scenario."""
    return Random(crc32(repr((scenario.seed, *what)).encode()))


def events_of(scenario: Scenario) -> list[list[Outgoing]]:
    """Return the events of each tick."""
    rng = rng_of(scenario, "events")
    kinds = (
        ["good"] * scenario.events.good
        + ["bad"] * scenario.events.bad
        + ["poison"] * scenario.events.poison
        + ["repeated"] * scenario.events.repeated
        + ["deadly"] * scenario.events.deadly
    )
    rng.shuffle(kinds)
    sent: list[Outgoing] = []
    good: list[bytes] = []
    for number, kind in enumerate(kinds):
        if kind == "bad":
            value = rng.choice(
                (b"{", b'{"event_id": "x"}', b'{"event_id":"y","features":{"n":{}}}')
            )
        elif kind == "repeated" and good:
            value = rng.choice(good)
        else:
            value = _event(scenario, number, rng, kind)
            if kind == "good":
                good.append(value)
        sent.append(Outgoing(value, partition=rng.randrange(scenario.partitions)))
    batches = []
    while sent:
        count = rng.randint(0, scenario.events.burst)
        batches.append(sent[:count])
        del sent[:count]
    return batches


def _event(scenario: Scenario, number: int, rng: Random, kind: str) -> bytes:
    event_id = f"e-{number}"
    features: dict[str, Any] = {"kind": rng.choice("abcd"), "n": number}
    if scenario.events.numbers:
        features |= {"x": round(rng.gauss(0, 1), 3), "y": round(rng.gauss(5, 2), 3)}
    if kind in {"poison", "deadly"}:
        features[kind] = 1
    return json.dumps({"event_id": event_id, "features": features}).encode()


def truth_of(query_features: dict[str, Any]) -> str:
    """Return the class that an event truly has."""
    return CLASSES[query_features.get("kind") in {"a", "b"}]


class Annotators:
    """All people of a scenario: they read queries, and their labels come later."""

    def __init__(self, log: Log, scenario: Scenario) -> None:
        self._log = log
        self._scenario = scenario
        config = scenario.configuration()
        self._queries, self._labels = config.topic("queries"), config.topic("labels")
        self._read: dict[int, int] = {}
        self._asked: set[str] = set()
        self._due: list[tuple[int, int, str, bytes]] = []
        self._votes = config.labels.votes
        self._scheduled = 0

    @property
    def waiting(self) -> int:
        """Labels that are still to come."""
        return len(self._due)

    def tick(self, tick: int) -> int:
        """Read new queries, send the labels that are due; return how many."""
        for partition in range(self._log.partition_count(self._queries)):
            start = self._read.get(partition, 0)
            for record in self._log.read(self._queries, partition, start, limit=10_000):
                self._read[partition] = record.offset + 1
                self._ask(Query.model_validate_json(record.value), tick)
        due = []
        while self._due and self._due[0][0] <= tick:
            _, _, event_id, value = heappop(self._due)
            due.append(Outgoing(value, key=event_id.encode()))
        if due:
            self._log.append(self._labels, due)
        return len(due)

    def moderate(self, events: list[Outgoing], tick: int) -> None:
        """Let moderators act on their own: labels that nobody asked for."""
        people = self._scenario.people
        for outgoing in events:
            rng = rng_of(self._scenario, "moderator", outgoing.value)
            draw = rng.random()
            if draw < people.volunteered:
                event_id = f"v-{crc32(outgoing.value)}"
                body = {"label": rng.choice(CLASSES), "features": {"kind": rng.choice("abcd")}}
                self._later(tick + rng.randint(0, 5), event_id, {"annotator": "mod"} | body)
            elif draw < people.volunteered + people.stranger:
                self._later(tick, "nobody", {"annotator": "mod", "label": "ham"})

    def _ask(self, query: Query, tick: int) -> None:
        if query.event_id in self._asked:
            return
        self._asked.add(query.event_id)
        people, name = self._scenario.people, query.event_id
        rng = rng_of(self._scenario, "annotators", name)
        crowd = SimulatedAnnotators(
            rng.randrange(2**31),
            classes=CLASSES,
            delay_events=people.delay,
            noise=people.noise,
            loss=people.loss,
            duplicates=people.duplicates,
            conflicts=people.conflicts,
        )
        crowd.ask(query, truth_of(query.features), tick)
        at = tick
        while crowd.outstanding_count:
            for label in crowd.due(at):
                self._label(label, at, rng)
            at += 1

    def _label(self, label: Label, at: int, rng: Random) -> None:
        people = self._scenario.people
        name, body = label.event_id, label.model_dump(mode="json", exclude={"event_id"})
        later = at + rng.randint(1, 4)
        if rng.random() < people.skip:
            self._later(at, name, {"kind": "skip", "annotator": "shy"})
        if rng.random() < people.unsure:
            self._later(at, name, {"kind": "unsure", "annotator": "torn"})
        if rng.random() < people.nameless:
            self._later(at, name, body | {"annotator": None})
        if rng.random() < people.unreadable:
            self._later(at, name, body | {"kind": "shout"})
        self._later(at, name, body)
        if rng.random() < people.overturn:
            other = CLASSES[label.label == CLASSES[0]]
            self._later(later, name, body | {"revision": 1, "label": other})
        if rng.random() < people.retract:
            self._later(later + 1, name, body | {"revision": 2, "kind": "retract", "label": None})

    def _later(self, at: int, event_id: str, body: dict[str, Any]) -> None:
        self._scheduled += 1
        value = json.dumps({"event_id": event_id} | body).encode()
        heappush(self._due, (at, self._scheduled, event_id, value))
