"""What is held when all is quiet, over the whole log, and what a run leaves behind to compare."""

from __future__ import annotations

import json
from base64 import b64decode
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from stream_al.config import Config
from stream_al.port import Log
from stream_al.service.attempts import QUARANTINED, SINGLES_MAX
from stream_al.service.audit import audit
from stream_al.service.groups import resolver_group, scorer_group
from stream_al.service.rebuild import rebuild
from stream_al.service.worker import Worker
from stream_al_connectors.opening import topics_of
from tests.simulation import invariants
from tests.simulation.invariants import Place, all_predictions, records
from tests.simulation.scenario import SECRET


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a run left behind.

    Attributes
    ----------
    answers
        Place of each event → its prediction or dead letter.
    outcomes
        What became of the labels of each event, in their order.
    lessons
        Journal position → hash of all that was taught and set up to there.
    dump
        Hash of every record and every position.
    """

    answers: dict[Place, dict[str, Any]]
    outcomes: Counter[tuple[Any, ...]]
    lessons: dict[int, str]
    dump: str

    @property
    def set_aside(self) -> int:
        """How many events were quarantined."""
        return sum(one.get("error") == QUARANTINED for one in self.answers.values())


def checked(
    log: Log, config: Config, workers: Mapping[int, Worker], *, now_ms: int, ended_count: int
) -> Outputs:
    """Hold I3's counter, I4, I5, equal folds everywhere and a clean audit; return the outputs.

    Parameters
    ----------
    ended_count
        How often a worker's life was ended from outside: too seldom to set a good event aside.

    Raises
    ------
    AssertionError
        Naming the first breach.
    """
    offline = invariants.Offline(log, config, SECRET)
    offline.run()
    engine = offline.engine
    lessons = invariants.learnt_by_hand(log, config)
    known = engine.model.learnt_count + engine.model.failed_count
    assert known == lessons, f"I3: the model learnt {known}, the journal teaches {lessons}"
    fingerprint = rebuild(log, config, now_ms=now_ms).fingerprint()
    for number, worker in workers.items():
        mine = worker.follower.engine
        assert mine.version == engine.version, f"I8: worker {number} is at {mine.version}"
        assert mine.model.digest() == engine.model.digest(), f"I5: digest of worker {number}"
        active = worker.resolver.active if worker.resolver else None
        if active is not None:
            assert active.fingerprint() == fingerprint, "I5: the resolver's state"
    burst = max([config.gate.burst, *invariants.bursts(log, config)])
    for partition, found in all_predictions(log, config).items():
        invariants.check_spend(found, burst, f"predictions/{partition}")
    report = audit(log, config)
    assert report.clean, f"audit: {report.violations[0]}"
    answers = _answers(log, config)
    for place, one in answers.items():
        if one.get("error") == QUARANTINED and ended_count < SINGLES_MAX:
            assert b'"deadly"' in b64decode(one["raw_base64"]), f"{place} set aside for nothing"
    return Outputs(answers, _outcomes(log, config), offline.lessons, dump(log, config))


def dump(log: Log, config: Config) -> str:
    """Return a hash of all that lies in the log, and of every committed position."""
    hashed = blake2b(digest_size=16)
    groups = (scorer_group(config), resolver_group(config))
    for topic in sorted(topics_of(config)):
        for partition in range(log.partition_count(topic)):
            for record in records(log, topic, partition):
                hashed.update(repr(record).encode())
            said = [log.committed(group, topic, partition) for group in groups]
            hashed.update(repr((topic, partition, log.end(topic, partition), said)).encode())
    return hashed.hexdigest()


def _answers(log: Log, config: Config) -> dict[Place, dict[str, Any]]:
    found: dict[Place, dict[str, Any]] = {}
    for partition, predictions in all_predictions(log, config).items():
        for record in predictions:
            one = json.loads(record.value)
            found[partition, one["source"]["offset"]] = one
    topic = config.topic("dead_letters")
    for partition in range(log.partition_count(topic)):
        for record in records(log, topic, partition):
            one = json.loads(record.value)
            if one["topic"] == config.topic("events"):
                found[one["partition"], one["offset"]] = one
    return found


def _outcomes(log: Log, config: Config) -> Counter[tuple[Any, ...]]:
    topic = config.topic("outcomes")
    by_event: dict[str, list[Any]] = defaultdict(list)
    for partition in range(log.partition_count(topic)):
        for record in records(log, topic, partition):
            one = json.loads(record.value)
            said = (one["annotator"], one["revision"], one["kind"], one["label"], one["outcome"])
            by_event[one["event_id"]].append(said)
    return Counter((event_id, *said) for event_id, said in by_event.items())


def same_answers(before: Outputs, after: Outputs) -> None:
    """Hold that two runs answered the same events, alike but for what the model knew.

    Where the lessons up to both versions are the same, the model said the same.
    """
    places = before.answers.keys() ^ after.answers.keys()
    assert not places, f"only one run answered {places}"
    for place, one in before.answers.items():
        other = after.answers[place]
        if QUARANTINED in {one.get("error"), other.get("error")}:
            continue  # it kills only where the model was asked, and the letter tells how often
        if "model_version" not in one:
            assert one == other, f"dead letter of {place} differs"
            continue
        names = ["event_id", "source", "segment", "schema_version"]
        taught = before.lessons[one["model_version"]]
        if taught == after.lessons[other["model_version"]]:
            names += ["probabilities", "label", "uncertainty"]
        for name in names:
            assert one[name] == other[name], f"{name} of {place} differs"
