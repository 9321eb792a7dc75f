"""What a worker comes back from by itself, on brokers that die, and what it shows meanwhile."""

from __future__ import annotations

import re
import signal
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from stream_al.config import Config
from stream_al.port import Position
from stream_al_connectors.kafka.broker import Cluster
from stream_al_connectors.kafka.fast import FastTransport
from stream_al_connectors.kafka.settings import Clients
from tests.chaos.brokers import Leaders
from tests.chaos.deploying import deploy
from tests.chaos.workers import SLOW_S
from tests.integration import stumbles
from tests.integration.conftest import Deployment, Process, native, until
from tests.kafka_fixture import Broker, Staged

REFUSED_S = 1.0
"""So long nobody listens: the client meets it, and asks again and again."""
SENT_S = 0.2
KILLS = 4
GROUP = ("t.g", "t.0")
STARTS_S = 60.0
FOREIGN_S = 8.0
"""The time-out of a foreign transaction: long enough to be seen, below how long a test waits."""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Give a broker that a test may kill."""
    made = Cluster(tmp_path / "brokers")
    made.start()
    yield made
    made.close()


def test_a_commit_outlives_its_coordinator(deployment: Deployment, cluster: Cluster) -> None:
    """The request that met a refused connection is sent again: the call comes back.

    Without an error the transaction is whole; a broker that has only just started may answer with
    one of its own, which ends a worker in doubt.
    """
    deploy(deployment, app="t", bootstrap_servers=cluster.bootstrap_servers)
    process = deployment.start("@commit_when_told", "t.scorer-0", "labels")
    process.wait_for("sent", STARTS_S)
    cluster.kill_node(1)
    process.send_signal(signal.SIGUSR1)
    time.sleep(REFUSED_S)
    assert process.poll() is None, "there was nobody to commit with"

    cluster.start_node(1)

    until(lambda: process.poll() is not None, 2 * STARTS_S)
    ended = process.wait()
    found = [record.value for record in deployment.records("labels")]
    assert (ended.code, found) == (0, [b"whole"]) or "UnknownError" in ended.err, ended


class Committing:
    """Transactions of librdkafka, each ended in a thread of its own: it may never come back."""

    def __init__(self, cluster: Cluster, stack: ExitStack) -> None:
        broker = Broker(cluster.bootstrap_servers)
        broker.create({"t.events": 2})
        broker.admin.close()
        config = Config.model_validate({"app": "t", "log": broker.log_section("fast")})
        transport = FastTransport(config, Clients.of(config).request_bytes_max)
        self._writer, self._member = transport.writer("t.w"), transport.member(*GROUP, "t.events")
        stack.callback(self._member.close)
        stack.callback(self._writer.close)
        self._ends_s = config.log.deadline / 1_000
        self.said: list[BaseException | int] = []
        until(lambda: not self._member.poll(0.1, 1) and self._member.membership(), STARTS_S)

    def begin(self) -> None:
        """Begin a transaction."""
        self._writer.begin([("t.events", 0), ("t.events", 1)])

    def end(self, number: int, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Send records and a position, and commit; what came of it is said when it is known."""
        for partition in (0, 1):
            self._writer.send("t.events", partition, b"", None, 0)
        waiting = threading.Thread(target=self._commit, args=(number,), daemon=True)
        waiting.start()
        meanwhile()
        waiting.join(self._ends_s)

    def _commit(self, number: int) -> None:
        try:
            positions = {("t.events", 0): Position(number, "")}
            self._writer.send_positions(positions, self._member.membership())
            self._writer.commit()
        except BaseException as error:  # noqa: BLE001 - shown by the test
            self.said.append(error)
        else:
            self.said.append(number)


