"""Workers that die at random moments lose nothing, double nothing and forget nothing."""

from __future__ import annotations

import json
import os
import time
from collections import Counter, defaultdict
from pathlib import Path
from random import Random
from typing import Any

from stream_al.messages import CHAIN_START, chained, read_journal_record
from stream_al.service.groups import resolver_group, scorer_group
from stream_al.testing import text_stream
from tests.integration.conftest import Deployment, Process

LIVES = int(os.environ.get("STREAM_AL_TEST_LIVES", "50"))
PAIRED_FROM = 0.7 * LIVES
"""From this life on the next worker starts before the one before it is killed."""
FULL_DISKS = (LIVES // 5, LIVES // 2)
MOVED_CLOCKS_MS = {LIVES // 4: 3_600_000, LIVES // 3: -3_600_000}
EVENTS = 1_500 * LIVES
RATE = 450
SHARE = 0.1
SLACK = 1.1


def test_kills_full_disks_and_moved_clocks_lose_and_double_nothing(deployment: Deployment) -> None:
    """SIGKILLs under a running stream: one prediction an event, one outcome a label.

    In between the disk is full twice, and the clock is an hour ahead and an hour behind.
    """
    deployment.configure(gate={"budget": {"share": SHARE}})
    truth_file = _write_stream(deployment.folder)
    sender = deployment.start("send", "stream.jsonl", "--rate", RATE)
    people = deployment.start("@people", 7, truth_file)

    worked = _kill_again_and_again(deployment, Random(20))

    assert sender.poll() is None, "the stream ended before the kills did; raise EVENTS"
    sender.kill()
    assert people.terminate().code == 0
    ended = deployment.start("run", "--until-idle").wait(60)
    assert ended.code == 0, ended.err
    assert worked >= 0.6 * LIVES, f"only {worked} of {LIVES} lives committed something"
    _assert_every_event_has_one_answer(deployment)
    _assert_every_label_has_one_outcome(deployment)
    _assert_spend_follows_propensity(deployment)
    _assert_journal_is_one_chain(deployment)
    _assert_offline_folds_agree(deployment)
    audit = deployment.start("audit").wait(60)
    assert audit.code == 0, audit.out + audit.err
    verified = deployment.start("replay", "--verify").wait(120)
    assert verified.code == 0, verified.out + verified.err


def _write_stream(folder: Path) -> Path:
    """Write texts with a broken, a repeated and a wrong event now and then; return the truth."""
    rng = Random(3)
    truth = {}
    with (folder / "stream.jsonl").open("w") as file:
        for example in text_stream(5, EVENTS):
            event = example.event
            truth[event.event_id] = example.label
            line = json.dumps({"event_id": event.event_id, "features": event.features})
            file.write(line + "\n")
            draw = rng.random()
            if draw < 0.01:
                file.write(line[:-3] + "\n")
            elif draw < 0.02:
                file.write(line + "\n")
            elif draw < 0.03:
                file.write('{"event_id": "wrong", "features": {"text": 7}}\n')
    path = folder / "truth.json"
    path.write_text(json.dumps(truth))
    return path


def _kill_again_and_again(deployment: Deployment, rng: Random) -> int:
    """Start and kill `LIVES` workers; return how many committed something in their life."""
    worked = 0
    before: Process | None = None
    for life in range(LIVES):
        started_ms = time.time_ns() // 1_000_000
        if life in FULL_DISKS:
            _fill_the_disk(deployment)
        worker = deployment.start("run", clock_shift_ms=MOVED_CLOCKS_MS.get(life, 0))
        if before is not None:
            time.sleep(rng.uniform(0.0, 0.4))
            before.kill()
            before = None
        _wait_for_work(worker)
        time.sleep(rng.uniform(0.05, 1.1))
        assert worker.poll() is None, worker.err
        worked += _has_committed(deployment, worker.pid, started_ms)
        if life % 2:
            _wait_for_commit(deployment)
        if life >= PAIRED_FROM and life < LIVES - 1:
            before = worker
        else:
            worker.kill()
    return worked


def _fill_the_disk(deployment: Deployment) -> None:
    """Let a worker meet the end of the disk: it stops in doubt, and says so."""
    # The write-ahead log can't grow, nor can the file into which it would be emptied.
    written = min((deployment.folder / name).stat().st_size for name in ("t.db", "t.db-wal"))
    ended = deployment.start("run", file_bytes_max=written + 4_096).wait(60)
    assert ended.code == 1, ended.err
    assert "disk" in ended.err.strip().splitlines()[-1]


def _wait_for_work(worker: Process) -> None:
    """Wait until the process has opened the log; what it does then may be cut off anywhere."""
    deadline = time.monotonic() + 10
    while "http_listening" not in worker.err and time.monotonic() < deadline:
        time.sleep(0.01)


def _wait_for_commit(deployment: Deployment) -> None:
    """Return right after a commit of the resolver: what comes next is cut off at its beginning."""
    before = deployment.ends("outcomes")
    deadline = time.monotonic() + 0.5
    while deployment.ends("outcomes") == before and time.monotonic() < deadline:
        pass


def _has_committed(deployment: Deployment, pid: int, since_ms: int) -> bool:
    config = deployment.config
    seats = [
        (scorer_group(config), config.topic("events")),
        (resolver_group(config), config.topic("journal")),
    ]
    return any(
        owner.process == pid and (owner.committed_at_ms or 0) > since_ms
        for group, topic in seats
        for owner in deployment.log.owners(group, topic)
    )


def _places(messages: list[dict[str, Any]]) -> Counter[tuple[int, int]]:
    return Counter((one["source"]["partition"], one["source"]["offset"]) for one in messages)


def _letters(deployment: Deployment, topic: str) -> Counter[tuple[int, int]]:
    return Counter(
        (letter["partition"], letter["offset"])
        for letter in deployment.messages("dead_letters")
        if letter["topic"] == deployment.config.topic(topic)
    )


def _all_places(deployment: Deployment, topic: str) -> Counter[tuple[int, int]]:
    return Counter((record.partition, record.offset) for record in deployment.records(topic))


def _assert_every_event_has_one_answer(deployment: Deployment) -> None:
    predicted = _places(deployment.messages("predictions"))
    letters = _letters(deployment, "events")
    assert predicted + letters == _all_places(deployment, "events")
    assert len(predicted) > 5_000
    assert letters.total() > 50


def _assert_every_label_has_one_outcome(deployment: Deployment) -> None:
    outcomes = deployment.messages("outcomes")
    heard = _places(outcomes) + _letters(deployment, "labels")
    assert heard == _all_places(deployment, "labels")
    kinds = Counter(outcome["outcome"] for outcome in outcomes)
    assert kinds["applied"] > 300
    assert {"duplicate", "unknown", "invalid", "skipped", "retracted"} <= set(kinds)


def _assert_spend_follows_propensity(deployment: Deployment) -> None:
    """Hold |queries − Σ propensity| < 1.1 at every prefix; the version never goes back."""
    by_partition = defaultdict(list)
    for record in deployment.records("predictions"):
        by_partition[record.partition].append(json.loads(record.value))
    asked: Counter[tuple[int, int]] = Counter()
    for partition, predictions in by_partition.items():
        owed, version, offset = 0.0, 0, -1
        for one in predictions:
            assert one["source"]["offset"] > offset, "predictions come in the events' order"
            assert one["model_version"] >= version, "a model's version never goes back"
            offset, version = one["source"]["offset"], one["model_version"]
            owed += one["queried"] - one["propensity"]
            assert abs(owed) < SLACK, f"partition {partition}, offset {offset}: {owed}"
            asked[partition, offset] += one["queried"]
    assert _places(deployment.messages("queries")) == +asked


def _assert_journal_is_one_chain(deployment: Deployment) -> None:
    """One chain of hashes; one label record a revision; one closing record a query."""
    chain = CHAIN_START
    labels: Counter[tuple[str, int]] = Counter()
    closed: Counter[tuple[int, int]] = Counter()
    for record in deployment.records("journal"):
        entry = read_journal_record(record.value)
        assert entry.chain == chained(entry, chain).chain
        chain = entry.chain
        if entry.kind == "label":
            labels[entry.event_id, entry.revision] += 1
        source = getattr(entry, "closes", None)
        if source is not None:
            closed[source.partition, source.offset] += 1
    assert set(labels.values()) == {1}
    assert set(closed.values()) == {1}
    assert not closed - _places(deployment.messages("queries"))


def _assert_offline_folds_agree(deployment: Deployment) -> None:
    """Two processes fold the journal alike, and reproduce every prediction and every query."""
    first = deployment.start("@fold", "replay").wait(90)
    second = deployment.start("@fold").wait(60)
    assert (first.code, second.code) == (0, 0), first.err + second.err
    replayed, folded = first.json(), second.json()
    assert replayed["different"] == []
    assert replayed["predictions"] == len(deployment.messages("predictions"))
    assert replayed["queries"] == len(deployment.messages("queries"))
    assert replayed["learnt"] > 300
    assert {key: replayed[key] for key in folded} == folded
