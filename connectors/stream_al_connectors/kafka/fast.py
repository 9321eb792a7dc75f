"""The clients of `clients.py` by librdkafka: a third of the CPU a record. The extra `fast`.

`confluent_kafka` is imported here, in `fast_writer.py` and in `fast_doubts.py`. Its membership is
eager: everything is revoked and assigned inside `poll`, and an assignment says for each partition
from where it is read, so that nothing has to be paused, sought or thrown away.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from stream_al.config import Config
from stream_al.port import Record
from stream_al_connectors.kafka.clients import Place
from stream_al_connectors.kafka.doubts import ClientError, OutOfRange
from stream_al_connectors.kafka.fast_doubts import error_of, raised
from stream_al_connectors.kafka.fast_settings import (
    SMALL_FETCHES,
    joining,
    say_throttled,
    tailing,
    writing,
)
from stream_al_connectors.kafka.fast_writer import FastWriter

_LOGGER = logging.getLogger("kafka.librdkafka")
START_WAIT_S = 0.001
THROTTLED_S = 1.0
"""A reader that has to wait so long fetches less at a time from then on."""

CLOSE_ROUND_S, CLOSE_ROUNDS, CLOSE_ROUNDS_MAX = 0.05, 2, 20
_NOT_THERE = (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE)


class FastTransport:
    """See `clients.Transport`."""

    def __init__(self, config: Config, request_bytes_max: int) -> None:
        self._config = config
        self._request_bytes_max = request_bytes_max

    def reader(self) -> FastReader:
        """Return a reader of any place."""
        return FastReader(tailing(self._config))

    def member(self, group: str, instance: str, topic: str) -> FastGroupReader:
        """Join a group."""
        return FastGroupReader(joining(self._config, group, instance), topic)

    def writer(self, identity: str | None = None) -> FastWriter:
        """Return a writer."""
        settings = writing(self._config, self._request_bytes_max, identity)
        return FastWriter(settings, transactional=identity is not None)


class FastReader:
    """See `clients.Reader`."""

    refusals: tuple[int, ...] = (
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError._NOT_IMPLEMENTED,  # a codec that the library was built without
    )
    """What is raised, of the errors that the client tells in between: no trying again helps."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._starts: dict[Place, int] = {}  # what is read → from where on, as last told
        self._changed: set[Place] = set()  # told since the last assignment
        self._assigned: set[Place] = set()
        self._met: deque[ClientError] = deque()  # errors among the records of the last poll
        self._settings = settings | {"throttle_cb": self._hear_throttled}
        self._throttled = False
        self._fetches_less = False
        with raised():
            self._consumer = Consumer(self._settings)

    def _hear_throttled(self, event: Any) -> None:
        say_throttled(event)
        self._throttled |= event.throttle_time >= THROTTLED_S

    def _fetch_less(self) -> None:
        """Go on with a client that fetches less at a time: of one that is made it can't be set."""
        self._fetches_less = True
        positions = {place: self.position(place) or 0 for place in self._starts}
        self._renew()
        self._starts, self._changed, self._assigned = positions, set(positions), set()

    def _renew(self) -> None:
        self.close()
        self._settings |= SMALL_FETCHES
        with raised():
            self._consumer = Consumer(self._settings)

    def read_from(self, place: Place, offset: int) -> None:
        """Read `place` from `offset` on, as of the next poll."""
        self._starts[place] = offset
        self._changed.add(place)

    def stop(self, place: Place) -> None:
        """Read `place` no further."""
        if self._starts.pop(place, None) is not None:
            self._changed.add(place)

    def _assign(self) -> None:
        """Tell the client what has changed; the other places go on as they were."""
        gone = self._changed & self._assigned
        new = self._changed & self._starts.keys()
        if gone:
            self._consumer.incremental_unassign([TopicPartition(*place) for place in gone])
        if new:
            self._consumer.incremental_assign(
                [TopicPartition(*place, self._starts[place]) for place in new]
            )
        self._assigned = set(self._starts)

    def _await_start(self) -> None:
        """Wait until no position is left from before: it may take a moment, and would deceive."""
        new = [TopicPartition(*place) for place in self._changed & self._starts.keys()]
        while new and any(found.offset >= 0 for found in self._consumer.position(new)):
            time.sleep(START_WAIT_S)
        self._changed.clear()

    def poll(self, timeout_s: float, limit: int) -> Mapping[Place, Sequence[Record]]:
        """Return what came; an error among it is raised once its records are taken."""
        self._raise_met()
        if self._throttled and not self._fetches_less:
            self._fetch_less()
        with raised():
            if self._changed:
                self._assign()
                self._await_start()
            consume = self._consumer.consume
            messages: list[Any] = consume(limit, 0)
            if not messages and timeout_s > 0:  # `consume` waits for all that it was asked for
                messages = consume(1, timeout_s)
                if messages and limit > 1:
                    messages += consume(limit - 1, 0)
        found: dict[Place, list[Record]] = {}
        for message in messages:
            if message.error() is not None:
                self._meet(message)
                continue
            partition = message.partition()
            place = (message.topic(), partition)
            if place not in found:
                found[place] = []
            found[place].append(
                Record(
                    partition,
                    message.offset(),
                    message.timestamp()[1],
                    message.key(),
                    message.value() or b"",
                )
            )
        if not found:
            self._raise_met()
        return found

    def _meet(self, message: Any) -> None:
        """Note an error that came among the records, when the client can't mend it."""
        error: KafkaError = message.error()
        if error.code() in _NOT_THERE:
            place = (message.topic(), message.partition())
            self._met.append(OutOfRange(place, message.offset()))
        elif error.fatal() or error.code() in (KafkaError._FATAL, *self.refusals):
            self._met.append(error_of(error, message.topic()))
        else:
            _LOGGER.warning("reading: %s", error)  # it tries again

    def _raise_met(self) -> None:
        """Raise the first error that was met; one of a place that has moved on is void."""
        while self._met:
            error = self._met.popleft()
            if isinstance(error, OutOfRange):
                start = self._starts.get(error.place)
                if start is None or error.offset < start:
                    continue
            raise error

    def position(self, place: Place) -> int | None:
        """Return the next offset to poll."""
        start = self._starts.get(place)
        if start is None or place in self._changed:
            return start
        with raised():
            (found,) = self._consumer.position([TopicPartition(*place)])
        return max(found.offset, start)  # negative while nothing came

    def high_watermark(self, place: Place) -> int | None:
        """Return the end of `place` as of its last fetch."""
        with raised():
            _, high = self._consumer.get_watermark_offsets(TopicPartition(*place), cached=True)
        return int(high) if high >= 0 else None

    def close(self) -> None:
        """Stop."""
        with raised():
            self._consumer.close()


