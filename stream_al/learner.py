"""`ActiveLearner`: the engine and the resolver of the workers, joined by a journal in memory.

For embedding in a Python service: no broker, no file, no thread of its own. It is the one module of
the library that reads a clock, and only where the caller gives no time. Any thread may call it: one
operation at a time.
"""

from __future__ import annotations

import pickle
import time  # noqa: TID251 - see above
from collections import OrderedDict
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

from stream_al.config import Config
from stream_al.engine import Decision, Engine, EventReader, LabelReader, utf8
from stream_al.errors import ConfigurationError
from stream_al.gate import known_uncertainties
from stream_al.labels import BelievedTime, Resolver
from stream_al.messages import (
    OFF,
    ControlProposal,
    Event,
    JournalRecord,
    Label,
    LabelEntry,
    Off,
    Outcome,
    Query,
    Source,
)
from stream_al.problems import uncertainty_problem
from stream_al.quality import QualitySummary
from stream_al.turns import TakesTurns, in_turn

PARTITION = 0
JOURNAL_LABELS_MAX = 10_000
"""Label records kept for overturning; an older label can't be revised any more."""
TICK_EVERY_MS = 1_000
NEVER_MS = -(2**62)


class ActiveLearner(TakesTurns):
    """Predicts events, asks about a few, learns from the labels; all in memory.

    Parameters
    ----------
    config
        `topics.partitions` does not matter here: there is one partition.
    secret
        Key of the gate's thresholds. Who knows it and the model can predict what is asked about:
        give one of your own outside of experiments. The default comes from `config.model.seed`.

    Examples
    --------
    >>> learner = ActiveLearner(Config())
    >>> decision = learner.score(Event(event_id="p-1", features={"text": "free money"}), now_ms=0)
    >>> decision.prediction.label, decision.prediction.uncertainty
    (None, 1.0)
    >>> label = Label(event_id="p-1", label="spam", annotator="a7")
    >>> learner.label(label, now_ms=1).outcome in ("applied", "unknown")
    True
    """

    def __init__(self, config: Config | None = None, *, secret: bytes | None = None) -> None:
        super().__init__()
        given = config or Config()
        topics = given.topics.model_copy(update={"partitions": 1})
        config = given.model_copy(update={"topics": topics})
        if secret is None:
            secret = blake2b(b"stream-al demo %d" % config.model.seed, digest_size=32).digest()
        engine = Engine(config, secret=secret)
        engine.open_partition(PARTITION)
        self._begin(engine)
        problem = uncertainty_problem(config.gate.uncertainty, self._strategies())
        if problem is not None:
            raise ConfigurationError(f"gate.uncertainty is {problem}")

    def _begin(self, engine: Engine) -> None:
        self._engine = engine
        # The last record that was given a place in the journal, and the place.
        self._placed: tuple[JournalRecord | None, int] = (None, -1)
        self._labels: OrderedDict[int, LabelEntry] = OrderedDict()
        self._resolver = self._new_resolver(engine.config)
        self._events = 0
        self._queries = 0
        self._received = 0
        self._ticked_ms = NEVER_MS
        self._believed = BelievedTime()
        self._event_reader = EventReader(engine.config.events)
        self._label_reader = LabelReader(engine.config.labels)

    def _strategies(self) -> frozenset[str]:
        return known_uncertainties(members=self._engine.model.has_members)

    def _new_resolver(self, config: Config) -> Resolver:
        return Resolver(config, read_back=self._labels.get, known_uncertainties=self._strategies)

    # ------------------------------------------------------------------ the loop

    @in_turn
    def score(self, event: Event, *, now_ms: int | None = None) -> Decision:
        """Predict `event` at once, and decide whether to ask about it.

        Parameters
        ----------
        event
            Features may hold numbers, booleans, texts, categories and vectors, in any mix.
        now_ms
            Time in ms since 1970; the machine's clock when left out.

        Raises
        ------
        InvalidInput
            When the features can't be used; nothing has changed then.
        """
        if now_ms is None:
            now_ms = self._now(None)
        if not -TICK_EVERY_MS < now_ms - self._ticked_ms < TICK_EVERY_MS:
            self._tick(now_ms)
        engine = self._engine
        oldest_ms = self._oldest_open_ms(now_ms) if engine.minds_age else None
        decision = engine.score(
            event,
            partition=PARTITION,
            offset=self._events,
            at_ms=now_ms,
            oldest_open_ms=oldest_ms,
        )
        self._events += 1
        if decision.query is not None:
            self._ask(decision.query, now_ms)
        if engine.statistics_due:
            for statistics in engine.take_statistics(PARTITION):
                self._fold(self._resolver.on_statistics(statistics, now_ms=now_ms))
        return decision

    @in_turn
    def label(self, label: Label, *, now_ms: int | None = None) -> Outcome:
        """Give an annotator's label; return what became of it."""
        now_ms = self._now(now_ms)
        self._tick(now_ms)
        if label.features is not None:
            cleaned = self._engine.model.clean(label.features)
            label = label.model_copy(update={"features": cleaned})
        source = Source(partition=PARTITION, offset=self._received)
        self._received += 1
        resolution = self._resolver.on_label(label, source=source, now_ms=now_ms)
        self._fold(resolution.records)
        return resolution.outcome

    def score_json(self, value: bytes | str, *, now_ms: int | None = None) -> Decision:
        """Predict the event in a JSON record, read as the configuration's `events` says.

        Raises
        ------
        InvalidInput
            When it can't be read, or its features can't be used; nothing has changed then.

        Examples
        --------
        >>> events = {"event_id": "post.id", "features": {"text": "post.body"}}
        >>> learner = ActiveLearner(Config.model_validate({"events": events}))
        >>> learner.score_json('{"post": {"id": 7, "body": "hi"}}', now_ms=0).prediction.event_id
        '7'
        """
        return self.score(self._event_reader.read(utf8(value)), now_ms=now_ms)

    def label_json(self, value: bytes | str, *, now_ms: int | None = None) -> Outcome:
        """Give the label in a JSON record, read as the configuration's `labels` says.

        Raises
        ------
        InvalidInput
            When it can't be read; nothing has changed then.
        """
        return self.label(self._label_reader.read(utf8(value)), now_ms=now_ms)

    # ------------------------------------------------------------------ operation

    def set_budget(
        self,
        *,
        share: float | Off | None = None,
        per_hour: float | Off | None = None,
        open: int | Off | None = None,  # noqa: A002 - the budget's own name
        actor: str,
        reason: str,
        now_ms: int | None = None,
    ) -> None:
        """Turn the labelling budget; what is left out stays. In force for the next event.

        Parameters
        ----------
        share
            Queries per event; 0 asks nobody.
        per_hour, open
            `OFF` lifts the limit.
        actor, reason
            Who turned it and why; journaled.
        now_ms
            Time in ms since 1970; the machine's clock when left out.

        Raises
        ------
        ConfigurationError
            When nothing is to be set, or a value is out of range; nothing has changed then.
        """
        given = {"share": share, "per_hour": per_hour, "open": open}
        said = {name: value for name, value in given.items() if value is not None}
        if not said:
            raise ConfigurationError(
                "set_budget: nothing to set; give share, per_hour or open. None leaves a limit as "
                "it is, OFF lifts it (`from stream_al import OFF`)"
            )
        if share is OFF:
            raise ConfigurationError("share: OFF: a share is a number; 0 asks nobody")
        budget = {name: None if value is OFF else value for name, value in said.items()}
        self.control({"gate": {"budget": budget}}, actor=actor, reason=reason, now_ms=now_ms)

    @in_turn
    def control(
        self, patch: dict[str, Any], *, actor: str, reason: str, now_ms: int | None = None
    ) -> None:
        """Change run-time settings: `{"modes": {"paused": True}}`, `{"gate": {...}}`.

        Raises
        ------
        ConfigurationError
            When the patch names an unknown setting or a value out of range.
        """
        now_ms = self._now(now_ms)
        self._start(now_ms)
        proposal = ControlProposal(
            proposal_id=f"control-{self._engine.version}", actor=actor, reason=reason, patch=patch
        )
        result = self._resolver.on_control(proposal, now_ms=now_ms)
        if result.problem is not None:
            raise ConfigurationError(result.problem)
        self._fold(result.records)

    def seed(self, examples: Iterable[tuple[Event, str]], *, now_ms: int | None = None) -> int:
        """Teach labelled history; return how many examples were new. It estimates nothing."""
        return sum(self._teach(event, label, now_ms) for event, label in examples)

    @in_turn
    def _teach(self, event: Event, label: str, now_ms: int | None) -> int:
        now_ms = self._now(now_ms)
        self._start(now_ms)
        proposal = ControlProposal(
            kind="seed",
            proposal_id=f"seed-{self._engine.version}",
            actor="seed",
            event_id=event.event_id,
            label=label,
            features=self._engine.model.clean(event.features),
        )
        result = self._resolver.on_control(proposal, now_ms=now_ms)
        if result.problem is not None:
            raise ConfigurationError(result.problem)
        self._fold(result.records)
        return len(result.records)

    @in_turn
    def queries(self, limit: int = 100) -> list[Query]:
        """Return open queries, most urgent first."""
        return [pending.query for pending in self._resolver.open_queries(limit)]

    @property
    @in_turn
    def quality(self) -> QualitySummary:
        """What the labels say about the model: prequential scores, estimates with intervals."""
        return self._engine.quality.summary()

    @property
    def engine(self) -> Engine:
        """The engine, to look at; change it through this class only."""
        return self._engine

    @property
    @in_turn
    def pending_count(self) -> int:
        """How many queries wait for labels."""
        return self._resolver.pending_count

    # ------------------------------------------------------------------ state

    @in_turn
    def dump(self) -> bytes:
        """Return the whole state. It is a pickle: `load` only what you wrote yourself."""
        state = {
            "engine": self._engine.dump(),
            "resolver": self._resolver.dump(),
            "labels": self._labels,
            "counts": (self._events, self._queries, self._received, self._ticked_ms),
        }
        return pickle.dumps(state)

    @classmethod
    def load(cls, state: bytes) -> ActiveLearner:
        """Return the learner that `dump` wrote; its future is identical."""
        parts = pickle.loads(state)  # noqa: S301 - documented: own, trusted bytes only
        engine = Engine.load(parts["engine"])
        learner = cls()  # of a dump, the gate is as it was: no reason to refuse it
        learner._begin(engine)
        learner._labels.update(parts["labels"])
        learner._resolver.restore(parts["resolver"], classes=engine.model.classes)
        learner._events, learner._queries, learner._received, learner._ticked_ms = parts["counts"]
        if learner._ticked_ms != NEVER_MS:
            learner._believed.begin(learner._ticked_ms, time.monotonic())
        return learner

    # ------------------------------------------------------------------ the journal in memory

    def _fold(self, records: Iterable[JournalRecord]) -> None:
        for record in records:
            self._fold_one(record)

    def _fold_one(self, record: JournalRecord) -> None:
        """Fold a record that was decided; again from the beginning, when that was broken off."""
        if self._placed[0] is not record:
            self._placed = (record, self._engine.version)
        position = self._placed[1]
        if self._engine.version == position:
            self._engine.apply(record, position)
        if isinstance(record, LabelEntry):
            self._labels[position] = record
            if len(self._labels) > JOURNAL_LABELS_MAX:
                self._labels.popitem(last=False)
        self._resolver.confirm(record, position)

    def _mend(self) -> None:
        """Finish what an exception broke off: everything that was decided is folded.

        What one event or label did to counts and to the model may be lost with it, no more.
        """
        engine, resolver = self._engine, self._resolver
        gate = engine.gates[PARTITION]
        gate.mend()
        engine.settings_changed()
        self._fold(resolver.mend())
        engine.closed[PARTITION] = gate.sent - resolver.pending_count

    def __reduce__(self) -> tuple[Any, ...]:
        """Let a copy or a pickle be what `dump` and `load` make of it."""
        return (ActiveLearner.load, (self.dump(),))

    def _ask(self, query: Query, now_ms: int) -> None:
        place = Source.of_valid({"partition": PARTITION, "offset": self._queries})
        self._queries += 1
        self._fold(self._resolver.add_query(query, place=place, timestamp_ms=now_ms, now_ms=now_ms))

    def _start(self, now_ms: int) -> None:
        if self._engine.lineage is None:
            self._fold(self._resolver.start(now_ms=now_ms))

    def _tick(self, now_ms: int) -> None:
        self._start(now_ms)
        if abs(now_ms - self._ticked_ms) >= TICK_EVERY_MS:
            self._ticked_ms = now_ms
            if not self._believed.doubted:
                self._fold(self._resolver.tick(now_ms))

    def _oldest_open_ms(self, now_ms: int) -> int | None:
        oldest = self._resolver.oldest_pending(PARTITION)
        return None if oldest is None else max(0, now_ms - oldest.asked_ms)

    def _now(self, now_ms: int | None) -> int:
        """Return the caller's time; without one the machine's, as far as it can be believed."""
        if now_ms is not None:
            return now_ms
        return self._believed.read(time.time_ns() // 1_000_000, time.monotonic())
