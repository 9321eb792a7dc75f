"""Workers on real brokers under faults: every input is answered once, and nothing is overspent.

The kinds of `make chaos` that have no test of their own in `test_kafka_recovery` or
`test_kafka_scale`, each once; by the other transport: `make chaos ARGS='--transport fast'`.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

from tests.chaos.deploying import deploy
from tests.chaos.faults import OF_PROCESSES, Stage
from tests.chaos.faults_of_brokers import OF_NETWORK, OF_THREE, kill_broker, restart_brokers
from tests.chaos.faults_of_streams import add_partition, poison
from tests.chaos.run import RATE, SECTIONS, chaos, hold_to_account, let_happen
from tests.chaos.workers import RESIDENT_MIB_MAX, Workers
from tests.integration.accounts import write_stream
from tests.integration.conftest import Deployment
from tests.kafka_fixture import Broker

EVENTS = 40_000


def test_faults_of_processes_and_streams_lose_and_double_nothing(
    deployment: Deployment, kafka: Broker
) -> None:
    """On whatever broker there is: kills, pauses, zombies, slow steps, poison, a new partition."""
    deploy(deployment, app=kafka.new_app(), bootstrap_servers=kafka.bootstrap_servers, **SECTIONS)
    truth_file = write_stream(deployment.folder, EVENTS)
    workers = Workers(deployment, roles=("all", "all"), rate=RATE, truth_file=str(truth_file))
    faults = (*OF_PROCESSES, poison, add_partition)

    found = let_happen(Stage(workers, Random(11)), faults, None)

    hold_to_account(deployment, events_min=2_000)
    assert set(found.gaps_s) == {fault.__name__ for fault in faults}
    assert 0 < found.resident_mib < RESIDENT_MIB_MAX
    assert workers.ends["fenced"] > 0, f"nobody was fenced: {workers.ends}"


def test_faults_of_a_broker_and_its_network_lose_and_double_nothing(tmp_path: Path) -> None:
    """One broker behind a proxy: killed, cut off, slow, silent; roles apart, predictions packed."""
    faults = (kill_broker, *OF_NETWORK)
    packing = SECTIONS | {"predictions": {"pack": "poll"}}

    found = chaos(tmp_path, faults, nodes=1, seed=5, roles="apart", sections=packing)

    assert set(found.gaps_s) == {fault.__name__ for fault in faults}


def test_faults_of_three_brokers_lose_and_double_nothing(tmp_path: Path) -> None:
    """Leaders and coordinators are killed during commits and moved; then all are restarted."""
    faults = (*OF_THREE, restart_brokers)

    found = chaos(tmp_path, faults, nodes=3, seed=5)

    assert set(found.gaps_s) == {fault.__name__ for fault in faults}
