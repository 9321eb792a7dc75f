"""Positions that others moved, topics that were made again, a start at the end: on a real broker.

A worker refuses to lose or double anything: its line names what is wrong, and the command in it
puts that right.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.structs import OffsetAndMetadata

from tests.chaos.deploying import deploy
from tests.integration.conftest import Deployment, Ended, native, until
from tests.kafka_fixture import Broker


class Stage:
    """A deployment of one partition, and what others do to its groups and topics."""

    def __init__(self, deployment: Deployment, broker: Broker, **more: Any) -> None:
        self.deployment = deployment
        self.broker = broker
        self.app = broker.new_app()
        deploy(
            deployment,
            app=self.app,
            bootstrap_servers=broker.bootstrap_servers,
            topics={"partitions": 1},
            **more,
        )

    def work(self) -> None:
        self.deployment.done("run", "--until-idle")

    def set(self, group: str, topic: str, offset: int, metadata: str = "") -> None:
        """Set a position, as `kafka-consumer-groups --reset-offsets` does."""
        consumer = self._consumer(group)
        place = TopicPartition(f"{self.app}.{topic}", 0)
        consumer.commit({place: OffsetAndMetadata(offset, metadata, -1)})
        consumer.close(autocommit=False)

    def committed(self, group: str, topic: str) -> OffsetAndMetadata:
        consumer = self._consumer(group)
        found = consumer.committed(TopicPartition(f"{self.app}.{topic}", 0), metadata=True)
        consumer.close(autocommit=False)
        return found

    def read_as(self, group: str, topic: str) -> None:
        """Read a topic to its end in the name of our group, as another program does."""
        consumer = self._consumer(group, auto_offset_reset="earliest")
        consumer.subscribe([f"{self.app}.{topic}"])
        count, until_s = 0, time.monotonic() + 30
        while not count and time.monotonic() < until_s:
            count += sum(map(len, consumer.poll(1_000).values()))
        assert count
        consumer.commit()
        consumer.close()

    def _consumer(self, group: str, **more: Any) -> KafkaConsumer:
        return KafkaConsumer(
            bootstrap_servers=self.broker.bootstrap_servers,
            group_id=f"{self.app}.{group}",
            enable_auto_commit=False,
            **more,
        )

    def make_again(self, topic: str) -> None:
        """Delete a topic and make it again."""
        name = f"{self.app}.{topic}"
        self.broker.admin.delete_topics([name])
        until(lambda: name not in self.broker.admin.list_topics(), every_s=0.2)
        time.sleep(1.0)
        self.deployment.done("topics", "create")

    def refused(self, *said: str) -> Ended:
        """Run a worker that ends as `gone`; return how."""
        ended = self.deployment.cli("run", "--until-idle")
        (line,) = [line for line in ended.err.splitlines() if line.startswith("gone: ")]
        assert ended.code == 2
        assert [part for part in (*said, "stream-al positions repair") if part not in line] == []
        return ended

    def repair(self) -> None:
        """Do what the line says, and see that workers go on."""
        assert self.deployment.cli("positions").code == 3
        self.deployment.done("positions", "repair", "--reason", "as told")
        assert self.deployment.done("positions").code == 0
        self.work()
        self.deployment.done("audit")
        self.deployment.done("replay", "--verify")

    def answered(self, topic: str = "predictions") -> Counter[str]:
        return Counter(body["event_id"] for body in self.deployment.messages(topic))


@pytest.fixture
def stage(deployment: Deployment, kafka: Broker) -> Iterator[Stage]:
    return Stage(deployment, kafka)


@pytest.mark.parametrize("how", ["set forward", "read by another"])
def test_events_that_were_skipped_are_predicted_after_all(stage: Stage, how: str) -> None:
    """A2: the worker names both offsets, and `positions repair` loses and doubles nothing."""
    stage.deployment.send(*(native(n) for n in range(40)), b"no event")
    stage.work()
    stage.deployment.send(*(native(n) for n in range(40, 60)))
    if how == "set forward":
        stage.set("scorer", "events", 61)
    else:
        stage.read_as("scorer", "events")

    stage.refused("up to offset 40", "is 61", "from 41 on have no answer")
    stage.repair()

    assert stage.answered() == {f"e-{n}": 1 for n in range(60)}
    assert len(stage.deployment.records("dead_letters")) == 1


def test_events_read_by_another_before_the_first_worker_are_predicted(stage: Stage) -> None:
    """A2: nothing is answered yet, and nothing of it was dropped."""
    stage.deployment.send(*(native(n) for n in range(30)))
    stage.read_as("scorer", "events")

    stage.refused("is 30")
    stage.repair()

    assert stage.answered() == {f"e-{n}": 1 for n in range(30)}


def test_a_position_that_lost_its_gate_is_refused(stage: Stage) -> None:
    """A2: at the right offset, but another program committed it."""
    stage.deployment.send(*(native(n) for n in range(60)))
    stage.work()
    stage.set("scorer", "events", 60)

    stage.refused("up to offset 59", "position 60", "not committed by a worker")
    stage.deployment.send(*(native(n) for n in range(60, 90)))
    stage.repair()

    assert stage.answered() == {f"e-{n}": 1 for n in range(90)}


def test_positions_set_back_are_put_right(stage: Stage) -> None:
    """A2: to the record behind the last answer, a dead letter here."""
    stage.deployment.send(*(native(n) for n in range(40)), b"no event")
    stage.work()
    stage.deployment.send(*(native(n) for n in range(40, 60)))
    stage.set("scorer", "events", 7)

    stage.refused("up to offset 40", "is 7")
    stage.repair()

    assert stage.answered() == {f"e-{n}": 1 for n in range(60)}


@pytest.mark.parametrize("offset", [9, 2])
def test_labels_that_were_skipped_or_heard_are_answered_once(stage: Stage, offset: int) -> None:
    """A2: the same for labels, forward and back."""
    label = {"label": "spam", "annotator": "a", "features": {"text": "t"}}
    stage.deployment.send(*({"event_id": f"l-{n}"} | label for n in range(5)), topic="labels")
    stage.work()
    stage.deployment.send(*({"event_id": f"l-{n}"} | label for n in range(5, 9)), topic="labels")
    stage.set("resolver", "labels", offset)

    stage.refused("up to offset 4", f"is {offset}")
    stage.repair()

    assert stage.answered("outcomes") == {f"l-{n}": 1 for n in range(9)}


@pytest.mark.parametrize("count", [130, 30])
def test_of_events_made_again_every_one_is_predicted(stage: Stage, count: int) -> None:
    """A3: the line says what happened, and its command loses none of the new ones."""
    stage.deployment.send(*(native(n) for n in range(100)))
    stage.work()
    stage.make_again("events")
    stage.deployment.send(*(native(n) for n in range(1_000, 1_000 + count)))

    stage.refused("deleted and made again", "loses nothing")
    stage.repair()

    found = stage.answered()
    assert {name: found[name] for name in found if len(name) > 4} == {
        f"e-{n}": 1 for n in range(1_000, 1_000 + count)
    }
    stage.deployment.send(native(5_000))
    stage.work()
    assert stage.answered()["e-5000"] == 1
    stage.deployment.done("audit")


def test_events_made_again_below_a_position_that_is_still_there_are_predicted(stage: Stage) -> None:
    """A3: more records came already than the old topic had, and the old position fits them."""
    stage.deployment.send(*(native(n) for n in range(100)))
    stage.work()
    kept = stage.committed("scorer", "events")
    stage.make_again("events")
    stage.deployment.send(*(native(n) for n in range(1_000, 1_130)))
    stage.set("scorer", "events", kept.offset, kept.metadata)

    stage.refused("deleted and made again", "e-99", "loses nothing")
    stage.repair()

    found = stage.answered()
    assert sum(found[f"e-{n}"] == 1 for n in range(1_000, 1_130)) == 130


def test_events_made_again_and_still_empty_wait_for_nothing(stage: Stage) -> None:
    """A3: what comes after the repair is read from the beginning."""
    stage.deployment.send(*(native(n) for n in range(50)))
    stage.work()
    stage.make_again("events")

    stage.refused("deleted and made again")
    stage.repair()

    stage.deployment.send(*(native(n) for n in range(100, 120)))
    stage.work()
    assert sum(stage.answered().values()) == 70
    stage.deployment.done("audit")


def test_of_labels_made_again_every_one_is_answered(stage: Stage) -> None:
    """A3: a sibling."""
    label = {"label": "spam", "annotator": "a", "features": {"text": "t"}}
    stage.deployment.send(*({"event_id": f"l-{n}"} | label for n in range(8)), topic="labels")
    stage.work()
    stage.make_again("labels")
    stage.deployment.send(*({"event_id": f"m-{n}"} | label for n in range(5)), topic="labels")

    stage.refused("deleted and made again", "loses nothing")
    stage.repair()

    assert len(stage.answered("outcomes")) == 13
    stage.deployment.send({"event_id": "m-9"} | label, topic="labels")
    stage.work()
    assert stage.answered("outcomes")["m-9"] == 1
    stage.deployment.done("audit")


def test_predictions_made_again_are_said_so_and_go_on(stage: Stage) -> None:
    """A3: a sibling; nothing is predicted or asked twice."""
    stage.deployment.send(*(native(n) for n in range(50)))
    stage.work()
    stage.make_again("predictions")

    stage.refused("predictions' has no answer", "deleted and made again", "goes on at 50")
    stage.deployment.send(*(native(n) for n in range(100, 120)))
    stage.repair()

    assert stage.answered() == {f"e-{n}": 1 for n in range(100, 120)}


def test_a_journal_made_again_is_not_begun_over(stage: Stage) -> None:
    """A3: a sibling; what was learnt is gone, and a new journal would hide it."""
    stage.deployment.send(*(native(n) for n in range(50)))
    stage.work()
    stage.make_again("journal")

    ended = stage.deployment.cli("run", "--until-idle")

    (line,) = [line for line in ended.err.splitlines() if line.startswith("gone: ")]
    assert ended.code == 2
    assert [part for part in (".journal'", "deleted and made again") if part not in line] == []
    assert stage.deployment.ends("journal") == [0]


def test_what_is_in_order_is_not_touched(stage: Stage) -> None:
    """A2: events in transactions, with holes; dead letters at the end; packed predictions."""
    producer = KafkaProducer(
        bootstrap_servers=stage.broker.bootstrap_servers, transactional_id=f"{stage.app}-producer"
    )
    producer.init_transactions()
    for turn in range(6):
        producer.begin_transaction()
        for n in range(5):
            value = json.dumps(native(turn * 5 + n)).encode() if n < 4 else b"no event"
            producer.send(f"{stage.app}.events", value)
        producer.flush()
        if turn % 3 == 2:
            producer.abort_transaction()
        else:
            producer.commit_transaction()
        stage.work()
    producer.close()

    assert stage.deployment.done("positions").code == 0
    ended = stage.deployment.done("positions", "repair")
    assert "nothing to repair" in ended.err
    stage.deployment.done("audit")


def test_a_repair_beside_a_running_worker_is_refused(stage: Stage) -> None:
    """A2: it would take its partitions away, or leave some wrong."""
    stage.deployment.send(*(native(n) for n in range(20)))
    stage.work()
    stage.set("scorer", "events", 3)
    worker = stage.deployment.worker("--role", "resolver")

    ended = stage.deployment.cli("positions", "repair")

    assert (ended.code, "workers are running" in ended.err) == (1, True)
    worker.terminate()


def test_a_first_start_at_the_end_is_recorded(stage: Stage) -> None:
    """`run --from latest`: what is there is not read; `audit` and `status` count from there."""
    stage.deployment.send(*(native(n) for n in range(40)))
    stage.deployment.done("run", "--until-idle", "--from", "latest")
    stage.deployment.send(*(native(n) for n in range(40, 55)))
    stage.deployment.done("run", "--until-idle", "--from", "latest")

    assert stage.answered() == {f"e-{n}": 1 for n in range(40, 55)}
    status = stage.deployment.done("status", "--json").json()
    assert (status["events_scored"], status["lag"]) == (15, 0)
    stage.deployment.done("audit")


def test_a_first_start_at_a_time_reads_from_there(stage: Stage) -> None:
    """`run --from TIME`: by the records' times."""
    stage.deployment.send(*(native(n) for n in range(20)))
    time.sleep(1.1)
    middle = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    time.sleep(0.1)
    stage.deployment.send(*(native(n) for n in range(20, 30)))

    stage.deployment.done("run", "--until-idle", "--from", middle)

    assert stage.answered() == {f"e-{n}": 1 for n in range(20, 30)}
    stage.deployment.done("audit")


