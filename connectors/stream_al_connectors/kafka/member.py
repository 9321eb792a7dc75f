"""One worker's membership in a consumer group, and its transactions.

Rules that the client's documentation does not give, and exactly-once needs:

* the group's metadata is taken right after the poll that returned the records, never at commit
  time, and is good for nothing unless the member is stable then
* one poll, and whatever is committed before the next: no transaction is open over a poll
* after any abort the producer is thrown away, else its next transaction also commits the offsets
  of the aborted one
* everything that may wait for ever has a deadline
* membership and transactional id are those of the slot, so that the successor fences the dead
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

from stream_al.errors import Fenced, Rewound, StreamAlError
from stream_al.port import Batch, Headers, Position, Record, Transaction
from stream_al_connectors.kafka.asking import Asking
from stream_al_connectors.kafka.client_log import throttled
from stream_al_connectors.kafka.clients import (
    Place,
    Transport,
    Writer,
    closed_unless_done,
    held_back,
)
from stream_al_connectors.kafka.deadline import Deadline
from stream_al_connectors.kafka.doubts import THROTTLED_S, ClientError, Doubt, OutOfRange, guarded
from stream_al_connectors.kafka.groups import Groups
from stream_al_connectors.kafka.pace import Pace
from stream_al_connectors.kafka.settings import TRANSACTION_TIMEOUT_MS
from stream_al_connectors.kafka.watch import Watch
from stream_al_connectors.membership import Buffered

JOIN_WAIT_S = 2.0
"""How long a poll goes on while the group deals out.

