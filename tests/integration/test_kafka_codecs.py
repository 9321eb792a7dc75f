"""Records that producers compressed are read by both transports and by every command."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

import pytest
from kafka import KafkaProducer

from tests.chaos.deploying import deploy
from tests.integration.conftest import ENVIRONMENT, Deployment, native
from tests.kafka_fixture import Broker

CODECS = ("gzip", "snappy", "lz4", "zstd")
EACH = 25
WITHOUT = """
import sys
from kafka import codec
codec.has_{0} = lambda: False
from stream_al.service.main import run
sys.exit(run(sys.argv[1:]))
"""


def _send(broker: Broker, topic: str, codec: str, values: list[dict[str, object]]) -> None:
    producer = KafkaProducer(
        bootstrap_servers=broker.bootstrap_servers, compression_type=codec, linger_ms=200
    )
    for value in values:
        producer.send(topic, json.dumps(value).encode())
    producer.flush()
    producer.close()


@pytest.mark.parametrize("transport", ["kafka-python", "fast"])
def test_compressed_events_and_labels_are_read_by_every_command(
    deployment: Deployment, kafka: Broker, transport: str
) -> None:
    """C3: each codec in batches of its own, in one deployment."""
    app = kafka.new_app()
    deploy(
        deployment,
        app=app,
        bootstrap_servers=kafka.bootstrap_servers,
        log={"transport": transport},
        topics={"partitions": 1},
    )
    label = {"label": "spam", "annotator": "a", "features": {"text": "t"}}
    for turn, codec in enumerate(CODECS):
        numbers = range(turn * EACH, (turn + 1) * EACH)
        _send(kafka, f"{app}.events", codec, [native(n) for n in numbers])
        _send(kafka, f"{app}.labels", codec, [{"event_id": f"l-{codec}"} | label])

    deployment.done("check")
    deployment.done("run", "--until-idle")

    ids = Counter(body["event_id"] for body in deployment.messages("predictions"))
    assert ids == {f"e-{n}": 1 for n in range(EACH * len(CODECS))}
    assert len(deployment.messages("outcomes")) == len(CODECS)
    assert deployment.done("read", "events").out.count("\n") == EACH * len(CODECS)
    assert deployment.done("read", "labels").out.count("\n") == len(CODECS)
    deployment.done("audit")
    deployment.done("replay", "--verify")
    deployment.done("what-if", "--share", "0.2")
    deployment.done("positions")
    assert deployment.done("status", "--json").json()["lag"] == 0


@pytest.mark.parametrize(("codec", "package"), [("lz4", "lz4"), ("zstd", "zstandard")])
def test_a_codec_that_is_not_installed_is_named(
    deployment: Deployment, kafka: Broker, codec: str, package: str
) -> None:
    """C3: exit 2 with the package, by a worker, by who reads, and by `check` before."""
    app = kafka.new_app()
    deploy(deployment, app=app, bootstrap_servers=kafka.bootstrap_servers)
    _send(kafka, f"{app}.events", codec, [native(n) for n in range(40)])

    for command in (["check"], ["read", "events"], ["run", "--until-idle"]):
        ended = subprocess.run(
            [sys.executable, "-c", WITHOUT.format(codec), *command],
            cwd=deployment.folder,
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ended.returncode == 2, ended.stderr
        assert f"compressed with {codec}" in ended.stderr
        assert f"pip install '{package}'" in ended.stderr
