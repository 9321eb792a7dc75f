"""The engine: joins model, gate and quality; the only place that changes their state.

Two inputs change it and nothing else: `score` moves the gate of one events partition, `apply`
folds one journal record. No clock, no chance, no I/O: the same inputs give the same outputs.
"""

from __future__ import annotations

import pickle
from collections import deque
from typing import Any, assert_never

from stream_al.config import Config
from stream_al.engine.decision import Decision, mode_of, prediction_fields, query_of, reason_of
from stream_al.engine.dumped import DUMP_FORMAT, check_format
from stream_al.engine.lessons import Lesson, Selection
from stream_al.engine.meta import check_meta
from stream_al.gate import Allowance, Gate, uncertainty_measure
from stream_al.messages import (
    ClosedEntry,
    ControlEntry,
    DigestEntry,
    Event,
    GoldEntry,
    Inputs,
    JournalRecord,
    LabelEntry,
    Mode,
    ModelEntry,
    Reason,
    RetractionEntry,
    SeedEntry,
    Settings,
    Source,
    StartEntry,
    Starts,
    StatisticsEntry,
    StatisticsProposal,
    VolunteeredEntry,
    VoteEntry,
)
from stream_al.messages.statistics import proposals_of
from stream_al.model import Model, StatisticsCollector
from stream_al.quality import Quality

STATISTICS_FIRST_EVENTS = 30
RAISED_MAX = 10_000
RATE_DIGITS = 8
"""The gate counts in units of 2^-30 label: so rounded, people read the budget that they set."""