kafka-python joins in the background, but takes the answer only inside a poll: one that comes
between two polls is thrown away and asked for again, which makes everybody else begin again too;
and where new metadata made the leader deal out, it is not even asked for again.
"""

GIVEN_UP_AFTER_S = 0.8 * TRANSACTION_TIMEOUT_MS / 1_000
"""A transaction that fails after so long most likely took too long."""

_LATE = (Doubt.GIVEN_UP, Doubt.FENCED)

JOIN_LOOK_S = 0.1
"""So long is each look for it: without records a poll of the client waits on when it has joined."""

_LOGGER = logging.getLogger("kafka.member")
_NEVER_SEEN = b"{}"
"""A record of a transaction that is aborted in any case."""


class KafkaMember:
    """See `stream_al.port.Member`.

    Parameters
    ----------
    name
        The slot: with the group, this member's fixed identity.
    elects
        The group elects one owner: its transactional id is the group's own, taken over with the
        partition. Else it is the slot's.
    check
        Raises ConfigurationError where there is no such partition.
    check_size
        Raises ConfigurationError for a record that is not sent; see `Clients.check_size`.
    """

    def __init__(
        self,
        transport: Transport,
        asking: Asking,
        group: str,
        topic: str,
        *,
        name: str,
        elects: bool,
        deadline: Deadline,
        clock: Callable[[], int],
        check: Callable[[str, int], object],
        watch: Watch,
        groups: Groups,
        check_size: Callable[[str, bytes, bytes | None, Headers], None],
    ) -> None:
        self.group = group
        self.topic = topic
        self.instance = f"{group}-{name}"
        self.left = False
        self._transport = transport
        self._asking = asking
        self._deadline = deadline
        self._clock = clock
        self._check = check
        self._watch = watch
        self._groups = groups
        self._elects = elects
        self._check_size = check_size
        self._given: set[int] = set()  # the partitions that the loop was told it has
        self._sought: set[int] = set()
        self._rewound = False
        self._membership: Any | None = None  # of the last poll; see `GroupReader`
        self._last_id: str | None = None  # the coordinator's name for this member, once it had one
        self._writer: Writer | None = None
        self._owing_s: float | None = None
        self._pace = Pace(self.instance)
        self._polled = 0  # records of the last poll: what a transaction answers
        with self._guarded("joining"):
            self.reader = transport.member(group, self.instance, topic)
        if not elects:
            with closed_unless_done(self.reader.close):
                self._writer = self._new_writer()

    @property
    def owned(self) -> Sequence[int]:
        """The partitions owned now, after the last `poll`."""
        return tuple(sorted(self._given))

    # ------------------------------------------------------------------ reading

    def poll(self, *, limit: int, timeout_s: float) -> Batch:
        """Return up to `limit` records of owned partitions; waits at most `timeout_s` for any.

        Raises
        ------
        Fenced
            When this member left, or another one with its slot took over.
        Gone
            When the records at a sought offset were dropped.
        """
        if self.left:
            raise Fenced(f"{self.topic!r}: this member has left its group")
        self._watch.look(self)
        fetched = self._fetch(limit if self._elects else self.batch_max(limit), timeout_s)
        assigned, revoked = self._take_moves()
        if self._elects:
            self._follow_election()
        records = [
            record
            for (_, partition), found in fetched.items()
            if partition in self._sought
            for record in found
        ]
        self._polled = len(records)
        # An elected owner reads back what it wrote itself, and owes nothing for it.
        if not self._given or self._elects:
            self._owing_s = None
        elif records and self._owing_s is None:
            self._owing_s = time.monotonic()
        return Batch(records, assigned, revoked)

    def _fetch(self, limit: int, timeout_s: float) -> Mapping[Place, Sequence[Record]]:
        """Return what came, and take the membership right after it."""
        reader = self.reader
        with self._guarded("polling"):
            try:
                fetched = reader.poll(timeout_s, limit)
                until = time.monotonic() + JOIN_WAIT_S
                while (membership := reader.membership()) is None and time.monotonic() < until:
                    self._rewound |= bool(fetched)  # those are not handled: read them again
                    fetched = reader.poll(JOIN_LOOK_S, limit)
            except OutOfRange as error:
                raise self._asking.gone(error) from error
        self._membership = membership
        self._last_id = self.reader.member_id() or self._last_id
        return fetched

    def _take_moves(self) -> tuple[list[int], list[int]]:
        """Return what the loop gets and loses, by what the client owns now."""
        came = self.reader.came()
        owned = self.reader.owned()
        anew = set(owned) if self._rewound else came & owned
        if self._rewound:
            for partition in owned:
                self.reader.stop(self._place(partition))
            self._rewound = False
        revoked = (self._given - owned) | (self._given & anew)
        assigned = anew | (owned - self._given)
        self._given = owned
        self._sought -= revoked | assigned
        return sorted(assigned), sorted(revoked)

    def _follow_election(self) -> None:
        """Fence the predecessor on becoming owner, before anything is read; let go after."""
        if self._given and self._writer is None:
            self._writer = self._new_writer()
        elif not self._given and self._writer is not None:
            self._drop_writer()

    def batch_max(self, limit: int) -> int:
        """Return how many of up to `limit` inputs one transaction may answer now."""
        return min(limit, self._pace.limit)

    def seek(self, partition: int, offset: int) -> None:
        """Read `partition` from `offset` on.

        Raises
        ------
        Fenced
            When the partition is not owned.
        """
        if partition not in self._given:
            raise Fenced(self._not_owned(partition))
        with self._guarded("seeking"):
            self.reader.read_from(self._place(partition), offset)
        self._sought.add(partition)

    def member_id(self) -> str | None:
        """Return the coordinator's name for this member; None while the group deals out."""
        return self.reader.member_id()

    def lag(self) -> dict[int, int]:
        """Return partition → how far its end is from what was polled, over markers too."""
        ends = self.ends()
        return {
            partition: max(0, ends[partition] - position)
            for partition, position in self.positions().items()
        }

    def owing_since_s(self) -> float | None:
        """Return since when records were read that nothing was committed for; None: no such."""
        return self._owing_s

    def ends(self) -> dict[int, int]:
        """Return partition → its last stable offset, of those that are read."""
        ends = self._asking.ends(map(self._place, self._sought))
        return {partition: end for (_, partition), end in ends.items()}

    def held_back(self) -> dict[int, int]:
        """Return partition → offsets between its last stable one and its high watermark."""
        return held_back(self.reader, self._asking.ends(map(self._place, self._sought)))

    def positions(self) -> dict[int, int]:
        """Return partition → the next offset to fetch, of those that are read."""
        found = {}
        with self._guarded("asking for positions"):
            for partition in self._sought:
                position = self.reader.position(self._place(partition))
                if position is not None:
                    found[partition] = position
        return found

    # ------------------------------------------------------------------ committing

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Commit on a clean exit, abort on an exception; see `stream_al.port.Member`."""
        return self._transaction()

    @contextmanager
    def _transaction(self) -> Iterator[Transaction]:
        buffered = Buffered(self._check)
        yield buffered
        if buffered.records or buffered.positions:
            self._commit(buffered)

    def _commit(self, buffered: Buffered) -> None:
        for topic, partition in buffered.positions:
            if topic == self.topic and partition not in self._given:
                raise Fenced(self._not_owned(partition))
        if not self._given:
            raise Fenced(f"{self.topic!r}: this member owns no partition, so it commits nothing")
        if self._membership is None or self._writer is None:
            self._rewound = True
            raise Rewound(
                f"{self.topic!r}: the group was dealing out partitions; going on from "
                "what is committed"
            )
        self._check_sizes(buffered)
        writer, membership = self._writer, self._membership
        written = sum(len(values) for _, values in buffered.records.values())
        count = written if self._elects else self._polled
        began_s = time.monotonic()
        with self._deadline.guard(f"a transaction of {self.instance!r}"):
            try:
                writer.begin(buffered.records)
                self._send(writer, buffered)
                if buffered.positions:
                    writer.send_positions(buffered.positions, membership)
                writer.commit()
            except ClientError as error:
                late = time.monotonic() - began_s > GIVEN_UP_AFTER_S
                if error.doubt is Doubt.UNKNOWN or (late and error.doubt in _LATE):
                    self._give_up(count, error)
                if error.doubt is not Doubt.MOVED:
                    raise error.ours(f"a transaction of {self.instance!r}") from error
                self._abort(writer, error)
        self._owing_s = None
        self._pace.took(count, time.monotonic() - began_s)

    def _send(self, writer: Writer, buffered: Buffered) -> None:
        """Send every place's first record before the others.

        So one request of the client tells the coordinator of all places: it makes the next one
        when its answer came, with what was sent by then.
        """
        now_ms = self._clock()
        for begin, end in ((0, 1), (1, None)):
            for (topic, partition), (keys, values) in buffered.records.items():
                headers = buffered.headers.get((topic, partition), {})
                some = zip(keys[begin:end], values[begin:end], strict=True)
                for index, (key, value) in enumerate(some, begin):
                    writer.send(topic, partition, value, key, now_ms, headers.get(index, ()))

    def _give_up(self, count: int, error: ClientError) -> None:
        """Go on in smaller steps after a transaction that failed while throttled.

        The brokers have aborted it, or the next writer does; whoever took this slot over fences
        this process by the group. Without throttling nobody knows, and the process ends.
        """
        if throttled(THROTTLED_S):
            said = self._pace.given_up(count, error.name)
            self._rewound = True
            self._drop_writer()
            self._writer = self._new_writer()
            raise Rewound(f"{self.topic!r}: {said}") from error

    def _abort(self, writer: Writer, error: ClientError) -> None:
        """Give up this transaction and its writer: the next one would repeat its offsets."""
        self._rewound = True
        with self._guarded("aborting"):
            writer.abort()
        self._drop_writer()
        self._writer = self._new_writer()
        raise Rewound(
            f"{self.topic!r}: the group dealt out partitions while a batch was made "
            f"({error.name}); going on from what is committed"
        ) from error

    def end_what_hangs(self, places: Sequence[Place]) -> None:
        """End what this identity left open, and the brokers have forgotten to end.

        Seen after `kill -9` of a broker: it held a transaction for aborted that no partition had
        heard of. Its positions were unstable for ever; its records would have come to count with
        the next transaction of the same identity. One that is aborted over all places ends both.
        """
        if self._writer is None or self._membership is None:
            return  # not dealt out: whoever gets the partition asks again
        _LOGGER.warning("%s: brokers forgot to end a transaction; ending it", self.instance)
        writer, now_ms = self._writer, self._clock()
        with self._guarded("ending a transaction that hangs"):
            writer.begin(places)
            for topic, partition in places:
                writer.send(topic, partition, _NEVER_SEEN, None, now_ms)
            writer.flush()
            with suppress(ClientError):  # refused or not, their partition is in the transaction
                writer.send_positions({(self.topic, 0): Position(0, "")}, self._membership)
            writer.abort()
        self._drop_writer()
        self._writer = self._new_writer()

    def _check_sizes(self, buffered: Buffered) -> None:
        for place, (keys, values) in buffered.records.items():
            headers = buffered.headers.get(place, {})
            for index, (key, value) in enumerate(zip(keys, values, strict=True)):
                self._check_size(place[0], value, key, headers.get(index, ()))

    # ------------------------------------------------------------------ leaving

    def leave(self) -> None:
        """Give everything back at once; a second call does nothing."""
        if self.left:
            return
        self.left = True
        self._given, self._sought = set(), set()
        self._drop_writer()
        with self._guarded("leaving"):
            self.reader.close()
        with suppress(StreamAlError):  # then its session ends by itself
            # A fixed identity does not leave by itself: its partitions would wait for the session.
            self._groups.remove(self.group, self.instance, self._last_id)

    def _new_writer(self) -> Writer:
        identity = self.group if self._elects else self.instance
        with self._guarded("beginning transactions"):
            return self._transport.writer(identity)

    def _drop_writer(self) -> None:
        if self._writer is None:
            return
        writer, self._writer = self._writer, None
        with self._guarded("closing a writer"):
            writer.close()

    def _place(self, partition: int) -> Place:
        return self.topic, partition

    def _guarded(self, what: str) -> AbstractContextManager[None]:
        return guarded(self._deadline, f"{what} as {self.instance!r}")

    def _not_owned(self, partition: int) -> str:
        return f"{self.topic!r} partition {partition} is not owned by this member"
