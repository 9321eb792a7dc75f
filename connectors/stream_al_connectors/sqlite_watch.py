"""Whether the file at the path is still the one that is open, and is as we left it.

A file that is removed or replaced under a process goes on living without a name, and whatever is
committed to it is lost: so the names are compared with what was opened. And a copy that is laid
over the file while the write-ahead log of a killed process lies beside it would be undone by that,
or mixed with it: so a note in the folder of locks says how the file looked when we last wrote it.

Only checkpoints write the file itself. While the write-ahead log is short there are none but those
at a close, and for these the note is taken away: who is killed meanwhile leaves none, and nothing
is concluded. Once it is long SQLite makes them after commits, and the note says only what they
can't change: which file it is, and how much is in it at least. Nothing is concluded after a restart
of the machine, which may have lost the newest times, nor where the files were moved together.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote

from stream_al.errors import Gone
from stream_al.private_files import Access, write_whole
from stream_al_connectors.locks import FileLock

PAGE_BYTES = 8192
CHECKPOINT_PAGES = 2000
NOTE = "file"
LOCKED_S_MAX = 2.0
_LOCK = "checkpoint"
_ROUNDED_NS = 1_000_000
"""Some file systems round the times that they give."""


def lock_folder(path: Path) -> Path:
    """Return the folder of locks beside a log."""
    return path.with_name(f"{path.name}.locks")


def side_files(path: Path) -> tuple[Path, Path]:
    """Return the write-ahead log and its index, which lie beside the file that a link leads to."""
    real = os.path.realpath(path)
    return Path(f"{real}-wal"), Path(f"{real}-shm")


@dataclass(frozen=True, slots=True)
class _Note:
    """How the file looked.

    Attributes
    ----------
    boot
        Of which run of the machine this is true.
    file, wal
        Which files they were.
    size, time_ns
        Of the file when nothing can have changed it since; None when checkpoints may have.
    ends
        The sum of all ends in the file itself: it never becomes less.
    """

    boot: str
    file: int
    wal: int
    size: int | None
    time_ns: int | None
    ends: int

    def fits(self, main: os.stat_result) -> bool:
        """Whether the file may still be what it was."""
        if main.st_ino != self.file:
            return False
        if self.time_ns is None:
            return True
        return main.st_size == self.size and abs(main.st_mtime_ns - self.time_ns) < _ROUNDED_NS


class SqliteWatch:
    """Compares one log file with what this process opened, and with what the note says.

    Parameters
    ----------
    path
        Of the file.
    access
        Who may read and write the note.

    Attributes
    ----------
    is_long
        Whether SQLite may write the file after commits: the write-ahead log has grown long.
    is_lost
        Whether the file was found to be another: the note is left as it is then.
    """

    def __init__(self, path: Path, access: Access) -> None:
        self._path = path
        self._access = access
        self._wal, self._shm = side_files(path)
        self._note = lock_folder(path) / NOTE
        self._opened: dict[Path, tuple[int, int]] = {}
        self._main: os.stat_result | None = None
        self.is_long = False
        self.is_lost = False

    def refuse_a_copy(self) -> None:
        """Raise Gone when the write-ahead log that lies there is not the file's; before any use."""
        if not _size(self._wal):
            return
        with self._locked():
            said = self._said()
            main, wal = self._path.stat(), self._wal.stat()
            if said is None or said.wal != wal.st_ino:
                return
            if said.fits(main) and not self._is_older(said):
                return
        self.is_lost = True
        wal_name = self._wal.name
        raise Gone(
            f"{self._path}: a copy was laid over it while {wal_name}, which belongs to the file "
            "before, lies beside it: together they would undo the copy, or be damaged; to go on "
            f"with the copy: `stream-al restore {self._path}`; to go on with what {wal_name} "
            f"holds, where nobody copied anything: delete {self._note}"
        )

    def expect_another(self) -> None:
        """Write down what lies here, right before another file takes its place.

        With the write-ahead log of this one beside it, that file will be refused.
        """
        self._main = self._path.stat()
        self._write_note()

    def begin(self) -> None:
        """Remember what is open now; a connection has read it."""
        for path in (self._path, self._wal, self._shm):
            with suppress(FileNotFoundError):
                found = path.stat()
                self._opened[path] = (found.st_dev, found.st_ino)
        with self._locked():
            self._main = self._path.stat()
            self._look_at_length(_size(self._wal))
            self._write_note()

    def check(self) -> None:
        """Raise Gone when a name stands for another file than what is open, or for none."""
        for path, opened in self._opened.items():
            try:
                found = path.stat()
            except FileNotFoundError:
                raise self._gone(path, "is not there any more") from None
            if (found.st_dev, found.st_ino) != opened:
                raise self._gone(path, "is another file now")
            if path == self._path:
                self._check_times(found)
            elif path == self._wal:
                self._look_at_length(found.st_size)

    @contextmanager
    def writing_the_file(self) -> Iterator[None]:
        """Let a checkpoint write the file itself, and note how it looks after that."""
        if self.is_lost:
            yield
            return
        with self._locked():
            self._note.unlink(missing_ok=True)
            try:
                yield
            finally:
                size = _size(self._wal)
                if size and self._path.exists():
                    self._main = self._path.stat()
                    self._look_at_length(size)
                    self._write_note()

    def _look_at_length(self, size: int) -> None:
        if not self.is_long and size >= CHECKPOINT_PAGES * PAGE_BYTES:
            self.is_long = True
            self._write_note()

    def _check_times(self, found: os.stat_result) -> None:
        """Look closer when somebody wrote the file: one of ours, another program, or a copy."""
        if self._main is None or (found.st_size, found.st_mtime_ns) == (
            self._main.st_size,
            self._main.st_mtime_ns,
        ):
            return
        with self._locked():
            self._main, said = self._path.stat(), self._said()
            if said is None or (said.time_ns is not None and said.fits(self._main)):
                return
            if self._is_older(said):
                raise self._gone(self._path, "was overwritten with a copy")
            self._write_note()

    def _is_older(self, said: _Note) -> bool:
        """Whether the file itself holds less than when it was noted."""
        try:
            return self._ends() < said.ends
        except sqlite3.Error:  # no log any more, unless a checkpoint may be half done
            return said.time_ns is not None

    def _ends(self) -> int:
        """Return the sum of all ends as the file itself has them, without its write-ahead log."""
        uri = f"file:{quote(str(self._path))}?immutable=1"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            row = connection.execute("SELECT coalesce(sum(end_offset), 0) FROM streams").fetchone()
            return int(row[0])

    def _gone(self, path: Path, what: str) -> Gone:
        self.is_lost = True
        return Gone(
            f"{path} {what}: it was removed, moved or replaced while this process had it open, and "
            "what is committed from now on would be lost; stop every process of this log, put the "
            "file back or run `stream-al restore FILE` with a copy, then start again"
        )

    def _said(self) -> _Note | None:
        """Return the note of this run of the machine, if there is one."""
        with suppress(OSError, ValueError, TypeError):
            said = _Note(**json.loads(self._note.read_text(encoding="utf-8")))
            if said.boot == _boot():
                return said
        return None

    def _write_note(self) -> None:
        main = self._main
        if main is None or self.is_lost:
            return
        with suppress(OSError, sqlite3.Error):  # without a note nothing is concluded
            is_exact = not self.is_long
            note = _Note(
                boot=_boot(),
                file=main.st_ino,
                wal=self._wal.stat().st_ino,
                size=main.st_size if is_exact else None,
                time_ns=main.st_mtime_ns if is_exact else None,
                ends=self._ends(),
            )
            if self._said() != note:
                text = json.dumps(asdict(note))
                write_whole(self._note, text, access=self._access, durable=False)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Exclude the others of ours; a process that stands still in there holds up nobody long."""
        lock, deadline = None, time.monotonic() + LOCKED_S_MAX
        with suppress(OSError):
            path = self._note.with_name(_LOCK)
            lock = FileLock.take(path, access=self._access)
            while lock is None and time.monotonic() < deadline:
                time.sleep(0.002)
                lock = FileLock.take(path, access=self._access)
        try:
            yield
        finally:
            if lock is not None:
                lock.release()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _boot() -> str:
    """Return what tells this run of the machine from others; empty where nothing does."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        return ""
