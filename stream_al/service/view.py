"""The read side: what commands show, folded from the log alone. Nothing is written here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from stream_al.config import Config
from stream_al.messages import (
    ClosedEntry,
    ControlEntry,
    Inputs,
    JournalRecord,
    LabelEntry,
    ModelEntry,
    Prediction,
    RetractionEntry,
    Settings,
    StartEntry,
    Starts,
    unpacked,
)
from stream_al.port import Log, Record
from stream_al.quality import Quality, QualitySummary
from stream_al.service.strays import links_at

READ_RECORDS_MAX = 1_000
_PREDICTION_FIELDS = Prediction.model_fields.keys() - {"schema_version", "at_ms", "segment", "mode"}


def records(log: Log, topic: str, partition: int, start: int) -> Iterator[Record]:
    """Yield the committed records of a partition from `start` to its present end."""
    position = max(start, log.begin(topic, partition))
    end = log.end(topic, partition)
    while position < end:
        batch = log.read(topic, partition, position, limit=READ_RECORDS_MAX)
        if not batch:
            return
        yield from batch
        position = batch[-1].offset + 1


def predictions(
    log: Log, config: Config, partition: int, start: int
) -> Iterator[tuple[Record, dict[str, Any]]]:
    """Yield the predictions of a partition, as records and decoded, one by one.

    Those of an array have its offset. What is no prediction is passed over; `audit` names it.
    """
    for record in records(log, config.topic("predictions"), partition, start):
        try:
            found = [(one, from_json(one.value)) for one in opened_up(record)]
        except ValueError:
            continue
        yield from (pair for pair in found if _is_prediction(pair[1]))


def _is_prediction(said: Any) -> bool:
    if not isinstance(said, dict):
        return False
    source = said.get("source")
    return said.keys() >= _PREDICTION_FIELDS and isinstance(source, dict) and "offset" in source


def opened_up(record: Record) -> Iterator[Record]:
    """Yield a record, or each message of its array."""
    if not record.value.startswith(b"["):
        yield record
        return
    for value in unpacked(record.value):
        yield record._replace(value=value)


def journal(log: Log, config: Config, start: int = 0) -> Iterator[tuple[int, JournalRecord]]:
    """Yield (position, record) of the journal from `start` to its present end, without strays."""
    take = links_at(log, config, start).take
    for record in records(log, config.topic("journal"), 0, start):
        entry = take(record)
        if entry is not None:
            yield record.offset, entry


def journal_records(
    log: Log, config: Config, start: int = 0
) -> Iterator[tuple[Record, JournalRecord]]:
    """Yield the journal's records from `start` to its present end as they lie there, and read."""
    links = links_at(log, config, start)
    for record in records(log, config.topic("journal"), 0, start):
        entry = links.take(record)
        if entry is not None:
            yield record, entry


def recorded_starts(log: Log, config: Config) -> Starts:
    """Return what the journal says about where inputs begin; reads all of it."""
    starts = Starts()
    for _, entry in journal(log, config):
        if isinstance(entry, StartEntry):
            starts.fold(entry)
    return starts


def differences(configured: Settings, in_force: Settings) -> dict[str, list[Any]]:
    """Return setting → [configured, in force], where the journal has it otherwise.

    Examples
    --------
    >>> differences(Settings(), Settings().patched({"gate": {"budget": {"share": 0.02}}}))
    {'gate.budget.share': [0.05, 0.02]}
    """
    file, journal_says = _flat(configured.model_dump()), _flat(in_force.model_dump())
    return {
        name: [file[name], value] for name, value in journal_says.items() if file[name] != value
    }


def sentences(different: dict[str, list[Any]]) -> list[str]:
    """Return `differences` as people read them.

    Examples
    --------
    >>> sentences({"gate.budget.share": [0.05, 0.02]})
    ['gate.budget.share is 0.02, the configuration says 0.05']
    """
    return [
        f"{name} is {in_force}, the configuration says {configured}"
        for name, (configured, in_force) in different.items()
    ]


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        below = _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else None
        found |= {prefix + name: value} if below is None else below
    return found


@dataclass(frozen=True, slots=True)
class JournalView:
    """What the journal alone says: settings, lineage, quality, counts."""

    position: int
    settings: Settings
    lineage: ModelEntry | None
    last_control: tuple[int, ControlEntry] | None
    quality: QualitySummary
    kinds: Counter[str]
    latencies_ms: tuple[int, ...]
    starts: Starts
    inputs: tuple[int, str, Inputs] | None = None
    """Position, actor and content of what decides predictions; None where the journal says none."""
    last_budget: tuple[int, ControlEntry] | None = None
    """The newest of the controls that turned the budget."""


LATENCIES_MAX = 1_000


def journal_view(log: Log, config: Config) -> JournalView:
    """Fold the journal without a model."""
    settings, quality = config.settings(), Quality()
    lineage: ModelEntry | None = None
    last_control: tuple[int, ControlEntry] | None = None
    last_budget: tuple[int, ControlEntry] | None = None
    inputs: tuple[int, str, Inputs] | None = None
    position = 0
    kinds: Counter[str] = Counter()
    latencies: list[int] = []
    starts = Starts()
    for offset, record in journal(log, config):
        position = offset + 1
        kinds[record.kind] += 1
        if isinstance(record, ControlEntry | ModelEntry) and record.inputs is not None:
            known = None if inputs is None else inputs[2]
            inputs = offset, record.actor, record.inputs.after(known)
        match record:
            case LabelEntry():
                quality.apply(record, random_share=settings.gate.random_share)
                latencies.append(record.latency_ms)
                del latencies[:-LATENCIES_MAX]
            case RetractionEntry():
                quality.retract(record, random_share=settings.gate.random_share)
            case ClosedEntry() if record.reason != "repeated":
                quality.lost(record.reason)
            case ControlEntry() if record.inputs is None:
                settings = settings.folded(record.patch)
                last_control = (offset, record)
                if "budget" in record.patch.get("gate", {}):
                    last_budget = last_control
            case ModelEntry():
                lineage, quality = record, Quality(since=offset)
            case StartEntry():
                starts.fold(record)
    return JournalView(
        position=position,
        settings=settings,
        lineage=lineage,
        last_control=last_control,
        quality=quality.summary(),
        kinds=kinds,
        latencies_ms=tuple(latencies),
        starts=starts,
        inputs=inputs,
        last_budget=last_budget,
    )
