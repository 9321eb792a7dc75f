"""Workers that come and go on Kafka, and partitions that are added, while events flow."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict

import pytest

from stream_al.service.groups import resolver_group, scorer_group
from tests.chaos.deploying import deploy, reconfigure
from tests.chaos.run import TRANSPORTS
from tests.integration.accounts import assert_spend_follows_propensity, places
from tests.integration.conftest import Deployment, Process, native, until
from tests.kafka_fixture import Broker

STARTS_S = 60.0
SESSION = {"session_timeout": "10m", "poll_interval": "10m"}
"""Longer than a test may take: whoever waits for it is seen."""
RATE = 200
EVENTS = 20_000


def _owners(deployment: Deployment) -> dict[int, str | None]:
    """Return partition of events → the slot that owns it."""
    config = deployment.config
    owners = deployment.log.owners(scorer_group(config), config.topic("events"))
    return {it.partition: it.member and it.member.rpartition("-")[2] for it in owners}


def _journal_owner(deployment: Deployment) -> str | None:
    config = deployment.config
    (owner,) = deployment.log.owners(resolver_group(config), config.topic("journal"))
    return owner.member and owner.member.rpartition("-")[2]


def _worker(deployment: Deployment, slot: int) -> Process:
    process = deployment.start("run", "--slot", slot)
    process.wait_for("http_listening", STARTS_S)
    return process


def _two(deployment: Deployment) -> list[Process]:
    """Start two workers, and wait until each owns two partitions."""
    workers = [_worker(deployment, slot) for slot in (0, 1)]
    _shared(deployment)
    return workers


def _shared(deployment: Deployment) -> None:
    until(lambda: Counter(_owners(deployment).values()) == {"0": 2, "1": 2}, STARTS_S, 0.1)


def _assert_each_once(deployment: Deployment) -> None:
    """Every event has one prediction, and nobody asked for more than the rates allow."""
    events = {(record.partition, record.offset) for record in deployment.records("events")}
    predicted = places(deployment.messages("predictions"))
    assert predicted == dict.fromkeys(events, 1)
    rates: dict[int, float] = defaultdict(float)
    asked: Counter[int] = Counter()
    for record in deployment.records("predictions"):
        said = json.loads(record.value)
        rates[record.partition] += said["rate"]
        asked[record.partition] += said["queried"]
    for partition, rate in rates.items():
        assert asked[partition] <= math.ceil(rate) + 1, f"partition {partition} overspent"
    assert_spend_follows_propensity(deployment)
    deployment.done("audit")


def test_what_a_leaving_worker_owned_is_taken_over_at_once(
    deployment: Deployment, kafka: Broker
) -> None:
    """SIGTERM of the one that also resolves: nobody waits for its session to end."""
    deploy(deployment, app=kafka.new_app(), bootstrap_servers=kafka.bootstrap_servers, log=SESSION)
    workers = _two(deployment)
    leaving = _journal_owner(deployment)
    assert leaving is not None

    assert workers[int(leaving)].terminate().code == 0

    staying = {"0": "1", "1": "0"}[leaving]
    until(lambda: set(_owners(deployment).values()) == {staying}, STARTS_S, 0.1)
    until(lambda: _journal_owner(deployment) == staying, STARTS_S, 0.1)
    deployment.send(*(native(n) for n in range(100)))
    until(lambda: len(deployment.messages("predictions")) >= 100, STARTS_S, 0.1)
    _assert_each_once(deployment)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_added_partitions_get_workers_and_their_share_of_the_budget(
    deployment: Deployment, kafka: Broker, transport: str
) -> None:
    """Also when all workers were restarted before, and with them the one that watches the topic."""
    budget = {"share": 0.5, "per_hour": 6_000}
    deploy(
        deployment,
        app=kafka.new_app(),
        bootstrap_servers=kafka.bootstrap_servers,
        gate={"secret_file": "gate.secret", "budget": budget},
        log={"transport": transport},
    )
    workers = _two(deployment)
    deployment.send(*(native(n) for n in range(100)))
    for slot, worker in enumerate(workers):
        worker.kill()
        _worker(deployment, slot)
    _shared(deployment)

    reconfigure(deployment, topics={"partitions": 6})
    deployment.done("topics", "create")

    until(lambda: Counter(_owners(deployment).values()) == {"0": 3, "1": 3}, 2 * STARTS_S, 0.1)
    until(lambda: _division(deployment) == 6, STARTS_S, 0.1)
    deployment.send(*(native(n) for n in range(100, 700)))
    until(lambda: len(deployment.messages("predictions")) >= 700, STARTS_S, 0.1)
    asked = Counter(source for source, _ in places(deployment.messages("queries")))
    assert set(asked) == set(range(6)), f"a partition never asks: {asked}"
    _assert_each_once(deployment)


def _division(deployment: Deployment) -> int | None:
    """Return over how many partitions the budget is divided, as the journal says last."""
    patches = [one["patch"] for one in deployment.messages("journal") if one["kind"] == "control"]
    said = [patch["partitions"] for patch in patches if "partitions" in patch]
    return said[-1] if said else None


def test_a_rolling_restart_loses_nothing_and_overspends_nothing(
    deployment: Deployment, kafka: Broker
) -> None:
    """One worker after the other, each with its slot, while events flow."""
    deploy(deployment, app=kafka.new_app(), bootstrap_servers=kafka.bootstrap_servers, log=SESSION)
    workers = _two(deployment)
    path = deployment.folder / "stream.jsonl"
    path.write_text("".join(json.dumps(native(n)) + "\n" for n in range(EVENTS)))
    sender = deployment.start("send", path, "--rate", RATE)
    until(lambda: sum(deployment.ends("predictions")) > 0, STARTS_S, 0.1)

    for slot in (0, 1):
        assert workers[slot].terminate().code == 0
        workers[slot] = _worker(deployment, slot)
        _shared(deployment)

    sender.kill()
    for worker in workers:
        assert worker.terminate().code == 0
    assert deployment.start("run", "--until-idle").wait(STARTS_S).code == 0
    assert sum(deployment.ends("events")) < EVENTS, "the sender was done before the restarts were"
    _assert_each_once(deployment)
