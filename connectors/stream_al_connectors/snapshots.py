"""The folder of snapshots: written in one step, read only when nobody else could have written.

One file a snapshot, named by its journal position, so that names sort as positions do. A file
appears whole: temporary file, fsync, rename, fsync of the folder; a temporary file that is found
belongs to a writer that died. Without a key only regular files of our own that nobody else may read
or write count, in a folder that nobody else may write: a snapshot is a pickle, so whoever writes
one runs code. What a file says is verified in `snapshot_envelope` before anything is decoded.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from stream_al.private_files import is_planted, make_folder, why_refused
from stream_al_connectors.snapshot_envelope import (
    ENVELOPE_BYTES_MIN,
    HEADER_BYTES_MAX,
    PAYLOAD_BYTES_MAX,
    RejectedSnapshot,
    Snapshot,
    SnapshotHeader,
    seal,
    unseal,
)

FILE_MODE = 0o600
FOLDER_MODE = 0o700
_NAME = re.compile(r"^(\d{20})\.snapshot$")
_PARTIAL = ".partial"
_FILE_BYTES_MAX = ENVELOPE_BYTES_MIN + HEADER_BYTES_MAX + PAYLOAD_BYTES_MAX


@dataclass(frozen=True, slots=True)
class SnapshotFile:
    """A file in the folder, by its name; nothing of it is verified."""

    name: str
    position: int


class SnapshotStore:
    """Snapshots in a folder.

    Parameters
    ----------
    folder
        Made by the first `write`, with mode 0700.
    key
        Of the HMAC; None to take only own, unsigned files.
    """

    def __init__(self, folder: Path, key: bytes | None) -> None:
        self.folder = folder
        self._key = key

    def files(self) -> list[SnapshotFile]:
        """Return the files with a snapshot's name, newest position first.

        None in a folder that is not there or can't be read: see `folder_problem`.
        """
        try:
            names = [path.name for path in self.folder.iterdir()]
        except OSError:
            return []
        found = [(name, match) for name in names if (match := _NAME.match(name))]
        return sorted(
            (SnapshotFile(name, int(match[1])) for name, match in found),
            key=lambda file: -file.position,
        )

    def look(self, file: SnapshotFile) -> tuple[int, int] | None:
        """Return when a file was written (ms since 1970) and its bytes; None when it is gone."""
        try:
            found = (self.folder / file.name).lstat()
        except FileNotFoundError:
            return None
        return found.st_mtime_ns // 1_000_000, found.st_size

    def read(self, file: SnapshotFile) -> Snapshot:
        """Return a snapshot, verified in full and not decoded.

        Raises
        ------
        RejectedSnapshot
            Saying why it must not be used.
        """
        try:
            with self._opened() as folder:
                data = self._read(file.name, folder)
        except OSError as error:
            raise RejectedSnapshot(f"it can't be read: {error.strerror}") from None
        snapshot = unseal(data, self._key)
        if snapshot.header.position != file.position:
            raise RejectedSnapshot(
                f"it is of position {snapshot.header.position}, its name says otherwise"
            )
        return snapshot

    def write(self, header: SnapshotHeader, payload: bytes) -> SnapshotFile:
        """Write a snapshot in one step; nothing is left behind when that fails.

        Raises
        ------
        OSError
            When the folder or the file can't be written.
        RejectedSnapshot
            When what would be written could not be read again: others may write the folder.
        """
        if not self.folder.exists():
            make_folder(self.folder, parents=True)
        file = SnapshotFile(f"{header.position:020d}.snapshot", header.position)
        draft = f"{file.name}.{secrets.token_hex(8)}{_PARTIAL}"
        with self._opened() as folder:
            try:
                _write_all(draft, seal(header, payload, self._key), folder)
                os.rename(draft, file.name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with suppress(FileNotFoundError):
                    os.unlink(draft, dir_fd=folder)
                raise
            os.fsync(folder)
        return file

    def prune(self, keep: int, *, end: int | None = None) -> list[SnapshotFile]:
        """Delete all but the `keep` newest; return which went.

        Parameters
        ----------
        keep
            How many of the highest positions stay.
        end
            The journal's end: what is beyond it is of a journal that was rolled back, and must not
            take the place of those that fit. None to leave that aside.
        """
        files = self.files()
        beyond = [] if end is None else [file for file in files if file.position > end]
        dropped = beyond + [file for file in files if file not in beyond][keep:]
        self._delete(dropped)
        return dropped

    def remove_to(self, position: int) -> int:
        """Delete all snapshots up to a journal position; return how many there were."""
        dropped = [file for file in self.files() if file.position <= position]
        self._delete(dropped)
        return len(dropped)

    def _delete(self, files: list[SnapshotFile]) -> None:
        """Delete for good: a power cut must not bring back what a redaction took away."""
        if not files:
            return
        for file in files:
            (self.folder / file.name).unlink(missing_ok=True)
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def sweep(self) -> None:
        """Delete what writers that died left behind; for whoever is the only writer."""
        for path in self.folder.glob(f"*{_PARTIAL}"):
            path.unlink(missing_ok=True)

    def folder_problem(self) -> str | None:
        """Return why nothing in the folder would be read; None when it is sound or not there."""
        try:
            with self._opened():
                return None
        except FileNotFoundError:
            return None
        except OSError as error:
            return f"{str(self.folder)!r} can't be opened: {why_refused(self.folder, error)}"
        except RejectedSnapshot as error:
            return str(error)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """Give the folder's descriptor: what is checked is what is used."""
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            found = os.fstat(folder)
            if is_planted(self.folder):
                raise RejectedSnapshot(f"the folder {str(self.folder)!r} is somebody else's link")
            if self._key is None and (found.st_uid != os.geteuid() or found.st_mode & 0o022):
                raise RejectedSnapshot(
                    f"others may write the folder {str(self.folder)!r}: "
                    f"`chmod go-w` and own it, or set a key"
                )
            yield folder
        finally:
            os.close(folder)

    def _read(self, name: str, folder: int) -> bytes:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(name, flags, dir_fd=folder)
        except OSError:
            if stat.S_ISLNK(os.lstat(name, dir_fd=folder).st_mode):
                raise RejectedSnapshot("it is a symbolic link") from None
            raise
        try:
            found = os.fstat(descriptor)
            self._check(found)
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                return file.read(found.st_size)
        finally:
            os.close(descriptor)

    def _check(self, found: os.stat_result) -> None:
        if not stat.S_ISREG(found.st_mode):
            raise RejectedSnapshot("it is no regular file")
        if self._key is None and found.st_uid != os.geteuid():
            raise RejectedSnapshot("it belongs to somebody else, and no key is set")
        mode = stat.S_IMODE(found.st_mode)
        if self._key is None and mode != FILE_MODE:
            raise RejectedSnapshot(f"it has mode {mode:04o} instead of 0600, and no key is set")
        if found.st_size > _FILE_BYTES_MAX:
            raise RejectedSnapshot(f"it has {found.st_size:,} bytes")


def _write_all(name: str, data: bytes, folder: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, FILE_MODE, dir_fd=folder)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        os.fchmod(descriptor, FILE_MODE)
        rest = memoryview(data)
        while rest:
            rest = rest[file.write(rest) :]
        os.fsync(descriptor)