def test_librdkafka_does_not_lose_a_transaction_when_every_broker_goes(cluster: Cluster) -> None:
    """Requests that nobody answered are sent again: nothing waits for an answer that won't come."""

    def die() -> None:
        time.sleep(SENT_S)
        cluster.kill_node(1)
        time.sleep(REFUSED_S)
        cluster.start_node(1)

    with ExitStack() as stack:
        committing = Committing(cluster, stack)
        for number in range(KILLS):
            committing.begin()
            cluster._processes[1].send_signal(signal.SIGSTOP)  # from here on it answers nothing
            committing.end(number, die)
            assert committing.said == list(range(number + 1))


def test_librdkafka_asks_anew_when_a_coordinator_leaves(tmp_path: Path) -> None:
    """Its group is another broker's: positions must not wait for the one that was stopped."""
    with ExitStack() as stack:
        three = Cluster(tmp_path / "brokers", nodes=3)
        stack.callback(three.close)
        three.start()
        leaders = Leaders(three.bootstrap_servers)
        stack.callback(leaders.close)
        committing = Committing(three, stack)
        committing.begin()
        committing.end(1)
        three.stop_node(leaders.of_group(GROUP[0]))  # for good
        time.sleep(REFUSED_S)  # the client hears that it left

        committing.begin()
        committing.end(2)

        assert committing.said == [1, 2]


def _worker(deployment: Deployment, slot: int, **how: Any) -> Process:
    process = deployment.start("run", "--slot", slot, **how)
    process.wait_for("http_listening", STARTS_S)
    return process


