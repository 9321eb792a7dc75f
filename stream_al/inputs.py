"""What of a configuration decides predictions and queries, and where two of them differ.

Pure. What run-time settings decide is in the journal already; the rest is here, generic over the
fields of the sections, so that a new one is taken without a word.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

from pydantic import BaseModel

from stream_al.config import LABEL_PATHS, Config
from stream_al.messages.inputs import SECRET_KEY, Inputs

RESOLVER_ONLY = frozenset(
    {
        *("votes", "votes_max", "skips_max", "expire_after", "revise_within", "closed_max"),
        "gold_share",
        *LABEL_PATHS,
    }
)
"""Of `labels`: what the one resolver decides by, which may change from one start to the next."""
_OF_THE_MODEL = ("model.", "events.types", "labels.classes")
_SHOWN_CHARACTERS = 80


def inputs_of(config: Config, secret_hash: str | None = None) -> Inputs:
    """Return what of `config` decides predictions and queries.

    Examples
    --------
    >>> config = Config.model_validate({"events": {"event_id": "id", "features": {"text": "body"}}})
    >>> sorted(inputs_of(config).digests), inputs_of(config).events
    (['events.event_id', 'events.features.text'], {'event_id': 'id', 'features': {'text': 'body'}})
    >>> inputs_of(Config()).digests
    {}
    """
    events = _not_default(config.events)
    sections = {
        "events": events,
        "labels": _not_default(config.labels, leave_out=RESOLVER_ONLY),
        "model": _not_default(config.model),
    }
    digests = {name: _digest(value) for name, value in _flat(sections)}
    if secret_hash is not None:
        digests[SECRET_KEY] = secret_hash
    return Inputs(digests=digests, events=events, classes=config.labels.classes)


def differing(journal: Inputs, own: Inputs) -> list[str]:
    """Return the keys in which the two differ, sorted; one that only one of them knows is equal.

    Examples
    --------
    >>> one, other = (Inputs(digests={"model.seed": digest}) for digest in "ab")
    >>> differing(one, other), differing(one, Inputs(digests={})), differing(one, one)
    (['model.seed'], ['model.seed'], [])
    """
    keys = {*journal.digests, *own.digests}
    if SECRET_KEY not in journal.digests or SECRET_KEY not in own.digests:
        keys.discard(SECRET_KEY)
    return sorted(key for key in keys if journal.digests.get(key) != own.digests.get(key))


def of_the_model(key: str) -> bool:
    """Whether a key makes another model, so that it takes a new lineage to change it."""
    return key.startswith(_OF_THE_MODEL)


def differing_model(journal: Inputs, own: Inputs) -> list[str]:
    """Return in what the two make other models, for people."""
    return [described(key, journal, own) for key in differing(journal, own) if of_the_model(key)]


def described(key: str, journal: Inputs, own: Inputs) -> str:
    """Return how a key differs, for people: with both values, where they are no secret.

    Examples
    --------
    >>> one, other = (Inputs(digests={}, events={"at_ms": path}) for path in ("at", "created"))
    >>> described("events.at_ms", one, other)
    "events.at_ms is 'at' in the journal, 'created' here"
    >>> described("labels.classes", Inputs(digests={}, classes=("a", "b")),
    ...           Inputs(digests={}, classes=("a", "c")))
    "labels.classes: 'c' is new, 'b' is gone"
    >>> described("gate.secret", one, other)
    'gate.secret is another one'
    """
    if key == "labels.classes" and None not in (journal.classes, own.classes):
        return f"{key}: {_sets(journal.classes or (), own.classes or ())}"
    if key == "labels.classes":
        before, now = (_set_of(one.classes) for one in (journal, own))
        return f"{key} is {before} in the journal, {now} here"
    if not key.startswith("events."):
        return f"{key} is another one"
    before, now = (_value(one, key) for one in (journal, own))
    return f"{key} is {before} in the journal, {now} here"


def _sets(journal: tuple[str, ...], own: tuple[str, ...]) -> str:
    new = [f"{name!r} is new" for name in own if name not in journal]
    gone = [f"{name!r} is gone" for name in journal if name not in own]
    return ", ".join(new + gone) or "in another order"


def _set_of(classes: tuple[str, ...] | None) -> str:
    return "an open set" if classes is None else f"({', '.join(classes)})"


def _value(inputs: Inputs, key: str) -> str:
    found = dict(_flat({"events": inputs.events})).get(key)
    return "not set" if found is None else repr(found)[:_SHOWN_CHARACTERS]


def _not_default(section: BaseModel, leave_out: frozenset[str] = frozenset()) -> dict[str, Any]:
    values = section.model_dump(mode="json")
    return {
        name: values[name]
        for name, field in type(section).model_fields.items()
        if name not in leave_out
        and getattr(section, name) != field.get_default(call_default_factory=True)
    }


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _digest(value: Any) -> str:
    return blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=8).hexdigest()
