"""The recorded events through the real gate again, under other settings and other secrets.

One `Rerun` is one set of secrets under one change of the recorded settings. While no budget on open
queries is on, what the gate deals out does not depend on its secret: one gate per partition gives
the propensities, and `Draws` says which other secrets would have asked. Otherwise every secret has
a gate and pending queries of its own.

Votes that were raised are charged to the hour as they were recorded. Back-pressure is left out: the
age of an open query on a worker's clock is recorded nowhere.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush, heapreplace
from typing import Any

from stream_al.gate import (
    UNIT,
    Allowance,
    Choice,
    Gate,
    Measure,
    threshold,
    threshold_key,
    uncertainty_measure,
)
from stream_al.messages import Reason, Settings
from stream_al.replay.recorded import Closing, Recorded

PENDING_MAX = 100_000
"""Open queries that one secret remembers of a partition; more than that press no further."""


class DealingGate(Gate):
    """A gate that also says which block's threshold serves now; -1 before the first."""

    drawn = -1

    def _open_block(self, allowance: Allowance) -> int:
        if not self._floor + self._concentrated:
            self.drawn = self._block_count
        return super()._open_block(allowance)


class Draws:
    """Which of several secrets would ask, from the masses that one gate deals out.

    Parameters
    ----------
    secrets
        One or more.
    partition
        The events partition.

    Examples
    --------
    >>> draws = Draws([b"only for this example"], 0)
    >>> draws.begin_block(0)
    >>> sum(len(draws.take(UNIT // 4)) for _ in range(4))
    1
    """

    def __init__(self, secrets: Sequence[bytes], partition: int) -> None:
        self._keys = [threshold_key(secret, partition) for secret in secrets]
        self._dealt = 0  # mass dealt out since the block began
        self._next: list[tuple[int, int]] = []  # heap of (mass at which it asks, secret's index)

    def begin_block(self, block: int) -> None:
        """Give every secret its threshold of this block."""
        self._dealt = 0
        self._next = [(threshold(key, block), index) for index, key in enumerate(self._keys)]
        heapify(self._next)

    def take(self, mass: int) -> list[int]:
        """Deal out an event's mass in UNITs, at most one; return the secrets that ask about it."""
        dealt = self._dealt = self._dealt + mass
        following = self._next
        asked: list[int] = []
        while following[0][0] < dealt:
            at, index = following[0]
            asked.append(index)
            heapreplace(following, (at + UNIT, index))
        return asked


@dataclass(frozen=True, slots=True)
class Step:
    """Settings in force from one `model_version` on, ready for the gate.

    `measure` is None where the recorded uncertainty is taken as it is.
    """

    settings: Settings
    allowance: Allowance
    measure: Measure | None
    chosen: Reason
    shadow: bool


def steps_of(recorded: Recorded, patch: Mapping[str, Any]) -> tuple[list[int], list[Step]]:
    """Return the first model version of each step, and the steps: as recorded but for `patch`.

    Examples
    --------
    >>> versions, steps = steps_of(Recorded(Settings()), {"gate": {"burst": 3}})
    >>> versions, steps[0].settings.gate.burst, steps[0].measure is None
    ([0], 3, True)
    """
    versions: list[int] = []
    steps: list[Step] = []
    for version, found in recorded.settings:
        settings = found.patched(dict(patch))
        name = settings.gate.uncertainty
        same = name == found.gate.uncertainty
        modes = settings.modes
        versions.append(version)
        steps.append(
            Step(
                settings=settings,
                allowance=Allowance.of(settings),
                measure=None if same else uncertainty_measure(name),
                chosen="disagreement" if name == "disagreement" else "uncertain",
                shadow=modes.shadow and not modes.paused,
            )
        )
    return versions, steps


class Pending:
    """Open queries of one secret in one partition.

    A query that was really asked closes where the journal closed it. Any other is taken to close as
    long after its event as the partition's last real one did; before there was one, as the first.

    Examples
    --------
    >>> pending = Pending()
    >>> pending.add(None, really=False, at_ms=1_000, latency_ms=None)
    >>> [pending.count_at(0, at_ms, latency_ms) for at_ms, latency_ms in
    ...  [(9_000, None), (9_000, 8_500), (9_500, 8_500)]]
    [1, 1, 0]
    """

    def __init__(self) -> None:
        self._by_position: list[int] = []  # heap: journal positions at which they close
        self._by_time: list[int] = []  # heap: record times at which they are taken to close
        self._untimed: list[int] = []  # record times of events, until a latency is known
        self._left_open = 0  # really asked, and open at the journal's end

    def count_at(self, version: int, at_ms: int, latency_ms: int | None) -> int:
        """Return how many are open for an event, and forget the closed ones."""
        by_position, by_time = self._by_position, self._by_time
        if self._untimed and latency_ms is not None:
            for asked_ms in self._untimed:
                heappush(by_time, asked_ms + latency_ms)
            self._untimed.clear()
        while by_position and by_position[0] < version:
            heappop(by_position)
        while by_time and by_time[0] <= at_ms:
            heappop(by_time)
        return len(by_position) + len(by_time) + len(self._untimed) + self._left_open

    def add(
        self, closing: Closing | None, *, really: bool, at_ms: int, latency_ms: int | None
    ) -> None:
        """Count a query that is sent."""
        if len(self._by_position) + len(self._by_time) + len(self._untimed) >= PENDING_MAX:
            return
        if closing is not None:
            heappush(self._by_position, closing.position)
        elif really:
            self._left_open += 1
        elif latency_ms is None:
            self._untimed.append(at_ms)
        else:
            heappush(self._by_time, at_ms + latency_ms)


