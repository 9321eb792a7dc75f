"""What can go wrong with topics and with what comes in."""

from __future__ import annotations

import json
from random import Random

from tests.chaos.deploying import reconfigure
from tests.chaos.faults import PARTITIONS_MAX, Fault, Stage
from tests.integration.conftest import Ended

POISON = 100
STARTS_S = 60.0
TOO_LARGE = 4 << 20
"""Bytes: above what records may have with the stage's configuration, which is 1 MiB."""


def poison(stage: Stage) -> None:
    """Send events and labels that can't be used, one of each kind at least."""
    for topic in ("events", "labels"):
        lines = poisonous(stage.rng, stage.deployment.config.events.bytes_max)
        path = stage.deployment.folder / f"poison-{topic}.jsonl"
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        _succeeded(stage.deployment.start("send", path, "--topic", topic).wait(STARTS_S))


def poisonous(rng: Random, bytes_max: int) -> list[bytes]:
    """Return records of which none is an event or a label, one of them larger than `bytes_max`."""
    kinds = [
        b"\xff\xfe\x00 no text in any encoding",
        b'{"event_id": "cut off',
        b"null",
        b"[[[[[[[[[[]]]]]]]]]]",
        b'"\\ud800"',
        b'{"features": {"text": "without an id"}}',
        b'{"event_id": 7, "features": "wrong", "label": [], "annotator": {}}',
        b'{"event_id": "deep", "features": ' + b'{"a": ' * 500 + b"1" + b"}" * 500 + b"}",
    ]
    large = json.dumps({"event_id": "large", "features": {"text": "x" * bytes_max}}).encode()
    return [*kinds, large, *rng.choices(kinds, k=POISON)]


def send_too_large(stage: Stage) -> None:
    """Send a record that no broker takes: it is refused with a sentence, and nothing is sent."""
    path = stage.deployment.folder / "too-large.jsonl"
    path.write_bytes(b'{"event_id": "' + b"x" * TOO_LARGE)
    ended = stage.deployment.start("send", path).wait(STARTS_S)
    assert ended.code == 2, ended
    assert "larger than" in ended.err, ended.err


def missing_topic(stage: Stage) -> None:
    """Start a worker whose topics are not all there: it says which, and changes nothing."""
    topics = {"partitions": stage.partitions, "outcomes": "not-there"}
    reconfigure(stage.deployment, "missing.yaml", topics=topics)
    ended = stage.deployment.start("run", "--slot", 9, "--config", "missing.yaml").wait(STARTS_S)
    assert ended.code == 2, ended
    assert "not-there" in ended.err, ended.err
    assert "stream-al topics create" in ended.err, ended.err


def add_partition(stage: Stage) -> None:
    """Add a partition while everything runs."""
    if stage.partitions < PARTITIONS_MAX:
        stage.partitions += 1
        reconfigure(stage.deployment, topics={"partitions": stage.partitions})
        _succeeded(stage.deployment.start("topics", "create").wait(STARTS_S))


def add_partition_after_restart(stage: Stage) -> None:
    """Restart all workers, the group's leader among them, and add a partition then.

    The leader comes back without a new deal, and forgets to watch the topic.
    """
    for slot in stage.workers.slots:
        stage.workers[slot].kill()
    stage.workers.settle(6.0)
    add_partition(stage)


def _succeeded(ended: Ended) -> None:
    assert ended.code == 0, ended


OF_STREAMS: tuple[Fault, ...] = (
    poison,
    send_too_large,
    missing_topic,
    add_partition,
    add_partition_after_restart,
)
