"""Packed predictions: one record a partition and poll, understood by everything that reads them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.chaos.deploying import deploy
from tests.integration.conftest import Deployment, native
from tests.kafka_fixture import Broker

EVENTS = 400
PACKED: dict[str, Any] = {"predictions": {"pack": "poll"}}


@pytest.fixture(params=["sqlite", "kafka"])
def packing(request: pytest.FixtureRequest, deployment: Deployment, kafka: Broker) -> Deployment:
    """Configure a deployment that packs, on each log."""
    if request.param == "sqlite":
        deployment.configure(**PACKED, gate={"budget": {"share": 0.5}})
    else:
        deploy(
            deployment,
            app=kafka.new_app(),
            bootstrap_servers=kafka.bootstrap_servers,
            **PACKED,
            gate={"secret_file": "gate.secret", "budget": {"share": 0.5}},
        )
    return deployment


def test_packed_predictions_are_read_audited_and_replayed(packing: Deployment) -> None:
    """Few records, every prediction in them; `read`, `audit`, `replay` and `what-if` agree."""
    events = [native(n, ("free money", "see you")[n % 2]) for n in range(EVENTS)]
    packing.send(*events[: EVENTS // 2])
    packing.done("run", "--until-idle")
    asked = [json.loads(record.value) for record in packing.records("queries")]
    labels = [
        {"event_id": one["event_id"], "label": ("spam", "ham")["see" in str(one["features"])]}
        for one in asked
    ]
    packing.send(*(one | {"annotator": "a"} for one in labels), topic="labels")
    packing.done("run", "--until-idle")
    packing.send(*events[EVENTS // 2 :])
    packing.done("run", "--until-idle")

    records = packing.records("predictions")
    lines = [json.loads(line) for line in packing.done("read", "predictions").out.splitlines()]

    assert len(records) < EVENTS / 10
    assert all(record.value.startswith(b"[{") for record in records)
    assert sorted(line["value"]["event_id"] for line in lines) == sorted(
        one["event_id"] for one in events
    )
    assert {(line["partition"], line["offset"]) for line in lines} == {
        (record.partition, record.offset) for record in records
    }
    assert len(packing.done("read", "predictions", "--limit", 5).out.splitlines()) == 5
    audit = packing.done("audit", "--json").json()
    assert audit["checked"]["predictions"] == EVENTS
    packing.done("replay", "--verify")
    assert f"{EVENTS}" in packing.done("what-if", "--share", "0.2").out


def test_the_audit_finds_a_prediction_twice_in_an_array(deployment: Deployment) -> None:
    """What is doubled within a record is found as well."""
    deployment.configure(**PACKED)
    deployment.send(*(native(n) for n in range(20)))
    deployment.done("run", "--until-idle")
    record = deployment.records("predictions")[0]
    body = json.loads(record.value)
    topic = deployment.config.topic("predictions")
    twice = json.dumps([*body, body[-1]], separators=(",", ":")).encode()
    deployment.log.rewrite(topic, record.partition, {record.offset: twice})

    ended = deployment.cli("audit")

    assert ended.code == 3
    assert "a second prediction of offset" in ended.out + ended.err
