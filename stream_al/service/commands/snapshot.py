"""`stream-al snapshot`: looks at the folder of snapshots, checks it, thins it out, writes one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from stream_al.config import Config
from stream_al.errors import ConfigurationError
from stream_al.importing import look_beside
from stream_al.port import Log
from stream_al.private_files import why_refused
from stream_al.service.clock import SystemClock
from stream_al.service.commands.common import (
    ConfigOption,
    JsonOption,
    err,
    opened,
    out,
    print_json,
)
from stream_al.service.logs import start_logging
from stream_al.service.snapshotting import snapshot_store, verified
from stream_al.service.strategies import load_plugins
from stream_al_connectors.opening import open_log
from stream_al_connectors.snapshot_envelope import RejectedSnapshot
from stream_al_connectors.snapshots import SnapshotFile, SnapshotStore

if TYPE_CHECKING:
    from stream_al.service.snapshot_writer import SnapshotWriter

FOUND_VIOLATION = 3

snapshot_app = typer.Typer(
    help="Snapshots spare a start the whole journal; they are a cache, the journal is the truth.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    app.add_typer(snapshot_app, name="snapshot")


@snapshot_app.command("list")
def list_(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show the snapshots there are, newest first, and whether a start would take them.

    Example: `stream-al snapshot list`
    """
    with _folder(config) as (settings, log, store):
        rows = [_row(settings, log, store, file) for file in store.files()]
    if as_json:
        print_json(rows)
        return
    if not rows:
        out.print(f"no snapshots in {store.folder}", markup=False)
        return
    table = Table(box=None, pad_edge=False)
    for name in ("position", "behind", "age", "bytes", "model"):
        table.add_column(name, justify="left" if name == "model" else "right", no_wrap=True)
    table.add_column("valid")
    for row in rows:
        figures = [f"{row[name]:,}" for name in ("position", "behind", "age_s", "bytes")]
        figures[2] += " s"
        table.add_row(*figures, row["model_id"] or "–", row["why"] or "yes")
    out.print(table)


@snapshot_app.command()
def verify(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Check every snapshot as a start would, without loading any; exit 3 when one is rejected.

    Example: `stream-al snapshot verify`
    """
    with _folder(config) as (settings, log, store):
        rows = [_row(settings, log, store, file) for file in store.files()]
    if as_json:
        print_json(rows)
    for row in () if as_json else rows:
        why = row["why"]
        said = "ok" if row["valid"] else f"rejected: {why}"
        out.print(f"{row['file']}  {said}", markup=False, soft_wrap=True)
    if not rows:
        err.print(f"no snapshots in {store.folder}", markup=False)
    if not all(row["valid"] for row in rows):
        raise typer.Exit(FOUND_VIOLATION)


@snapshot_app.command()
def prune(
    keep: Annotated[
        int | None, typer.Option(min=0, help="How many stay [default: snapshots.keep].")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Delete all but the newest snapshots, and what a writer that died left behind.

    Example: `stream-al snapshot prune --keep 1`
    """
    with _folder(config) as (settings, log, store), _claimed(log):
        end = log.end(settings.topic("journal"), 0)
        dropped = store.prune(settings.snapshots.keep if keep is None else keep, end=end)
        store.sweep()
        err.print(f"deleted {len(dropped)}, {len(store.files())} stay")


@snapshot_app.command()
def write(
    config: ConfigOption = None,
    follow: Annotated[bool, typer.Option("--follow", hidden=True)] = False,
    beside: Annotated[Path | None, typer.Option("--beside", hidden=True)] = None,
) -> None:
    """Fold the journal to its end and write a snapshot there. Workers do this by themselves.

    Example: `stream-al snapshot write`
    """
    from stream_al.service.snapshot_writer import SnapshotWriter  # noqa: PLC0415 - imports River

    if follow:
        look_beside(beside)
        _follow()
        return
    with _folder(config) as (settings, log, store), _claimed(log):
        load_plugins(settings)
        file = _written(SnapshotWriter(log, settings, store, clock=SystemClock()), store)
    said = "nothing new since the newest one" if file is None else f"position {file.position:,}"
    err.print(f"{store.folder}: {said}", markup=False)


def _written(writer: SnapshotWriter, store: SnapshotStore) -> SnapshotFile | None:
    """Write a snapshot.

    Raises
    ------
    ConfigurationError
        When the folder can't take one that could be read again.
    """
    try:
        return writer.write()
    except RejectedSnapshot as error:
        why = f"{error}; the key is snapshots.key_file, or STREAM_AL_SNAPSHOTS__KEY"
    except OSError as error:
        why = why_refused(store.folder, error)
    raise ConfigurationError(f"snapshots.directory is {str(store.folder)!r}: {why}")


def _follow() -> None:
    """Write for the worker at the other end of stdin, until it is gone."""
    from stream_al.service.snapshot_writer import (  # noqa: PLC0415 - imports River
        CLAIM,
        NICENESS,
        ParentPipe,
        SnapshotWriter,
    )

    os.nice(NICENESS)
    start_logging()
    parent = ParentPipe()
    settings = parent.config()
    load_plugins(settings)
    log = open_log(settings, create=False)
    try:
        store, claim = snapshot_store(settings), log.claim(CLAIM)
        if store is None or claim is None:  # another worker's writer is at it
            return
        with claim:
            SnapshotWriter(log, settings, store, clock=SystemClock(), stop=parent.ended).follow(
                parent.wait
            )
    finally:
        log.close()


@contextmanager
def _folder(config_file: Path | None) -> Iterator[tuple[Config, Log, SnapshotStore]]:
    with opened(config_file) as (settings, log):
        store = snapshot_store(settings)
        if store is None:
            raise ConfigurationError(
                f"log.connector is {settings.log.connector}: it has no snapshots; "
                "use a log in a file, or name snapshots.directory"
            )
        if store.folder.exists() and not os.access(store.folder, os.R_OK | os.X_OK):
            raise ConfigurationError(f"snapshots.directory: {store.folder_problem()}")
        yield settings, log, store


@contextmanager
def _claimed(log: Log) -> Iterator[None]:
    from stream_al.service.snapshot_writer import CLAIM  # noqa: PLC0415 - imports River

    claim = log.claim(CLAIM)
    if claim is None:
        raise ConfigurationError(
            "a running worker writes the snapshots of this log; leave it to it, or stop it first"
        )
    with claim:
        yield


def _row(config: Config, log: Log, store: SnapshotStore, file: SnapshotFile) -> dict[str, Any]:
    """Return what people and scripts want to know of one file."""
    why, model_id = None, None
    try:
        model_id = verified(log, config, store, file).header.model_id
    except RejectedSnapshot as error:
        why = str(error)
    now_ms = SystemClock().now_ms()
    written_ms, size = store.look(file) or (now_ms, 0)
    return {
        "file": file.name,
        "position": file.position,
        "behind": log.end(config.topic("journal"), 0) - file.position,
        "age_s": max(0, now_ms - written_ms) // 1_000,
        "bytes": size,
        "model_id": model_id,
        "valid": why is None,
        "why": why,
    }
