"""The file of a SQLite log: made whole or not at all, recognised, and what its errors mean.

Connections are borrowed from a pool, so that any thread may use a log; each statement is a
transaction of its own unless `writing` opened one, so that no reader holds a snapshot.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from stream_al.errors import Ambiguous, ConfigurationError, Gone, InDoubt
from stream_al.private_files import access_beside, no_rights, share, tighten
from stream_al.private_files import create as create_file
from stream_al_connectors.locks import LockFolder
from stream_al_connectors.sqlite_watch import (
    CHECKPOINT_PAGES,
    PAGE_BYTES,
    SqliteWatch,
    lock_folder,
    side_files,
)

APPLICATION_ID = 0x53_41_4C_31
"""`SAL1`: how a log is told from any other SQLite database."""

FORMAT = 1
BUSY_TIMEOUT_S = 10.0
CHECK_EVERY_S = 0.25
CONNECTIONS_IDLE_MAX = 8
WAL_BYTES_KEPT = 64 * 1024 * 1024

Durability = Literal["full", "normal"]

_SCHEMA = (
    """CREATE TABLE records (
        place INTEGER PRIMARY KEY,  -- stream id << 40 | offset: one integer is the whole key
        timestamp_ms INTEGER NOT NULL,
        key BLOB,
        value BLOB NOT NULL)""",
    """CREATE TABLE streams (
        id INTEGER PRIMARY KEY,
        topic TEXT NOT NULL,
        partition INTEGER NOT NULL,
        begin_offset INTEGER NOT NULL DEFAULT 0,
        end_offset INTEGER NOT NULL DEFAULT 0,
        UNIQUE (topic, partition))""",
    """CREATE TABLE positions (
        member_group TEXT NOT NULL,
        topic TEXT NOT NULL,
        partition INTEGER NOT NULL,
        offset INTEGER NOT NULL,
        metadata TEXT NOT NULL,
        committed_at_ms INTEGER NOT NULL,
        PRIMARY KEY (member_group, topic, partition)) WITHOUT ROWID""",
    """CREATE TABLE owners (
        member_group TEXT NOT NULL,
        topic TEXT NOT NULL,
        partition INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        member TEXT NOT NULL,
        process INTEGER NOT NULL,
        PRIMARY KEY (member_group, topic, partition)) WITHOUT ROWID""",
    """CREATE TABLE members (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        member TEXT NOT NULL)""",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {FORMAT}",
)


class SqliteFile:
    """Connections to one log file.

    Parameters
    ----------
    path
        The file; its folder must exist.
    durability
        `full`: a commit survives a power cut. `normal`: a killed process only.
    create
        Make the file when it is missing; else that is a ConfigurationError.

    Raises
    ------
    Gone
        When the file is there and is no log of ours; it is left as it was.
    Ambiguous
        When the file or its folder can't be written.
    """

    def __init__(self, path: Path, *, durability: Durability, create: bool) -> None:
        self.path = path
        self._synchronous = {"full": "FULL", "normal": "NORMAL"}[durability]
        self._idle: deque[sqlite3.Connection] = deque()
        self._closed = False
        self._watch: SqliteWatch | None = None
        self._checked_s = 0.0
        try:
            self._open(create=create)
        except BaseException:
            self.close()
            raise

    def _open(self, *, create: bool) -> None:
        """Recognise the file before anything is written, then make what is missing."""
        with explained(self.path):
            there = self.path.exists() and (self.path.is_dir() or self.path.stat().st_size > 0)
        folder = lock_folder(self.path)
        watch = SqliteWatch(self.path, access_beside(self.path))
        if there:
            with explained(self.path):
                watch.refuse_a_copy()
        if not (there and self._recognise()) and not create:
            raise ConfigurationError(
                f"log.path: there is no log at {self.path}; start a worker or send something first"
            )
        with explained(self.path):
            tighten(self.path, *side_files(self.path), folder)
            access = access_beside(self.path)
            if access.shared:
                share(access, *side_files(self.path), folder, *folder.rglob("*"))
            self.locks = LockFolder(folder, access)
            self.locks.sweep_claims()
        self._make()
        with explained(self.path):
            watch.begin()
        self._watch = watch

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn an error of SQLite into a sentence: first of all whether the file is still there."""
        with explained(self.path):
            try:
                yield
            except sqlite3.Error:
                self.check()
                raise

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """Borrow a connection; errors of SQLite become sentences."""
        with self.explained():
            if time.monotonic() >= self._checked_s + CHECK_EVERY_S:
                self.check()
            try:
                borrowed = self._idle.pop()
            except IndexError:
                borrowed = self.connect()
            try:
                yield borrowed
            finally:
                if self._closed:
                    self._close(borrowed)
                elif len(self._idle) >= CONNECTIONS_IDLE_MAX:
                    borrowed.close()
                else:
                    self._idle.append(borrowed)

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Borrow a connection inside the one write transaction that there can be."""
        with self.connection() as connection:
            self._let_it_checkpoint(connection)
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            self.check()

    def check(self) -> None:
        """Raise Gone when the path stands for another file than the one that is open, or for none.

        Called after each commit, and before a read when that is a while ago.
        """
        if self._watch is not None:
            self._watch.check()
            self._checked_s = time.monotonic()

    def _let_it_checkpoint(self, connection: sqlite3.Connection) -> None:
        """Let SQLite move a write-ahead log that has grown long into the file, after a commit."""
        if self._watch is not None and self._watch.is_long:
            connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")

    def clear_wal(self) -> None:
        """Move everything into the file and empty the write-ahead log, which keeps old pages."""
        assert self._watch is not None, "only an open log is cleared"
        with self.connection() as connection, self._watch.writing_the_file():
            busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            raise Ambiguous(
                f"{self.path}: another process reads, so old pages stay in its -wal file; "
                "run the command again"
            )

    def close(self) -> None:
        """Close what is idle now, and what is borrowed when it comes back."""
        self._closed = True
        self._close(*self._idle)
        self._idle.clear()

    def _close(self, *connections: sqlite3.Connection) -> None:
        """Close what may be the log's last connections: that moves everything into the file."""
        with self._watch.writing_the_file() if self._watch is not None else nullcontext():
            for connection in connections:
                connection.close()

    def connect(self) -> sqlite3.Connection:
        """Return a new connection, which the caller closes."""
        if self._closed:
            raise ConfigurationError(f"log.path: the log {self.path} was closed")
        connection = sqlite3.connect(
            f"file:{quote(str(self.path))}?mode=rw",
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            connection.execute(f"PRAGMA synchronous = {self._synchronous}")
            connection.execute("PRAGMA wal_autocheckpoint = 0")  # see `_let_it_checkpoint`
            connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_KEPT}")
            self.check()  # it may have opened what lies at the path by now
        except BaseException:
            connection.close()
            raise
        return connection

    def _recognise(self) -> bool:
        """Return whether the file is a finished log, False while it is empty; Gone for others."""
        with self.connection() as connection:
            application = connection.execute("PRAGMA application_id").fetchone()[0]
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if (application, version, tables) == (0, 0, 0):
            return False
        if application != APPLICATION_ID:
            raise Gone(f"{self.path} is a database of another program; name another log.path")
        if version != FORMAT:
            raise Gone(f"{self.path} has format {version}, we read {FORMAT}; use its own version")
        return True

    def _make(self) -> None:
        """Create the schema in one transaction; whoever comes second finds it made."""
        if self.path.exists() and self._recognise():
            with self.connection() as connection:  # a copy may have lost it: `VACUUM INTO` does
                connection.execute("PRAGMA journal_mode = WAL")
            return
        with explained(self.path):
            lock = self.locks.creation()
        try:
            with explained(self.path):
                if self.path.is_symlink() and not self.path.exists():
                    raise ConfigurationError(
                        f"log.path: {self.path} is a link to {self.path.readlink()}, where nothing "
                        "is; name the file itself"
                    )
                if not self.path.exists():
                    os.close(create_file(self.path))  # SQLite would ask the umask
            if self._recognise():
                return
            with self.connection() as connection:
                connection.execute("PRAGMA journal_mode = WAL")
            with self.writing() as connection:
                for statement in _SCHEMA:
                    connection.execute(statement)
        finally:
            if lock is not None:
                lock.release()


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an error of SQLite or of the system into one line: what, where, what to do."""
    try:
        yield
    except sqlite3.ProgrammingError:
        raise
    except sqlite3.Error as error:
        raise _in_doubt(path, error) from error
    except PermissionError as error:
        named = Path(error.filename or path)
        rights = no_rights(path, *side_files(path), lock_folder(path), named)
        raise ConfigurationError(
            f"log.path: {named} can't be used: {rights or error.strerror}"
        ) from error
    except OSError as error:
        hint = "free some space" if error.errno == errno.ENOSPC else "check the folder's rights"
        raise Ambiguous(f"{path} can't be used ({error.strerror}); {hint}") from error


_OF_RIGHTS = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}


def _in_doubt(path: Path, error: sqlite3.Error) -> InDoubt | ConfigurationError:
    # The low byte is the class of the error; the rest says where SQLite met it.
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    rights = no_rights(path, *side_files(path)) if code in _OF_RIGHTS else None
    if rights is not None:
        return ConfigurationError(f"log.path: {path} can't be used: {rights}")
    if code == sqlite3.SQLITE_NOTADB:
        return Gone(f"{path} is no log but another kind of file; name another log.path")
    if code == sqlite3.SQLITE_CORRUPT:
        return Gone(f"{path} is damaged ({error}); put a copy back: `stream-al restore FILE`")
    return Ambiguous(f"{path} {_SENTENCES.get(code, _OTHERWISE).format(error=error)}")


_BUSY = (
    f"was locked by another process for {BUSY_TIMEOUT_S:.0f} s; find who writes to it, "
    "then start again"
)
_UNWRITABLE = "can't be written ({error}); check that its folder exists and its rights"
_OTHERWISE = "failed ({error}); what was not committed is not there"
_SENTENCES = {
    sqlite3.SQLITE_BUSY: _BUSY,
    sqlite3.SQLITE_LOCKED: _BUSY,
    sqlite3.SQLITE_FULL: "could not grow: the disk is full; free some space",
    sqlite3.SQLITE_READONLY: _UNWRITABLE,
    sqlite3.SQLITE_CANTOPEN: _UNWRITABLE,
    sqlite3.SQLITE_PERM: _UNWRITABLE,
    sqlite3.SQLITE_IOERR: "could not be written ({error}); check the disk and its space",
}
