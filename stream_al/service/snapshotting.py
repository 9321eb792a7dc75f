"""Snapshots: the folds of the journal at a position, so that a start does not repeat them.

A snapshot is a cache and the journal is the truth. One is used only when all of this holds, in this
order; else an older one, else the journal from its beginning, and each time a log line says why:

1. the file is verified in full (`stream_al_connectors.snapshots`)
2. it is of this model configuration, and was folded in the same environment
3. its chain hash is the one of the journal's record just before its position: a journal that was
   rolled back, or is another one, does not fit
4. its payload can be decoded
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Literal

from stream_al.config import LABEL_PATHS, Config
from stream_al.engine import Engine
from stream_al.errors import ConfigurationError, Gone
from stream_al.labels import Resolver
from stream_al.port import Log
from stream_al.service.environment import environment
from stream_al.service.logs import log as log_line
from stream_al.service.settings import snapshot_key
from stream_al.service.strays import chain_before
from stream_al_connectors.opening import log_path
from stream_al_connectors.snapshot_envelope import (
    RejectedSnapshot,
    Snapshot,
    SnapshotHeader,
    sha256,
)
from stream_al_connectors.snapshots import SnapshotFile, SnapshotStore

Part = Literal["engine", "resolver"]


def snapshot_store(config: Config) -> SnapshotStore | None:
    """Return the folder of snapshots; None for a log in memory that names none.

    Raises
    ------
    ConfigurationError
        When the key can't be used.
    """
    folder = state_folder(config)
    return None if folder is None else SnapshotStore(folder, snapshot_key(config))


def state_folder(config: Config) -> Path | None:
    """Return where workers keep files of their own; None for a log in memory that names none."""
    directory = config.snapshots.directory
    if directory is None and config.log.connector == "memory":
        return None
    return Path(directory or f"{log_path(config)}.snapshots")


def load_newest(log: Log, config: Config, engine: Engine) -> int:
    """Give `engine`, which folded nothing yet, the newest snapshot that fits.

    Returns
    -------
    int
        The next journal position to fold; 0 when no snapshot fits.

    Raises
    ------
    Gone
        When none fits and the journal's beginning is not there any more.
    """
    return _load(log, config, "engine", lambda found: engine.load_journal(found.engine))


def load_resolver(log: Log, config: Config, resolver: Resolver) -> int:
    """Give `resolver`, which folded nothing yet, the newest snapshot that fits; see `load_newest`.

    The snapshot knows no query: `begin_queries` and the queries' records come after it.
    """

    def restore(found: Snapshot) -> None:
        resolver.restore(pickle.loads(found.resolver))  # noqa: S301 - verified before

    return _load(log, config, "resolver", restore)


def take(config: Config, engine: Engine, resolver: Resolver, *, now_ms: int) -> Snapshot:
    """Return the snapshot of two folds that stand at the same journal position.

    `resolver` folded the journal alone: with queries added it would say what a rebuild reads again.
    """
    assert engine.version == resolver.position, "both folds stand at the same position"
    assert engine.lineage is not None, "an empty journal needs no snapshot"
    assert not resolver.pending_count, "queries are read again at every start"
    folded = engine.dump_journal()
    payload = folded + pickle.dumps(resolver.dump())
    header = SnapshotHeader(
        model_id=engine.lineage.model_id,
        position=engine.version,
        chain=resolver.chain,
        config_hash=config.model_hash(),
        labels_hash=_labels_hash(config),
        environment=environment(),
        engine_bytes=len(folded),
        payload_bytes=len(payload),
        payload_sha256=sha256(payload),
        created_at_ms=now_ms,
    )
    return Snapshot(header, payload)


def verified(
    log: Log, config: Config, store: SnapshotStore, file: SnapshotFile, part: Part | None = None
) -> Snapshot:
    """Return a snapshot that may be decoded: whole, ours, and of this journal.

    Parameters
    ----------
    part
        Which one is wanted; the engine's does not depend on the label settings. None for both.

    Raises
    ------
    RejectedSnapshot
        Saying why it must not be.
    """
    snapshot = store.read(file)
    header = snapshot.header
    if header.config_hash != config.model_hash():
        raise RejectedSnapshot(
            f"it is of model configuration {header.config_hash}, "
            f"the configured one is {config.model_hash()}"
        )
    if part != "engine" and header.labels_hash != _labels_hash(config):
        raise RejectedSnapshot("it was folded under other `labels` settings")
    if header.environment != environment():
        raise RejectedSnapshot(f"it was folded by {header.environment}; this is {environment()}")
    chain = chain_before(log, config, header.position)
    if chain is None:
        raise RejectedSnapshot(f"the journal has no record just before {header.position}")
    if chain != header.chain:
        raise RejectedSnapshot(
            f"the journal's chain before {header.position} is {chain}, its own is {header.chain}: "
            "it is of another journal, or of one that was rolled back"
        )
    return snapshot


def _load(log: Log, config: Config, part: Part, restore: Callable[[Snapshot], None]) -> int:
    store = snapshot_store(config)
    why = store.folder_problem() if store else None
    if why is not None:
        log_line("snapshots_not_read", part=part, why=why)
    for file, snapshot in _fitting(log, config, store, part) if store else ():
        try:
            restore(snapshot)
        except Exception as error:  # noqa: BLE001 - whatever a pickle says: the journal is there
            _reject(part, file, f"its payload can't be decoded: {error!r:.200}")
            continue
        log_line("snapshot_loaded", part=part, file=file.name, position=file.position)
        return file.position
    begin = log.begin(config.topic("journal"), 0)
    if begin > 0:
        raise Gone(
            f"the journal begins at {begin} and no snapshot stands for what was before; restore "
            "the journal or a snapshot that fits (`stream-al snapshot verify` says why none does)"
        )
    return 0


def _fitting(
    log: Log, config: Config, store: SnapshotStore, part: Part
) -> Iterator[tuple[SnapshotFile, Snapshot]]:
    for file in store.files():
        try:
            snapshot = verified(log, config, store, file, part)
        except RejectedSnapshot as why:
            _reject(part, file, str(why))
            continue
        yield file, snapshot


def _reject(part: Part, file: SnapshotFile, why: str) -> None:
    log_line("snapshot_rejected", part=part, file=file.name, why=" ".join(why.split()))


def _labels_hash(config: Config) -> str:
    """Return the hash of what decides about labels; where their fields lie is no part of it."""
    decides = config.labels.model_dump_json(exclude=set(LABEL_PATHS))
    return blake2b(decides.encode(), digest_size=8).hexdigest()


def snapshot_problems(config: Config) -> list[str]:
    """Return what keeps snapshots from being read, in words for `check`."""
    try:
        store = snapshot_store(config)
    except ConfigurationError as error:
        return list(error.problems)
    if store is None:
        return []
    why = store.folder_problem()
    return [f"snapshots.directory: {why}"] if why else []
