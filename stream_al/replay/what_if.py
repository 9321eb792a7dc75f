"""What another budget, random share or uncertainty would have done on a recorded stream. A fold.

Every recorded prediction goes through the real gate again, with what was recorded: probabilities,
record time, the settings and labels in force at its model version. So the spend is exact but for
the gate's secret, over which it is repeated. What it can't know: the model would have learnt from
other labels, so its uncertainties would have been others. They are taken as recorded.

Memory is bounded: nothing is kept for an event; segments and hours beyond their caps are together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stream_al.engine.decision import reason_of
from stream_al.errors import ConfigurationError
from stream_al.gate import Choice
from stream_al.messages import Reason, Settings
from stream_al.quality import weight_of
from stream_al.replay.recorded import Recorded
from stream_al.replay.rerun import Place, Rerun, Step
from stream_al.replay.self_check import SelfCheck, SelfChecked
from stream_al.replay.support import Estimates, Support

SEGMENTS_MAX = 50
HOURS_MAX = 1_000
"""Hours with a count of their own: six weeks; record times that are wild make no more."""

OTHER = "other"
HOUR_MS = 3_600_000
REPEATS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Spent:
    """Queries: as recorded, and under the other budget over the repeats.

    Attributes
    ----------
    recorded
        Asked; on paper only while in shadow mode.
    mean, low, high
        Over the secrets.
    expected
        Sum of the propensities: the mean over all secrets there are.
    """

    recorded: int
    mean: float
    low: int
    high: int
    expected: float


@dataclass(frozen=True, slots=True)
class WouldAsk:
    """An event that the first of the secrets would have asked about.

    Attributes
    ----------
    queried
        Whether it really was.
    label
        The label in force, if one is known.
    """

    event_id: str
    source: dict[str, int]
    propensity: float
    uncertainty: float
    reason: Reason | None
    predicted: str | None
    queried: bool
    label: str | None


@dataclass(frozen=True, slots=True)
class WhatIfReport:
    """The answer.

    Attributes
    ----------
    events
        Predictions folded.
    on_paper
        Of the recorded queries, those that shadow mode asked on paper only.
    spend, partitions, segments, hours
        In all, and by partition, segment (None: no segment) and hour of record time (its number
        since 1970). Beyond the caps they are together in `other`.
    estimates
        What the labels say.
    self_check
        Whether the recorded settings give the recorded decisions again.
    recorded, changed
        The settings at the end of the journal, and the same with the change.
    """

    events: int
    on_paper: int
    spend: Spent
    partitions: dict[int, Spent]
    segments: dict[str | None, Spent]
    hours: dict[int | str, Spent]
    estimates: Estimates
    self_check: SelfChecked
    recorded: Settings
    changed: Settings
    repeats: int


class WhatIf:
    """Folds recorded predictions; each partition in its order, partitions in any.

    Parameters
    ----------
    recorded
        The journal, folded beyond every prediction that will come.
    patch
        What is other than recorded, as a control record has it; merged over every recorded setting.
    repeats
        Secrets to try, in [1, 1000]. More of them tell the range better.
    secret
        The deployment's own: for the self-check alone, never for a list. Who could try it on other
        budgets would learn thresholds that are still to come.

    Raises
    ------
    ConfigurationError
        When `disagreement` is wanted and was not recorded.

    Examples
    --------
    >>> found = WhatIf(Recorded(Settings()), {"gate": {"budget": {"share": 0.5}}}, repeats=3)
    >>> said = {"event_id": "a", "source": {"partition": 0, "offset": 0}, "label": None,
    ...         "probabilities": {}, "uncertainty": 1.0, "queried": False, "propensity": 0.05,
    ...         "rate": 0.05, "mode": "normal", "model_version": 0}
    >>> _ = [found.add(0, 0, said) for _ in range(100)]
    >>> found.report().spend
    Spent(recorded=0, mean=50.0, low=50, high=50, expected=50.0)
    """

    def __init__(
        self,
        recorded: Recorded,
        patch: Mapping[str, Any],
        *,
        repeats: int = 20,
        secret: bytes | None = None,
    ) -> None:
        assert 1 <= repeats <= REPEATS_MAX, "the command line bounds the repeats"
        _refuse_unrecorded(recorded, patch)
        self._recorded = recorded
        self._patch = dict(patch)
        self._repeats = repeats
        secrets = [b"what-if, repeat %d" % index for index in range(repeats)]
        self._rerun = Rerun(recorded, secrets, patch)
        self._check = SelfCheck(recorded, secret)
        self._support = Support()
        self._total = _Spend(repeats)
        self._partitions: dict[int, _Spend] = {}
        self._segments: dict[str | None, _Spend] = {}
        self._hours: dict[int | str, _Spend] = {}
        self._events = 0
        self._on_paper = 0
        self._version = -1  # model version that the next two are of
        self._step: Step = self._rerun.steps[0]
        self._was: Step = self._check.steps[0]

    def give_up_self_check(self, why: str) -> None:
        """Compare no decision: the caller knows that something needed is not there any more."""
        self._check.give_up(why)

    @property
    def needs_times(self) -> bool:
        """Whether record times decide: a budget per hour was, or would be, in force."""
        steps = [*self._rerun.steps, *self._check.steps]
        return any(step.settings.gate.budget.per_hour is not None for step in steps)

    def add(self, partition: int, at_ms: int, said: Mapping[str, Any]) -> WouldAsk | None:
        """Fold one recorded prediction, given as the object on the wire.

        Parameters
        ----------
        partition
            The events partition.
        at_ms
            Record time of the event.
        said
            The prediction.

        Returns
        -------
        WouldAsk or None
            What the first secret would have asked; None when it would not.
        """
        version = said["model_version"]
        if version != self._version:
            self._version = version
            self._step = self._rerun.step_at(version)
            self._was = self._check.step_at(version)
        queried = said["queried"]
        closing = None
        if queried:
            closing = self._recorded.closing(partition, said["source"]["offset"])
        place = Place(partition, version, at_ms, queried, closing)
        probabilities = said["probabilities"]
        cold = len(probabilities) < 2
        step, uncertainty = self._step, said["uncertainty"]
        self._check.add(1.0 if cold else uncertainty, place, self._was, said)
        if cold:
            uncertainty = 1.0
        elif step.measure is not None:
            uncertainty = step.measure(probabilities)
        choice, asked = self._rerun.decide(uncertainty, place, step)
        self._count(place, said, choice.propensity, asked)
        self._weigh(place, said, choice)
        if not asked or asked[0] != 0:
            return None
        reason = reason_of(choice, cold=cold, chosen=step.chosen)
        return _would_ask(said, place, uncertainty, choice, reason)

    def report(self) -> WhatIfReport:
        """Return the answer for what was folded."""
        in_force = self._recorded.in_force
        return WhatIfReport(
            events=self._events,
            on_paper=self._on_paper,
            spend=self._total.spent(),
            partitions={name: found.spent() for name, found in sorted(self._partitions.items())},
            segments={name: found.spent() for name, found in self._segments.items()},
            hours={name: found.spent() for name, found in self._hours.items()},
            estimates=self._support.estimates(),
            self_check=self._check.found(),
            recorded=in_force,
            changed=in_force.patched(self._patch),
            repeats=self._repeats,
        )

    def _count(
        self, place: Place, said: Mapping[str, Any], propensity: float, asked: Sequence[int]
    ) -> None:
        """Count the event's spend in all, and in its partition, segment and hour."""
        self._events += 1
        on_paper = said.get("would_query", False)
        self._on_paper += on_paper
        was_asked = place.queried or on_paper
        partition = self._partitions.get(place.partition)
        if partition is None:
            partition = self._partitions[place.partition] = _Spend(self._repeats)
        segment = _named(self._segments, said.get("segment"), SEGMENTS_MAX, self._repeats)
        hour = _named(self._hours, place.at_ms // HOUR_MS, HOURS_MAX, self._repeats)
        for spend in (self._total, partition, segment, hour):
            spend.expected += propensity
            if was_asked:
                spend.recorded += 1
            for index in asked:
                spend.counts[index] += 1

    def _weigh(self, place: Place, said: Mapping[str, Any], choice: Choice) -> None:
        """Count what is known of the event, and how much it would weigh under the other budget."""
        support, propensity = self._support, choice.propensity
        weight = 0.0
        if propensity:
            share = self._step.settings.gate.random_share
            weight, _ = weight_of(propensity, choice.rate, share)
        recorded = said["propensity"]
        support.see(recorded, propensity, weight)
        if not place.queried:
            return
        support.queries += 1
        closing = place.closing
        if closing is None:
            support.open_count += 1
        elif closing.label is None:
            support.note_lost(closing.lost or OTHER)
        elif recorded > 0.0:
            frame = (recorded, said["rate"] or 1.0, self._was.settings.gate.random_share)
            support.note_label(frame, propensity, weight, right=said["label"] == closing.label)


class _Spend:
    """Counters of one group of events."""

    __slots__ = ("counts", "expected", "recorded")

    def __init__(self, repeats: int) -> None:
        self.recorded = 0
        self.expected = 0.0
        self.counts = [0] * repeats

    def spent(self) -> Spent:
        counts = self.counts
        return Spent(
            recorded=self.recorded,
            mean=sum(counts) / len(counts),
            low=min(counts),
            high=max(counts),
            expected=self.expected,
        )


def _named(groups: dict[Any, _Spend], name: Any, names_max: int, repeats: int) -> _Spend:
    """Return the group of this name, or `other` when there are `names_max` already."""
    found = groups.get(name)
    if found is None:
        full = len(groups) - (OTHER in groups) >= names_max
        found = groups.setdefault(OTHER if full else name, _Spend(repeats))
    return found


def _would_ask(
    said: Mapping[str, Any],
    place: Place,
    uncertainty: float,
    choice: Choice,
    reason: Reason | None,
) -> WouldAsk:
    return WouldAsk(
        event_id=said["event_id"],
        source=said["source"],
        propensity=choice.propensity,
        uncertainty=uncertainty,
        reason=reason,
        predicted=said["label"],
        queried=place.queried,
        label=place.closing.label if place.closing else None,
    )


def _refuse_unrecorded(recorded: Recorded, patch: Mapping[str, Any]) -> None:
    """Refuse an uncertainty that the recorded predictions can't give.

    A committee's disagreement is in no probability: it was recorded only where it was in force.
    """
    if patch.get("gate", {}).get("uncertainty") != "disagreement":
        return
    used = {found.gate.uncertainty for _, found in recorded.settings[1:] or recorded.settings}
    if used != {"disagreement"}:
        raise ConfigurationError(
            f"--uncertainty is 'disagreement', but the stream was recorded with "
            f"{', '.join(sorted(used))}: a prediction does not hold what its committee's members "
            "said; take entropy, margin or least_confidence"
        )
