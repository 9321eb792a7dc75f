"""The block gate: from an uncertainty to a propensity, and from that to asked or not.

One query per block of 1/B events. Each block has one secret keyed threshold; the block's mass of
one label (`burst` labels) is dealt out to its events, concentrated on the ranks worth taking (the
full-information secretary rule, smoothed), with a random floor for everybody. So the budget is
hard, and the propensity of every event is its true probability given what was known before its
block. Everything that lowers the rate acts before the draw; nothing is refused after it.

Integers in UNITs; no `pow`, `exp` or `log`, for they differ between machines. The state of one
partition is committed with its position: a redelivered event meets the state it met before.
docs/ARCHITECTURE.md has the invariants I-a to I-h, tests/unit/test_gate_*.py their proofs.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from hashlib import blake2b
from math import sqrt
from typing import NamedTuple, Self

from stream_al.errors import ConfigurationError, Gone
from stream_al.gate.allowance import HOUR_CREDIT_PART, UNIT, Allowance
from stream_al.gate.packing import GateState, pack_state, unpack_state

REMEMBERED_MAX = 100
"""Uncertainties a rank is taken among. More follow drift later, fewer make coarser ranks."""

HOUR_MS = 3_600_000
HOURLY_SPREAD = 4
"""An event may take this part of the hour's credit: larger spreads the labels more evenly."""

HOUR_BACK_MS = HOUR_MS
"""A time that goes back by less adds nothing to the hour's credit."""

HOUR_AHEAD_MS = HOUR_MS // HOUR_CREDIT_PART
"""A time that is further ahead of the last one waits for the next record to agree: a wild one must
neither fill the credit nor keep it from filling until that time."""

HOURLY_RATE_MIN = 4_096
"""Below this a rate by the hour's credit counts as none (4 labels in a million events)."""

_RATE = 1.0 / UNIT
_new = tuple.__new__


class Choice(NamedTuple):
    """What the gate decided about one event.

    Attributes
    ----------
    asked
        Whether this event is to be asked about.
    propensity
        The true probability of `asked` given everything before the event's block, in [0, 1].
        0 means that it could not be asked: it lies outside the frame of the estimates.
    rate
        The budget that was in force for this event, in labels per event.
    floor
        Whether the threshold fell into the random part of `propensity`.
    """

    asked: bool
    propensity: float
    rate: float
    floor: bool


NOT_ALLOWED = Choice(asked=False, propensity=0.0, rate=0.0, floor=False)