def _metrics(worker: Process, name: str, **labels: str) -> float:
    """Return the sum of a worker's samples of a name, with these labels."""
    port = re.search(r"http_listening .*port=(\d+)", worker.err)
    assert port is not None
    with urllib.request.urlopen(f"http://127.0.0.1:{port[1]}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def _held_back(worker: Process, topic: str = "journal") -> float:
    """Return how many offsets of a topic a worker says that open transactions hold."""
    return _metrics(worker, "stream_al_open_transaction_records", topic=topic)


def test_a_foreign_transaction_is_seen_and_ends_by_itself(
    deployment: Deployment, kafka: Broker
) -> None:
    """It holds the journal back for all, the metric says so, and after its time-out all goes on."""
    deploy(deployment, app=kafka.new_app(), bootstrap_servers=kafka.bootstrap_servers)
    deployment.send(*(native(n) for n in range(40)))
    worker = _worker(deployment, 0)
    until(lambda: sum(deployment.ends("predictions")) > 0, STARTS_S)
    assert _held_back(worker) == 0

    foreign = deployment.start("@leave_open", "foreign", "journal", FOREIGN_S)
    foreign.wait_for("left_open", STARTS_S)
    foreign.kill()

    until(lambda: _held_back(worker) > 0, STARTS_S)
    # It stays proposed while nobody sees the journal's end, which the command may not live to see.
    deployment.cli("budget", "set", "--share", "0.5", "--reason", "later", "--actor", "ops")
    until(lambda: _held_back(worker) == 0, STARTS_S)
    kinds = [entry["kind"] for entry in deployment.messages("journal")]
    assert kinds[0] == "model"
    until(lambda: deployment.messages("journal")[-1]["actor"] == "ops", STARTS_S)
    deployment.done("audit")


def test_a_sender_that_hangs_in_a_transaction_is_seen(
    deployment: Deployment, kafka: Broker
) -> None:
    """It holds back the events of others, at no lag; and a worker's other numbers are there."""
    deploy(deployment, app=kafka.new_app(), bootstrap_servers=kafka.bootstrap_servers)
    worker = _worker(deployment, 0)
    deployment.send(*(native(n) for n in range(20)))
    until(lambda: len(deployment.messages("predictions")) == 20, STARTS_S)
    assert _metrics(worker, "stream_al_rebalances_total") > 0
    assert _metrics(worker, "stream_al_commit_latency_seconds_count") > 0
    assert _metrics(worker, "stream_al_transactions_aborted_total") == 0

    foreign = deployment.start("@leave_open", "foreign", "events", FOREIGN_S)
    foreign.wait_for("left_open", STARTS_S)
    foreign.kill()
    deployment.send(*(native(n) for n in range(20, 40)))

    until(lambda: _held_back(worker, "events") > 0, STARTS_S)
    until(lambda: len(deployment.messages("predictions")) == 40, STARTS_S)
    until(lambda: _held_back(worker, "events") == 0, STARTS_S)


def test_a_worker_whose_call_hangs_ends_and_its_next_life_says_so(
    deployment: Deployment, staged: Staged
) -> None:
    """The network holds everything: one line that says which call, and a count by its kind."""
    servers = [f"127.0.0.1:{staged.proxy.port}"]
    app = staged.broker.new_app()
    deploy(deployment, app=app, bootstrap_servers=servers, log={"deadline": "6s"})
    worker = _worker(deployment, 0)
    worker.wait_for("partition_assigned", STARTS_S)
    staged.proxy.mode = "hold"
    try:
        ended = worker.wait(STARTS_S)
    finally:
        staged.proxy.mode = "pass"

    assert ended.code == 1
    assert ended.err.splitlines()[-1].startswith("deadline: ")
    assert _metrics(_worker(deployment, 0), "stream_al_exits_total", kind="deadline") == 1


def test_a_worker_that_died_in_a_transaction_is_succeeded_at_once(
    deployment: Deployment, kafka: Broker
) -> None:
    """Everything sent, nothing committed: its slot's restart ends that, not the session.

    The session is longer than the test may take.
    """
    deploy(
        deployment,
        app=kafka.new_app(),
        bootstrap_servers=kafka.bootstrap_servers,
        log={"session_timeout": "10m", "poll_interval": "10m"},
    )
    deployment.send(*(native(n) for n in range(40)))
    worker = _worker(deployment, 0, slow_s=SLOW_S)
    until(lambda: len(deployment.messages("predictions")) == 40, STARTS_S)
    worker.send_signal(stumbles.DIE)
    deployment.send(*(native(n) for n in range(40, 80)))
    assert worker.wait(STARTS_S).code == -signal.SIGKILL
    assert len(deployment.messages("predictions")) == 40

    _worker(deployment, 0)

    until(lambda: len(deployment.messages("predictions")) >= 80, STARTS_S)
    predicted = Counter(one["event_id"] for one in deployment.messages("predictions"))
    assert predicted == {f"e-{n}": 1 for n in range(80)}
    deployment.done("audit")


def test_a_topic_that_misses_is_named_at_the_start(deployment: Deployment, kafka: Broker) -> None:
    """Not at the first record that would go there; once it is made the worker works."""
    app = kafka.new_app()
    deploy(deployment, app=app, bootstrap_servers=kafka.bootstrap_servers)
    deployment.send(native(1))
    kafka.admin.delete_topics([f"{app}.outcomes"])

    ended = deployment.start("run", "--until-idle").wait(STARTS_S)

    assert ended.code == 2, ended
    assert f"{app}.outcomes" in ended.err
    assert "stream-al topics create" in ended.err
    assert deployment.messages("predictions") == []
    deployment.done("topics", "create")
    assert deployment.start("run", "--until-idle").wait(STARTS_S).code == 0
    assert len(deployment.messages("predictions")) == 1


def test_a_record_larger_than_brokers_take_is_refused_by_send(
    deployment: Deployment, kafka: Broker
) -> None:
    """With its size and the limit, and nothing of its batch is sent; one below is a dead letter."""
    deploy(deployment, app=kafka.new_app(), bootstrap_servers=kafka.bootstrap_servers)
    bytes_max = deployment.config.events.bytes_max
    path = deployment.folder / "large.jsonl"

    path.write_bytes(b'{"event_id": "small"}\n' + b"x" * (4 * bytes_max))
    refused = deployment.cli("send", path)
    path.write_bytes(b"x" * (bytes_max + 1))
    deployment.done("send", path)
    assert deployment.start("run", "--until-idle").wait(STARTS_S).code == 0

    assert refused.code == 2
    assert "a record of 1,048,576 bytes is larger than" in refused.err
    assert [one["error"] for one in deployment.messages("dead_letters")] == ["TooLarge"]
