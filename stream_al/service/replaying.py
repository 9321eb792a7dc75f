"""`stream-al replay`: the journal folded again, from the log alone. Nothing is written here."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from heapq import merge

from stream_al.config import Config
from stream_al.engine import Engine
from stream_al.errors import ConfigurationError
from stream_al.labels.proposals import model_entry
from stream_al.messages import (
    ControlProposal,
    JournalRecord,
    LabelEntry,
    ModelEntry,
    SeedEntry,
    Selected,
    Source,
    VolunteeredEntry,
)
from stream_al.port import Log, Record
from stream_al.replay import Reading, Refold, Reproduction, reproduce
from stream_al.service.clock import Clock
from stream_al.service.follower import Comparison, Follower
from stream_al.service.mapping import mappings
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
    engine, found = follower.engine, Reproduction()
    readings = deque((since, Reading(section)) for since, section in mappings(log, config))
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
        if engine.lineage and engine.lineage.config_hash != config.model_hash():
            found.elsewhere += 1
            continue
        if engine.model.blanked_count:
            found.redacted += 1
            continue
        while len(readings) > 1 and readings[1][0] <= version:
            readings.popleft()
        reading = readings[0][1]
        problem = reproduce(engine, reading, stored.value, event.value, event.timestamp_ms)
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
        When an event, annotator or class is to be left out of which the journal has no lesson.
    """
    now = lineage_in_force(log, config)
    entry = model_entry(
        proposal, chain=now.chain, now_ms=0, before=(now.entry, now.position), end=now.end
    )
    _Known(proposal).check(log, config, now.end)
    return folded_again(log, config, Refold(config, entry, now.end), progress=progress)


def lessons_before(log: Log, config: Config, position: int) -> Refold:
    """Return the counts of what the `model` record at `position` teaches again."""
    for at, entry in journal(log, config, position):
        if at == position and isinstance(entry, ModelEntry):
            return folded_again(log, config, Refold(config, entry, position, counts_only=True))
    msg = f"journal position {position} holds no model record"
    raise ConfigurationError(msg)


def folded_again(
    log: Log, config: Config, again: Refold, *, progress: Progress = lambda *_: None
) -> Refold:
    """Return `again`, done."""
    while not again.done:
        for position, record in journal(log, config, again.position):
            if not again.apply(record, position):
                break
            if position % 1_000 == 0:
                progress(position, again.end)
        else:
            again.end_pass()
    return again


class _Known:
    """What a proposal names, against what the journal's lessons know."""

    def __init__(self, proposal: ControlProposal) -> None:
        wanted = proposal.selected or Selected()
        self._events = set(proposal.without)
        self._annotators = set(wanted.without_annotators)
        self._classes = {
            "--without-class": set(wanted.without_classes),
            "--rename-class": set(wanted.renamed),
        }

    def check(self, log: Log, config: Config, end: int) -> None:
        """Refuse names of which the journal has no lesson: a typing error would leave out nothing.

        Raises
        ------
        ConfigurationError
            Naming the first of each kind.
        """
        if not (self._events or self._annotators or any(self._classes.values())):
            return
        events: set[str] = set()
        annotators: set[str] = set()
        classes: set[str] = set()
        for position, record in journal(log, config):
            if position >= end:
                break
            if not isinstance(record, LabelEntry | SeedEntry | VolunteeredEntry):
                continue
            if record.event_id in self._events:
                events.add(record.event_id)
            annotators.update(_who(record))
            classes.add(record.label)
            if isinstance(record, LabelEntry):
                classes.update(vote.label for vote in record.votes)
        problems = [
            *_unknown("--without", "this event", self._events - events),
            *_unknown("--without-annotator", "this annotator", self._annotators - annotators),
        ]
        renamed = {new for _, entry in journal(log, config) for new in _new_names(entry)}
        for option, wanted in self._classes.items():
            problems += _unknown(option, "this class", wanted - classes - renamed, classes)
        if problems:
            raise ConfigurationError(*problems)


def _who(record: LabelEntry | SeedEntry | VolunteeredEntry) -> list[str]:
    match record:
        case LabelEntry():
            return [vote.annotator for vote in record.votes]
        case VolunteeredEntry():
            return [record.annotator]
        case _:
            return []


def _new_names(entry: JournalRecord) -> Iterable[str]:
    return (entry.renamed or {}).values() if isinstance(entry, ModelEntry) else ()


def _unknown(
    option: str, what: str, names: Iterable[str], known: Iterable[str] = ()
) -> Iterator[str]:
    unknown = sorted(names)
    if not unknown:
        return
    close = get_close_matches(unknown[0], list(known), n=1, cutoff=0.5)
    yield (
        f"{option}: {unknown[0]!r}: the journal holds no lesson of {what}"
        f"{f' (nor of {len(unknown) - 1:,} others)' if len(unknown) > 1 else ''}"
        f"{f'; did you mean {close[0]!r}?' if close else ''}; "
        "`stream-al read journal` shows the labels that taught"
    )
