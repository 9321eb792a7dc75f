"""Any log, with faults: a wrapper over the port that crashes, doubts and delays where it is told.

Every side effect of the logs that share one `Injector` has a number, from 1. A fault is bound to
such a number, or to the number of a poll, and never to a time: the same numbers give the same run.
The wrapper adds nothing to what a log promises; what a fault does is what can happen to any log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Literal

from stream_al.errors import Ambiguous, Rewound
from stream_al.port import Batch, Log, Member, Outgoing, Owner, Position, Record, Transaction

EffectFault = Literal["crash_before", "crash_after", "lost", "unknown", "stall", "rewound"]
PollFault = Literal["slow", "fails", "read_lost", "reordered"]


class Crash(BaseException):
    """The process dies here: nothing may catch it, and nothing is given back."""


@dataclass(frozen=True, slots=True)
class Effect:
    """One side effect: its number over all logs, whose it is, and what it does to which topic."""

    number: int
    name: str
    kind: Literal["append", "commit", "join", "leave", "claim", "assignment", "retention"]
    topic: str


class Injector:
    """Numbers side effects and polls, and lets faults happen at them.

    Parameters
    ----------
    effects
        Number of a side effect → what goes wrong with it. `crash_before` and `lost` (`Ambiguous`)
        prevent it, and so does `rewound` a commit (`Rewound`: the member loses everything, and gets
        it again with its next poll); `crash_after` and `unknown` (`Ambiguous`) come when it is
        done; `stall` calls `stalled` before it, which may let the whole world go on.
    polls
        Number of a poll → what goes wrong with it: `slow` brings nothing, `fails` raises
        `Ambiguous` before and `read_lost` after it, `reordered` changes the order of partitions.
    stalled
        Called with the effect that a `stall` holds up.
    done
        Called after every side effect that happened, before its fault.

    Attributes
    ----------
    effect_count, poll_count
        How many there were.
    injected
        Kind of fault → how often it happened.
    """

    def __init__(
        self,
        effects: Mapping[int, EffectFault] | None = None,
        polls: Mapping[int, PollFault] | None = None,
        *,
        stalled: Callable[[Effect], None] = lambda _: None,
        done: Callable[[Effect], None] = lambda _: None,
    ) -> None:
        self.effects: Mapping[int, EffectFault] = effects or {}
        self.polls: Mapping[int, PollFault] = polls or {}
        self.effect_count = 0
        self.poll_count = 0
        self.injected: Counter[str] = Counter()
        self._stalled = stalled
        self._done = done

    @contextmanager
    def effect(self, name: str, kind: str, topic: str) -> Iterator[None]:
        """Let one side effect happen, or not, or half."""
        self.effect_count += 1
        effect = Effect(self.effect_count, name, kind, topic)  # type: ignore[arg-type]
        fault = self.effects.get(effect.number)
        if fault == "rewound" and kind != "commit":
            fault = None
        if fault is not None:
            self.injected[fault] += 1
        if fault == "stall":
            self._stalled(effect)
        elif fault == "crash_before":
            raise Crash(f"before side effect {effect.number}")
        elif fault == "lost":
            raise Ambiguous(f"side effect {effect.number} ({kind} {topic}): no answer; restart")
        elif fault == "rewound":
            raise Rewound(f"side effect {effect.number}: the group moved")
        yield
        self._done(effect)
        if fault == "crash_after":
            raise Crash(f"after side effect {effect.number}")
        if fault == "unknown":
            raise Ambiguous(f"side effect {effect.number} ({kind} {topic}): no answer; restart")

    def poll_fault(self) -> PollFault | None:
        """Count a poll; return what goes wrong with it."""
        self.poll_count += 1
        fault = self.polls.get(self.poll_count)
        if fault is not None:
            self.injected[fault] += 1
        return fault


class FaultyLog:
    """A log as one process sees it.

    Parameters
    ----------
    inner
        Any log.
    injector
        Shared by the logs of all processes of one run.
    name
        The process.

    Attributes
    ----------
    members
        The inner log's members of this process, for whoever lets it die.
    """

    def __init__(self, inner: Log, injector: Injector, *, name: str) -> None:
        self.members: list[Member] = []
        self._inner = inner
        self._injector = injector
        self._name = name
        self.partition_count = inner.partition_count
        self.begin = inner.begin
        self.end = inner.end
        self.ends, self.settled_ends = inner.ends, inner.settled_ends
        self.read = inner.read
        self.position_at = inner.position_at
        self.held_back = inner.held_back

    def committed(self, group: str, topic: str, partition: int) -> Position | None:
        """Return what `group` committed for a partition."""
        return self._inner.committed(group, topic, partition)

    def owners(self, group: str, topic: str) -> list[Owner]:
        """Return who owns each partition."""
        return self._inner.owners(group, topic)

    def slots(self, group: str) -> set[str]:
        """Return the names that members keep over restarts."""
        return self._inner.slots(group)

    def append(self, topic: str, records: Sequence[Outgoing]) -> list[tuple[int, int]]:
        """Append all records in one atomic step."""
        with self._injector.effect(self._name, "append", topic):
            return self._inner.append(topic, records)

    def join(self, group: str, topic: str, *, name: str) -> FaultyMember:
        """Become a member of `group` for the partitions of `topic`."""
        with self._injector.effect(self._name, "join", topic):
            self.members.append(self._inner.join(group, topic, name=name))
        return FaultyMember(self.members[-1], self._injector, name=self._name, topic=topic)

    def claim(self, name: str) -> AbstractContextManager[None] | None:
        """Take a short claim; None when somebody else holds it."""
        with self._injector.effect(self._name, "claim", name):
            return self._inner.claim(name)

    def enforce_retention(
        self, keep_ms: dict[str, int], groups: dict[str, str], *, now_ms: int
    ) -> int:
        """Drop a bounded number of old records."""
        with self._injector.effect(self._name, "retention", ",".join(keep_ms)):
            return self._inner.enforce_retention(keep_ms, groups, now_ms=now_ms)

    def close(self) -> None:
        """Do nothing: the inner log lives on, as a broker does."""


class FaultyMember:
    """A member whose polls and transactions may go wrong."""

    def __init__(self, inner: Member, injector: Injector, *, name: str, topic: str) -> None:
        self._inner = inner
        self._injector = injector
        self._name = name
        self._topic = topic
        self._rewound = False
        self.seek, self.batch_max = inner.seek, inner.batch_max
        self.lag, self.held_back = inner.lag, inner.held_back

    @property
    def owned(self) -> Sequence[int]:
        """The partitions owned now, after the last `poll`."""
        return self._inner.owned

    def poll(self, *, limit: int, timeout_s: float) -> Batch:  # noqa: ARG002 - never waits
        """Return records of owned partitions at once: in a simulation nobody else moves on."""
        fault = self._injector.poll_fault()
        if fault == "slow":
            return Batch(())
        if self._rewound:
            self._rewound = False
            return Batch((), assigned=self.owned, revoked=self.owned)
        if fault == "fails":
            raise Ambiguous(f"a poll of {self._topic!r} failed; restart")
        batch = self._inner.poll(limit=limit, timeout_s=0.0)
        if batch.assigned or batch.revoked:
            with self._injector.effect(self._name, "assignment", self._topic):
                pass
        if fault == "read_lost":
            raise Ambiguous(f"a poll of {self._topic!r} failed; restart")
        if fault == "reordered":
            return Batch(interleaved(batch.records), batch.assigned, batch.revoked)
        return batch

    @contextmanager
    def _transaction(self) -> Iterator[Transaction]:
        with self._inner.transaction() as transaction:
            yield transaction
            effect = self._injector.effect(self._name, "commit", self._topic)
            try:
                effect.__enter__()
            except Rewound:
                self._rewound = True
                raise
        effect.__exit__(None, None, None)

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Commit on a clean exit; the commit is one side effect."""
        return self._transaction()

    def leave(self) -> None:
        """Give everything back at once."""
        with self._injector.effect(self._name, "leave", self._topic):
            self._inner.leave()


def interleaved(records: Sequence[Record]) -> list[Record]:
    """Return `records` in another order between partitions, and the same within each.

    Examples
    --------
    >>> polled = [Record(p, o, 0, None, b"") for p, o in ((0, 0), (0, 1), (1, 5))]
    >>> [(record.partition, record.offset) for record in interleaved(polled)]
    [(1, 5), (0, 0), (0, 1)]
    """
    by_partition = sorted(records, key=attrgetter("partition"))
    runs = [list(run) for _, run in groupby(by_partition, key=attrgetter("partition"))]
    mixed: list[Record] = []
    turn = 0
    while any(runs):
        turn += 1
        for run in reversed(runs):
            mixed += run[:turn]
            del run[:turn]
    return mixed
