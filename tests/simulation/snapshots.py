"""Snapshots of a simulated world: written by the product's writer, damaged by us."""

from __future__ import annotations

from stream_al.config import Config
from stream_al.port import Log
from stream_al.service.clock import Clock
from stream_al.service.snapshot_writer import SnapshotWriter
from stream_al.service.snapshotting import snapshot_store
from stream_al_connectors.snapshots import SnapshotStore


def kept_in(folder: str, config: Config) -> Config:
    """Return `config` with its snapshots in `folder`; no worker writes any by itself."""
    section = config.snapshots.model_copy(update={"directory": folder, "every_records": 0})
    return config.model_copy(update={"snapshots": section})


def write(log: Log, config: Config, clock: Clock) -> None:
    """Write a snapshot of the journal's present end."""
    SnapshotWriter(log, config, _store(config), clock=clock, stop=lambda: False).write()


def spoil(config: Config, place: int) -> None:
    """Change one byte of the newest snapshot, if there is one."""
    store = _store(config)
    for file in store.files()[:1]:
        path = store.folder / file.name
        body = bytearray(path.read_bytes())
        body[place * 7_919 % len(body)] ^= 1
        path.write_bytes(body)


def remove(config: Config) -> None:
    """Delete all that there are."""
    store = snapshot_store(config)
    for file in store.files() if store else ():
        store.remove_to(file.position)


def _store(config: Config) -> SnapshotStore:
    store = snapshot_store(config)
    assert store is not None, "a folder was made for it"
    return store
