"""Attempt marks: deaths are counted where they happened, only events that kill are set aside."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_al.errors import Gone
from stream_al.service.attempts import (
    CAREFUL_ATTEMPTS,
    SINGLES_MAX,
    Attempts,
    Mark,
    parse,
    write,
)

GATE = "g1:7,2,0,0,0,0,0,0,5,:VPa!s:8e471136."
DEATHS_MAX = 1 + CAREFUL_ATTEMPTS + SINGLES_MAX
"""The first death may come in mid-stream, where no mark stands."""


class Death(BaseException):
    """The process ends here; nothing is cleaned up."""


@dataclass
class Stream:
    """One partition as a log keeps it, and a scorer that is nothing but its marks.

    `poison` kills whoever tries it; `kill` may end a life before any step.
    """

    end: int
    poison: frozenset[int] = frozenset()
    batch_max: int = 10
    position: int = 0
    metadata: str = GATE
    done: list[int] = field(default_factory=list)
    set_aside: list[int] = field(default_factory=list)
    commits: int = 0
    chance: Random | None = None
    kill_share: float = 0.0

    def live(self) -> bool:
        """Run until the end of the stream; return whether it was reached alive."""
        attempts = Attempts()
        try:
            assert attempts.take_over(0, self.position, self.metadata) == GATE
            read = self.position
            while read < self.end:
                batch = list(range(read, min(self.end, read + self.batch_max)))
                read = batch[-1] + 1
                self._score(attempts, batch)
        except Death:
            return False
        return True

    def _score(self, attempts: Attempts, batch: list[int]) -> None:
        for position, metadata in attempts.begin({0: batch[-1] + 1}, now_ms=5).values():
            self._commit(position, metadata)
        begun = False
        for index, offset in enumerate(batch):
            if 0 not in attempts.careful:
                self._try(batch[index:])
                self._commit(batch[-1] + 1, write(GATE, None), done=batch[index:])
                return
            poison = attempts.is_poison(0)
            if not poison and not begun:
                self._commit(self.position, write(GATE, attempts.alone(0)))
            begun = index + 1 < len(batch)
            left = attempts.passed(0, offset + 1, goes_on=begun)
            if not poison:
                self._try([offset])
            self._commit(
                offset + 1, write(GATE, left), done=[] if poison else [offset],
                aside=[offset] if poison else [],
            )  # fmt: skip

    def _try(self, offsets: list[int]) -> None:
        if self.poison & set(offsets):
            raise Death

    def _commit(
        self, position: int, metadata: str, done: list[int] | None = None,
        aside: list[int] | None = None,
    ) -> None:  # fmt: skip
        """Commit, or die before or after it."""
        for before in (True, False):
            if self.chance is not None and self.chance.random() < self.kill_share:
                raise Death
            if before:
                assert position >= self.position, "no position goes back"
                self.position, self.metadata = position, metadata
                self.done += done or []
                self.set_aside += aside or []
                self.commits += 1


def deaths_until_the_end(stream: Stream, lives_max: int = 500) -> int:
    for deaths in range(lives_max):
        if stream.live():
            return deaths
    raise AssertionError(f"still dying after {lives_max} lives at {stream}")


def test_poison_met_in_mid_stream_costs_six_deaths() -> None:
    """One without a mark, two in a batch, three alone; everything else is done exactly once."""
    stream = Stream(end=100, poison=frozenset({37}))

    assert deaths_until_the_end(stream) == DEATHS_MAX == 6
    assert stream.set_aside == [37]
    assert sorted(stream.done) == [n for n in range(100) if n != 37]


def test_poison_at_the_start_costs_five_deaths() -> None:
    """The first death in the very first batch stands in its mark already."""
    stream = Stream(end=100, poison=frozenset({4}))

    assert deaths_until_the_end(stream) == DEATHS_MAX - 1
    assert stream.set_aside == [4]


def test_second_poison_of_a_batch_costs_three_more() -> None:
    """The partition stays careful to the end of the batch that died, across later deaths."""
    stream = Stream(end=100, poison=frozenset({33, 38}))

    assert deaths_until_the_end(stream) == DEATHS_MAX + SINGLES_MAX
    assert stream.set_aside == [33, 38]


@given(
    poison=st.frozensets(st.integers(0, 119), max_size=4),
    batch_max=st.integers(1, 50),
)
@settings(max_examples=100, deadline=None)
def test_poison_is_found_wherever_it_lies(poison: frozenset[int], batch_max: int) -> None:
    """Exactly the killers are set aside, in a bounded number of deaths, nothing is lost."""
    stream = Stream(end=120, poison=poison, batch_max=batch_max)

    assert deaths_until_the_end(stream) <= DEATHS_MAX * len(poison)
    assert stream.set_aside == sorted(poison)
    assert sorted(stream.done + stream.set_aside) == list(range(120))


@pytest.mark.parametrize("seed", range(20))
def test_deaths_from_outside_lose_and_double_nothing(seed: int) -> None:
    """Killed before and after commits at random, every event has one answer and poison is found.

    A tenth of all commits ends in a death: far above what an operator's restarts do.
    """
    stream = Stream(
        end=2_000, poison=frozenset({700}), chance=Random(seed), kill_share=0.05, batch_max=40
    )

    deaths_until_the_end(stream, lives_max=5_000)

    assert 700 in stream.set_aside
    assert sorted(stream.done + stream.set_aside) == list(range(2_000))
    assert len(stream.set_aside) <= 1 + 2, "three deaths between two commits are rare bad luck"


def test_quiet_stream_has_one_commit_more_than_batches() -> None:
    """The mark of the takeover is the whole price; the next commit clears it."""
    stream = Stream(end=100, batch_max=10)

    assert stream.live()
    assert stream.commits == 1 + 10
    assert stream.metadata == GATE


def test_idle_restarts_count_for_nothing() -> None:
    """Without a record nothing is begun, so nothing is marked and nothing becomes careful."""
    stream = Stream(end=0)
    for _ in range(20):
        assert stream.live()
    assert stream.metadata == GATE

    stream.end = 10
    assert stream.live()
    assert stream.commits == 2


def test_mark_found_elsewhere_says_nothing() -> None:
    """After somebody moved the position the count begins again."""
    attempts = Attempts()
    mark = Mark(offset=5, attempts=9, singles=3, until=40, since_ms=1)
    attempts.take_over(0, 6, write(GATE, mark))

    due = attempts.begin({0: 12}, now_ms=7)

    assert parse(due[0][1])[1] == Mark(offset=6, attempts=1, singles=0, until=12, since_ms=7)
    assert not attempts.careful


def test_only_partitions_of_the_batch_are_marked() -> None:
    """What has no record in the batch is not begun; what was begun is not marked twice."""
    attempts = Attempts()
    for partition in range(3):
        attempts.take_over(partition, 10, GATE)

    assert set(attempts.begin({0: 12, 2: 15}, now_ms=1)) == {0, 2}
    assert set(attempts.begin({0: 14, 1: 15}, now_ms=2)) == {1}


def test_careful_until_the_farthest_batch_that_died() -> None:
    """A shorter batch that dies at the same place does not make the suspicion shorter."""
    metadata = GATE
    for end in (60, 30, 20):
        attempts = Attempts()
        attempts.take_over(0, 10, metadata)
        metadata = attempts.begin({0: end}, now_ms=1)[0][1]

    assert attempts.careful[0].until == 60
    assert attempts.passed(0, 59, goes_on=False) == Mark(59, 3, 0, 60, 1)
    assert attempts.passed(0, 60, goes_on=True) is None
    assert not attempts.careful


def test_dropped_partition_is_forgotten() -> None:
    """Another worker owns it; what it does is no business of ours."""
    attempts = Attempts()
    attempts.take_over(0, 10, write(GATE, Mark(10, 2, 0, 20, 1)))
    attempts.begin({0: 12}, now_ms=1)
    attempts.take_over(1, 3, GATE)

    attempts.drop(0)
    attempts.drop(1)

    assert not attempts.careful
    assert attempts.begin({0: 12, 1: 5}, now_ms=1) == {}


marks = st.builds(
    lambda offset, more, **others: Mark(offset=offset, until=offset + more, **others),
    offset=st.integers(0, 2**53),
    more=st.integers(1, 10_000),
    attempts=st.integers(1, 10**6),
    singles=st.integers(0, 10**6),
    since_ms=st.integers(0, 2**53),
)


@given(mark=st.none() | marks, packed=st.sampled_from([GATE, ""]))
def test_parse_reads_what_write_wrote(mark: Mark | None, packed: str) -> None:
    """With a gate before it or none."""
    assert parse(write(packed, mark)) == (packed, mark)


@pytest.mark.parametrize(
    "text",
    ["x", "a1:", "a1:1,2,3,4", "a1:1,1,0,9,9,9", "a1:1,1,0,x,9", "a1:-1,1,0,9,9", "a1:9,1,0,9,9",
     "a1:1,0,0,9,9", "a2:1,1,0,9,9", "a1:1,1,0,9,9.", "a1:1, 1,0,9,9", "a1:١,1,0,9,9"],
)  # fmt: skip
def test_damaged_mark_is_gone(text: str) -> None:
    """A mark that can't be read stops the worker and names itself."""
    with pytest.raises(Gone, match="attempt mark"):
        parse(GATE + text)


def test_gate_without_its_full_stop_is_gone() -> None:
    """Half a gate is not taken for a mark."""
    with pytest.raises(Gone):
        parse(GATE[:-1])
