"""Strays by a real producer, a tombstone among them: workers on Kafka pass over them too."""

from __future__ import annotations

import pytest
from kafka import KafkaProducer

from tests.chaos.deploying import deploy
from tests.integration.conftest import Deployment, native
from tests.kafka_fixture import Broker

STRAYS = (None, b"hello", b'{"a":1}', b"\xff\xfe", b"[1,2]", b"")


@pytest.mark.parametrize("transport", ["kafka-python", "fast"])
def test_strays_stop_no_worker_on_kafka(
    deployment: Deployment, kafka: Broker, transport: str
) -> None:
    """A10: in the journal and among the queries, at the end and in the middle; a worker runs on."""
    app = kafka.new_app()
    servers = kafka.bootstrap_servers
    gate = {"secret_file": "gate.secret", "budget": {"share": 1.0}}
    deploy(deployment, app=app, bootstrap_servers=servers, gate=gate, log={"transport": transport})
    deployment.send(*(native(n) for n in range(4)))
    deployment.done("run", "--until-idle")
    producer = KafkaProducer(bootstrap_servers=servers)
    worker = deployment.worker()
    for n, value in enumerate(STRAYS):
        for topic in ("journal", "queries"):
            producer.send(f"{app}.{topic}", value=value, key=b"k", partition=0).get(10)
        label = {"event_id": f"e-{n % 4}", "label": "ok", "annotator": "a", "revision": n}
        deployment.send(native(10 + n))
        deployment.send(label, topic="labels")
    producer.close()
    assert worker.terminate().code == 0

    deployment.done("run", "--until-idle")
    deployment.send(native(30))
    deployment.done("run", "--until-idle")
    deployment.done("status")
    report = deployment.done("audit", "--json").json()
    assert report["clean"]
    assert report["strays"]["total"] == 2 * len(STRAYS)
    assert deployment.done("replay", "--verify", "--json").json()["sound"]
