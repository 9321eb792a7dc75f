"""Workers that die at random moments lose nothing, double nothing and forget nothing."""

from __future__ import annotations

import os
import time
from random import Random

from stream_al.service.groups import resolver_group, scorer_group
from tests.integration.accounts import (
    assert_every_event_has_one_answer,
    assert_every_label_has_one_outcome,
    assert_journal_is_one_chain,
    assert_offline_folds_agree,
    assert_spend_follows_propensity,
    write_stream,
)
from tests.integration.conftest import Deployment, Process

LIVES = int(os.environ.get("STREAM_AL_TEST_LIVES", "50"))
PAIRED_FROM = 0.7 * LIVES
"""From this life on the next worker starts before the one before it is killed."""
FULL_DISKS = (LIVES // 5, LIVES // 2)
MOVED_CLOCKS_MS = {LIVES // 4: 3_600_000, LIVES // 3: -3_600_000}
EVENTS = 1_500 * LIVES
RATE = 450
SHARE = 0.1


def test_kills_full_disks_and_moved_clocks_lose_and_double_nothing(deployment: Deployment) -> None:
    """SIGKILLs under a running stream: one prediction an event, one outcome a label.

    In between the disk is full twice, and the clock is an hour ahead and an hour behind.
    """
    deployment.configure(gate={"budget": {"share": SHARE}})
    truth_file = write_stream(deployment.folder, EVENTS)
    sender = deployment.start("send", "stream.jsonl", "--rate", RATE)
    people = deployment.start("@people", 7, truth_file)

    worked = _kill_again_and_again(deployment, Random(20))

    assert sender.poll() is None, "the stream ended before the kills did; raise EVENTS"
    sender.kill()
    assert people.terminate().code == 0
    ended = deployment.start("run", "--until-idle").wait(60)
    assert ended.code == 0, ended.err
    assert worked >= 0.6 * LIVES, f"only {worked} of {LIVES} lives committed something"
    assert_every_event_has_one_answer(deployment, events_min=5_000)
    assert_every_label_has_one_outcome(deployment, applied_min=300)
    assert_spend_follows_propensity(deployment)
    assert_journal_is_one_chain(deployment)
    assert_offline_folds_agree(deployment, learnt_min=300)
    audit = deployment.start("audit").wait(60)
    assert audit.code == 0, audit.out + audit.err
    verified = deployment.start("replay", "--verify").wait(120)
    assert verified.code == 0, verified.out + verified.err


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
