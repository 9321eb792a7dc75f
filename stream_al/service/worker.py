"""`stream-al run`: the roles as loops over the port, until idle, a signal or doubt."""

from __future__ import annotations

import gc
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from stream_al.config import TOPIC_NAMES, Config
from stream_al.engine import Engine
from stream_al.messages import Modes, StartEntry
from stream_al.model import Model
from stream_al.port import Log
from stream_al.service.clock import Clock
from stream_al.service.counters import Counters
from stream_al.service.follower import Comparison, Follower, stop_when_diverged
from stream_al.service.groups import lag
from stream_al.service.http import Health, Server
from stream_al.service.logs import log as log_line
from stream_al.service.mapping import own_inputs
from stream_al.service.metrics import View, WorkerCollector
from stream_al.service.resolver import ResolverLoop
from stream_al.service.scorer import Scorer
from stream_al.service.snapshot_writer import SnapshotChild
from stream_al.service.snapshotting import load_newest
from stream_al.service.starting import Role

POLL_S = 0.05
REST_S = 0.1
"""How long a resolver that found nothing rests while the scorer beside it is busy: a look at its
topics takes some milliseconds, which every event waits for, and people take longer."""

VIEW_EVERY_S = 1.0
COLLECT_AFTER = 100_000
"""New objects between two looks for cycles: a batch of events makes some ten thousand, in none."""


