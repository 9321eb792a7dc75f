"""The log on Kafka: see `stream_al.port` for what it promises.

Everything here is called from one thread, and whatever may wait for ever is under a deadline.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import assert_never

from stream_al.config import Config
from stream_al.errors import ConfigurationError
from stream_al.port import Outgoing, Owner, Position, Record
from stream_al.private_files import make_folder
from stream_al_connectors.kafka.asking import Asking
from stream_al_connectors.kafka.client_log import throttled
from stream_al_connectors.kafka.clients import Place, Transport, Writer
from stream_al_connectors.kafka.deadline import Deadline, end_process
from stream_al_connectors.kafka.doubts import THROTTLED_S, guarded
from stream_al_connectors.kafka.groups import Groups
from stream_al_connectors.kafka.member import KafkaMember
from stream_al_connectors.kafka.pure import PureTransport
from stream_al_connectors.kafka.settings import Clients
from stream_al_connectors.kafka.tail import Tail
from stream_al_connectors.kafka.watch import Watch
from stream_al_connectors.locks import FileLock
from stream_al_connectors.opening import topics_of
from stream_al_connectors.sharing import no_such_partition, wall_clock_ms

WRITTEN = {
    "events": ("predictions", "queries", "statistics", "dead_letters"),
    "journal": ("journal", "outcomes", "dead_letters"),
    "dead_letters": ("dead_letters", "events", "labels", "controls", "statistics"),
}
"""What is dealt out → the topics that its owners write to in transactions: no right is missed."""


class KafkaLog:
    """A log whose topics are a broker's.

    Parameters
    ----------
    config
        Whose topics they are, and where the brokers.
    clock
        Gives the record time of what is written here, in milliseconds since 1970.
    tell
        Is told why, right before a deadline ends the process.

    Raises
    ------
    ConfigurationError
        When the brokers can't be reached, refuse, or are too old; or the transport is not
        installed.
    """

    def __init__(
        self,
        config: Config,
        *,
        clock: Callable[[], int] = wall_clock_ms,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self._config = config
        self._clock = clock
        self._clients = Clients.of(config)
        self._deadline = Deadline(config.log.deadline / 1_000, expire=partial(_end, tell))
        self._electing = config.topic("journal")
        self._members: list[KafkaMember] = []
        self._appending: Writer | None = None
        self._groups = Groups(self._clients, self._deadline)
        with ExitStack() as opened:
            opened.callback(self._deadline.close)
            # First, since this client says best why brokers can't be reached.
            self._asking = Asking(self._clients, self._deadline)
            opened.callback(self._asking.close)
            self._transport = _transport_of(config, self._clients)
            with self._guarded("connecting"):
                self._tail = Tail(self._transport.reader(), self._asking, self._deadline)
            opened.pop_all()

    # ------------------------------------------------------------------ reading

    def partition_count(self, topic: str) -> int:
        """Return how many partitions `topic` has; 0 when there is no such topic."""
        return self._asking.counts().get(topic, 0)

    def begin(self, topic: str, partition: int) -> int:
        """Return the first offset that is still there."""
        return self._asking.begin(self._place(topic, partition))

    def end(self, topic: str, partition: int) -> int:
        """Return the offset after the last committed record: the last stable offset."""
        return self._asking.end(self._place(topic, partition))

    def ends(self, topic: str) -> list[int]:
        """Return `end` of every partition in their order, in one request a broker."""
        places = [(topic, number) for number in range(self.partition_count(topic))]
        return list(self._asking.ends(places).values())

    def settled_ends(self, topic: str) -> list[int]:
        """Return ends with everything below that was written before; see `stream_al.port`."""
        places = [(topic, number) for number in range(self.partition_count(topic))]
        return list(self._asking.settled_ends(places).values())

    def read(
        self, topic: str, partition: int, offset: int, *, limit: int, wait: bool = True
    ) -> list[Record]:
        """Return up to `limit` committed records from `offset` on; see `stream_al.port`."""
        return self._tail.read(self._place(topic, partition), offset, limit=limit, wait=wait)

    def held_back(self, topic: str) -> dict[int, int]:
        """Return partition → offsets that open transactions hold, of what is read here."""
        return self._tail.held_back(topic)

    def position_at(self, topic: str, partition: int, timestamp_ms: int) -> int:
        """Return the offset of the first record not older than `timestamp_ms`, or the end."""
        place = self._place(topic, partition)
        found = self._asking.position_at(place, timestamp_ms)
        return self._asking.end(place) if found is None else found

    def committed(self, group: str, topic: str, partition: int) -> Position | None:
        """Return what `group` committed for a partition; its member here ends what hangs there."""
        place = self._place(topic, partition)
        member = next((it for it in self._members if it.group == group and not it.left), None)
        hangs = partial(member.end_what_hangs, self._written(member.topic)) if member else None
        return self._asking.committed(group, place, unstable=hangs)

    # ------------------------------------------------------------------ writing

    def append(self, topic: str, records: Sequence[Outgoing]) -> list[tuple[int, int]]:
        """Append all records; return (partition, offset) of each.

        Without a transaction: it would hold back its neighbours, and put a marker after each batch.
        The producer is idempotent, so that what it sends again is there once.
        """
        count = self.partition_count(topic)
        for it in records:
            self._place(topic, it.partition or 0)
            self._clients.check_size(topic, it.value, it.key, it.headers)
        turn = sum(self.ends(topic)) if any(map(_has_no_place, records)) else 0
        outgoing = []
        for it in records:
            if _has_no_place(it):
                outgoing.append(replace(it, partition=turn % count))
                turn += 1
            else:
                outgoing.append(it)
        with self._guarded(f"appending to {topic!r}"):
            if self._appending is None:
                self._appending = self._transport.writer()
            return self._appending.append(topic, outgoing, self._clock(), partitions=count)

    def enforce_retention(
        self, keep_ms: dict[str, int], groups: dict[str, str], *, now_ms: int
    ) -> int:
        """Drop nothing: the brokers keep each topic as long as its `retention.ms` says."""
        del keep_ms, groups, now_ms
        return 0

    def rewrite(self, topic: str, partition: int, values: dict[int, bytes]) -> None:
        """Refuse: a broker never changes a record."""
        del partition, values
        raise ConfigurationError(
            f"{topic!r}: Kafka can't change records in place, so nothing was done; `stream-al "
            "replay --without EVENT_ID --activate` puts a model in force that never learnt of an "
            "event, docs/OPERATIONS.md tells what remains"
        )

    # ------------------------------------------------------------------ members

    def join(self, group: str, topic: str, *, name: str) -> KafkaMember:
        """Become a member of `group` for the partitions of `topic`; `name` is the slot."""
        self._place(topic, 0)
        member = KafkaMember(
            self._transport,
            self._asking,
            group,
            topic,
            name=name,
            elects=topic == self._electing,
            deadline=self._deadline,
            clock=self._clock,
            check=self._place,
            watch=Watch(self, self._groups),
            groups=self._groups,
            check_size=self._clients.check_size,
        )
        self._members = [*(known for known in self._members if not known.left), member]
        return member

    def owners(self, group: str, topic: str) -> list[Owner]:
        """Return who owns each partition, as the group's coordinator knows it."""
        holders = self._groups.holders(group, topic)
        return [
            Owner(partition, holders.get(partition), None, 0, None)
            for partition in range(self.partition_count(topic))
        ]

    def slots(self, group: str) -> set[str]:
        """Return the slots that are in a group: a name of theirs is its identity there."""
        begin = f"{group}-"
        return {
            instance.removeprefix(begin)
            for instance in self._groups.member_ids(group)
            if instance.startswith(begin)
        }

    def claim(self, name: str) -> AbstractContextManager[None] | None:
        """Take a short claim among this user's processes on this machine; None when it is held.

        Enough for what lies on this machine, such as snapshots; what must be alone in the group
        is a member of one.
        """
        folder = Path(tempfile.gettempdir()) / f"stream-al-{os.getuid()}"
        try:
            make_folder(folder)
        except OSError as error:
            raise ConfigurationError(
                f"{folder} can't be used for short locks: {error.strerror}; delete it, or set "
                "TMPDIR to a folder of this user"
            ) from None
        digest = blake2b(f"{self._config.app}/{name}".encode(), digest_size=8).hexdigest()
        lock = FileLock.take(folder / digest)
        return None if lock is None else _held(lock)

    def close(self) -> None:
        """Release every resource; members leave."""
        for member in self._members:
            member.leave()
        self._tail.close()
        if self._appending is not None:
            with self._guarded("closing"):
                self._appending.close()
        self._asking.close()
        self._groups.close()
        self._deadline.close()

    # ------------------------------------------------------------------ small things

    def _written(self, topic: str) -> list[Place]:
        """Return every place that members of a topic's group write to in transactions."""
        written = next((to for it, to in WRITTEN.items() if self._config.topic(it) == topic), ())
        names = map(self._config.topic, written)
        return [(name, each) for name in names for each in range(self.partition_count(name))]

    def _place(self, topic: str, partition: int) -> Place:
        """Return the name of a place.

        Raises
        ------
        ConfigurationError
            When there is no such topic or partition.
        """
        if not 0 <= partition < self._asking.counts().get(topic, 0):
            known = self._asking.counts(anew=True)
            if not 0 <= partition < known.get(topic, 0):
                own = set(topics_of(self._config)) | {topic}
                counts = {name: count for name, count in known.items() if name in own}
                raise no_such_partition(topic, partition, counts)
        return topic, partition

    def _guarded(self, what: str) -> AbstractContextManager[None]:
        return guarded(self._deadline, what)


def _end(tell: Callable[[str], None] | None, line: str) -> None:
    """End the process, whatever hangs; its last word is for who counts such ends."""
    try:
        if tell is not None:
            tell("deadline")
    finally:
        end_process(line + throttled(THROTTLED_S))


@contextmanager
def _held(lock: FileLock) -> Iterator[None]:
    try:
        yield
    finally:
        lock.release(delete=True)


def _has_no_place(outgoing: Outgoing) -> bool:
    """Return whether it takes its turn."""
    return outgoing.partition is None and outgoing.key is None


def _transport_of(config: Config, clients: Clients) -> Transport:
    match config.log.transport:
        case "kafka-python":
            return PureTransport(clients)
        case "fast":
            try:
                from stream_al_connectors.kafka.fast import FastTransport  # noqa: PLC0415 - an extra
            except ModuleNotFoundError as error:
                if error.name != "confluent_kafka":
                    raise
                raise ConfigurationError(
                    "log.transport is 'fast', which needs a package that is not installed: "
                    "pip install 'stream-al[fast]', or take 'kafka-python'"
                ) from None
            return FastTransport(config, clients.request_bytes_max)
        case _ as never:
            assert_never(never)