class Engine:
    """The scoring half of stream_al, for one worker and the events partitions that it owns.

    Attributes
    ----------
    version
        The next journal position to fold; every prediction names it.
    settings
        The run-time settings in force at `version`.
    lineage
        The last `model` record folded; None until the journal's first record.
    inputs
        What of a configuration is in force at `version`, as the journal has it; None before it did.
    model, quality
        Folds over the journal since that record.
    gates
        Events partition → its gate; changed by `score`, packed with the committed position.
    closed
        Events partition → how many of its query records the journal closed.
    starts
        Where the reading of inputs begins, by the journal.
    statistics_due
        Partitions for which enough events came together for `take_statistics`.
    minds_age
        Whether `score` needs the age of the oldest open query, for back-pressure.
    """

    def __init__(self, config: Config, *, secret: bytes) -> None:
        self.config = config
        self.version = 0
        self.settings: Settings = config.settings()
        self.lineage: ModelEntry | None = None
        self.inputs: Inputs | None = None
        self._selection = Selection(None)
        self.model = Model(config)
        self.quality = Quality()
        self.gates: dict[int, Gate] = {}
        self.closed: dict[int, int] = {}
        self.last_control: ControlEntry | None = None
        self.starts = Starts()
        self._secret = secret
        self._collectors: dict[int, StatisticsCollector] = {}
        self._send_every = STATISTICS_FIRST_EVENTS
        self._statistics: StatisticsEntry | None = None
        self.statistics_due: set[int] = set()
        self._settled: set[str] = set()  # numbers whose knots the journal has
        # (position, partition) of the newest raised votes, for partitions yet to be opened.
        self._raised: deque[tuple[int, int]] = deque(maxlen=RAISED_MAX)
        self._rate = (0.0, 0.0)  # the last rate, and what is written for it
        self.settings_changed()

    # ------------------------------------------------------------------ partitions

    def open_partition(self, partition: int, packed: str = "") -> None:
        """Take over an events partition with the gate state that was committed with its position.

        Raises
        ------
        Gone
            When `packed` is no state that this version can read.
        """
        gate = Gate(self._secret, partition)
        if packed:
            gate = Gate.unpack(self._secret, partition, packed)
        for position, raised in self._raised:
            if raised == partition and position >= gate.model_version:
                gate.note_votes_raised(1)
        self.gates[partition] = gate
        self._collectors[partition] = StatisticsCollector()
        self._collectors[partition].settled = self._settled

    def pack_partition(self, partition: int) -> str:
        """Return the gate state to commit with the partition's position."""
        gate = self.gates[partition]
        gate.model_version = self.version
        return gate.pack()

    def drop_partition(self, partition: int) -> None:
        """Forget a partition that another worker owns now."""
        self.gates.pop(partition, None)
        self._collectors.pop(partition, None)
        self.statistics_due.discard(partition)

    # ------------------------------------------------------------------ scoring

    def score(
        self,
        event: Event,
        *,
        partition: int,
        offset: int,
        at_ms: int,
        oldest_open_ms: int | None = None,
    ) -> Decision:
        """Predict one event and decide whether to ask about it.

        Parameters
        ----------
        event
            The event; its features pass the guard here.
        partition, offset
            Its place; the partition must be open.
        at_ms
            Record time in ms: budgets per hour count by it.
        oldest_open_ms
            Age of the partition's oldest open query, for back-pressure.

        Raises
        ------
        InvalidInput
            When the features or `meta` are refused; nothing has changed then.
        """
        model, gate = self.model, self.gates[partition]
        check_meta(event.meta)
        features = model.clean(event.features)
        probabilities, uncertainty = self.predict(features)
        cold = len(probabilities) < 2
        choice = gate.decide(
            1.0 if cold else uncertainty,
            at_ms,
            self._allowance,
            open_count=gate.sent - self.closed.get(partition, 0),
            oldest_open_ms=oldest_open_ms,
        )
        if model.wants_statistics:
            collector = self._collectors[partition]
            collector.add(features)
            if collector.event_count >= self._send_every:
                self.statistics_due.add(partition)
        if choice.rate != self._rate[0]:
            self._rate = (choice.rate, round(choice.rate, RATE_DIGITS))
        prediction = prediction_fields(
            event,
            {"partition": partition, "offset": offset},
            at_ms,
            probabilities,
            uncertainty,
            choice,
            self._rate[1],
            self._mode,
            reason_of(choice, cold=cold, chosen=self._chosen) if choice.asked else None,
            self.version,
        )
        if not choice.asked or self._mode == "shadow":
            return Decision(prediction, None)
        gate.note_sent()
        query = query_of(
            event,
            features,
            prediction,
            votes_wanted=self.settings.votes,
            asked_at_ms=at_ms,
            expire_after_ms=self.config.labels.expire_after,
        )
        return Decision(prediction, query)

    def predict(self, features: dict[str, Any]) -> tuple[dict[str, float], float]:
        """Return class → probability of guarded features, and the uncertainty in [0, 1]."""
        if self._measure is None:
            return self.model.predict_with_disagreement(features)
        probabilities = self.model.predict(features)
        return probabilities, self._measure(probabilities)

    def take_statistics(self, partition: int) -> list[StatisticsProposal]:
        """Return what a partition's events added to the statistics since the last time."""
        self.statistics_due.discard(partition)
        collector = self._collectors[partition]
        event_count, numbers = collector.event_count, collector.take()
        return proposals_of(partition, event_count, numbers)

    # ------------------------------------------------------------------ folding

    def apply(  # noqa: C901 - flat dispatch
        self, record: JournalRecord, position: int, *, model: Model | None = None
    ) -> None:
        """Fold the journal record at `position`; positions only grow.

        A lineage that starts from a replay comes with the `model` that `stream_al.replay.Refold`
        made of the journal before it.
        """
        assert position >= self.version, f"journal position {position} was folded already"
        self.version = position + 1
        match record:
            case LabelEntry():
                self._apply_label(record)
            case SeedEntry() | VolunteeredEntry():
                self._learn(record)
            case ClosedEntry():
                self._count_closed(record.closes)
                if record.reason != "repeated":
                    self.quality.lost(record.reason)
            case RetractionEntry():
                self.quality.retract(record, random_share=self.settings.gate.random_share)
            case ControlEntry():
                self._set(record)
            case StatisticsEntry():
                self._take_in(record)
            case ModelEntry():
                self._begin_lineage(record, position, model)
            case VoteEntry():
                self._apply_vote(record, position)
            case StartEntry():
                self.starts.fold(record)
            case DigestEntry() | GoldEntry():
                pass
            case _:
                assert_never(record)

    def _set(self, entry: ControlEntry) -> None:
        if entry.inputs is not None:  # its patch is empty
            self.inputs = entry.inputs.after(self.inputs)
            return
        self.settings = self.settings.folded(entry.patch)
        self.last_control = entry
        self.settings_changed()

    def _begin_lineage(self, entry: ModelEntry, position: int, model: Model | None) -> None:
        assert (model is None) == (entry.start == "empty"), "a replay needs its refolded model"
        self.lineage = entry
        if entry.inputs is not None:
            self.inputs = entry.inputs.after(self.inputs)
        self._selection = Selection(entry)
        self.model = model or Model(self.config)
        if model is None and self._statistics is not None:
            self.model.set_statistics(self._statistics.numbers)  # of events: they stay true
        self.quality = Quality(since=position)

    def _apply_label(self, entry: LabelEntry) -> None:
        if entry.closes is not None:
            self._count_closed(entry.closes)
        self.quality.apply(entry, random_share=self.settings.gate.random_share)
        self._learn(entry)

    def _apply_vote(self, entry: VoteEntry, position: int) -> None:
        """Charge the gate that asked a label more for a raised number of votes, exactly once.

        What lies below the position that the gate's state has seen is in that state already; what
        was folded before the partition was opened is charged when it is.
        """
        partition = entry.query.partition
        if entry.votes_wanted is None:
            return
        self._raised.append((position, partition))
        gate = self.gates.get(partition)
        if gate is not None and position >= gate.model_version:
            gate.note_votes_raised(1)

    def _take_in(self, record: StatisticsEntry) -> None:
        self._statistics = record
        self.model.set_statistics(record.numbers)
        self._send_every = record.send_every
        self._settled = {name for name, found in record.numbers.items() if found.knots}
        for collector in self._collectors.values():
            collector.settled = self._settled

    def _learn(self, entry: Lesson) -> None:
        label = self._selection.label_of(entry, self.version - 1)
        if label is not None and not self.settings.modes.frozen:
            self.model.take(entry, label)

    def _count_closed(self, source: Source) -> None:
        self.closed[source.partition] = self.closed.get(source.partition, 0) + 1

    def settings_changed(self) -> None:
        """Derive anew what `score` needs of the settings."""
        name = self.settings.gate.uncertainty
        self._measure = None if name == "disagreement" else uncertainty_measure(name)
        self._chosen: Reason = "disagreement" if self._measure is None else "uncertain"
        self._mode: Mode = mode_of(self.settings.modes)
        self._allowance = Allowance.of(self.settings)
        self.minds_age = self.settings.gate.back_pressure is not None

    # ------------------------------------------------------------------ in and out

    def dump(self) -> bytes:
        """Return the whole state; trusted input of `load` only (it is a pickle)."""
        return pickle.dumps(
            {
                "format": DUMP_FORMAT,
                "config": self.config.model_dump(mode="json"),
                "secret": self._secret,
                "journal": self.dump_journal(),
                "gates": {partition: self.pack_partition(partition) for partition in self.gates},
                "collectors": self._collectors,
            }
        )

    @classmethod
    def load(cls, state: bytes) -> Engine:
        """Return the engine that `dump` wrote; never call it on bytes from a stranger."""
        parts = pickle.loads(state)  # noqa: S301 - documented: own, trusted bytes only
        check_format(parts["format"])
        engine = cls(Config.model_validate(parts["config"]), secret=parts["secret"])
        engine.load_journal(parts["journal"])
        for partition, packed in parts["gates"].items():
            engine.open_partition(partition, packed)
        engine._collectors = parts["collectors"]
        return engine

    def dump_journal(self) -> bytes:
        """Return what was folded from the journal, without partitions and without the secret.

        Trusted input of `load_journal` only (it is a pickle).
        """
        return pickle.dumps(
            {
                "format": DUMP_FORMAT,
                "version": self.version,
                "settings": self.settings.model_dump(mode="json"),
                "lineage": self.lineage and self.lineage.model_dump(mode="json"),
                "inputs": self.inputs and self.inputs.model_dump(mode="json"),
                "last_control": self.last_control and self.last_control.model_dump(mode="json"),
                "model": self.model.dump(),
                "quality": self.quality,
                "closed": self.closed,
                "raised": self._raised,
                "starts": self.starts.begun,
                "statistics": self._statistics and self._statistics.model_dump(mode="json"),
            }
        )

    def load_journal(self, data: bytes) -> None:
        """Go on from what `dump_journal` returned; never call it on bytes from a stranger.

        For an engine that folded nothing and opened no partition. When it raises, nothing changed.

        Raises
        ------
        ConfigurationError
            When it was written by another version, or for another model.
        """
        assert not self.version, "only an engine that folded nothing can begin elsewhere"
        assert not self.gates, "partitions are opened after the journal is folded"
        parts = pickle.loads(data)  # noqa: S301 - documented: own, trusted bytes only
        check_format(parts["format"])
        found, inputs = parts["statistics"], parts.get("inputs")  # before 0.2.0 no inputs
        settings = Settings.model_validate(parts["settings"])
        lineage = parts["lineage"] and ModelEntry.model_validate(parts["lineage"])
        control = parts["last_control"] and ControlEntry.model_validate(parts["last_control"])
        statistics = found and StatisticsEntry.model_validate(found)
        model = Model.load(self.config, parts["model"])
        if statistics:
            self._take_in(statistics)
        self.version, self.settings, self.lineage = parts["version"], settings, lineage
        self.inputs = inputs and Inputs.model_validate(inputs)
        self._selection, self.starts = Selection(lineage), Starts(parts.get("starts"))
        self.model, self.quality = model, parts["quality"]
        self.closed, self._raised, self.last_control = parts["closed"], parts["raised"], control
        self.settings_changed()
