"""To be the only member of a group for a while: what a command changes, nobody else is at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from stream_al.errors import Fenced
from stream_al.port import Log, Member

POLL_S = 0.1


@contextmanager
def only_member(
    log: Log, group: str, topic: str, *, name: str, busy: str, polls_max: int = 100
) -> Iterator[Member]:
    """Give a member that owns all partitions of `topic`.

    Parameters
    ----------
    name
        The member's.
    busy
        What to say when others stay in the group.
    polls_max
        How often it looks, for a tenth of a second each.

    Raises
    ------
    Fenced
        When others stay.
    """
    member = log.join(group, topic, name=name)
    try:
        for _ in range(polls_max):
            member.poll(limit=1, timeout_s=POLL_S)
            if len(member.owned) == log.partition_count(topic):
                break
        else:
            raise Fenced(busy)
        yield member
    finally:
        member.leave()
