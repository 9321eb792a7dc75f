"""Several processes on one log: they share the work, leave cleanly and replace each other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter

from stream_al.service.groups import resolver_group, scorer_group
from tests.integration.conftest import ENVIRONMENT, Deployment, Process, native, until

LEAVES_S = 5.0
REPLACED_S = 1.5
HISTORY = 3_000


def _owned(deployment: Deployment) -> Counter[int | None]:
    """Return process → how many events partitions it owns."""
    config = deployment.config
    owners = deployment.log.owners(scorer_group(config), config.topic("events"))
    return Counter(owner.process for owner in owners)


def _journal_owner(deployment: Deployment) -> int | None:
    config = deployment.config
    return deployment.log.owners(resolver_group(config), config.topic("journal"))[0].process


def _assert_each_once(deployment: Deployment, count: int) -> None:
    until(lambda: len(deployment.messages("predictions")) >= count)
    predicted = Counter(one["event_id"] for one in deployment.messages("predictions"))
    assert predicted == {f"e-{number}": 1 for number in range(count)}


def _events(start: int, count: int) -> list[dict[str, object]]:
    return [native(number) for number in range(start, start + count)]


def test_second_process_simply_helps(deployment: Deployment) -> None:
    """Partitions are shared while both live and come back when one leaves; nothing is doubled."""
    first = deployment.worker()
    until(lambda: _owned(deployment) == {first.pid: 4})
    deployment.send(*_events(0, 400))
    second = deployment.worker("--slot", "1")

    until(lambda: _owned(deployment) == {first.pid: 2, second.pid: 2})
    deployment.send(*_events(400, 400))
    _assert_each_once(deployment, 800)
    assert _journal_owner(deployment) == first.pid

    first.terminate()
    until(lambda: _owned(deployment) == {second.pid: 4})
    until(lambda: _journal_owner(deployment) == second.pid)
    deployment.send(*_events(800, 400))
    _assert_each_once(deployment, 1_200)


def test_newcomer_takes_nothing_before_it_can_score(deployment: Deployment) -> None:
    """While a second worker still folds the journal, the first one keeps all partitions."""
    first = deployment.worker()
    until(lambda: _owned(deployment) == {first.pid: 4})
    history = (native(number) | {"label": "spam"} for number in range(HISTORY))
    path = deployment.folder / "history.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in history))
    deployment.done("seed", path)
    until(lambda: deployment.ends("journal")[0] >= HISTORY)

    second = deployment.start("run", "--slot", "1")
    looks = 0
    while (owned := _owned(deployment)) and "journal_folded" not in second.err:
        assert owned == {first.pid: 4}
        looks += 1

    assert looks > 3
    until(lambda: _owned(deployment) == {first.pid: 2, second.pid: 2})


def test_sigterm_under_load_finishes_the_batch(deployment: Deployment) -> None:
    """SIGTERM ends a busy worker within 5 s with exit 0, and the next one goes on from there."""
    deployment.send(*_events(0, 20_000))
    worker = deployment.worker()
    until(lambda: sum(deployment.ends("predictions")) > 0)

    started = time.monotonic()
    ended = worker.terminate()

    assert time.monotonic() - started < LEAVES_S
    assert ended.code == 0, ended.err
    assert ended.out == ""
    assert "worker_left" in ended.err
    assert 0 < sum(deployment.ends("predictions")) < 20_000
    deployment.done("run", "--until-idle")
    _assert_each_once(deployment, 20_000)


def test_until_idle_reads_everything_and_ends(deployment: Deployment) -> None:
    """Events, labels and controls that wait are done when `run --until-idle` ends by itself."""
    deployment.configure(gate={"budget": {"share": 1.0}})
    deployment.send(*_events(0, 50))
    deployment.done("run", "--until-idle")
    labels = [{"event_id": f"e-{n}", "label": "spam", "annotator": "a"} for n in range(50)]
    deployment.send(*labels, topic="labels")

    deployment.done("run", "--until-idle")

    assert Counter(one["outcome"] for one in deployment.messages("outcomes")) == {"applied": 50}
    status = deployment.done("status", "--json").json()
    assert (status["lag"], status["labels_lag"], status["pending"]) == (0, 0, 0)


def test_two_processes_until_idle_both_end(deployment: Deployment) -> None:
    """Two that wait for each other's partitions still end, and share the work once."""
    deployment.send(*_events(0, 3_000))
    both = [deployment.start("run", "--until-idle") for _ in range(2)]

    assert [process.wait(30).code for process in both] == [0, 0]
    _assert_each_once(deployment, 3_000)


