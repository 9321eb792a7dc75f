"""Traps of kafka-python 3.0.12 around groups: what stands still is found, what is said is heard."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator

import pytest
from kafka import TopicPartition

from stream_al.errors import Ambiguous, Fenced, Stalled
from stream_al.port import Position
from stream_al_connectors.kafka import member as membership
from stream_al_connectors.kafka import watch
from tests.chaos.deploying import deploy
from tests.integration.conftest import Deployment, native
from tests.integration.group_on_kafka import Group, commit, ended_by_deadline, polling, until
from tests.kafka_fixture import Broker, Staged


@pytest.fixture
def group(staged: Staged) -> Iterator[Group]:
    """Give topics with two partitions, and a group that reads the one."""
    with ended_by_deadline():
        made = Group(staged.broker)
        yield made
        made.close()


def test_partitions_that_nobody_watches_for_are_found(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its leader restarted, a group of fixed identities never hears of new partitions."""
    monkeypatch.setattr(watch, "LOOK_EVERY_S", 1.0)
    member = group.owner("0")
    member.left = True  # it died
    member.reader._consumer.close(autocommit=False, timeout_ms=0)
    again = group.owner("0")

    group.admin.create_partitions({group.events: 4})

    group.own(again, count=4)
    assert sorted(again.owned) == [0, 1, 2, 3]


def test_a_poll_stays_until_the_group_has_dealt_out(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client takes the answer to its join only inside a poll: between two it asks anew."""
    monkeypatch.setattr(membership, "JOIN_WAIT_S", 30.0)  # no machine is so slow
    member = group.owner("0")
    newcomer = group.consumer("1")
    without = 0

    def shared() -> bool:
        nonlocal without
        member.poll(limit=1, timeout_s=0.001)
        without += member._membership is None
        return len(member.owned) == 1

    with polling(newcomer):
        until(shared)

    assert without == 0


def test_members_share_partitions_that_are_added(group: Group) -> None:
    """Their client hears of them, and each gets its part."""
    members = [group.join("0"), group.join("1")]
    group.own(*members)

    group.admin.create_partitions({group.events: 4})

    group.own(*members, count=4)
    assert [len(member.owned) for member in members] == [2, 2]


def test_a_read_that_stands_still_ends_the_process(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that fetches nothing more of a partition says nothing either."""
    monkeypatch.setattr(watch, "LOOK_EVERY_S", 0.2)
    monkeypatch.setattr(watch, "STALLED_AFTER_S", 1.0)
    member = group.owner()
    group.fill(3)
    member.reader._consumer.pause(TopicPartition(group.events, 0))

    def looked() -> bool:
        member.poll(limit=9, timeout_s=0.05)
        return False

    with pytest.raises(Ambiguous, match=r"partition 0 stands at 0 of 3 for .*; restart"):
        until(looked)


def test_a_member_that_reads_and_never_commits_ends_the_process(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where every transaction is taken back: its positions move, and nothing comes of them."""
    monkeypatch.setattr(watch, "LOOK_EVERY_S", 0.2)
    monkeypatch.setattr(watch, "OWING_S_MAX", 1.0)
    member = group.owner()
    group.fill(3)
    until(lambda: member.poll(limit=9, timeout_s=0.05).records)
    commit(group, member, (0, Position(3)))
    until(lambda: member.owing_since_s() is None)

    def taken_back() -> bool:
        member.seek(0, 0)
        member.poll(limit=9, timeout_s=0.05)
        return False

    with pytest.raises(Stalled, match="committed nothing for"):
        until(taken_back)


def test_of_two_with_one_slot_the_elder_ends_though_it_has_nothing_to_do(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client is told, stops its heartbeat, and polls on as if nothing had been."""
    monkeypatch.setattr(watch, "LOOK_EVERY_S", 0.5)
    member = group.owner("0")
    younger = group.consumer("0")
    until(lambda: younger.poll(50) or younger.assignment())

    def polled() -> bool:
        member.poll(limit=1, timeout_s=0.05)
        return False

    with pytest.raises(Fenced, match="another process with the same slot"):
        until(polled)


def test_a_worker_whose_slot_was_taken_while_it_slept_ends_fenced(
    deployment: Deployment, staged: Staged
) -> None:
    """SIGSTOP, another process joins with its slot, SIGCONT: exit 1 at the next event, one line."""
    app = staged.broker.new_app()
    deploy(deployment, app=app, bootstrap_servers=staged.broker.bootstrap_servers)
    worker = deployment.worker("--slot", 3)
    worker.wait_for("partition_assigned")
    with ended_by_deadline():
        group = Group(staged.broker, app=app)
        worker.send_signal(signal.SIGSTOP)
        successor = group.consumer("3")
        until(lambda: successor.poll(50) or successor.assignment())
        deployment.send(native(1))
        worker.send_signal(signal.SIGCONT)

        ended = worker.wait()

        group.close()
    assert ended.code == 1
    assert ended.err.splitlines()[-1].startswith("fenced: ")


def test_what_the_client_warns_of_is_in_our_log(staged: Staged) -> None:
    """By default it logs nothing, and some of its failures show nowhere else."""
    said: list[str] = []
    service = logging.getLogger("stream_al")
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    service.addHandler(handler)
    group = Group(Broker([f"127.0.0.1:{staged.proxy.port}"]))
    try:
        group.log.end(group.events, 0)

        staged.proxy.reset()

        until(lambda: any(line.startswith("kafka_client kafka.") for line in said))
    finally:
        service.removeHandler(handler)
        group.close()
        group.admin.close()
