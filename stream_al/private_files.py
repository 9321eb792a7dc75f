"""Everything that we create is made here: for us alone, whatever the umask, and never over a trap.

A file appears whole: written under a random name that nobody can foresee, as a file that did not
exist (`O_EXCL`, `O_NOFOLLOW`), then renamed, which replaces a link instead of following it. A
folder that is there already must be ours, or of those whom we serve, and not open to everybody.
"""

from __future__ import annotations

import errno
import os
import pwd
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO, TextIO

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Access:
    """Who may use what we make: we alone, unless it lies beside a log of a group or of another.

    Attributes
    ----------
    shared
        Whether the group may use it as we do.
    uid, gid
        Whose it becomes; -1 leaves that as the system has it.
    """

    shared: bool = False
    uid: int = -1
    gid: int = -1

    @property
    def file_mode(self) -> int:
        """The mode of a file."""
        return 0o660 if self.shared else 0o600

    @property
    def folder_mode(self) -> int:
        """The mode of a folder."""
        return 0o770 if self.shared else 0o700

    def give(self, target: int | Path, mode: int) -> None:
        """Let what was just made be used so, whatever the umask said."""
        with suppress(PermissionError):  # who is not of the group can share nothing with it
            os.chown(target, self.uid, self.gid)
        os.chmod(target, mode)  # noqa: PTH101 - a descriptor or a path


OURS = Access()


def access_beside(log: Path) -> Access:
    """Return who may use what is made beside a log: who may use the log itself.

    A group that may write the log (`chmod 660`) shares the files beside it, but no secret. What
    root makes becomes the owner's of the log, so that root may look without locking him out.
    """
    try:
        found = log.stat()
    except OSError:
        return OURS
    shared = bool(found.st_mode & stat.S_IWGRP)
    by_root = os.geteuid() == 0
    return Access(
        shared=shared,
        uid=found.st_uid if by_root else -1,
        gid=found.st_gid if by_root or shared else -1,
    )


def draft_name(name: str) -> str:
    """Return a name beside `name` that nobody can have foreseen.

    Examples
    --------
    >>> draft_name("exits-0.json").startswith("exits-0.json."), len(draft_name("a"))
    (True, 23)
    """
    return f"{name}.{secrets.token_hex(8)}.part"


def create(path: Path, access: Access = OURS) -> int:
    """Return the descriptor of a new file, open for reading and writing.

    Raises
    ------
    FileExistsError
        When anything is there, a link too.
    """
    descriptor = os.open(path, _NEW, access.file_mode)
    try:
        access.give(descriptor, access.file_mode)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def append_to(path: Path) -> int:
    """Return the descriptor of a file of our own, open at its end; made when it is missing.

    Raises
    ------
    PermissionError
        When it is somebody else's, has other names, or is no regular file.
    OSError
        ELOOP when it is a link.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags, OURS.file_mode)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_nlink > 1:
        os.close(descriptor)
        raise PermissionError(errno.EPERM, "it is not a file of our own", str(path))
    os.fchmod(descriptor, OURS.file_mode)
    return descriptor


def write_whole(
    path: Path,
    content: str | bytes,
    *,
    replace: bool = True,
    access: Access = OURS,
    durable: bool = True,
) -> None:
    """Write a file in one step; what was there before is replaced, never written into.

    Parameters
    ----------
    durable
        Whether it must survive a power cut.

    Raises
    ------
    FileExistsError
        When something is there and `replace` is false.
    """
    data = content.encode() if isinstance(content, str) else content
    with _draft_of(path, replace=replace, access=access, durable=durable) as file:
        file.write(data)


def write_for_people(path: Path, content: str) -> None:
    """Write a file that a person named: replaced in one step, unless it is a pipe or a terminal."""
    with opened_for_people(path) as file:
        file.write(content)


@contextmanager
def opened_for_people(path: Path) -> Iterator[TextIO]:
    """Open a file that a person named, to be written line by line; in its place at the end."""
    if path.exists() and not path.is_file():
        with path.open("w", encoding="utf-8") as file:
            yield file
        return
    with _draft_of(path) as draft:
        file = TextIOWrapper(draft, encoding="utf-8")
        yield file
        file.detach()  # flushes


@contextmanager
def _draft_of(
    path: Path, *, replace: bool = True, access: Access = OURS, durable: bool = True
) -> Iterator[BinaryIO]:
    draft = path.with_name(draft_name(path.name))
    try:
        with os.fdopen(create(draft, access), "wb") as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        put_in_place(draft, path, replace=replace, durable=durable)
    finally:
        draft.unlink(missing_ok=True)


def put_in_place(draft: Path, path: Path, *, replace: bool, durable: bool = True) -> None:
    """Give a finished draft its name; with `replace` false only where there is nothing."""
    if replace:
        draft.replace(path)
    else:
        os.link(draft, path, follow_symlinks=False)
        draft.unlink()
    if not durable:
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def make_folder(path: Path, access: Access = OURS, *, parents: bool = False) -> None:
    """Make a folder of our own; one that is there is looked at instead.

    Raises
    ------
    PermissionError
        When what is there is not fit for our files; says why.
    """
    if parents:
        for missing in reversed([each for each in path.parents if not each.exists()]):
            make_folder(missing, access)
    try:
        path.mkdir(mode=access.folder_mode)
    except FileExistsError:
        why = folder_problem(path, access)
        if why:
            raise PermissionError(errno.EPERM, why, str(path)) from None
        return
    access.give(path, access.folder_mode)


def folder_problem(path: Path, access: Access = OURS) -> str | None:
    """Return what makes a folder unfit for files of ours; None when it is sound.

    It must be ours, root's, or of the owner of what it lies beside; a link to it too.
    """
    found = path.stat()
    if not stat.S_ISDIR(found.st_mode):
        return "it is no folder"
    is_trusted = access.shared or found.st_uid in {os.geteuid(), 0, access.uid}
    if is_planted(path) or not is_trusted:
        return f"it {whose(path)}: somebody else's, where a folder of our own must be"
    if found.st_mode & stat.S_IWOTH:
        return f"it {whose(path)}: everybody may write it; `chmod o-w` it"
    return None


def is_planted(path: Path) -> bool:
    """Whether a link lies there that neither we nor root made."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISLNK(found.st_mode) and found.st_uid not in {os.geteuid(), 0}


