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
from pydantic_core import from_json, to_json

from stream_al.config import Config
from stream_al.labels.classes import NewClass
from stream_al.messages import (
    FOREVER,
    SECRET_KEY,
    ControlEntry,
    ControlProposal,
    GoldEntry,
    Inputs,
    JournalRecord,
    ModelEntry,
    SeedEntry,
    Selected,
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


def proposal_problem(
    proposal: ControlProposal,
    settings: Settings,
    lineage: ModelEntry | None,
    known_uncertainties: Callable[[], Iterable[str]] | None,
) -> str | None:
    """Return what is wrong with a proposal, in words for its author; None if nothing."""
    match proposal.kind:
        case "control":
            return control_problem(settings, proposal.patch, known_uncertainties)
        case "model":
            return model_problem(proposal)
        case "mapping":
            assert lineage is not None, "the resolver's `start` comes first"
            return mapping_problem(proposal, lineage)
        case "seed" | "gold":
            return seed_problem(proposal)


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
    if proposal.start == "empty" and proposal.selected is not None:
        return "selected: a lineage that starts empty selects nothing; start it from a replay"
    return None


def mapping_problem(proposal: ControlProposal, lineage: ModelEntry) -> str | None:
    """Return what is wrong with a proposed mapping, in words for its author; None if nothing."""
    if proposal.inputs is None:
        return "inputs: None: a mapping comes with what it decides"
    if proposal.config_hash != lineage.config_hash:
        return (
            f"config_hash: {proposal.config_hash!r}: its types, classes or model are not those of "
            f"the lineage in force ({lineage.config_hash}); `stream-al model activate` starts one "
            "that has them"
        )
    return None


def control_entry(proposal: ControlProposal, *, now_ms: int) -> ControlEntry:
    """Return the record of a sound patch, or of a sound mapping."""
    return ControlEntry(
        at_ms=now_ms,
        actor=proposal.actor,
        reason=proposal.reason,
        patch={} if proposal.kind == "mapping" else proposal.patch,
        proposal_id=proposal.proposal_id,
        inputs=proposal.inputs if proposal.kind == "mapping" else None,
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
        meta=from_json(to_json(proposal.meta, inf_nan_mode="null")),  # as it will be read
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
        inputs=proposal.inputs,
        **_replayed(proposal, before, end),
    )


def _replayed(
    proposal: ControlProposal, before: tuple[ModelEntry, int] | None, end: int
) -> dict[str, Any]:
    """Return what a lineage learns again: all that the one before it learnt, as was asked for."""
    if proposal.start == "empty" or before is None:
        return {}
    lineage, position = before
    wanted = proposal.selected or Selected()
    bounds = {
        event_id: bound
        for event_id, bound in lineage.bounds().items()
        if bound == FOREVER or not wanted.anew
    }
    for event_id in proposal.without:
        bounds[event_id] = max(bounds.get(event_id, 0), end if wanted.corrections else FOREVER)
    without = tuple(sorted(bounds))
    ever = all(bound == FOREVER for bound in bounds.values())
    more = _selected(wanted, None if wanted.anew else lineage)
    return {
        "start": "selected" if more else "replay",
        "lessons_from": position if lineage.start == "empty" else lineage.lessons_from,
        "without": without,
        "without_to": None
        if ever
        else tuple(-1 if bounds[one] == FOREVER else bounds[one] for one in without),
        "thawed_to": end if proposal.learn_frozen else lineage.thawed_to,
        **more,
    }


def _selected(wanted: Selected, before: ModelEntry | None) -> dict[str, Any]:
    """Return what is left out beside events: what was before, and what is wanted now.

    Examples
    --------
    >>> fields = {"at_ms": 0, "model_id": "m", "config_hash": "", "preset": "", "actor": "ops"}
    >>> before = ModelEntry(**fields, reason="", renamed={"Spam": "spam"}, since_ms=7)
    >>> wanted = Selected(without_classes=("spam",), renamed={"spam": "bad"})
    >>> found = _selected(wanted, before)
    >>> found["without_classes"], sorted(found["renamed"].items()), found["since_ms"]
    (('Spam', 'spam'), [('Spam', 'bad'), ('spam', 'bad')], 7)
    >>> _selected(Selected(), None)
    {}
    """
    gone = wanted.without_classes
    renamed: dict[str, str] = {}
    annotators: tuple[str, ...] = ()
    since_ms, corrected = None, False
    if before is not None:
        renamed, since_ms = dict(before.renamed or {}), before.since_ms
        gone = (*gone, *(before.without_classes or ()))
        annotators, corrected = before.without_annotators or (), bool(before.corrected)
    also = [old for old, new in renamed.items() if new in wanted.without_classes]
    times = [time for time in (wanted.since_ms, since_ms) if time is not None]
    found = {
        "corrected": wanted.corrected or corrected,
        "since_ms": max(times, default=None),
        "without_annotators": tuple(sorted({*annotators, *wanted.without_annotators})),
        "without_classes": tuple(sorted({*gone, *also})),
        "renamed": wanted.renamed
        | {old: wanted.renamed.get(new, new) for old, new in renamed.items()},
    }
    return {name: value for name, value in found.items() if value}


def first_entries(
    config: Config, *, chain: str, now_ms: int, inputs: Inputs | None = None
) -> list[JournalRecord]:
    """Return what an empty journal begins with: the lineage and the configured settings."""
    proposal = ControlProposal(
        kind="model",
        proposal_id="start",
        actor=ACTOR,
        reason="the journal was empty",
        config_hash=config.model_hash(),
        preset=config.model.factory or config.model.preset,
        inputs=inputs,
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


def unknown_inputs(
    own: Inputs | None, in_force: Inputs | None, *, now_ms: int
) -> list[JournalRecord]:
    """Return the record of our own inputs, when the journal knows none, or not the secret."""
    if own is None:
        return []
    missing = in_force is None or (SECRET_KEY in own.digests and SECRET_KEY not in in_force.digests)
    reason = "what decides predictions and queries here"
    entry = ControlEntry(at_ms=now_ms, actor=ACTOR, reason=reason, patch={}, inputs=own)
    return [entry] if missing else []
