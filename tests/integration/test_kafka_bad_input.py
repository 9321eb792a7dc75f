"""What a worker on Kafka can't work with ends it within 15 s, with one line that says why."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread
from typing import Any

import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.protocol.broker_version_data import BROKER_API_VERSIONS
from kafka.structs import OffsetAndMetadata

from stream_al.config import TOPIC_NAMES
from tests.chaos.deploying import deploy
from tests.integration.conftest import Deployment, native, until
from tests.kafka_fixture import Broker, Staged

SAID_WITHIN_S = 15.0
TRANSACTIONS = (22, 24, 25, 26, 28)
"""What a broker must speak for them: InitProducerId, AddPartitionsToTxn, … TxnOffsetCommit."""


def _said(deployment: Deployment) -> tuple[int, str]:
    """Return how a worker ends, and the one line that is not of its log."""
    started = time.monotonic()
    ended = deployment.start("run").wait(60.0)
    assert time.monotonic() - started < SAID_WITHIN_S, ended.err
    assert "Traceback" not in ended.err, ended.err
    lines = [line for line in ended.err.splitlines() if " level=info " not in line]
    (line,) = [line for line in lines if " level=warning " not in line]
    return ended.code, line


class _Shell(BaseRequestHandler):
    def handle(self) -> None:
        """Greet as a server for secure shells does, and listen until the other one goes."""
        self.request.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")
        with suppress(OSError):
            while self.request.recv(1 << 12):
                pass


class Bench:
    """A deployment on the staged broker, and what is done to it."""

    def __init__(self, deployment: Deployment, staged: Staged) -> None:
        self.deployment = deployment
        self.staged = staged
        self._shell: ThreadingTCPServer | None = None
        self.app = staged.broker.new_app()
        deploy(deployment, app=self.app, bootstrap_servers=staged.broker.bootstrap_servers)

    def configure(self, **more: Any) -> None:
        """Write the configuration again, other than it was."""
        log = self.staged.broker.log_section()
        own: dict[str, Any] = {"app": self.app, "gate": {"secret_file": "gate.secret"}}
        self.deployment.configure(**(own | {"log": log} | more))

    def at(self, port: int) -> None:
        """Look for the broker on a port."""
        servers = [f"127.0.0.1:{port}"]
        self.configure(log={"connector": "kafka", "bootstrap_servers": servers})

    def commit(self, group: str, topic: str, offset: int, metadata: str = "") -> None:
        """Commit a position of partition 0 in the name of a group."""
        consumer = KafkaConsumer(
            bootstrap_servers=self.staged.broker.bootstrap_servers,
            group_id=f"{self.app}.{group}",
            enable_auto_commit=False,
        )
        place = TopicPartition(f"{self.app}.{topic}", 0)
        consumer.commit({place: OffsetAndMetadata(offset, metadata, -1)})
        consumer.close(autocommit=False)

    def shell(self) -> int:
        """Let another kind of server run until the test ends, and return its port."""
        self._shell = ThreadingTCPServer(("127.0.0.1", 0), _Shell)
        self._serving = Thread(target=self._shell.serve_forever)
        self._serving.start()
        port: int = self._shell.server_address[1]
        return port

    def close(self) -> None:
        """End what was begun here."""
        if self._shell is not None:
            self._shell.shutdown()
            self._serving.join()
            self._shell.server_close()

    def look_old(self, speaks: dict[int, tuple[int, int]]) -> None:
        """Reach the broker as one that speaks less."""
        self.staged.old.speaks = speaks
        self.at(self.staged.old.port)


Arrange = Callable[[Bench], None]


def no_broker(bench: Bench) -> None:
    bench.at(1)


def wrong_port(bench: Bench) -> None:
    bench.at(bench.shell())


def wrong_topic(bench: Bench) -> None:
    bench.configure(topics={"events": "evnets"})


def missing_topics(bench: Bench) -> None:
    admin, gone = bench.staged.broker.admin, {f"{bench.app}.statistics", f"{bench.app}.outcomes"}
    admin.delete_topics(sorted(gone))
    until(lambda: not gone & set(admin.list_topics()))


def too_few_partitions(bench: Bench) -> None:
    bench.configure(topics={"partitions": 6})


def fewer_answers_than_events(bench: Bench) -> None:
    bench.staged.broker.grow(f"{bench.app}.events", 5)


def journal_with_two_partitions(bench: Bench) -> None:
    bench.staged.broker.grow(f"{bench.app}.journal", 2)


def broker_of_2016(bench: Bench) -> None:
    bench.look_old(BROKER_API_VERSIONS[0, 10, 2])


def broker_without_groups_in_transactions(bench: Bench) -> None:
    """Look like one that takes a transaction's offsets from anybody: no owner is fenced."""
    bench.look_old(BROKER_API_VERSIONS[2, 4])


def broker_without_transactions(bench: Bench) -> None:
    spoken = BROKER_API_VERSIONS[4, 3]
    bench.look_old({kind: spoken[kind] for kind in spoken if kind not in TRANSACTIONS})


def journal_of_another_model(bench: Bench) -> None:
    bench.deployment.done("run", "--until-idle")
    bench.configure(model={"preset": "tree"})


def metadata_that_does_not_unpack(bench: Bench) -> None:
    bench.commit("scorer", "events", 0, "g1:somebody's own note:")


