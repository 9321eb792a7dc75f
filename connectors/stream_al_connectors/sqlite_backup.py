"""Copies of a SQLite log: taken beside running workers, put back when nobody has the log open.

A copy is one file, whole and without a write-ahead log; it is written under a name of its own,
checked, and gets its name last. What is put back takes the place of the file in one step. Before
that the note of `sqlite_watch` is written anew, so that whoever is killed in between leaves a log
that is refused, and not one that is mixed with the write-ahead log of another.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from stream_al.errors import ConfigurationError, Gone
from stream_al.private_files import access_beside, create, draft_name, make_folder, put_in_place
from stream_al_connectors import sqlite_records
from stream_al_connectors.locks import held_locks
from stream_al_connectors.sqlite_file import APPLICATION_ID, FORMAT, SqliteFile, explained
from stream_al_connectors.sqlite_watch import SqliteWatch, lock_folder, side_files

_LOCK_BYTES = (0x40000000, 512)
"""Where SQLite's locks on a file are: each connection that has read it holds some of them."""

_FLOCK = "hhqqi4x"


def back_up(path: Path, file: Path, *, force: bool) -> int:
    """Write the log at `path`, as it is at one moment, to `file`; return its bytes.

    Raises
    ------
    ConfigurationError
        When `file` exists and `force` is false, or can't be written.
    Gone
        When the log is damaged.
    """
    _refuse_as_target(path, file, force=force)
    source = SqliteFile(path, durability="full", create=False)
    try:
        with _folder_beside(file) as folder:
            draft = folder / file.name
            with source.connection() as connection:
                _copy(connection, draft, path)
            with explained(file):
                size = draft.stat().st_size
                put_in_place(draft, file, replace=force)
    except FileExistsError:
        raise _exists(file) from None
    finally:
        source.close()
    return size


@contextmanager
def draft_of(file: Path, path: Path, app_topic: str) -> Iterator[Path]:
    """Give a checked copy of `file` beside the log at `path`, which is removed at the end.

    Parameters
    ----------
    app_topic
        A topic that it must have: else it is another app's.

    Raises
    ------
    ConfigurationError
        When `file` is not there, no log, of a newer format, or another app's.
    Gone
        When it is damaged.
    """
    real = Path(os.path.realpath(path))
    with _as_copy(file), closing(_opened_to_read(file, path)) as connection:
        _recognise(connection, file, app_topic)
        with _folder_beside(real) as folder:
            draft = folder / real.name
            _copy(connection, draft, file)
            yield draft