class Worker:
    """The loops of one process.

    Parameters
    ----------
    log
        Opened log; the caller closes it.
    secret
        The gate's secret; scorers only.
    name
        This worker's name among the members of its groups.
    clock
        The time.
    begins
        Where inputs begin when the journal does; see `beginning`.
    """

    def __init__(
        self,
        log: Log,
        config: Config,
        *,
        role: Role = "all",
        secret: bytes,
        name: str,
        clock: Clock,
        begins: Callable[[int], StartEntry | None] = lambda _: None,
    ) -> None:
        self.counters = Counters()
        self.collector = WorkerCollector(self.counters, app=config.app)
        self.health = Health.of(config.log, now_s=clock.monotonic_s())
        self._log = log
        self._config = config
        self._clock = clock
        self._stopping = False
        self._viewed_s = 0.0
        self._rests_until_s = 0.0
        engine = Engine(config, secret=secret)
        load_newest(log, config, engine)
        inputs = own_inputs(config, secret)
        self.follower = Follower(
            log, config, engine, clock=clock, on_compared=self._on_compared, inputs=inputs
        )
        self._snapshots = SnapshotChild(log, config)
        self.resolver: ResolverLoop | None = None
        self.scorer: Scorer | None = None
        if role in {"all", "resolver"}:
            self.resolver = ResolverLoop(
                log,
                config,
                name=name,
                counters=self.counters,
                clean=Model(config).clean,
                clock=clock,
                witness=lambda: self.follower.newest_digest,
                begins=begins,
                inputs=inputs,
            )
        if role in {"all", "scorer"}:
            self.scorer = Scorer(
                log, config, self.follower, name=name, counters=self.counters, clock=clock
            )

    def stop(self) -> None:
        """Leave after the step under way."""
        self._stopping = True

    def run(self, *, until_idle: bool = False) -> None:
        """Run until stopped, or until everything that can be read is read.

        Raises
        ------
        ConfigurationError
            When the journal's lineage is of another model configuration.
        InDoubt
            When a step's result is unknown, or another owner took over.
        """
        try:
            while not self._stopping:
                busy = self.step()
                if until_idle and not busy and self._caught_up():
                    break
        finally:
            for loop in (self.scorer, self.resolver):
                if loop is not None:
                    loop.leave()
            self._snapshots.close()
        log_line("worker_left", events=self.counters.events, stopped=self._stopping)

    def step(self) -> bool:
        """Give every role one step; return whether any had something to do."""
        resolved = scored = False
        rests = self._clock.monotonic_s() < self._rests_until_s
        if self.resolver is not None and not rests:
            resolved = self.resolver.step(timeout_s=0.0 if self.scorer else POLL_S)
        if self.scorer is not None:
            scored = self.scorer.step(timeout_s=0.0 if resolved else POLL_S)
        else:
            scored = self.follower.follow()  # its model is the witness of the digests
        self.health.stepped_s = self._clock.monotonic_s()
        if resolved or not scored:
            self._rests_until_s = 0.0
        elif not rests:
            self._rests_until_s = self.health.stepped_s + REST_S
        self.health.ready = self.scorer is None or self.scorer.joined
        if self.health.stepped_s - self._viewed_s > VIEW_EVERY_S:
            self._viewed_s = self.health.stepped_s
            self._snapshots.poll(self._viewed_s)
            self.collector.view = self._view()
        return resolved or scored or rests

    def _on_compared(self, found: Comparison) -> None:
        self.counters.digest_mismatches += not (found.equal or found.redacted)
        stop_when_diverged(found)

    def _caught_up(self) -> bool:
        loops = (self.resolver, self.scorer)
        return all(loop.caught_up() for loop in loops if loop is not None)

    def _view(self) -> View:
        log, config = self._log, self._config
        engine = self.scorer.engine if self.scorer else None
        resolver = self.resolver.active if self.resolver else None
        pending = dict(resolver.pending_by_partition()) if resolver else {}
        oldest = [resolver.oldest_pending(p) for p in pending] if resolver else []
        ages = [self._clock.now_ms() - found.asked_ms for found in oldest if found is not None]
        known = engine or resolver
        version = engine.version if engine else resolver.position if resolver else 0
        return View(
            model_version=version,
            journal_lag=lag(log, config.topic("journal"), 0, self.follower.next) if known else 0,
            lag=self._lag(),
            budget_share=known.settings.gate.budget.share if known else 0.0,
            budget_remaining=_credit(engine) if engine else None,
            pending=pending,
            oldest_pending_s=max(ages, default=0) / 1_000,
            quality=engine.quality.summary() if engine else None,
            learn_failures=engine.model.failed_count if engine else 0,
            snapshot_age_s=self._snapshots.age_s(self._clock.now_ms()),
            held_back=self._held_back(),
            features_left_out=dict(engine.model.left_out) if engine else {},
            modes=known.settings.modes if known else Modes(),
        )

    def _held_back(self) -> dict[tuple[str, int], int]:
        """Return (short name of a topic, partition) → offsets that open transactions hold back."""
        found = {
            name: self._log.held_back(self._config.topic(name))
            for name in ("journal", "queries", "labels")
        }
        if self.scorer is not None:
            found["events"] = self.scorer.held_back()
        return {(name, at): count for name, some in found.items() for at, count in some.items()}

    def _lag(self) -> dict[tuple[str, int], int]:
        """Return (short name of a topic, partition) → records not read yet by this worker."""
        short = {self._config.topic(name): name for name in TOPIC_NAMES}
        events = self.scorer.lag() if self.scorer else {}
        others = self.resolver.lag() if self.resolver else {}
        return {("events", partition): count for partition, count in events.items()} | {
            (short[topic], partition): count for (topic, partition), count in others.items()
        }


def _credit(engine: Engine) -> float | None:
    """Return the labels that the hour still allows to the partitions owned; None when it is off."""
    if engine.settings.gate.budget.per_hour is None:
        return None
    return sum(gate.credit_labels for gate in engine.gates.values())


def serve(worker: Worker, config: Config, *, slot: int = 0, until_idle: bool) -> None:
    """Run `worker` with its HTTP server; SIGTERM and SIGINT end it after the batch."""
    server = Server(config.http, worker.collector, worker.health, slot=slot)
    gc.freeze()  # what was imported and folded until now stays
    gc.set_threshold(COLLECT_AFTER)
    with _stopped_by_signals(worker):
        try:
            worker.run(until_idle=until_idle)
        finally:
            server.close()


@contextmanager
def _stopped_by_signals(worker: Worker) -> Iterator[None]:
    kinds = (signal.SIGTERM, signal.SIGINT)
    before = {kind: signal.signal(kind, lambda *_: worker.stop()) for kind in kinds}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
