"""What every log promises (`stream_al.port`), held over each implementation."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from stream_al.errors import ConfigurationError, Fenced, Gone
from stream_al.port import METADATA_BYTES_MAX, Batch, Log, Member, Outgoing, Position
from stream_al_connectors import MemoryLog, SqliteLog
from tests.contracts.prefixed import PrefixedMember, kafka_log

TRANSPORTS = {"kafka": "kafka-python", "fast": "fast"}
TOPICS = {"events": 4, "queries": 4, "labels": 2, "journal": 1}


class Clock:
    """Record time that a test sets."""

    now_ms = 1_000

    def __call__(self) -> int:
        return self.now_ms


class Bench:
    """A log of ours under test, and what the contract can't do from outside."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.clock = Clock()
        self.path = folder / "log.db"
        self.log: Any = (
            MemoryLog(topics=TOPICS, clock=self.clock)
            if kind == "memory"
            else SqliteLog(self.path, topics=TOPICS, durability="normal", clock=self.clock)
        )

    def depose(self, member: Any) -> None:
        """Take a member's locks away, as when it was taken for dead."""
        if isinstance(self.log, MemoryLog):
            self.log.expel(member)
        else:
            shutil.rmtree(f"{self.path}.locks")
            (self.path.with_name("log.db.locks")).mkdir()

    def lose(self, topic: str, offset: int) -> None:
        """Make a gap in partition 0."""
        if isinstance(self.log, MemoryLog):
            records = self.log._state.stream(topic, 0).records
            del records[[record.offset for record in records].index(offset)]
            return
        connection = sqlite3.connect(self.path)
        (stream,) = connection.execute(
            "SELECT id FROM streams WHERE topic = ? AND partition = 0", (topic,)
        ).fetchone()
        connection.execute("DELETE FROM records WHERE place = ?", ((stream << 40) + offset,))
        connection.commit()
        connection.close()


