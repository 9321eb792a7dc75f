"""The file of a SQLite log: made whole or not at all, recognised, and what its errors mean.

Connections are borrowed from a pool, so that any thread may use a log; each statement is a
transaction of its own unless `writing` opened one, so that no reader holds a snapshot.
"""

from __future__ import annotations

import errno
import sqlite3
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from stream_al.errors import Ambiguous, ConfigurationError, Gone, InDoubt
from stream_al_connectors.locks import LockFolder

APPLICATION_ID = 0x53_41_4C_31
"""`SAL1`: how a log is told from any other SQLite database."""

FORMAT = 1
BUSY_TIMEOUT_S = 10.0
CONNECTIONS_IDLE_MAX = 8
PAGE_BYTES = 8192
CHECKPOINT_PAGES = 2000
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
        self._mode = "rwc"
        try:
            self._open(create=create)
        except BaseException:
            self.close()
            raise

    def _open(self, *, create: bool) -> None:
        """Recognise the file before anything is written, then make what is missing."""
        with explained(self.path):
            there = self.path.exists() and (self.path.is_dir() or self.path.stat().st_size > 0)
        if not (there and self._recognise()) and not create:
            raise ConfigurationError(
                f"log.path: there is no log at {self.path}; start a worker or send something first"
            )
        with explained(self.path):
            self.locks = LockFolder(self.path.with_name(f"{self.path.name}.locks"))
            self.locks.sweep_claims()
        self._make()
        self._mode = "rw"

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """Borrow a connection; errors of SQLite become sentences."""
        with explained(self.path):
            try:
                borrowed = self._idle.pop()
            except IndexError:
                borrowed = self.connect()
            try:
                yield borrowed
            finally:
                if self._closed or len(self._idle) >= CONNECTIONS_IDLE_MAX:
                    borrowed.close()
                else:
                    self._idle.append(borrowed)

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Borrow a connection inside the one write transaction that there can be."""
        with self.connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def clear_wal(self) -> None:
        """Move everything into the file and empty the write-ahead log, which keeps old pages."""
        with self.connection() as connection:
            busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            raise Ambiguous(
                f"{self.path}: another process reads, so old pages stay in its -wal file; "
                "run the command again"
            )

    def close(self) -> None:
        """Close what is idle now, and what is borrowed when it comes back."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    def connect(self) -> sqlite3.Connection:
        """Return a new connection, which the caller closes."""
        if self._closed:
            raise ConfigurationError(f"log.path: the log {self.path} was closed")
        connection = sqlite3.connect(
            f"file:{quote(str(self.path))}?mode={self._mode}",
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            connection.execute(f"PRAGMA synchronous = {self._synchronous}")
            connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_KEPT}")
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
        if self._recognise():
            return
        with explained(self.path):
            lock = self.locks.creation()
        try:
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
    except OSError as error:
        hint = "free some space" if error.errno == errno.ENOSPC else "check the folder's rights"
        raise Ambiguous(f"{path} can't be used ({error.strerror}); {hint}") from error


def _in_doubt(path: Path, error: sqlite3.Error) -> InDoubt:
    # The low byte is the class of the error; the rest says where SQLite met it.
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    if code == sqlite3.SQLITE_NOTADB:
        return Gone(f"{path} is no log but another kind of file; name another log.path")
    if code == sqlite3.SQLITE_CORRUPT:
        return Gone(f"{path} is damaged ({error}); restore it from a copy")
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
