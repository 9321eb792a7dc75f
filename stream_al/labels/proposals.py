"""What operators propose: judged here, journaled by the resolver.

A proposal becomes one journal record, or a sentence that says what is wrong with it. What came
before is recognised by what the journal tells, so a rebuild judges alike.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from pydantic import ValidationError

from stream_al.config import Config
from stream_al.labels.classes import NewClass
from stream_al.messages import (
    ControlEntry,
    ControlProposal,
    GoldEntry,
    JournalRecord,
    ModelEntry,
    SeedEntry,
    Settings,
    initial_patch,
)
from stream_al.problems import uncertainty_problem

ACTOR = "resolver"
"""Who changes settings when nobody did."""
PROPOSALS_REMEMBERED_MAX = 10_000
"""Proposals of which a second append is recognised, the newest."""
SEEDS_REMEMBERED_MAX = 200_000
"""Seeds of which a second one is recognised, the newest; about 100 bytes each."""


@dataclass(frozen=True, slots=True)
class ProposalResult:
    """What became of a proposal: records, already applied, or what is wrong with it.

    Neither for a proposal that was made before: it is in force, and nothing happens twice.
    `new_class` is of a seed or gold question that names a class for the first time.
    """

    records: tuple[JournalRecord, ...] = ()
    problem: str | None = None
    new_class: NewClass | None = None


class Remembered:
    """The newest `limit` of the keys that were added, as 64-bit hashes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._keys: set[int] = set()
        self._order: deque[int] = deque()

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, parts: tuple[str, ...]) -> bool:
        return _hashed(parts) in self._keys

    def add(self, parts: tuple[str, ...]) -> None:
        """Remember a key, and forget the oldest beyond the limit."""
        key = _hashed(parts)
        if key in self._keys:
            return
        self._keys.add(key)
        self._order.append(key)
        if len(self._order) > self._limit:
            self._keys.discard(self._order.popleft())


def _hashed(parts: tuple[str, ...]) -> int:
    # Lengths in front: no two different keys are written alike.
    text = "".join(f"{len(part)}:{part}" for part in parts)
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def control_problem(
    settings: Settings,
    patch: dict[str, Any],
    known_uncertainties: Callable[[], Iterable[str]] | None,
) -> str | None:
    """Return what is wrong with a patch of `settings`, in words for its author; None if nothing.

    It is judged by what it names: what is in force already is no reason to refuse a pause.

    Parameters
    ----------
    known_uncertainties
        Gives the names that `gate.uncertainty` may take; None to take any name.

    Examples
    --------
    >>> control_problem(Settings(), {"gate": {"budget": {"share": 2}}}, None)
    'gate.budget.share: 2: Input should be less than or equal to 1'
    >>> control_problem(Settings(), {"modes": {"paused": True}}, None)
    """
    if _empty(patch):
        return f"patch: {patch!r}: it changes nothing; name a setting"
    try:
        patched = settings.patched(patch, strict=True)
    except ValidationError as error:
        return "; ".join(
            f"{'.'.join(map(str, one['loc']))}: {one['input']!r:.100}: {one['msg']}"
            for one in error.errors()
        )
    for name in ("partitions", "votes"):
        if getattr(patched, name) != getattr(settings, name):
            return (
                f"{name}: {getattr(patched, name)}: it follows the resolver's configuration file; "
                f"change it there and restart the resolver"
            )
    budget = patched.gate.budget
    open_max = budget.open if _names(patch, "gate", "budget", "open") else None
    if open_max is not None and 0 < open_max < patched.partitions:
        return (
            f"gate.budget.open: {open_max}: below the {patched.partitions} partitions some would "
            f"never ask; set at least {patched.partitions}, or 0 for none"
        )
    if known_uncertainties is None or not _names(patch, "gate", "uncertainty"):
        return None
    problem = uncertainty_problem(patched.gate.uncertainty, known_uncertainties())
    return None if problem is None else f"gate.uncertainty is {problem}"


def _empty(patch: Any) -> bool:
    """Whether a patch ends without a value, at whatever depth."""
    return isinstance(patch, dict) and all(map(_empty, patch.values()))


def _names(patch: Any, *path: str) -> bool:
    """Whether a patch says anything about the setting at `path`."""
    for part in path:
        if not isinstance(patch, dict) or part not in patch:
            return False
        patch = patch[part]
    return True


def seed_problem(proposal: ControlProposal) -> str | None:
    """Return what a seed or gold question lacks, in words for its author, or None.

    Examples
    --------
    >>> seed = ControlProposal(kind="seed", proposal_id="1", actor="ops", event_id="a", label="x")
    >>> seed_problem(seed)
    'features: None: a seed needs event_id, label and features'
    """
    for name in ("event_id", "label", "features"):
        if getattr(proposal, name) in (None, ""):
            value = getattr(proposal, name)
            return f"{name}: {value!r}: a seed needs event_id, label and features"
    return None


