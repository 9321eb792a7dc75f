"""`journal redact`: a person's payload leaves the journal, and the model that learnt it retires.

In this order, so that a second run finishes what a killed one began: first the log is asked whether
it can rewrite, then comes a lineage that never learns of these events, then their payloads are
blanked, then the snapshots from before are removed.
Every worker folds to the same model before and after the blanking, for the lineage in force leaves
these events out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypedDict

from pydantic_core import from_json, to_json

from stream_al.config import Config
from stream_al.errors import ConfigurationError, NotTaken
from stream_al.messages import FOREVER, ModelEntry
from stream_al.port import Log
from stream_al.service.activate import activate, lineage_proposal
from stream_al.service.clock import Clock
from stream_al.service.proposals import in_force_from
from stream_al.service.snapshotting import snapshot_store
from stream_al.service.view import journal, journal_records


class Redacted(TypedDict):
    """What was done: records blanked now, since when the model holds, snapshots removed."""

    blanked: int
    in_force_from: int
    snapshots_removed: int


def redact_events(
    log: Log, config: Config, event_ids: tuple[str, ...], *, actor: str, reason: str, clock: Clock
) -> Redacted:
    """Blank the features that the journal holds of some events.

    Raises
    ------
    ConfigurationError
        When the journal holds nothing of one of them, a resolver refuses the new lineage, or the
        log can't rewrite.
    NotTaken
        When no resolver journals the new lineage in time.
    """
    log.rewrite(config.topic("journal"), 0, {})
    lineage = _known(log, config, event_ids)
    if lineage is None or not set(event_ids) <= _forgotten(lineage[1]):
        proposal = lineage_proposal(
            config, actor=actor, reason=reason, start="replay", without=event_ids
        )
        try:
            position = in_force_from(activate(log, config, proposal, clock=clock), config)
        except NotTaken as error:
            raise NotTaken(f"nothing is blanked: {error}; then run this command again") from None
    else:
        position = lineage[0] + 1
    values = dict(_blanked(log, config, frozenset(event_ids)))
    if values:
        log.rewrite(config.topic("journal"), 0, values)
    store = snapshot_store(config)
    return {
        "blanked": len(values),
        "in_force_from": position,
        "snapshots_removed": 0 if store is None else store.remove_to(position),
    }


def _blanked(log: Log, config: Config, event_ids: frozenset[str]) -> Iterator[tuple[int, bytes]]:
    """Yield (position, value without features and meta) of what the journal holds of the events.

    Blanked as JSON: a field that this version does not know stays, or the chain would not hold.
    """
    for record, _ in journal_records(log, config):
        body = from_json(record.value)
        if body.get("event_id") in event_ids and body.get("features") is not None:
            body["features"] = None
            body.pop("meta", None)
            yield record.offset, to_json(body)


def _forgotten(lineage: ModelEntry) -> set[str]:
    return {event_id for event_id, bound in lineage.bounds().items() if bound == FOREVER}


def _known(log: Log, config: Config, event_ids: tuple[str, ...]) -> tuple[int, ModelEntry] | None:
    """Return position and record of the lineage in force, when the journal knows the events."""
    found, known = None, set()
    for position, entry in journal(log, config):
        known.add(getattr(entry, "event_id", None))
        if isinstance(entry, ModelEntry):
            found = position, entry
    for event_id in event_ids:
        if event_id not in known:
            raise ConfigurationError(
                f"EVENT_ID: {event_id!r}: the journal holds nothing of this event; "
                "`stream-al read journal` shows what it holds"
            )
    return found
