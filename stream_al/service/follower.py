"""An engine that follows the journal: every process that holds a model has one.

It folds in slices, so that predictions never wait for a bulk of lessons. It meets new lineages:
one that starts from a replay is folded beside the model in use, which goes on predicting. It takes
the model's digest at fixed positions and compares it with what the resolver journaled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from stream_al.config import Config
from stream_al.engine import Engine
from stream_al.errors import Diverged
from stream_al.messages import (
    ControlEntry,
    DigestEntry,
    Inputs,
    JournalRecord,
    ModelEntry,
)
from stream_al.port import Log
from stream_al.replay import Refold
from stream_al.service.clock import Clock
from stream_al.service.environment import environment
from stream_al.service.groups import read_to_end
from stream_al.service.logs import log as log_line
from stream_al.service.mapping import Fit
from stream_al.service.strays import Links, links_at

READ_RECORDS_MAX = 200
SLICE_S = 0.020
DIGEST_EVERY = 200
"""A digest is taken after the first record at or past each multiple of this position."""
DIGESTS_REMEMBERED_MAX = 64


@dataclass(frozen=True, slots=True)
class Digest:
    """The model of a lineage at a journal position, as this process has it.

    `blanked_count`: lessons that it lacks because they were blanked since.
    """

    position: int
    model_id: str
    digest: str
    learnt_count: int
    blanked_count: int = 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """A journaled digest and this process's own of the same lineage and position.

    `comparable` when they must be equal: same configuration, same environment, same history.
    """

    journaled: DigestEntry
    own: Digest
    comparable: bool

    @property
    def equal(self) -> bool:
        """Whether both are one model."""
        return self.journaled.digest == self.own.digest

    @property
    def redacted(self) -> bool:
        """Whether a redaction rewrote what the journaled one was made of: they say nothing."""
        return self.own.blanked_count > 0


def stop_when_diverged(found: Comparison) -> None:
    """Raise Diverged for a digest that should be equal and is not; only report any other."""
    if found.equal or found.redacted:
        return
    journaled = found.journaled
    if not found.comparable:
        log_line("digest_differs", position=journaled.position, environment=journaled.environment)
        return
    raise Diverged(
        f"the model at journal position {journaled.position} has digest {found.own.digest} here "
        f"and {journaled.digest} in the journal, on the same environment: one of them is damaged; "
        "remove this worker's snapshots and restart it; `stream-al replay --verify` tells which"
    )


class Follower:
    """An engine and its place in the journal.

    Parameters
    ----------
    on_compared
        Judges a journaled digest that this process has one for too.
    inputs
        By what this process predicts and asks: the journal's must be the same. None for one that
        does neither.

    Attributes
    ----------
    engine
        Changed by folding here, and by whoever scores.
    digests
        Position → digest, the newest `DIGESTS_REMEMBERED_MAX`.
    """

    def __init__(
        self,
        log: Log,
        config: Config,
        engine: Engine,
        *,
        clock: Clock,
        on_compared: Callable[[Comparison], None] | None = None,
        inputs: Inputs | None = None,
    ) -> None:
        self.engine = engine
        self._fit = Fit(config, inputs)
        self.digests: dict[int, Digest] = {}
        self._log = log
        self._config = config
        self._clock = clock
        self._on_compared = on_compared or stop_when_diverged
        self._journal = config.topic("journal")
        self._environment = environment()
        self._links: Links | None = None  # made by the first look: a snapshot may come before
        self._refold: Refold | None = None
        self._refold_links = Links(self._journal)
        self._reached_end = False

    @property
    def newest_digest(self) -> Digest | None:
        """The digest taken last; None before the first, and while no other worker can have it."""
        newest = next(reversed(self.digests.values()), None)
        return None if newest is None or newest.blanked_count else newest

    @property
    def at_end(self) -> bool:
        """Whether the journal is folded to its present end."""
        return self._refold is None and read_to_end(self._log, self._journal, 0, self.next)

    @property
    def next(self) -> int:
        """The journal offset to read next: `engine.version`, or behind what may be strays."""
        return self.engine.version if self._links is None else self._links.next

    def follow(self, *, wait: bool = False) -> bool:
        """Fold the journal's news, about `SLICE_S` of them; return whether there were any.

        With `wait`, what the log has counts, else what has come here.
        """
        deadline = self._clock.monotonic_s() + SLICE_S
        folded = False
        more = True
        while more and self._clock.monotonic_s() <= deadline:
            more = self._fold_some(deadline, wait=wait)
            folded = folded or more
        if not self._reached_end and self.at_end:
            # Lineages on the way to the end are history; the one in force there is not.
            self._reached_end = True
            self._fit.check(self.engine.lineage, self.engine.inputs)
        return folded

    def follow_to(self, position: int) -> bool:
        """Fold to `position`, however long it takes; False when the journal ends before."""
        while self.engine.version < position:
            if not self._fold_some(until=position, wait=True):
                return False
        return True

    # ------------------------------------------------------------------ folding

    def _fold_some(
        self, deadline: float | None = None, until: int | None = None, *, wait: bool
    ) -> bool:
        """Fold up to `READ_RECORDS_MAX` records; return whether there was anything to fold."""
        if self._refold is not None:
            return self._fold_again(self._refold, deadline)
        if self._links is None:
            self._links = links_at(self._log, self._config, self.engine.version)
        links, before = self._links, self.next
        for record in self._log.read(self._journal, 0, before, limit=READ_RECORDS_MAX, wait=wait):
            if until is not None and record.offset >= until:
                break
            entry = links.take(record)
            if entry is None:
                continue
            if self._reached_end and isinstance(entry, ModelEntry | ControlEntry):
                self._check(entry)
            if isinstance(entry, ModelEntry) and entry.start != "empty":
                log_line("replay_begun", position=record.offset, without=len(entry.without))
                self._refold = Refold(self._config, entry, record.offset)
                self._refold_links = Links(self._journal)
                return True
            self._apply(entry, record.offset)
            if deadline is not None and self._clock.monotonic_s() > deadline:
                break
        return self.next > before

    def _check(self, entry: ModelEntry | ControlEntry) -> None:
        """Refuse what is not ours before it replaces what is in use."""
        inputs = entry.inputs and entry.inputs.after(self.engine.inputs)
        lineage = entry if isinstance(entry, ModelEntry) else self.engine.lineage
        self._fit.check(lineage, inputs or self.engine.inputs)

    def _fold_again(self, refold: Refold, deadline: float | None) -> bool:
        """Go on with a replay beside the model in use; swap when it is ready."""
        links = self._refold_links
        while not refold.done:
            for record in self._log.read(self._journal, 0, links.next, limit=READ_RECORDS_MAX):
                entry = links.take(record)
                if entry is not None and not refold.apply(entry, record.offset):
                    links = self._refold_links = Links(self._journal)
                    break  # of one pass; another may begin
                if deadline is not None and self._clock.monotonic_s() > deadline:
                    return True
        self._refold = None
        self._apply(refold.entry, refold.end, refold)
        log_line("replay_done", position=refold.end, learnt=refold.model.learnt_count)
        return True

    def _apply(self, entry: JournalRecord, position: int, refold: Refold | None = None) -> None:
        engine = self.engine
        before = max(0, engine.version - 1)
        engine.apply(entry, position, model=None if refold is None else refold.model)
        if position // DIGEST_EVERY > before // DIGEST_EVERY:
            self._take_digest()
        if isinstance(entry, DigestEntry):
            self._compare(entry)

    # ------------------------------------------------------------------ digests

    def _take_digest(self) -> None:
        engine = self.engine
        if engine.lineage is None:
            return
        self.digests[engine.version] = Digest(
            position=engine.version,
            model_id=engine.lineage.model_id,
            digest=engine.model.digest(),
            learnt_count=engine.model.learnt_count,
            blanked_count=engine.model.blanked_count,
        )
        if len(self.digests) > DIGESTS_REMEMBERED_MAX:
            del self.digests[next(iter(self.digests))]

    def _compare(self, entry: DigestEntry) -> None:
        own = self.digests.get(entry.position)
        if own is None or own.model_id != entry.model_id:
            return
        lineage = self.engine.lineage
        ours = lineage is not None and lineage.config_hash == self._config.model_hash()
        comparable = ours and entry.environment == self._environment and not own.blanked_count
        self._on_compared(Comparison(entry, own, comparable))