@dataclass(slots=True)
class Place:
    """What the recorded stream says about one event, beside its uncertainty."""

    partition: int
    version: int
    at_ms: int
    queried: bool
    closing: Closing | None


class Rerun:
    """Some secrets' gates over the recorded events.

    Parameters
    ----------
    recorded
        The journal, folded.
    secrets
        One or more; the first one's decisions are returned in full.
    patch
        What is other than recorded.
    """

    def __init__(
        self, recorded: Recorded, secrets: Sequence[bytes], patch: Mapping[str, Any]
    ) -> None:
        self._recorded = recorded
        self._secrets = secrets
        self._versions, self.steps = steps_of(recorded, patch)
        budgets = [step.settings.gate.budget for step in self.steps]
        self.counts_open = any(budget.open is not None for budget in budgets)
        self._partitions: dict[int, _Shared | _Apart] = {}
        self._raised_seen: dict[int, int] = {}  # partition → raised votes charged so far

    def step_at(self, version: int) -> Step:
        """Return the settings in force for an event of this model version."""
        return self.steps[bisect_right(self._versions, version) - 1]

    def decide(self, uncertainty: float, place: Place, step: Step) -> tuple[Choice, list[int]]:
        """Decide about the next event of a partition.

        Returns
        -------
        tuple
            The first secret's choice, its propensity the mean over the secrets (they differ only
            while open queries are counted), and the indices of the secrets that ask.
        """
        gates = self._partitions.get(place.partition)
        if gates is None:
            kind = _Apart if self.counts_open else _Shared
            gates = self._partitions[place.partition] = kind(self._secrets, place.partition)
        if self._recorded.raised:
            self._charge_raised(gates, place)
        return gates.decide(uncertainty, place, step)

    def _charge_raised(self, gates: _Shared | _Apart, place: Place) -> None:
        positions = self._recorded.raised.get(place.partition, ())
        seen = self._raised_seen.get(place.partition, 0)
        while seen < len(positions) and positions[seen] < place.version:
            gates.note_votes_raised()
            seen += 1
        self._raised_seen[place.partition] = seen


class _Shared:
    """One gate of a partition for all secrets."""

    def __init__(self, secrets: Sequence[bytes], partition: int) -> None:
        self._gate = DealingGate(secrets[0], partition)
        self._others = Draws(secrets[1:], partition) if len(secrets) > 1 else None
        self._drawn = -1

    def note_votes_raised(self) -> None:
        self._gate.note_votes_raised(1)

    def decide(self, uncertainty: float, place: Place, step: Step) -> tuple[Choice, list[int]]:
        gate = self._gate
        choice = gate.decide(uncertainty, place.at_ms, step.allowance)
        asked = [0] if choice.asked else []
        others = self._others
        if others is not None and choice.propensity:
            if gate.drawn != self._drawn:
                self._drawn = gate.drawn
                others.begin_block(gate.drawn)
            asked += [index + 1 for index in others.take(int(choice.propensity * UNIT))]
        return choice, asked


class _Apart:
    """A gate and pending queries of its own for every secret, in one partition."""

    def __init__(self, secrets: Sequence[bytes], partition: int) -> None:
        self._runs = [(Gate(secret, partition), Pending()) for secret in secrets]
        self._latency_ms: int | None = None

    def note_votes_raised(self) -> None:
        for gate, _ in self._runs:
            gate.note_votes_raised(1)

    def decide(self, uncertainty: float, place: Place, step: Step) -> tuple[Choice, list[int]]:
        at_ms, closing = place.at_ms, place.closing
        if closing is not None:
            self._latency_ms = max(0, closing.at_ms - at_ms)
        asked: list[int] = []
        total, rate = 0.0, 0.0
        first: Choice | None = None
        for index, (gate, pending) in enumerate(self._runs):
            open_count = pending.count_at(place.version, at_ms, self._latency_ms)
            choice = gate.decide(uncertainty, at_ms, step.allowance, open_count=open_count)
            total += choice.propensity
            rate = max(rate, choice.rate)
            first = first or choice
            if choice.asked:
                asked.append(index)
                if not step.shadow:
                    latency_ms = self._latency_ms
                    pending.add(closing, really=place.queried, at_ms=at_ms, latency_ms=latency_ms)
        assert first is not None, "a rerun has at least one secret"
        return first._replace(propensity=total / len(self._runs), rate=rate), asked