def tighten(*paths: Path) -> None:
    """Take from everybody else what an older version, or the umask, let them do with our own files.

    A group keeps what it was given on purpose: the right to write, or to read without the others.
    """
    for path in paths:
        with suppress(FileNotFoundError):
            found = path.stat()
            if found.st_uid != os.geteuid() or not found.st_mode & 0o007:
                continue
            on_purpose = found.st_mode & stat.S_IWGRP and not found.st_mode & stat.S_IWOTH
            path.chmod(stat.S_IMODE(found.st_mode) & (0o770 if on_purpose else 0o700))


def share(access: Access, *paths: Path) -> None:
    """Open to its group what of ours lies there from before the log was the group's."""
    for path in paths:
        with suppress(FileNotFoundError):
            found = path.lstat()
            is_folder = stat.S_ISDIR(found.st_mode)
            is_file = stat.S_ISREG(found.st_mode) and found.st_nlink == 1
            if found.st_uid != os.geteuid() or not (is_folder or is_file):
                continue
            wanted = access.folder_mode if is_folder else access.file_mode
            if found.st_gid != access.gid or stat.S_IMODE(found.st_mode) & wanted != wanted:
                access.give(path, wanted)


def whose(path: Path) -> str:
    """Return whose a file is and with which mode, for a line about rights.

    Examples
    --------
    >>> whose(Path("/"))
    'belongs to root (uid 0), mode 0755'
    """
    try:
        found = path.lstat()
    except OSError:
        return "can't be looked at"
    return f"belongs to {owner_name(found.st_uid)}, mode {stat.S_IMODE(found.st_mode):04o}"


def no_rights(path: Path, *more: Path) -> str | None:
    """Return what this process may not use of `path` and of what lies beside it; None if nothing.

    The first folder on the way, file, or folder to make it in: whose it is, and what to do.
    """
    for each in (path, *more):
        at = _unusable(each.absolute())
        if at is not None:
            over = f"-R {os.geteuid()} {path}*" if more else f"-R {os.geteuid()} {at}"
            if at in each.absolute().parents:  # the folder alone: others' files may lie in it
                over = f"{os.geteuid()} {at}"
            return (
                f"{at} {whose(at)}, and this process runs as {owner_name(os.geteuid())}: run it as "
                f"its owner, or hand it over: `chown {over}`"
            )
    return None


def _unusable(path: Path) -> Path | None:
    for folder in reversed(path.parents):
        if folder.is_dir() and not os.access(folder, os.X_OK, effective_ids=True):
            return folder
    needs = os.R_OK | os.W_OK | (os.X_OK if path.is_dir() else 0)
    if os.path.lexists(path):
        return None if os.access(path, needs, effective_ids=True) else path
    return None if os.access(path.parent, os.W_OK | os.X_OK, effective_ids=True) else path.parent


def why_refused(path: Path, error: OSError) -> str:
    """Return what the system said of a file; of missing rights whose it is, and what to do."""
    said = error.strerror or str(error)
    rights = no_rights(path) if error.errno in {errno.EACCES, errno.EPERM} else None
    return said if rights is None else f"{said}: {rights}"


def named_secret(setting: str, path: Path, error: OSError | ValueError) -> str:
    """Return which secret's file can't be read, and why.

    A name that leads nowhere is not repeated: somebody may have put the secret itself there.

    Examples
    --------
    >>> named_secret("gate.secret_file", Path("hunter2"), FileNotFoundError(2, "No such file"))
    'gate.secret_file names no file that is there (No such file)'
    """
    if isinstance(error, OSError) and os.path.lexists(path):
        return f"{setting} is {str(path)!r}: {why_refused(path, error)}"
    if isinstance(error, OSError):
        return f"{setting} names no file that is there ({error.strerror})"
    return f"{setting} names no file of text"


def owner_name(uid: int) -> str:
    """Return a user's name and number; the number alone where the system knows no name."""
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"
