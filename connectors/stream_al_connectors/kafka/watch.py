"""Looks after a group from the side: partitions that nobody reads, and reads that stand still.

With fixed identities a group can forget to watch its topic: after its leader restarted, partitions
that are added belong to nobody for ever. So one member looks every ten seconds, and makes the group
deal out again by leaving and coming back. And a member whose position stands still below the end
for half a minute has lost its client somewhere: it ends, and begins again; as does one that reads
records and for a minute commits nothing for them. And a member whose
identity another process took hears of it only when it commits: its client stops its heartbeat, and
says nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Protocol

from stream_al.errors import Ambiguous, Fenced, Stalled
from stream_al.port import Log, Owner
from stream_al_connectors.kafka.client_log import throttled
from stream_al_connectors.kafka.groups import Groups


class Watched(Protocol):
    """A member as it is looked at."""

    group: str
    topic: str
    instance: str

    def member_id(self) -> str | None:
        """Return the coordinator's name for this member; None while the group deals out."""

    def owing_since_s(self) -> float | None:
        """Return since when records were read that nothing was committed for; None: no such."""

    def ends(self) -> dict[int, int]:
        """Return partition → its end, of those that are read."""

    def positions(self) -> dict[int, int]:
        """Return partition → the next offset to fetch, of those that are read."""


LOOK_EVERY_S = 10.0
STALLED_AFTER_S = 30.0
OWING_S_MAX = 60.0


def orphans(owners: list[Owner]) -> list[int]:
    """Return the partitions without an owner.

    Examples
    --------
    >>> orphans([Owner(0, "a", None, 0, None), Owner(1, None, None, 0, None)])
    [1]
    """
    return [owner.partition for owner in owners if owner.member is None]


class Stalls:
    """Remembers where each partition stood, and since when.

    Examples
    --------
    >>> seconds = iter([0.0, 10.0, 31.0, 62.0])
    >>> stalls = Stalls(lambda: next(seconds))
    >>> for position in (5, 6, 6):
    ...     stalls.look({0: position}, {0: 9})
    >>> stalls.look({0: 6}, {0: 9})
    Traceback (most recent call last):
        ...
    stream_al.errors.Stalled: partition 0 stands at 6 of 9 for 52 s; restart this worker
    """

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        self._since: dict[int, tuple[int, float]] = {}  # partition → position, first seen there

    def look(self, positions: Mapping[int, int], ends: Mapping[int, int]) -> None:
        """Compare where each partition is with where it was.

        Raises
        ------
        Stalled
            When one has not moved for `STALLED_AFTER_S` though there is something to read.
        """
        now = self._monotonic_s()
        since: dict[int, tuple[int, float]] = {}
        for partition, position in positions.items():
            if position >= ends.get(partition, 0):
                continue
            before = self._since.get(partition)
            if before is None or before[0] != position:
                before = (position, now)
            elif now - before[1] > STALLED_AFTER_S:
                raise Stalled(
                    f"partition {partition} stands at {position} of {ends[partition]} for "
                    f"{now - before[1]:.0f} s; restart this worker"
                )
            since[partition] = before
        self._since = since


class Watch:
    """Looks at one member's group and reads, now and then."""

    def __init__(self, log: Log, groups: Groups) -> None:
        self._log = log
        self._groups = groups
        self._stalls = Stalls()
        self._orphaned: list[int] = []
        self._looked_s = time.monotonic()

    def look(self, member: Watched) -> None:
        """Look, when it is time.

        Raises
        ------
        Stalled
            When a read of the member stands still, or what it reads is not committed.
        Fenced
            When another process has its identity.
        """
        now = time.monotonic()
        if now - self._looked_s < LOOK_EVERY_S:
            return
        self._looked_s = now
        slowed = throttled(STALLED_AFTER_S)
        if slowed:  # then a read may stand still for long, and be well
            self._stalls = Stalls()
        owing_s = member.owing_since_s()
        if owing_s is not None and now - owing_s > OWING_S_MAX:
            raise Stalled(
                f"{member.instance!r} has read records and committed nothing for "
                f"{now - owing_s:.0f} s; restart this worker{slowed}"
            )
        try:
            self._stalls.look(member.positions(), member.ends())
            self._look_for_double(member)
            owners = self._log.owners(member.group, member.topic)
        except Stalled:
            raise
        except Ambiguous:  # a broker is away: nothing was changed by asking, so look again later
            return
        before, self._orphaned = self._orphaned, orphans(owners)
        first = min((it.member for it in owners if it.member is not None), default=None)
        # Seen twice, since a group that is dealing out has no owners; and one member is enough.
        if self._orphaned and self._orphaned == before and member.instance == first:
            with suppress(Ambiguous):  # as above
                self._groups.remove(member.group, member.instance, member.member_id())
            self._orphaned = []

    def _look_for_double(self, member: Watched) -> None:
        before = member.member_id()
        now_in = self._groups.member_ids(member.group).get(member.instance)
        # Asked on both sides: in between it may have joined anew itself, under another name.
        if now_in not in (None, before) and before is not None and before == member.member_id():
            raise Fenced(
                f"{member.instance!r}: another process with the same slot took over; "
                "give every worker a --slot of its own"
            )