@contextmanager
def held_alone(path: Path) -> Iterator[None]:
    """Keep everybody from opening the log at `path`; refuse while somebody has it open.

    Raises
    ------
    ConfigurationError
        Naming the process, where the system does.
    """
    held = held_locks(lock_folder(path))
    if held:
        raise _open_by(path, f"a worker or a command holds {held[0]}")
    descriptors: list[int] = []
    try:
        for each in (path, *side_files(path)):
            with explained(each), suppress(FileNotFoundError):
                descriptors.append(os.open(each, os.O_RDWR | os.O_CLOEXEC))
                _lock_or_refuse(descriptors[-1], path, whole=each != path)
        yield
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def put_back(draft: Path, path: Path, *, keep_as: Path | None) -> None:
    """Let a draft take the place of the log at `path`, while it is held alone.

    Parameters
    ----------
    keep_as
        The name that the file before gets, with its write-ahead log; None to drop both.
    """
    real = Path(os.path.realpath(path))
    wal, index = side_files(path)
    with explained(path):
        if real.exists():
            SqliteWatch(path, access_beside(path)).expect_another()
            access = access_beside(real)
            access.give(draft, access.file_mode)
            if keep_as is not None:
                os.link(real, keep_as)
        draft.replace(real)
        if wal.exists() and keep_as is not None:
            wal.replace(f"{keep_as}-wal")
        wal.unlink(missing_ok=True)
        index.unlink(missing_ok=True)
        folder = os.open(real.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextmanager
def _as_copy(file: Path) -> Iterator[None]:
    """Explain what is wrong with a copy as such: it is not the log, which another copy mends."""
    try:
        with explained(file):
            yield
    except Gone as error:
        said = str(error)
        if not said.startswith(f"{file} is "):
            raise
        what = said.partition(";")[0].removeprefix(f"{file} is ")
        raise Gone(
            f"FILE is {str(file)!r}, which is {what}: nothing was changed; name another copy"
        ) from error


def _refuse_as_target(path: Path, file: Path, *, force: bool) -> None:
    taken = {os.path.realpath(each) for each in (path, *side_files(path), lock_folder(path))}
    if os.path.realpath(file) in taken:
        raise ConfigurationError(f"FILE is {str(file)!r}, the log itself; name another")
    if file.is_dir():
        raise ConfigurationError(f"FILE is {str(file)!r}, a folder; name a file in it")
    if not file.parent.is_dir():
        raise ConfigurationError(
            f"FILE is {str(file)!r}, and its folder is not there; make it, or name another"
        )
    if os.path.lexists(file) and not force:
        raise _exists(file)


def _exists(file: Path) -> ConfigurationError:
    return ConfigurationError(
        f"FILE is {str(file)!r}, which exists; name another, or overwrite it with --force"
    )


@contextmanager
def _folder_beside(file: Path) -> Iterator[Path]:
    """Give a new folder of our own beside `file`, which goes with all that is in it."""
    folder = file.with_name(draft_name(f".{file.name}"))
    with explained(file):
        make_folder(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copy(source: sqlite3.Connection, draft: Path, named: Path) -> None:
    """Copy a database in one consistent state, as one file, and check it."""
    with explained(draft):
        os.close(create(draft))
        with closing(sqlite3.connect(draft, isolation_level=None)) as target:
            source.backup(target)
            target.execute("PRAGMA journal_mode = DELETE")
            found = target.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise ConfigurationError(f"{named} is damaged ({found}): nothing was written")
        descriptor = os.open(draft, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _opened_to_read(file: Path, path: Path) -> sqlite3.Connection:
    """Open a copy without changing it; what lies beside the log itself is never read with it."""
    if not file.is_file():
        what = "no file" if file.exists() else "not there"
        raise ConfigurationError(f"FILE is {str(file)!r}, which is {what}; name a copy of a log")
    is_log_itself = path.exists() and path.samefile(file)
    wal = side_files(file)[0]
    has_more = not is_log_itself and wal.exists() and wal.stat().st_size > 0
    how = "mode=rw" if has_more else "immutable=1"
    return sqlite3.connect(f"file:{quote(os.path.realpath(file))}?{how}", uri=True)


def _recognise(connection: sqlite3.Connection, file: Path, app_topic: str) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION_ID:
        raise ConfigurationError(f"FILE is {str(file)!r}, no log of ours; name a copy of a log")
    if version != FORMAT:
        raise ConfigurationError(
            f"FILE is {str(file)!r}, of format {version}; this version reads {FORMAT}: "
            "use the version that wrote it, or a newer one"
        )
    topics = sqlite_records.topics(connection)
    if app_topic not in topics:
        raise ConfigurationError(
            f"FILE is {str(file)!r}, a log of another app: it has {', '.join(sorted(topics)[:3])} "
            f"…, and no {app_topic}; name another file, or the configuration that it belongs to"
        )


def _lock_or_refuse(descriptor: int, path: Path, *, whole: bool) -> None:
    """Take a lock that stays with its descriptor: SQLite closes others of the same file."""
    start, length = (0, 0) if whole else _LOCK_BYTES
    wanted = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, start, length, 0)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, wanted)
    except OSError:
        raise _open_by(path, _holder(descriptor, start, length)) from None


def _holder(descriptor: int, start: int, length: int) -> str:
    """Return which process holds a lock, as well as the system tells."""
    asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, start, length, 0)
    with suppress(OSError, struct.error):
        number = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))[4]
        if number > 0:
            command = Path(f"/proc/{number}/cmdline")
            said = command.read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            return f"process {number} ({said[:100]}) has it"
    return "another process has it"


def _open_by(path: Path, who: str) -> ConfigurationError:
    return ConfigurationError(
        f"log.path: {path} is open: {who}; stop every worker and command of this log, then run it "
        "again"
    )