def _stopped(deployment: Deployment) -> tuple[Process, Process]:
    """Return a worker that owns everything and stands still, and another that runs."""
    first = deployment.worker()
    until(lambda: _owned(deployment) == {first.pid: 4})
    until(lambda: _journal_owner(deployment) == first.pid)
    time.sleep(0.3)
    first.send_signal(signal.SIGSTOP)
    return first, deployment.worker("--slot", "1")


def test_stalled_worker_keeps_its_partitions(deployment: Deployment) -> None:
    """No clock takes a stopped process's work away; `status` says who holds it; it can go on."""
    first, second = _stopped(deployment)
    deployment.send(*_events(0, 20))
    time.sleep(1.0)

    status = deployment.done("status", "--json").json()
    assert {(row["owner"], row["process"]) for row in status["events"]} == {
        (f"worker-0-{first.pid}", first.pid)
    }
    assert [row["process"] for row in status["resolver"]] == [first.pid]
    assert status["lag"] == 20
    assert f"worker-0-{first.pid}" in deployment.done("status").out
    assert second.poll() is None

    first.send_signal(signal.SIGCONT)
    _assert_each_once(deployment, 20)
    until(lambda: _owned(deployment) == {first.pid: 2, second.pid: 2})


def test_killed_worker_is_replaced_at_once(deployment: Deployment) -> None:
    """Even a stalled owner: from SIGKILL to all of its partitions in other hands under 1.5 s."""
    first, second = _stopped(deployment)

    os.kill(first.pid, signal.SIGKILL)
    took_s = until(
        lambda: _owned(deployment) == {second.pid: 4} and _journal_owner(deployment) == second.pid
    )

    assert took_s < REPLACED_S
    deployment.send(*_events(0, 100))
    _assert_each_once(deployment, 100)


def test_scorer_and_resolver_apart(deployment: Deployment) -> None:
    """One process only scores, another only resolves: together they are a worker."""
    deployment.configure(gate={"budget": {"share": 1.0}})
    scorer = deployment.worker("--role", "scorer")
    deployment.send(*_events(0, 10))
    time.sleep(0.3)
    assert sum(deployment.ends("predictions")) == 0

    resolver = deployment.worker("--role", "resolver")
    _assert_each_once(deployment, 10)
    assert deployment.done("label", "e-3", "spam").out == "applied\n"
    assert deployment.done("label", "e-4", "ham").out == "applied\n"
    deployment.send(*_events(10, 10))
    _assert_each_once(deployment, 20)

    last = deployment.messages("predictions")[-1]
    assert set(last["probabilities"]) == {"spam", "ham"}
    assert (_owned(deployment), _journal_owner(deployment)) == ({scorer.pid: 4}, resolver.pid)
    assert scorer.terminate().code == 0
    assert resolver.terminate().code == 0


def test_installed_command_pins_the_hash_seed(deployment: Deployment) -> None:
    """`python -m stream_al` under any hash seed runs under seed 0, so replicas agree."""
    deployment.send(*_events(0, 3))
    for seed in ("1", "random"):
        ended = subprocess.run(
            [sys.executable, "-m", "stream_al", "run", "--until-idle"],
            cwd=deployment.folder,
            env=ENVIRONMENT | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
    _assert_each_once(deployment, 3)
