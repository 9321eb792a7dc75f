"""What can go wrong with brokers, and with the network between them and workers."""

from __future__ import annotations

import time

from stream_al.service.groups import resolver_group, scorer_group
from stream_al_connectors.kafka.broker import Cluster
from tests.chaos.brokers import Leaders
from tests.chaos.faults import Fault, Stage
from tests.chaos.proxy import Mode

DOWN_S = 2.0


def kill_broker(stage: Stage) -> None:
    """SIGKILL of a broker, and again after two seconds."""
    _bounce(stage, stage.node())


def restart_brokers(stage: Stage) -> None:
    """Restart one broker after the other, as an upgrade does."""
    cluster = _cluster(stage)
    for node in cluster.nodes:
        cluster.stop_node(node)
        cluster.start_node(node)
        stage.workers.settle(2.0)


def kill_leader(stage: Stage) -> None:
    """SIGKILL of the broker that leads a partition of predictions, while it is written to."""
    topic = stage.deployment.config.topic("predictions")
    _bounce(stage, _leaders(stage).of(topic, stage.rng.randrange(stage.partitions)))


def kill_coordinator(stage: Stage) -> None:
    """SIGKILL of the broker that coordinates scorers, resolvers, or a slot's transactions."""
    config, leaders = stage.deployment.config, _leaders(stage)
    asked = stage.rng.choice((leaders.of_group, leaders.of_transactions))
    name = stage.rng.choice((f"{scorer_group(config)}-{stage.scorer()}", resolver_group(config)))
    if asked == leaders.of_group:
        name = stage.rng.choice((scorer_group(config), resolver_group(config)))
    _bounce(stage, asked(name))


def move_coordinator(stage: Stage) -> None:
    """Let the scorers' coordinator move to another broker in peace, and back."""
    cluster, leaders = _cluster(stage), _leaders(stage)
    node = leaders.of_group(scorer_group(stage.deployment.config))
    cluster.stop_node(node)
    cluster.start_node(node)
    leaders.prefer()


def _bounce(stage: Stage, node: int) -> None:
    cluster = _cluster(stage)
    cluster.kill_node(node)
    time.sleep(DOWN_S)
    cluster.start_node(node)


def _network(mode: Mode, seconds: float) -> Fault:
    def fault(stage: Stage) -> None:
        assert stage.proxy is not None
        stage.proxy.mode = mode
        stage.workers.settle(seconds)
        stage.proxy.mode = "pass"

    fault.__name__ = f"network_{mode}"
    return fault


def network_reset(stage: Stage) -> None:
    """Reset every connection."""
    assert stage.proxy is not None
    stage.proxy.reset()


def network_swallow(stage: Stage) -> None:
    """Lose what comes over every connection that there is, and say nothing to either end."""
    assert stage.proxy is not None
    stage.proxy.swallow()


def _cluster(stage: Stage) -> Cluster:
    assert stage.cluster is not None
    return stage.cluster


def _leaders(stage: Stage) -> Leaders:
    assert stage.leaders is not None
    return stage.leaders


OF_BROKERS: tuple[Fault, ...] = (kill_broker, restart_brokers)
OF_THREE: tuple[Fault, ...] = (kill_leader, kill_coordinator, move_coordinator)
OF_NETWORK: tuple[Fault, ...] = (
    network_reset,
    network_swallow,
    _network("delay", 5.0),
    _network("hold", 4.0),
    _network("one_way", 4.0),
)
