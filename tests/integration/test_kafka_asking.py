"""What brokers are asked, by a client that knows nothing yet, and whatever transport wrote it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from stream_al.config import Config
from stream_al.errors import Ambiguous
from stream_al.port import Position
from stream_al_connectors.kafka import KafkaLog
from stream_al_connectors.kafka import asking as asking_module
from stream_al_connectors.kafka.asking import Asking
from stream_al_connectors.kafka.deadline import Deadline
from stream_al_connectors.kafka.settings import Clients
from tests.kafka_fixture import Broker, Staged

READS = 50


def test_ends_of_topics_half_known(kafka: Broker) -> None:
    """kafka-python 3.0.12 drops those whose leader it does not know, and stumbles over it."""
    app = kafka.new_app()
    topics = {f"{app}.{name}": 1 for name in ("events", "queries")}
    kafka.create(topics)
    config = Config.model_validate({"app": app, "log": kafka.log_section()})
    deadline = Deadline(30.0)
    asking = Asking(Clients.of(config), deadline)
    events, queries = ((name, 0) for name in topics)

    assert asking.end(events) == 0
    assert asking.ends([events, queries]) == {events: 0, queries: 0}

    asking.close()
    deadline.close()


@pytest.mark.parametrize("transport", ["kafka-python", "fast"])
def test_committed_metadata_comes_back_to_the_letter(kafka: Broker, transport: str) -> None:
    """200 reads of 4 texts, 200 right: confluent-kafka writes a zero behind, and reads past ends.

    Read back by both: a worker may change its transport.
    """
    app = kafka.new_app()
    kafka.create({f"{app}.events": 4})
    texts = ["", "a", "ä" * 100, "0123456789" * 40]
    logs = [
        KafkaLog(Config.model_validate({"app": app, "log": kafka.log_section(one)}))
        for one in (transport, "kafka-python", "fast")
    ]
    member = logs[0].join(f"{app}.g", f"{app}.events", name="one")
    while len(member.owned) < len(texts):
        member.poll(limit=1, timeout_s=0.1)
    with member.transaction() as transaction:
        for partition, text in enumerate(texts):
            transaction.commit_position(f"{app}.events", partition, Position(7, text))

    for log in logs[1:]:
        found = [
            log.committed(f"{app}.g", f"{app}.events", partition)
            for _ in range(READS)
            for partition in range(len(texts))
        ]
        assert found == [Position(7, text) for text in texts] * READS
    for log in logs:
        log.close()


def test_what_is_committed_behind_an_open_transaction_is_waited_for(
    kafka: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is seen in one partition and held back in another one, until the open one is over."""
    app = kafka.new_app()
    topic = f"{app}.events"
    kafka.create({topic: 2})
    config = Config.model_validate({"app": app, "log": kafka.log_section()})
    log, clients = KafkaLog(config), Clients.of(config)
    foreign = clients.producer(transactional_id=f"{app}.foreign")
    foreign.init_transactions()
    foreign.begin_transaction()
    foreign.send(topic, b"undecided", partition=1).get(30)
    ours = clients.producer(transactional_id=f"{app}.ours")
    ours.init_transactions()
    ours.begin_transaction()
    for partition in (0, 1):
        ours.send(topic, b"ours", partition=partition)
    ours.commit_transaction()

    with monkeypatch.context() as patch:
        patch.setattr(asking_module, "OPEN_S_MAX", 0.5)
        with pytest.raises(Ambiguous, match="partition 1: a transaction has been open"):
            log.settled_ends(topic)
    with ThreadPoolExecutor(1) as pool:
        over = pool.submit(lambda: (time.sleep(1.0), foreign.abort_transaction()))
        ends = log.settled_ends(topic)
        over.result()

    found = [log.read(topic, partition, 0, limit=9) for partition in (0, 1)]
    assert [[record.value for record in some] for some in found] == [[b"ours"]] * 2
    assert all(some[0].offset < end for some, end in zip(found, ends, strict=True))
    foreign.close()
    ours.close()
    log.close()


def test_a_question_that_was_lost_is_asked_again(
    staged: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a new client, and soon: the old one would wait for its own time-outs, or for ever."""
    monkeypatch.setattr(asking_module, "ASK_MS", 500)
    app = staged.broker.new_app()
    topic = f"{app}.events"
    staged.broker.create({topic: 1})
    log = {"connector": "kafka", "bootstrap_servers": [f"127.0.0.1:{staged.proxy.port}"]}
    kafka_log = KafkaLog(Config.model_validate({"app": app, "log": log}))
    assert kafka_log.committed(f"{app}.g", topic, 0) is None
    assert kafka_log.end(topic, 0) == 0

    for _ in range(2):
        staged.proxy.swallow()
        began_s = time.monotonic()
        assert kafka_log.committed(f"{app}.g", topic, 0) is None
        assert kafka_log.end(topic, 0) == 0
        assert time.monotonic() - began_s < 8.0  # before the client's own time-out
    kafka_log.close()
