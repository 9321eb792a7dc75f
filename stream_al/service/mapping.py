"""The mapping that the journal has in force, and whether this process works by the same.

Workers that read events in two ways, or draw by two secrets, would make two kinds of predictions
and queries side by side. So what decides them is journaled (`stream_al.inputs`), and a worker of
another configuration ends before it predicts anything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from pydantic import ValidationError

from stream_al.config import Config, EventsSection
from stream_al.errors import ConfigurationError
from stream_al.inputs import described, differing, inputs_of, of_the_model
from stream_al.messages import ControlEntry, Inputs, ModelEntry
from stream_al.port import Log
from stream_al.service.groups import check_lineage
from stream_al.service.settings import gate_secret
from stream_al.service.view import journal
from stream_al_connectors.opening import log_path

NAMED_MAX = 10
_SCRYPT_COST = 1 << 14


@lru_cache(maxsize=8)
def secret_hash(app: str, secret: bytes) -> str:
    """Return what the journal says about the gate's secret: slow to try, and of this app alone.

    Examples
    --------
    >>> secret_hash("a", b"sixteen or more.") == secret_hash("b", b"sixteen or more.")
    False
    """
    salt = f"stream-al gate secret of {app}".encode()
    return hashlib.scrypt(secret, salt=salt, n=_SCRYPT_COST, r=8, p=1, dklen=16).hex()


def own_inputs(config: Config, secret: bytes | None = None) -> Inputs:
    """Return what this process's configuration decides; without `secret`, all but that."""
    return inputs_of(config, None if secret is None else secret_hash(config.app, secret))


def inputs_at_hand(config: Config) -> Inputs:
    """Return `own_inputs`, with the secret where this machine has it."""
    try:
        return own_inputs(config, gate_secret(config, beside=Path(log_path(config)), create=False))
    except ConfigurationError:
        return own_inputs(config)


def check_inputs(in_force: Inputs | None, own: Inputs | None) -> None:
    """Refuse to work by another mapping than the journal has in force.

    What makes another model is left to `check_lineage`.

    Raises
    ------
    ConfigurationError
        Naming the keys that differ, and the command that puts this configuration in force.
    """
    if in_force is None or own is None:
        return
    keys = [key for key in differing(in_force, own) if not of_the_model(key)]
    if keys:
        raise ConfigurationError(
            f"the journal has another configuration in force than this one: "
            f"{named(keys, in_force, own)}; put it back, or run `stream-al mapping activate` to "
            "put this one in force: workers of the other one end then"
        )


class Fit:
    """Whether this process fits what the journal has in force; looked at when that changes.

    Parameters
    ----------
    own
        By what this process predicts and asks; None for one that does neither.
    """

    def __init__(self, config: Config, own: Inputs | None) -> None:
        self.own = own
        self._config = config
        self._seen: tuple[ModelEntry | None, Inputs | None] = (None, None)

    def check(self, lineage: ModelEntry | None, in_force: Inputs | None) -> None:
        """Refuse a lineage and inputs that are not ours.

        Raises
        ------
        ConfigurationError
            Naming in what they differ, and the command that goes on.
        """
        if self._seen[0] is lineage and self._seen[1] is in_force:
            return
        check_lineage(lineage, self._config, in_force)
        check_inputs(in_force, self.own)
        self._seen = lineage, in_force


def named(keys: list[str], in_force: Inputs, own: Inputs) -> str:
    """Return keys that differ, for people; at most `NAMED_MAX`."""
    said = [described(key, in_force, own) for key in keys[:NAMED_MAX]]
    more = len(keys) - len(said)
    return "; ".join(said) + (f"; and {more} more" if more else "")


def mappings(log: Log, config: Config) -> list[tuple[int, EventsSection]]:
    """Return (first model version, how events are read by it) of all times, oldest first.

    Before the journal said anything the first that it says is taken; where it never did, ours.

    Raises
    ------
    ConfigurationError
        When a newer version wrote one that can't be understood here.
    """
    found = list(_mappings(log, config)) or [(0, config.events)]
    return [(0, found[0][1]), *found[1:]]


def _mappings(log: Log, config: Config) -> Iterator[tuple[int, EventsSection]]:
    for position, entry in journal(log, config):
        if not isinstance(entry, ControlEntry | ModelEntry) or entry.inputs is None:
            continue
        try:
            yield position + 1, EventsSection.model_validate(entry.inputs.events)
        except ValidationError:
            raise ConfigurationError(
                f"journal position {position}: its mapping was written by a newer version: upgrade"
            ) from None