@pytest.fixture(params=["memory", "sqlite"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(request.param, tmp_path)
    yield made
    made.log.close()


@pytest.fixture(params=["memory", "sqlite", "kafka", "fast"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Log]:
    """Give each log that there is; Kafka's on a real broker, by each transport."""
    if request.param in TRANSPORTS:
        broker = request.getfixturevalue("kafka")
        found = kafka_log(broker, TOPICS, transport=TRANSPORTS[request.param])
    else:
        found = Bench(request.param, tmp_path).log
    yield found
    found.close()


@pytest.fixture(params=["memory", "sqlite"])
def own(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Log]:
    """Give the logs whose polls are ours, not a client's."""
    found: Log = Bench(request.param, tmp_path).log
    yield found
    found.close()


def fill(log: Log, topic: str, count: int, partition: int = 0) -> None:
    log.append(topic, [Outgoing(b"%d" % n, partition=partition) for n in range(count)])


def settle(*members: Member, rounds: int = 60) -> list[list[int]]:
    """Poll until nothing is assigned or revoked any more; return who owns what.

    On a broker all at once, since a group waits for everybody; and past a heartbeat or two, which
    tell the others that one has come.
    """
    network = isinstance(members[0], PrefixedMember)
    quiet_rounds = 60 if network and len(members) > 1 else -(-8 // len(members))
    quiet = 0
    with ThreadPoolExecutor(len(members) if network else 1) as pool:
        for _ in range(rounds * (4 if network else 1)):
            batches = list(pool.map(_polled_once, members))
            quiet = 0 if any(batch.assigned or batch.revoked for batch in batches) else quiet + 1
            if quiet >= quiet_rounds:
                return [list(member.owned) for member in members]
    pytest.fail("membership does not settle")


def _polled_once(member: Member) -> Batch:
    return member.poll(limit=1, timeout_s=0.03)


def polled(member: Member, limit: int, count: int) -> list[list[int]]:
    """Poll until `count` records came; return the offsets of each poll that brought some."""
    found: list[list[int]] = []
    for _ in range(50):
        if sum(map(len, found)) >= count:
            break
        batch = member.poll(limit=limit, timeout_s=0.1)
        if batch.records:
            found.append([record.offset for record in batch.records])
    return found


def commit(
    member: Member, record: tuple[str, int, bytes], *positions: tuple[str, int, Position]
) -> None:
    with member.transaction() as transaction:
        transaction.append(*record)
        for position in positions:
            transaction.commit_position(*position)


def owner_of(log: Log, topic: str, group: str = "g") -> Member:
    member = log.join(group, topic, name="one")
    settle(member)
    return member


# Records and transactions


def test_appended_records_come_back_in_order(log: Log) -> None:
    """What was appended is read from any offset on, with key, time, partition and offset."""
    log.append("labels", [Outgoing(b"a", key=b"k", partition=1), Outgoing(b"b", partition=1)])

    first, second = log.read("labels", 1, 0, limit=10)

    assert (first.value, first.key, first.offset, first.partition) == (b"a", b"k", 0, 1)
    assert (second.value, second.key, second.offset) == (b"b", None, 1)
    assert first.timestamp_ms == 1_000
    assert log.read("labels", 1, 1, limit=10) == [second]
    assert log.read("labels", 1, 0, limit=1) == [first]


def test_an_empty_partition_has_nothing_and_ends_where_it_begins(log: Log) -> None:
    """Reading at the end or behind it is no error: nothing came yet."""
    assert (log.begin("journal", 0), log.end("journal", 0)) == (0, 0)
    assert log.read("journal", 0, 0, limit=5) == []
    assert log.read("journal", 0, 99, limit=5) == []
    assert log.position_at("journal", 0, 0) == 0
    assert log.committed("g", "journal", 0) is None


def test_a_transaction_that_raises_leaves_nothing(log: Log) -> None:
    """Neither records nor positions of an aborted transaction are visible, then or later."""
    member = owner_of(log, "events")

    def fail() -> None:
        with member.transaction() as transaction:
            transaction.append("queries", 0, b"q")
            transaction.commit_position("events", 0, Position(3, "state"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert log.end("queries", 0) == 0
    assert log.committed("g", "events", 0) is None


def test_nothing_is_visible_before_the_commit(log: Log) -> None:
    """Readers see committed records only, and records and positions at once."""
    member = owner_of(log, "events")
    with member.transaction() as transaction:
        transaction.append("queries", 2, b"q", b"key")
        transaction.commit_position("events", 2, Position(1, "state"))
        assert log.read("queries", 2, 0, limit=9) == []
        assert log.committed("g", "events", 2) is None

    (record,) = log.read("queries", 2, 0, limit=9)
    assert (record.value, record.key) == (b"q", b"key")
    assert log.committed("g", "events", 2) == Position(1, "state")
    assert log.committed("other", "events", 2) is None


def test_headers_change_nothing_for_our_readers(log: Log) -> None:
    """A record with headers is there like its neighbours, whether its log keeps them or not."""
    headers = [("class", b"TooLarge"), ("class", b"\xff"), ("empty", b"")]
    log.append("labels", [Outgoing(b"a", b"k", 1, headers), Outgoing(b"b", b"k", 1)])
    with owner_of(log, "events").transaction() as transaction:
        transaction.append("labels", 1, b"c", b"k")
        transaction.append("labels", 1, b"d", b"k", headers)
        transaction.append("labels", 1, b"e", headers=headers)

    said: list[tuple[bytes | None, bytes]] = []
    next_ = 0
    while found := log.read("labels", 1, next_, limit=10):
        said += [(record.key, record.value) for record in found]
        next_ = found[-1].offset + 1

    assert said == [(b"k", b"a"), (b"k", b"b"), (b"k", b"c"), (b"k", b"d"), (None, b"e")]


def test_the_last_position_of_a_transaction_counts(log: Log) -> None:
    """A position may be said twice; metadata comes back to the letter."""
    member = owner_of(log, "events")
    text = "ä\N{GRINNING FACE}" + "x" * (METADATA_BYTES_MAX - 6)
    with member.transaction() as transaction:
        transaction.commit_position("events", 0, Position(1))
        transaction.commit_position("events", 0, Position(2, text))

    assert log.committed("g", "events", 0) == Position(2, text)


def test_metadata_with_a_zero_is_refused(log: Log) -> None:
    """It would come back cut, by some clients."""
    member = owner_of(log, "events")
    with pytest.raises(ConfigurationError, match="a zero would end it"):
        commit(member, ("queries", 0, b"q"), ("events", 0, Position(1, "one\0two")))

    assert log.end("queries", 0) == 0


def test_metadata_beyond_the_bound_is_refused(log: Log) -> None:
    """One byte too many aborts the transaction with a sentence."""
    member = owner_of(log, "events")
    with pytest.raises(ConfigurationError, match="4097 bytes"):
        commit(member, ("queries", 0, b"q"), ("events", 0, Position(1, "x" * 4097)))

    assert log.end("queries", 0) == 0


WRONG_USES: dict[str, Callable[[Log, Member], object]] = {
    "append, topic": lambda log, _: log.append("evnets", [Outgoing(b"")]),
    "append, partition": lambda log, _: log.append("events", [Outgoing(b"", partition=4)]),
    "append, negative": lambda log, _: log.append("labels", [Outgoing(b"", partition=-1)]),
    "read": lambda log, _: log.read("evnets", 0, 0, limit=1),
    "end": lambda log, _: log.end("events", 4),
    "join": lambda log, _: log.join("g", "evnets", name="x"),
    "transaction": lambda _, member: commit(member, ("events", 9, b"")),
}


@pytest.mark.parametrize("use", WRONG_USES.values(), ids=WRONG_USES.keys())
def test_an_unknown_place_is_named(log: Log, use: Callable[[Log, Member], object]) -> None:
    """A topic or partition that is not there is a configuration error that says which are."""
    member = owner_of(log, "events")
    with pytest.raises(ConfigurationError, match=r"it has \S*events, |name one of 0 to"):
        use(log, member)
    assert log.partition_count("evnets") == 0
    assert [log.end("labels", partition) for partition in (0, 1)] == [0, 0]


def test_a_key_always_takes_the_same_partition(log: Log) -> None:
    """Records of one key stay in order; records without a key take turns over calls too."""
    keyed = log.append("events", [Outgoing(b"", key=b"user-1") for _ in range(5)])
    turns = [log.append("labels", [Outgoing(b"")])[0] for _ in range(4)]

    assert len({partition for partition, _ in keyed}) == 1
    assert [offset for _, offset in keyed] == [0, 1, 2, 3, 4]
    assert turns == [(0, 0), (1, 0), (0, 1), (1, 1)]


def test_two_megabytes_are_one_record(log: Log) -> None:
    """A big record is no special case, and a read of many is bounded in bytes."""
    value = b"x" * 2_000_000
    log.append("journal", [Outgoing(value) for _ in range(12)])

    found = log.read("journal", 0, 0, limit=100)

    assert found[0].value == value
    assert 1 <= len(found) < 12
    assert log.read("journal", 0, len(found), limit=100)[0].offset == len(found)


def test_gaps_are_tolerated(bench: Bench) -> None:
    """Offsets may be missing: reading goes on behind the gap and the end does not move."""
    fill(bench.log, "events", 5)
    bench.lose("events", 2)
    bench.lose("events", 4)

    assert [r.offset for r in bench.log.read("events", 0, 0, limit=9)] == [0, 1, 3]
    assert [r.offset for r in bench.log.read("events", 0, 2, limit=9)] == [3]
    assert bench.log.read("events", 0, 4, limit=9) == []
    assert bench.log.end("events", 0) == 5


def test_position_at_finds_the_first_record_of_a_time(bench: Bench) -> None:
    """Not older than: the record of that very time, the next one, or the end."""
    for now_ms in (1_000, 2_000, 2_000, 3_000):
        bench.clock.now_ms = now_ms
        fill(bench.log, "events", 1)

    found = [bench.log.position_at("events", 0, at) for at in (0, 1_000, 1_001, 2_000, 3_001)]

    assert found == [0, 0, 1, 1, 4]


# Membership


def test_records_flow_after_the_seek(log: Log) -> None:
    """A newly assigned partition is silent until it is sought; then polls go on by themselves."""
    fill(log, "journal", 5)
    member = log.join("g", "journal", name="one")

    first = member.poll(limit=10, timeout_s=1)
    silent = member.poll(limit=10, timeout_s=0.1)
    member.seek(0, 1)

    assert (list(first.assigned), list(first.records)) == ([0], [])
    assert list(silent.records) == []
    assert polled(member, 2, 4) == [[1, 2], [3, 4]]
    assert list(member.poll(limit=2, timeout_s=0).records) == []
    member.seek(0, 4)
    assert polled(member, 9, 1) == [[4]]


def test_no_partition_starves(own: Log) -> None:
    """A poll shares its limit among the partitions; what one leaves, the others take."""
    for partition, count in enumerate((100, 100, 3, 100)):
        fill(own, "events", count, partition)
    member = owner_of(own, "events")
    for partition in range(4):
        member.seek(partition, 0)

    found = [r.partition for r in member.poll(limit=40, timeout_s=0).records]
    assert len(found) == 40
    assert all(found.count(partition) >= 9 for partition in (0, 1, 3))
    assert found.count(2) == 3
    total = len(found)
    while batch := member.poll(limit=40, timeout_s=0).records:
        total += len(batch)
    assert total == 303


def test_a_limit_below_the_partitions_starves_none(own: Log) -> None:
    """Even one record a poll comes from every partition in turn."""
    for partition in range(4):
        fill(own, "events", 50, partition)
    member = owner_of(own, "events")
    for partition in range(4):
        member.seek(partition, 0)

    found = [member.poll(limit=1, timeout_s=0).records[0].partition for _ in range(8)]

    assert sorted(found) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_members_share_fairly_and_give_surplus_back(log: Log) -> None:
    """One member owns all four; two own two each; three own 2, 1, 1; leaving gives back."""
    one = log.join("g", "events", name="one")
    assert settle(one) == [[0, 1, 2, 3]]

    two = log.join("g", "events", name="two")
    assert sorted(map(len, settle(one, two))) == [2, 2]

    three = log.join("g", "events", name="three")
    shares = settle(one, two, three)
    assert [len(share) for share in shares] == [2, 1, 1]
    assert sorted(chain(*shares)) == [0, 1, 2, 3]

    one.leave()
    one.leave()
    assert sorted(chain(*settle(two, three))) == [0, 1, 2, 3]
    assert list(one.owned) == []
    with pytest.raises(Fenced, match="has left"):
        one.poll(limit=1, timeout_s=0)


def test_more_members_than_partitions_wait(log: Log) -> None:
    """The journal has one owner, the first; a newcomer takes nothing from it, an heir follows."""
    one = owner_of(log, "journal")
    two = log.join("g", "journal", name="two")
    assert settle(one, two) == [[0], []]
    with pytest.raises(Fenced, match="owns no partition"), two.transaction() as transaction:
        transaction.append("queries", 0, b"by a standby")

    one.leave()

    for _ in range(1_000):  # a group on a broker takes its time
        if _polled_once(two).assigned:
            break
    assert settle(two) == [[0]]
    with two.transaction() as transaction:
        transaction.append("queries", 0, b"by the owner")
    assert [r.value for r in log.read("queries", 0, 0, limit=9)] == [b"by the owner"]


def test_the_owner_of_the_journal_commits_positions_elsewhere(log: Log) -> None:
    """Positions of partitions of other topics are committed in the name of the ownership."""
    member = owner_of(log, "journal", "resolver")
    with member.transaction() as transaction:
        transaction.commit_position("labels", 1, Position(7, "m"))

    assert log.committed("resolver", "labels", 1) == Position(7, "m")


def test_groups_do_not_see_each_other(log: Log) -> None:
    """Two groups own the same partitions and commit positions of their own."""
    one, two = owner_of(log, "events", "g"), owner_of(log, "events", "h")
    with one.transaction() as transaction:
        transaction.commit_position("events", 0, Position(5))

    assert list(one.owned) == list(two.owned) == [0, 1, 2, 3]
    assert log.committed("h", "events", 0) is None


def test_a_partition_not_owned_is_not_committed(log: Log) -> None:
    """What was given back as surplus can't be committed any more, nor sought."""
    one = owner_of(log, "events")
    two = log.join("g", "events", name="two")
    settle(one, two)
    (lost, *_) = two.owned

    with pytest.raises(Fenced, match="not owned"):
        commit(one, ("queries", 0, b"q"), ("events", lost, Position(1)))
    with pytest.raises(Fenced, match="not owned"):
        one.seek(lost, 0)
    assert log.end("queries", 0) == 0


def test_a_deposed_member_is_fenced(bench: Bench) -> None:
    """Who lost the locks and does not know it commits nothing: the epoch has moved on."""
    old = owner_of(bench.log, "events")
    bench.depose(old)
    new = owner_of(bench.log, "events")
    assert list(old.owned) == list(new.owned) == [0, 1, 2, 3]

    for topic in ("events", "labels"):
        with pytest.raises(Fenced, match="another member took it over"):
            commit(old, ("queries", 0, b"q"), (topic, 0, Position(1)))
    with pytest.raises(Fenced, match="taken away"):
        settle(old)
    assert bench.log.end("queries", 0) == 0
    with new.transaction() as transaction:
        transaction.commit_position("events", 0, Position(2))
    assert bench.log.committed("g", "events", 0) == Position(2)


def test_owners_are_seen_from_outside(bench: Bench) -> None:
    """Who owns what, since which epoch, and when it last committed; free when nobody does."""
    assert [owner.member for owner in bench.log.owners("g", "events")] == [None] * 4
    member = owner_of(bench.log, "events")
    bench.clock.now_ms = 5_000
    with member.transaction() as transaction:
        transaction.commit_position("events", 1, Position(1))

    owners = bench.log.owners("g", "events")
    assert [(o.partition, o.member, o.epoch) for o in owners] == [(n, "one", 1) for n in range(4)]
    assert [o.committed_at_ms for o in owners] == [None, 5_000, None, None]
    assert owners[0].process is not None

    member.leave()
    assert [(o.member, o.epoch) for o in bench.log.owners("g", "events")] == [(None, 1)] * 4
    assert bench.log.owners("g", "events")[1].committed_at_ms == 5_000


# Claims and retention


def test_a_claim_is_exclusive(log: Log) -> None:
    """One holder at a time; other names are free; an exception gives it back."""
    claim = log.claim("query-1")
    assert claim is not None
    with claim:
        assert log.claim("query-1") is None
        other = log.claim("query-2")
        assert other is not None
        with other:
            pass
    again = log.claim("query-1")
    assert again is not None
    with pytest.raises(ZeroDivisionError), again:
        raise ZeroDivisionError
    last = log.claim("query-1")
    assert last is not None
    with last:
        pass


def test_retention_drops_what_is_old_and_read(bench: Bench) -> None:
    """Old records below the committed position go; the beginning moves; the rest stays."""
    log = bench.log
    fill(log, "events", 10)
    fill(log, "journal", 10)
    member = owner_of(log, "events")
    with member.transaction() as transaction:
        transaction.commit_position("events", 0, Position(6))
    bench.clock.now_ms = 61_001
    fill(log, "events", 2)

    assert (
        log.enforce_retention({"events": 60_001}, {"events": "g"}, now_ms=bench.clock.now_ms) == 0
    )
    assert (
        log.enforce_retention({"events": 60_000}, {"events": "nobody"}, now_ms=bench.clock.now_ms)
        == 0
    )
    assert (
        log.enforce_retention({"events": 60_000}, {"events": "g"}, now_ms=bench.clock.now_ms) == 6
    )
    assert (log.begin("events", 0), log.end("events", 0)) == (6, 12)
    assert (log.begin("journal", 0), log.end("journal", 0)) == (0, 10)
    assert [r.offset for r in log.read("events", 0, 6, limit=1)] == [6]
    assert log.position_at("events", 0, 0) == 6


def test_retention_by_time_alone_never_takes_the_young(bench: Bench) -> None:
    """A topic that no group reads loses what is old, and offsets go on as before."""
    fill(bench.log, "queries", 3)
    bench.clock.now_ms = 70_000
    fill(bench.log, "queries", 1)

    assert bench.log.enforce_retention({"queries": 60_000}, {}, now_ms=bench.clock.now_ms) == 3
    assert bench.log.begin("queries", 0) == 3
    bench.clock.now_ms = 200_000
    assert bench.log.enforce_retention({"queries": 60_000}, {}, now_ms=bench.clock.now_ms) == 1
    assert (bench.log.begin("queries", 0), bench.log.end("queries", 0)) == (4, 4)
    assert bench.log.append("queries", [Outgoing(b"", partition=0)]) == [(0, 4)]


def test_one_call_of_retention_is_bounded(bench: Bench) -> None:
    """10,000 records a call over all partitions: writers never wait long."""
    for partition in range(2):
        fill(bench.log, "queries", 6_000, partition)
    bench.clock.now_ms = 10**6

    dropped = [
        bench.log.enforce_retention({"queries": 1}, {}, now_ms=bench.clock.now_ms) for _ in range(3)
    ]

    assert dropped == [10_000, 2_000, 0]


def test_reading_what_was_dropped_says_where_it_begins(bench: Bench) -> None:
    """A position below the beginning means lost data: Gone, from read and poll, never silence."""
    fill(bench.log, "journal", 5)
    bench.clock.now_ms = 10**6
    bench.log.enforce_retention({"journal": 1}, {}, now_ms=bench.clock.now_ms)
    member = owner_of(bench.log, "journal")
    member.seek(0, 2)

    with pytest.raises(Gone, match="begins at offset 5"):
        bench.log.read("journal", 0, 4, limit=1)
    with pytest.raises(Gone, match="begins at offset 5"):
        member.poll(limit=1, timeout_s=0)
    assert bench.log.read("journal", 0, 5, limit=1) == []


def test_closing_lets_members_leave(bench: Bench) -> None:
    """After `close` nothing is owned."""
    member = owner_of(bench.log, "events")
    bench.log.close()

    assert list(member.owned) == []
