"""A client that brokers throttle goes on in smaller batches, and says so."""

from __future__ import annotations

import pytest

from tests.chaos.deploying import deploy
from tests.integration.conftest import Deployment, native, until
from tests.integration.quotas import READS, WRITES, quota
from tests.kafka_fixture import Staged

QUOTA_BYTES_S = 20_000


@pytest.mark.parametrize(
    ("transport", "keys"),
    [
        ("kafka-python", (WRITES, READS)),
        ("kafka-python", (WRITES,)),
        ("fast", (WRITES,)),
        ("fast", (READS,)),
    ],
)
def test_a_throttled_worker_goes_on_in_smaller_batches(
    deployment: Deployment, staged: Staged, transport: str, keys: tuple[str, ...]
) -> None:
    """C9: events and labels are answered, no worker ends, and its log names the throttling."""
    broker = staged.broker
    deploy(
        deployment,
        app=broker.new_app(),
        bootstrap_servers=broker.bootstrap_servers,
        log={"transport": transport},
        topics={"partitions": 2},
    )
    label = {"label": "spam", "annotator": "a", "features": {"text": "free money " * 20}}
    deployment.send(*({"event_id": f"l-{n}"} | label for n in range(150)), topic="labels")
    deployment.send(*(native(n, text="free money " * 20) for n in range(3_000)))
    with quota(broker.admin, QUOTA_BYTES_S, *keys):
        worker = deployment.start("run", "--slot", "0")
        until(
            lambda: (
                worker.poll() is not None
                or (
                    sum(deployment.ends("predictions")) > 700
                    and sum(deployment.ends("outcomes")) > 75
                )
            ),
            120.0,
            every_s=1.0,
        )
        assert worker.poll() is None, worker.err
    until(
        lambda: worker.poll() is not None or len(deployment.messages("predictions")) == 3_000,
        120.0,
        every_s=1.0,
    )

    ended = worker.terminate()
    assert ended.code == 0, ended.err
    assert "throttled by broker" in worker.err
    deployment.done("audit")
