"""Ownership by the operating system: a locked file is held, a process that dies lets go.

`flock` on a file of its own open description, so that threads and logs of one process exclude each
other as processes do. A name is held by whoever has the lock on the file that *now* has the name:
after locking the inode is compared, because a file may be deleted between opening and locking.
Files are opened close-on-exec; a fork that goes on without exec would share them and must not be.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path

from stream_al.private_files import OURS, Access, create, make_folder, tighten

_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
_ATTEMPTS_MAX = 100
_MEMBER = "member-"
_PARTITION = "partition-"
_CLAIM = "claim-"


class FileLock:
    """A lock that is held from `take` to `release`, or to the death of the process."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor: int | None = descriptor

    @classmethod
    def take(cls, path: Path, *, wait: bool = False, access: Access = OURS) -> FileLock | None:
        """Return the lock of `path`, or None when somebody else holds it and `wait` is false."""
        for _ in range(_ATTEMPTS_MAX):
            descriptor = _made_or_opened(path, access)
            if descriptor is None:
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                os.close(descriptor)
                return None
            if _is_at(descriptor, path):
                return cls(path, descriptor)
            os.close(descriptor)
        return None

    def release(self, *, delete: bool = False) -> None:
        """Let go; with `delete` the file goes first. A second call does nothing."""
        if self._descriptor is None:
            return
        if delete and _is_at(self._descriptor, self._path):
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = None


def is_held(path: Path) -> bool:
    """Return whether somebody holds the lock of `path`, without ever excluding another prober."""
    with _opened(path) as descriptor:
        return descriptor is not None and not _locked(descriptor, fcntl.LOCK_SH)


def sweep(path: Path) -> bool:
    """Delete the file `path` when nobody holds its lock; return whether somebody does."""
    with _opened(path) as descriptor:
        if descriptor is None:
            return False
        if not _locked(descriptor, fcntl.LOCK_SH):
            return True
        if _locked(descriptor, fcntl.LOCK_EX) and _is_at(descriptor, path):
            path.unlink(missing_ok=True)
        return False


def held_locks(folder: Path) -> list[str]:
    """Return the names of the locks of members, partitions and claims below `folder` that are held.

    Nothing where there is no such folder.
    """
    kinds = (_MEMBER, _PARTITION, _CLAIM)
    files = [path for path in folder.rglob("*") if path.name.startswith(kinds)]
    return [str(path) for path in files if is_held(path)]


def _made_or_opened(path: Path, access: Access) -> int | None:
    """Open a lock's file, new or not; None when another process made it, or took it, meanwhile."""
    try:
        return os.open(path, _FLAGS)
    except FileNotFoundError:
        pass
    try:
        return create(path, access)
    except FileExistsError:
        return None


@contextmanager
def _opened(path: Path) -> Iterator[int | None]:
    try:
        descriptor = os.open(path, _FLAGS)
    except FileNotFoundError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _locked(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), path.stat())
    return False


class LockFolder:
    """The folder of lock files beside a log.

    Parameters
    ----------
    path
        `<log>.locks`; made when missing. One folder below it for each group and topic.
    access
        Who may use the locks: whoever may use the log.
    """

    def __init__(self, path: Path, access: Access = OURS) -> None:
        make_folder(path, access)
        self.path = path
        self._access = access

    def creation(self) -> FileLock | None:
        """Wait for the lock under which a log is made."""
        return FileLock.take(self.path / "creation", wait=True, access=self._access)

    def claim(self, name: str) -> FileLock | None:
        """Return the lock of a short claim, or None when it is held."""
        return FileLock.take(self.path / f"{_CLAIM}{_digest(name)}", access=self._access)

    def sweep_claims(self) -> None:
        """Delete what processes that died while they held a claim left behind."""
        for path in self.path.glob(f"{_CLAIM}*"):
            sweep(path)

    def group(self, group: str, topic: str) -> GroupLocks:
        """Return the locks of one group for one topic."""
        return GroupLocks(self.path / _digest(group, topic), self._access)


class GroupLocks:
    """The locks of one group for one topic: one for each live member, one for each owned part."""

    def __init__(self, path: Path, access: Access = OURS) -> None:
        tighten(path)
        make_folder(path, access)
        self._path = path
        self._access = access

    def member(self, number: int) -> FileLock | None:
        """Take the lock that says that member `number` lives.

        Nobody else wants it; waiting is for a prober that met the file before it was locked.
        """
        return FileLock.take(self._path / f"{_MEMBER}{number}", wait=True, access=self._access)

    def live(self, own: int) -> list[int]:
        """Return the numbers of the live members; the files of dead ones are deleted.

        The lock of `own`, the caller, is not probed; it is live when its file is there.
        """
        found = [
            int(path.name.removeprefix(_MEMBER))
            for path in self._path.iterdir()
            if path.name.startswith(_MEMBER)
        ]
        return [n for n in found if n == own or sweep(self._path / f"{_MEMBER}{n}")]

    def partition(self, partition: int) -> FileLock | None:
        """Take the lock of a partition, or None when it is held."""
        return FileLock.take(self._path / f"{_PARTITION}{partition}", access=self._access)

    def is_owned(self, partition: int) -> bool:
        """Return whether somebody holds a partition."""
        return is_held(self._path / f"{_PARTITION}{partition}")


def _digest(*names: str) -> str:
    text = "\0".join(names)
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