def test_a_second_worker_without_a_slot_is_refused(stage: Stage) -> None:
    """C15: and names the command; one that asks for slot 0 takes it."""
    first = stage.deployment.worker()

    refused = stage.deployment.cli("run")

    assert refused.code == 1
    assert "`stream-al run --slot 1`" in refused.err
    assert first.poll() is None
    second = stage.deployment.worker("--slot", 0)
    assert first.wait(60).code == 1
    second.kill()
    third = stage.deployment.worker("--slot", 0)
    third.kill()
    stage.deployment.worker().terminate()


def test_a_running_worker_whose_events_are_made_again_loses_none(stage: Stage) -> None:
    """A3: it ends, and the next start finds what became of its topic."""
    stage.deployment.send(*(native(n) for n in range(100)))
    worker = stage.deployment.worker()
    until(lambda: stage.deployment.ends("predictions")[0] > 100)
    stage.make_again("events")
    stage.deployment.send(*(native(n) for n in range(1_000, 1_130)))

    ended = worker.wait(60.0)
    assert ended.code == 2, ended.err
    stage.refused("deleted and made again")
    stage.repair()

    found = stage.answered()
    assert {name: found[name] for name in found if len(name) > 4} == {
        f"e-{n}": 1 for n in range(1_000, 1_130)
    }
