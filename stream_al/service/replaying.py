"""`stream-al replay`: the journal folded again, from the log alone. Nothing is written here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from heapq import merge

from stream_al.config import Config
from stream_al.engine import Engine, EventReader
from stream_al.errors import ConfigurationError
from stream_al.labels.proposals import model_entry
from stream_al.messages import ControlProposal, ModelEntry, Source
from stream_al.port import Log, Record
from stream_al.replay import Refold, Reproduction, reproduce
from stream_al.service.clock import Clock
from stream_al.service.follower import Comparison, Follower
from stream_al.service.view import journal, predictions, recorded_starts, records

COMPARISONS_MAX = 100_000
Progress = Callable[[int, int], None]
"""Called with (done, total) now and then."""


@dataclass(slots=True)
class Replayed:
    """The journal folded again.

    Attributes
    ----------
    engine
        At the journal's end.
    comparisons
        Each journaled digest against the one that came out here.
    reproduction
        None unless predictions were made again.
    """

    engine: Engine
    comparisons: list[Comparison]
    reproduction: Reproduction | None = None

    @property
    def sound(self) -> bool:
        """Whether all that must be equal is."""
        digests = all(each.equal for each in self.comparisons if each.comparable)
        said = self.reproduction
        return digests and (said is None or said.compared == said.equal)


def fold(
    log: Log,
    config: Config,
    *,
    clock: Clock,
    verify: bool,
    restore: Callable[[Engine], object] = lambda _: None,
    progress: Progress = lambda *_: None,
) -> Replayed:
    """Fold the journal to its end, comparing digests; with `verify` also every prediction.

    Parameters
    ----------
    restore
        Brings the engine to where the fold begins: a snapshot, or nothing.

    Raises
    ------
    ConfigurationError
        When the lineage in force is of another model configuration.
    """
    comparisons: list[Comparison] = []
    engine = Engine(config, secret=b"")
    restore(engine)
    follower = Follower(log, config, engine, clock=clock, on_compared=comparisons.append)
    found = Replayed(engine, comparisons)
    end = log.end(config.topic("journal"), 0)
    if verify:
        found.reproduction = _reproduce_all(log, config, follower, progress)
    while follower.follow(wait=True):
        progress(min(engine.version, end), end)
    return found


def _reproduce_all(
    log: Log, config: Config, follower: Follower, progress: Progress
) -> Reproduction:
    """Make every stored prediction again, in the order of the versions that they name.

    Along a partition versions only grow, so one merge over the partitions meets each model once.
    """
    engine, reader = follower.engine, EventReader(config.events)
    found = Reproduction()
    start = engine.version
    topic = config.topic("predictions")
    partitions = range(log.partition_count(topic))
    total = sum(log.end(topic, each) for each in partitions)
    starts = recorded_starts(log, config)
    pairs = (
        _with_events(log, config, each, starts.of("events", each).outputs.get("predictions", 0))
        for each in partitions
    )
    seen = 0
    for version, partition, stored, event in merge(*pairs, key=lambda pair: pair[:2]):
        seen += 1
        if seen % 1_000 == 0:
            progress(seen, total)
        if version < start:
            continue  # made by a model from before the snapshot
        if event is None:
            found.missing += 1
            continue
        follower.follow_to(version)
        if engine.model.blanked_count:
            found.redacted += 1
            continue
        problem = reproduce(engine, reader, stored.value, event.value, event.timestamp_ms)
        found.note(Source(partition=partition, offset=event.offset), problem)
    return found


def _with_events(
    log: Log, config: Config, partition: int, since: int
) -> Iterator[tuple[int, int, Record, Record | None]]:
    """Yield (version, partition, prediction, event) of a partition; no event once it is gone.

    Predictions below `since` are of another life of the events topic.
    """
    events = records(log, config.topic("events"), partition, 0)
    event = next(events, None)
    for stored, said in predictions(log, config, partition, 0):
        if stored.offset < since:
            yield said["model_version"], partition, stored, None
            continue
        offset = said["source"]["offset"]
        while event is not None and event.offset < offset:
            event = next(events, None)
        here = event if event is not None and event.offset == offset else None
        yield said["model_version"], partition, stored, here


@dataclass(frozen=True, slots=True)
class Lineage:
    """The lineage in force, where it began, and the journal's end and chain when looked at."""

    entry: ModelEntry
    position: int
    end: int
    chain: str


def lineage_in_force(log: Log, config: Config) -> Lineage:
    """Return the lineage in force.

    Raises
    ------
    ConfigurationError
        When the journal is empty.
    """
    found, chain, end = None, "", 0
    for position, entry in journal(log, config):
        end, chain = position + 1, entry.chain
        if isinstance(entry, ModelEntry):
            found = entry, position
    if found is None:
        raise ConfigurationError("the journal is empty: there is nothing to replay")
    return Lineage(*found, end, chain)


def refold(
    log: Log,
    config: Config,
    proposal: ControlProposal,
    *,
    progress: Progress = lambda *_: None,
) -> Refold:
    """Return the model that a lineage which starts from this replay would begin with.

    Raises
    ------
    ConfigurationError
        When an event is to be left out that the lineage in force learnt nothing of.
    """
    now = lineage_in_force(log, config)
    entry = model_entry(
        proposal, chain=now.chain, now_ms=0, before=(now.entry, now.position), end=now.end
    )
    again = Refold(config, entry, now.end)
    taught: set[str] = set()
    wanted = frozenset(proposal.without)
    for position, record in journal(log, config):
        if position >= now.end:
            break
        event_id = getattr(record, "event_id", None)
        if event_id in wanted and record.kind in {"label", "seed", "volunteered"}:
            taught.add(event_id)
        again.apply(record, position)
        if position % 1_000 == 0:
            progress(position, now.end)
    _refuse_unknown(wanted - taught)
    return again


def _refuse_unknown(unknown: Iterable[str]) -> None:
    names = sorted(unknown)
    if names:
        raise ConfigurationError(
            f"--without: {names[0]!r}: the journal holds no lesson of this event"
            f"{f' (nor of {len(names) - 1:,} others)' if len(names) > 1 else ''}; "
            "`stream-al read journal` shows the labels that taught"
        )