def events_above_their_end(bench: Bench) -> None:
    bench.commit("scorer", "events", 1_000)


def labels_above_their_end(bench: Bench) -> None:
    bench.commit("resolver", "labels", 1_000)


def queries_above_their_end(bench: Bench) -> None:
    bench.commit("resolver", "queries", 1_000)


def journal_above_its_end(bench: Bench) -> None:
    bench.commit("resolver", "journal", 1_000)


def events_below_their_beginning(bench: Bench) -> None:
    bench.deployment.send(*(native(n) for n in range(40)))
    bench.commit("scorer", "events", 1)
    place = TopicPartition(f"{bench.app}.events", 0)
    bench.staged.broker.admin.delete_records({place: 5})


def events_set_back(bench: Bench) -> None:
    bench.deployment.send(*(native(n) for n in range(40)))
    bench.deployment.done("run", "--until-idle")
    bench.commit("scorer", "events", 1)


def labels_set_back(bench: Bench) -> None:
    labels = ({"event_id": f"e-{n}", "label": "spam"} for n in range(40))
    bench.deployment.send(*labels, topic="labels")
    bench.deployment.done("run", "--until-idle")
    bench.commit("resolver", "labels", 0)


def events_forgotten(bench: Bench) -> None:
    """Lose the group's positions, as brokers do when it was away for a week."""
    bench.configure(predictions={"pack": "poll"})
    bench.deployment.send(*(native(n) for n in range(40)))
    bench.deployment.done("run", "--until-idle")
    bench.staged.broker.admin.delete_groups([f"{bench.app}.scorer"])


CASES: tuple[tuple[Arrange, int, tuple[str, ...]], ...] = (
    (no_broker, 1, ("ambiguous: ", "127.0.0.1:1", "nothing listens on that port")),
    (wrong_port, 2, ("config: ", "log.security.protocol", "something else than Kafka")),
    (wrong_topic, 2, ("config: ", "evnets: not there", "stream-al topics create")),
    (missing_topics, 2, ("config: ", ".statistics", ".outcomes", "stream-al topics create")),
    (too_few_partitions, 2, ("config: ", ".events has 4 partitions, needs 6", "topics create")),
    (fewer_answers_than_events, 2, ("config: ", ".predictions has 4 partitions, needs 5")),
    (journal_with_two_partitions, 2, ("config: ", ".journal has 2 partitions, needs exactly 1")),
    (broker_of_2016, 2, ("config: ", "0.10.2", "2.5 or later")),
    (broker_without_groups_in_transactions, 2, ("config: ", "2.4", "2.5 or later")),
    (broker_without_transactions, 2, ("config: ", "InitProducerId", "2.5 or later")),
    (journal_of_another_model, 2, ("config: ", "stream-al model activate")),
    (
        metadata_that_does_not_unpack,
        2,
        ("gone: ", "metadata of events partition 0", "somebody", "restore"),
    ),
    (events_above_their_end, 2, ("gone: ", ".events' partition 0 ends at 0", "up to 1000")),
    (labels_above_their_end, 2, ("gone: ", ".labels' partition 0 ends at 0", "up to 1000")),
    (queries_above_their_end, 2, ("gone: ", ".queries' partition 0 ends at 0", "up to 1000")),
    (journal_above_its_end, 2, ("gone: ", ".journal' partition 0 ends at 0", "up to 1000")),
    (events_below_their_beginning, 2, ("gone: ", ".events' partition 0 begins at offset 5")),
    (events_set_back, 2, ("gone: ", ".events' partition 0 is answered", " is 1: it was set")),
    (labels_set_back, 2, ("gone: ", ".labels' partition 0 is answered", ".resolver' is 0: it was")),
    (events_forgotten, 2, ("gone: ", ".events' partition", ".scorer' is 0: it was set")),
)


@pytest.fixture
def bench(deployment: Deployment, staged: Staged) -> Iterator[Bench]:
    """Give topics of their own, as they have to be."""
    made = Bench(deployment, staged)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("arrange", "code", "said"), CASES, ids=[arrange.__name__ for arrange, *_ in CASES]
)
def test_what_is_wrong_is_said_in_one_line(
    bench: Bench, arrange: Arrange, code: int, said: tuple[str, ...]
) -> None:
    """Exit 1 where a restart may help, 2 where it won't; class, place and remedy stand in it."""
    arrange(bench)

    found, line = _said(bench.deployment)

    assert (found, line.startswith(said[0])) == (code, True), line
    assert [part for part in said if part not in line] == [], line


def test_redact_refuses_before_it_writes(deployment: Deployment, kafka: Broker) -> None:
    """No record can be blanked here; the line names what helps, and no topic has grown."""
    deploy(deployment, app=kafka.new_app(), bootstrap_servers=kafka.bootstrap_servers)
    label = {"event_id": "mine", "label": "ham", "annotator": "a", "features": {"text": "secret"}}
    deployment.send(label, topic="labels")
    deployment.done("run", "--until-idle")
    before = {name: deployment.ends(name) for name in TOPIC_NAMES}

    refused = deployment.cli("journal", "redact", "mine", "--reason", "asked for")

    assert refused.code == 2
    assert "`stream-al replay --without EVENT_ID --activate`" in refused.err
    assert before["journal"] != [0]
    assert {name: deployment.ends(name) for name in TOPIC_NAMES} == before
    deployment.done("replay", "--without", "mine", "--activate")
