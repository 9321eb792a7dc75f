"""`stream-al backup` and `restore`: copies of the SQLite log, checked on both ways."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from stream_al.config import Config
from stream_al.errors import ConfigurationError
from stream_al.service.audit import audit
from stream_al.service.commands.common import ConfigOption, JsonOption, err, print_json, progress
from stream_al.service.settings import load_config, secret_place
from stream_al.service.snapshotting import snapshot_store
from stream_al_connectors import SqliteLog
from stream_al_connectors.opening import log_path
from stream_al_connectors.sqlite_backup import back_up, draft_of, held_alone, put_back

VIOLATED = 3
FINDINGS_SHOWN = 5


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    app.command()(backup)
    app.command()(restore)


def backup(
    file: Annotated[Path, typer.Argument(help="Where to write the copy.")],
    *,
    force: Annotated[bool, typer.Option(help="Overwrite a file that is there.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy the SQLite log to FILE, also while workers run: one file, whole, checked.

    The gate's secret is not in it: keep that, too, apart from the copy.

    Example: `stream-al backup /backups/monday.db`
    """
    settings, path = _sqlite(config)
    size = back_up(path, file, force=force)
    secret, _ = secret_place(settings, beside=path)
    if as_json:
        print_json({"file": str(file), "bytes": size, "secret": secret})
    err.print(f"wrote {file}: {size:,} bytes, checked; keep {secret} too: it is not in it")


def restore(
    file: Annotated[Path, typer.Argument(help="A copy of the log.")],
    *,
    force: Annotated[bool, typer.Option(help="Also where the audit finds something.")] = False,
    keep: Annotated[bool, typer.Option(help="Keep what was there under another name.")] = True,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a copy of the SQLite log in its place, while nobody has the log open.

    It is checked before (`stream-al audit`); exit 3 leaves everything as it was. What was there is
    kept beside it. FILE may be the log's own path, when a copy was laid there by other means.

    Example: `stream-al restore /backups/monday.db`
    """
    settings, path = _sqlite(config)
    with (
        held_alone(path),
        draft_of(file, path, settings.topic("journal")) as draft,
    ):
        end = _check(draft, settings, file, force=force)
        stamp = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{time.time_ns() % 10**9:09}"
        kept = path.with_name(f"{path.name}.replaced-{stamp}") if keep and path.exists() else None
        put_back(draft, path, keep_as=kept)
    dropped = _drop_snapshots(settings, end)
    secret, is_there = secret_place(settings, beside=path)
    if as_json:
        said = {"path": str(path), "journal": end, "kept": None if kept is None else str(kept)}
        print_json(said | {"snapshots_dropped": dropped})
    err.print(f"{path} holds what {file} held; its journal ends at {end:,}")
    if kept is not None:
        err.print(f"what was there is {kept}; delete it when all is well")
    if not is_there:
        err.print(f"put the secret that belongs to it back, too, before a worker starts: {secret}")


def _sqlite(config_file: Path | None) -> tuple[Config, Path]:
    """Return the configuration and its log's file.

    Raises
    ------
    ConfigurationError
        When the log is no file.
    """
    settings = load_config(config_file)
    if settings.log.connector == "sqlite":
        return settings, Path(log_path(settings))
    raise ConfigurationError(
        f"log.connector is {settings.log.connector}: only a SQLite log is one file that can be "
        "copied; on Kafka the replicas of the topics keep them (docs/OPERATIONS.md)"
    )


def _check(draft: Path, config: Config, file: Path, *, force: bool) -> int:
    """Audit a draft; return the end of its journal.

    Raises
    ------
    Exit
        With 3, when there are violations and `force` is false.
    """
    log = SqliteLog(draft, topics={}, durability="normal", create=False)
    try:
        with progress("checking") as moved:
            report = audit(log, config, progress=moved)
        end = log.end(config.topic("journal"), 0)
    finally:
        log.close()
    if report.clean or force:
        return end
    for found in report.violations[:FINDINGS_SHOWN]:
        err.print(f"{found.invariant} {found.place} {found.sentence}")
    total = sum(report.totals.values())
    err.print(
        f"{file}: {total:,} violations: nothing was changed; --force restores it all the same"
    )
    raise typer.Exit(VIOLATED)


def _drop_snapshots(config: Config, end: int) -> int:
    """Delete snapshots of a journal that went on longer; others are verified at each start."""
    store = snapshot_store(config)
    return 0 if store is None else len(store.prune(len(store.files()), end=end))