class Gate:
    """The gate of one events partition.

    Attributes
    ----------
    sent
        Query records sent, counted by `note_sent`.
    model_version
        Journal position seen; set by the engine before `pack`, so that it never decreases.

    Parameters
    ----------
    secret
        The deployment's secret: who knows it and the model can predict what is asked about.
    partition
        The events partition; it has thresholds of its own.

    Examples
    --------
    >>> from stream_al.messages import Settings
    >>> half = Allowance.of(Settings().patched({"gate": {"budget": {"share": 0.5}}}))
    >>> gate = Gate(b"only for this example", 0)
    >>> sum(gate.decide(0.1 * n, 0, half).asked for n in range(10))
    5
    """

    __slots__ = (
        "_block_count",
        "_concentrated",
        "_credit",
        "_distance",
        "_floor",
        "_key",
        "_last_ms",
        "_odd_ms",
        "_partition",
        "_peak",
        "_remembered",
        "_sorted",
        "_tokens",
        "model_version",
        "sent",
    )

    def __init__(self, secret: bytes, partition: int) -> None:
        if not secret:
            raise ConfigurationError("the gate's secret is empty; set gate.secret_file")
        self._partition = partition
        self._key = threshold_key(secret, partition)
        self.sent = 0
        self.model_version = 0
        self._tokens = 0  # rates still to come into the block; <= 0: the next event opens one
        self._peak = 0  # (1 - random share)·UNIT of the open block
        self._floor = 0  # random mass left in the block, >= 0
        self._concentrated = 0  # concentrated mass left in the block, >= 0
        self._distance = 0  # mass to the next threshold, in [0, UNIT)
        self._block_count = 0  # blocks opened
        self._credit = UNIT  # labels of the hour not yet spent; may go below 0
        self._last_ms: int | None = None  # record time the credit was filled at; None: hours off
        # A record time far from the last, until the next record is there: both, or it was wild.
        self._odd_ms: int | None = None
        self._remembered: deque[int] = deque(
            maxlen=REMEMBERED_MAX
        )  # last uncertainties, a byte each
        self._sorted = bytearray()  # the same, ascending

    # ------------------------------------------------------------------ deciding

    def decide(
        self,
        uncertainty: float,
        at_ms: int,
        allowance: Allowance,
        *,
        open_count: int = 0,
        oldest_open_ms: int | None = None,
    ) -> Choice:
        """Decide whether to ask about the partition's next event.

        Parameters
        ----------
        uncertainty
            In [0, 1]; NaN counts as 1.
        at_ms
            Record time; it counts for budgets per hour only.
        allowance
            The partition's limits.
        open_count
            Its pending queries.
        oldest_open_ms
            Age of the oldest of them; None when there is none.
        """
        rank_above = 1.0 - self._rank(uncertainty)
        if allowance.limited:
            rate = self._limited_rate(at_ms, allowance, open_count, oldest_open_ms)
        else:
            rate = allowance.share_units
        if rate == 0:
            return NOT_ALLOWED
        tokens = self._tokens
        if tokens <= 0:
            tokens = self._open_block(allowance)
        left = -(-tokens // rate)  # events left in the block, this one included
        floor, concentrated = self._floor, self._concentrated
        by_floor = floor // left
        by_rank = 0
        if concentrated:
            peak = self._peak
            above = rank_above * (left + 2) * peak / (2 * concentrated)  # 1 at the rank to take
            above *= above
            # Not min(): a call costs a twentieth of the whole decision.
            top = concentrated if concentrated < peak else peak  # noqa: FURB136
            by_rank = int(top / (1.0 + above * above))
        propensity = by_floor + by_rank
        later = floor + concentrated - propensity
        if left == 1 or later > UNIT or propensity > UNIT:
            by_floor, by_rank = _fitted(by_floor, by_rank, later, later_max=(left - 1) * UNIT)
            propensity = by_floor + by_rank
        self._tokens = tokens - rate
        self._floor = floor - by_floor
        self._concentrated = concentrated - by_rank
        distance = self._distance - propensity
        if distance < 0:
            self._distance = distance + UNIT
            return _new(Choice, (True, propensity * _RATE, rate * _RATE, distance + by_rank < 0))
        self._distance = distance
        return _new(Choice, (False, propensity * _RATE, rate * _RATE, False))

    def _rank(self, uncertainty: float) -> float:
        """Return the mid-rank among those remembered, in (0, 1), and remember this one too."""
        if not 0.0 <= uncertainty <= 1.0:
            uncertainty = 0.0 if uncertainty < 0.0 else 1.0
        byte = int(255.0 * sqrt(uncertainty) + 0.5)
        ordered, remembered = self._sorted, self._remembered
        below = bisect_left(ordered, byte)
        up_to = bisect_right(ordered, byte, below)
        count = len(ordered)
        ordered.insert(up_to, byte)
        if count == REMEMBERED_MAX:
            ordered.remove(remembered[0])
        remembered.append(byte)
        return (below + up_to + 1) / (2 * count + 2)

    def _open_block(self, allowance: Allowance) -> int:
        """Open a block and return its tokens; mass not dealt out is carried, never lost."""
        carried = self._floor + self._concentrated
        size = allowance.burst * UNIT
        self._peak = UNIT - allowance.floor_units
        self._floor = allowance.burst * allowance.floor_units
        self._concentrated = size - self._floor + carried
        if not carried:
            self._distance = threshold(self._key, self._block_count)
        self._block_count += 1
        if allowance.hour_units is None:
            self._credit = UNIT
            self._last_ms = self._odd_ms = None
        return self._tokens + size

    def _limited_rate(
        self, at_ms: int, allowance: Allowance, open_count: int, oldest_open_ms: int | None
    ) -> int:
        """Return the smallest of the allowed rates, and charge it to the hour's credit."""
        rate = allowance.at_pressure(open_count, oldest_open_ms)
        if allowance.hour_units is None:
            return rate
        filled = min(self._passed_ms(at_ms), HOUR_MS) * allowance.hour_units // HOUR_MS
        self._credit = min(self._credit + filled, allowance.hour_credit_max)
        hourly = self._credit // (HOURLY_SPREAD * allowance.votes) if allowance.hour_units else 0
        rate = min(rate, hourly if hourly >= HOURLY_RATE_MIN else 0)
        self._credit -= rate * allowance.votes
        return rate

    def _passed_ms(self, at_ms: int) -> int:
        """Return the record time that passed for the hour's credit, and take it as passed.

        The gate has no clock of its own, so no single record moves the time far, in either
        direction: that takes two in a row, and the nearer of them counts.
        """
        last_ms, odd_ms = self._last_ms, self._odd_ms
        self._odd_ms = None
        if last_ms is None:
            self._last_ms = at_ms
            return 0
        elapsed_ms = at_ms - last_ms
        if -HOUR_BACK_MS <= elapsed_ms <= HOUR_AHEAD_MS:
            self._last_ms = max(last_ms, at_ms)
            return max(elapsed_ms, 0)
        if odd_ms is None or (odd_ms > last_ms) != (elapsed_ms > 0):
            self._odd_ms = at_ms
            return 0
        if elapsed_ms < 0:  # the last time was wild
            self._last_ms = max(odd_ms, at_ms)
            return 0
        nearer_ms = min(odd_ms, at_ms)
        if at_ms - nearer_ms <= HOUR_AHEAD_MS:
            nearer_ms = at_ms
        else:
            self._odd_ms = at_ms
        self._last_ms = nearer_ms
        return nearer_ms - last_ms

    # ------------------------------------------------------------------ counting

    @property
    def credit_labels(self) -> float:
        """Labels of the hour not yet spent, as of the last event; 0 or more."""
        return max(self._credit, 0) * _RATE

    def note_sent(self) -> None:
        """Count a query record that is sent."""
        self.sent += 1

    def renew(self, *, sent: int, blocks: int) -> None:
        """Begin again where the state was lost, after so many queries and at most so many blocks.

        Thresholds are numbered by blocks: one that was used once is never used again.
        """
        self.sent = sent
        self._block_count = blocks

    def note_votes_raised(self, extra: int) -> None:
        """Charge the hour with labels that a query takes beyond those expected for it."""
        if self._last_ms is not None:
            self._credit -= extra * UNIT

    def mend(self) -> None:
        """Make the state whole after an exception in the midst of `decide`."""
        self._sorted = bytearray(sorted(self._remembered))

    # ------------------------------------------------------------------ in and out

    def pack(self) -> str:
        """Return the whole state as printable ASCII below 1 KB, which says where it ends."""
        return pack_state(
            self._partition,
            GateState(
                model_version=self.model_version,
                sent=self.sent,
                tokens=self._tokens,
                peak=self._peak,
                floor=self._floor,
                concentrated=self._concentrated,
                distance=self._distance,
                block_count=self._block_count,
                credit=self._credit,
                last_ms=self._last_ms,
                odd_ms=self._odd_ms,
                remembered=bytes(self._remembered),
            ),
        )

    @classmethod
    def unpack(cls, secret: bytes, partition: int, text: str) -> Self:
        """Return the gate that `pack` wrote for `partition`: its future is the same.

        Raises
        ------
        Gone
            When `text` is damaged, of another partition or of another version.
        """
        state = unpack_state(partition, text)
        if len(state.remembered) > REMEMBERED_MAX:
            raise Gone(f"the gate state of partition {partition} remembers too much; replay it")
        gate = cls(secret, partition)
        gate.model_version = state.model_version
        gate.sent = state.sent
        gate._tokens = state.tokens
        gate._peak = state.peak
        gate._floor = state.floor
        gate._concentrated = state.concentrated
        gate._distance = state.distance
        gate._block_count = state.block_count
        gate._credit = state.credit
        gate._last_ms = state.last_ms
        gate._odd_ms = state.odd_ms
        gate._remembered.extend(state.remembered)
        gate._sorted = bytearray(sorted(state.remembered))
        return gate


def threshold_key(secret: bytes, partition: int) -> bytes:
    """Return the key of a partition's thresholds: of any secret, whatever its length.

    Examples
    --------
    >>> len(threshold_key(b"only for this example", 0))
    32
    """
    return blake2b(secret + b"|%d" % partition, digest_size=32).digest()


def threshold(key: bytes, block: int) -> int:
    """Return the secret threshold of a block, uniform in [0, UNIT).

    Examples
    --------
    >>> 0 <= threshold(threshold_key(b"only for this example", 0), 7) < UNIT
    True
    """
    drawn = blake2b(str(block).encode(), key=key, digest_size=4).digest()
    return int.from_bytes(drawn, "big") >> 2


def _fitted(by_floor: int, by_rank: int, later: int, *, later_max: int) -> tuple[int, int]:
    """Return the two parts of a propensity so that neither it nor later ones exceed a label.

    Parameters
    ----------
    by_floor, by_rank
        The parts as they were meant, in UNITs.
    later
        Mass that they leave to the block's later events.
    later_max
        The most that those could take, a label each; what is above it is dealt out now.

    Examples
    --------
    >>> _fitted(UNIT // 4, 0, UNIT // 2, later_max=0) == (UNIT // 4, UNIT // 2)
    True
    >>> _fitted(UNIT // 4, 0, UNIT, later_max=0) == (UNIT // 4, UNIT - UNIT // 4)
    True
    """
    by_floor_fitted = min(by_floor, UNIT)
    forced = max(later - later_max, 0)
    return by_floor_fitted, min(by_rank + forced, UNIT - by_floor_fitted)