def model_problem(proposal: ControlProposal) -> str | None:
    """Return what is wrong with a proposed lineage, in words for its author; None if nothing.

    Examples
    --------
    >>> model_problem(ControlProposal(kind="model", proposal_id="1", actor="ops"))
    'config_hash: None: a new lineage needs config_hash and preset'
    """
    for name in ("config_hash", "preset"):
        if not getattr(proposal, name):
            value = getattr(proposal, name)
            return f"{name}: {value!r}: a new lineage needs config_hash and preset"
    return None


def control_entry(proposal: ControlProposal, *, now_ms: int) -> ControlEntry:
    """Return the record of a sound patch."""
    return ControlEntry(
        at_ms=now_ms,
        actor=proposal.actor,
        reason=proposal.reason,
        patch=proposal.patch,
        proposal_id=proposal.proposal_id,
    )


def seed_entry(proposal: ControlProposal, *, now_ms: int) -> SeedEntry:
    """Return the record of a sound seed."""
    assert proposal.event_id is not None, "a sound seed names its event"
    assert proposal.label is not None, "a sound seed has a label"
    return SeedEntry(
        at_ms=now_ms,
        event_id=proposal.event_id,
        label=proposal.label,
        features=proposal.features,
    )


def gold_entry(proposal: ControlProposal, *, now_ms: int) -> GoldEntry:
    """Return the record of a sound gold question, which has all that a seed has."""
    seed = seed_entry(proposal, now_ms=now_ms)
    return GoldEntry(
        at_ms=now_ms,
        event_id=seed.event_id,
        label=seed.label,
        features=seed.features,
        segment=proposal.segment,
        meta=proposal.meta,
    )


def model_entry(
    proposal: ControlProposal,
    *,
    chain: str,
    now_ms: int,
    before: tuple[ModelEntry, int] | None = None,
    end: int = 0,
) -> ModelEntry:
    """Return the record of a new lineage, named after the whole journal before it (`chain`).

    Parameters
    ----------
    before
        The lineage in force and its journal position: a replay teaches its lessons again.
    end
        The journal's end: a replay may learn what was frozen below it.
    """
    assert proposal.config_hash is not None, "a sound lineage names its configuration"
    assert proposal.preset is not None, "a sound lineage names its preset"
    named = f"{chain} {proposal.config_hash} {now_ms}".encode()
    return ModelEntry(
        at_ms=now_ms,
        model_id=blake2b(named, digest_size=8).hexdigest(),
        config_hash=proposal.config_hash,
        preset=proposal.preset,
        actor=proposal.actor,
        reason=proposal.reason,
        proposal_id=proposal.proposal_id,
        **_replayed(proposal, before, end),
    )


def _replayed(
    proposal: ControlProposal, before: tuple[ModelEntry, int] | None, end: int
) -> dict[str, Any]:
    """Return what a lineage learns again: all that the one before it learnt, as was asked for."""
    if proposal.start == "empty" or before is None:
        return {}
    lineage, position = before
    again = lineage.start == "replay"
    return {
        "start": "replay",
        "lessons_from": lineage.lessons_from if again else position,
        "without": tuple(sorted({*lineage.without, *proposal.without})),
        "thawed_to": end if proposal.learn_frozen else lineage.thawed_to,
    }


def first_entries(config: Config, *, chain: str, now_ms: int) -> list[JournalRecord]:
    """Return what an empty journal begins with: the lineage and the configured settings."""
    proposal = ControlProposal(
        kind="model",
        proposal_id="start",
        actor=ACTOR,
        reason="the journal was empty",
        config_hash=config.model_hash(),
        preset=config.model.factory or config.model.preset,
    )
    model = model_entry(proposal, chain=chain, now_ms=now_ms)
    patch = initial_patch(config.settings())
    reason = "the configured settings"
    return [model, ControlEntry(at_ms=now_ms, actor=ACTOR, reason=reason, patch=patch)]


def division_entries(config: Config, settings: Settings, *, now_ms: int) -> list[JournalRecord]:
    """Return the new division of the budget, when partitions or votes were configured anew."""
    configured = config.settings()
    patch = {
        name: getattr(configured, name)
        for name in ("partitions", "votes")
        if getattr(configured, name) != getattr(settings, name)
    }
    reason = "the configuration divides the budget anew"
    entry = ControlEntry(at_ms=now_ms, actor=ACTOR, reason=reason, patch=patch)
    return [entry] if patch else []