class FastGroupReader(FastReader):
    """See `clients.GroupReader`."""

    refusals = (*FastReader.refusals, KafkaError.GROUP_AUTHORIZATION_FAILED)

    def __init__(self, settings: dict[str, Any], topic: str) -> None:
        super().__init__(settings)
        self._owned: set[int] = set()
        self._came: set[int] = set()
        self._membership: Any | None = None
        self._member_id: str | None = None
        self._topic = topic
        self._subscribe()

    def _subscribe(self) -> None:
        with raised():
            self._consumer.subscribe(
                [self._topic],
                on_assign=self._hear_assigned,
                on_revoke=self._hear_revoked,
                on_lost=self._hear_revoked,
            )

    def _fetch_less(self) -> None:
        """Join again with a client that fetches less, under the same identity: all comes anew."""
        self._fetches_less = True
        self._renew()
        self._membership, self._member_id, self._owned = None, None, set()
        self._forget()
        self._subscribe()

    def owned(self) -> set[int]:
        """Return the partitions that are this member's."""
        return set(self._owned)

    def came(self) -> set[int]:
        """Return the partitions that were dealt out since the last call."""
        came, self._came = self._came, set()
        return came

    def membership(self) -> Any | None:
        """Return the membership under which the present partitions were dealt out."""
        return self._membership

    def member_id(self) -> str | None:
        """Return the coordinator's name for this member."""
        return self._member_id

    def close(self) -> None:
        """Stop, once the client has no more to say about partitions.

        What it says while it closes can't be answered: it waits for its answer without end, and
        keeps every thread of Python from running, our deadline's too.
        """
        with suppress(KafkaException):  # of one that was fenced: it is told nothing more
            self._consumer.unsubscribe()
            rounds = 0
            while rounds < CLOSE_ROUNDS or (self._owned and rounds < CLOSE_ROUNDS_MAX):
                self._consumer.consume(1, CLOSE_ROUND_S)
                rounds += 1
        super().close()

    def _hear_assigned(self, consumer: Consumer, assigned: list[TopicPartition]) -> None:
        self._membership = consumer.consumer_group_metadata()
        self._member_id = consumer.memberid()
        self._owned = {one.partition for one in assigned}
        self._came |= self._owned
        self._forget()
        consumer.assign([])  # nothing flows before it is told from where

    def _hear_revoked(self, consumer: Consumer, _: list[TopicPartition]) -> None:
        self._membership = None
        self._member_id = None
        self._owned = set()
        self._forget()
        consumer.unassign()

    def _forget(self) -> None:
        self._starts.clear()
        self._changed.clear()

    def _assign(self) -> None:
        """Assign everything anew: a member that is eager has no other way."""
        self._starts = {place: self.position(place) or 0 for place in self._starts}
        self._consumer.assign(
            [TopicPartition(*place, start) for place, start in self._starts.items()]
        )
