"""A small deployment in one process: a worker that learnt, and what a start from its log gives."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stream_al.config import Config
from stream_al.engine import Engine
from stream_al.port import Log, Outgoing
from stream_al.service.clock import SystemClock
from stream_al.service.follower import Follower
from stream_al.service.rebuild import fold_journal, rebuild
from stream_al.service.snapshot_writer import SnapshotWriter
from stream_al.service.snapshotting import load_newest, snapshot_store
from stream_al.service.worker import Worker
from stream_al_connectors import open_log
from stream_al_connectors.snapshot_envelope import Snapshot, SnapshotHeader, seal, sha256
from stream_al_connectors.snapshots import SnapshotFile, SnapshotStore

NOW_MS = 4_000_000_000_000
"""Later than any record, so that two looks at the same queries agree."""


class Bomb:
    """Its unpickling leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str, int]]:
        return os.mkdir, (str(self.path), 0o700)


@dataclass(frozen=True)
class Start:
    """What a worker begins with: where its snapshots brought it, and the state at the end."""

    engine_from: int
    resolver_from: int
    digest: str
    fingerprint: str
    pending: str


class Place:
    """A folder with a log, snapshots and a configuration."""

    def __init__(self, folder: Path, **sections: Any) -> None:
        self.folder = folder
        self.config = Config.model_validate(
            {
                "log": {"path": str(folder / "log.db"), "durability": "normal"},
                "topics": {"partitions": 2},
                "gate": {"budget": {"share": 1.0}},
                "snapshots": {"every_records": 0},
            }
            | sections
        )

    @property
    def store(self) -> SnapshotStore:
        store = snapshot_store(self.config)
        assert store is not None
        return store

    @property
    def newest(self) -> SnapshotFile:
        return self.store.files()[0]

    @property
    def path(self) -> Path:
        """Path of the newest snapshot."""
        return self.store.folder / self.newest.name

    @contextmanager
    def log(self) -> Iterator[Log]:
        log = open_log(self.config)
        try:
            yield log
        finally:
            log.close()

    def teach(self, first: int, count: int, *, unanswered: int = 1) -> None:
        """Let a worker ask about events and learn all but the oldest `unanswered` of them."""
        numbers = range(first, first + count)
        said = ("spam", "free money"), ("ham", "see you at lunch")
        events = [{"event_id": f"e-{n}", "features": {"text": f"{said[n % 2][1]} {n}", "n": n}}
                  for n in numbers]  # fmt: skip
        labels = [{"event_id": f"e-{n}", "label": said[n % 2][0], "annotator": "a"}
                  for n in numbers[unanswered:]]  # fmt: skip
        with self.log() as log:
            worker = Worker(log, self.config, secret=b"s" * 16, name="w", clock=SystemClock())
            for topic, lines in (("events", events), ("labels", labels)):
                log.append(
                    self.config.topic(topic),
                    [Outgoing(json.dumps(line).encode()) for line in lines],
                )
                worker_to_end(worker)
            for loop in (worker.scorer, worker.resolver):
                assert loop is not None
                loop.leave()

    def write(self) -> SnapshotFile | None:
        """Write a snapshot as the writer's process does."""
        with self.log() as log:
            return SnapshotWriter(log, self.config, self.store, clock=SystemClock()).write()

    def start(self) -> Start:
        """Do what a worker does on its log before it takes any partition."""
        with self.log() as log:
            engine = Engine(self.config, secret=b"")
            engine_from = load_newest(log, self.config, engine)
            follower = Follower(log, self.config, engine, clock=SystemClock())
            while not follower.at_end:
                follower.follow()
            resolver = fold_journal(log, self.config)
            fold = resolver.fingerprint(), dict(resolver._state.closed_ahead)
            pending = rebuild(log, self.config, now_ms=NOW_MS).fingerprint()
            return Start(
                engine_from=engine_from,
                resolver_from=resolver_begin(log, self.config),
                digest=f"{engine.version} {engine.model.digest()} {engine.closed}",
                fingerprint=repr(fold),
                pending=pending,
            )

    def start_from_nothing(self) -> Start:
        """Do the same with the snapshots out of the way."""
        hidden = self.folder / "hidden"
        self.store.folder.rename(hidden)
        try:
            return self.start()
        finally:
            hidden.rename(self.store.folder)

    def resealed(self, *, payload: bytes | None = None, key: bytes | None = None,
                 **changes: Any) -> None:  # fmt: skip
        """Put other contents into the newest snapshot, with a checksum that fits."""
        found = self.store.read(self.newest)
        header = found.header.model_dump() | changes
        if payload is not None:
            header |= {"payload_bytes": len(payload), "payload_sha256": sha256(payload)}
            header |= {"engine_bytes": changes.get("engine_bytes", len(payload))}
        made = Snapshot(SnapshotHeader.model_validate(header), payload or found.payload)
        self.path.write_bytes(seal(made.header, made.payload, key))

    def bomb(self, *, key: bytes | None = None) -> Path:
        """Make the newest snapshot one whose decoding leaves a trace; return the trace."""
        trace = self.folder / "exploded"
        self.resealed(payload=pickle.dumps(Bomb(trace)), key=key)
        return trace


def resolver_begin(log: Log, config: Config) -> int:
    """Return where a snapshot lets the resolver's fold begin."""
    from stream_al.service.rebuild import new_resolver  # noqa: PLC0415
    from stream_al.service.snapshotting import load_resolver  # noqa: PLC0415

    return load_resolver(log, config, new_resolver(log, config))


def worker_to_end(worker: Worker) -> None:
    """Step until everything that can be read is read."""
    while worker.step() or not worker._caught_up():
        pass
