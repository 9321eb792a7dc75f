"""The folder of snapshots: whole files, own files, few files."""

from __future__ import annotations

import os
import resource
import stat
from pathlib import Path

import pytest

from stream_al_connectors.snapshot_envelope import RejectedSnapshot, SnapshotHeader, sha256
from stream_al_connectors.snapshots import SnapshotStore

KEY = b"a key of sixteen"


def header(position: int, payload: bytes) -> SnapshotHeader:
    return SnapshotHeader(
        model_id="m",
        position=position,
        chain="0a",
        config_hash="ab",
        labels_hash="cd",
        environment="here",
        engine_bytes=1,
        payload_bytes=len(payload),
        payload_sha256=sha256(payload),
        created_at_ms=0,
    )


def write(store: SnapshotStore, *positions: int) -> None:
    for position in positions:
        store.write(header(position, b"payload"), b"payload")


def positions(store: SnapshotStore) -> list[int]:
    return [file.position for file in store.files()]


class Synced:
    """Notes what is brought to the disk, and which snapshots the folder shows at that moment."""

    def __init__(self, store: SnapshotStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[str, list[int]]] = []
        self._store = store
        self._fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self)

    def __call__(self, descriptor: int) -> None:
        self._fsync(descriptor)
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        self.calls.append(("folder" if is_folder else "file", positions(self._store)))


@pytest.fixture
def store(tmp_path: Path) -> SnapshotStore:
    return SnapshotStore(tmp_path / "snapshots", None)


def test_a_power_cut_loses_no_snapshot_and_brings_none_back(
    store: SnapshotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file is on the disk before it has its name; name and deletion are before we go on."""
    synced = Synced(store, monkeypatch)
    write(store, 7)
    write(store, 9)
    store.remove_to(7)
    store.prune(0)

    assert synced.calls == [
        ("file", []),
        ("folder", [7]),
        ("file", [7]),
        ("folder", [9, 7]),
        ("folder", [9]),
        ("folder", []),
    ]


def test_written_files_are_private_and_sorted_by_position(store: SnapshotStore) -> None:
    """Mode 0600 in a folder of mode 0700, whatever the umask; names sort as positions do."""
    before = os.umask(0)
    try:
        write(store, 9, 1_000, 200)
    finally:
        os.umask(before)

    assert positions(store) == [1_000, 200, 9]
    assert [path.name for path in sorted(store.folder.iterdir(), reverse=True)] == [
        file.name for file in store.files()
    ]
    assert store.folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in store.folder.iterdir()} == {0o600}
    assert store.read(store.files()[0]).payload == b"payload"


def test_no_folder_is_no_snapshot(store: SnapshotStore) -> None:
    """Looking makes nothing."""
    assert store.files() == []
    assert store.prune(0) == []
    assert store.folder_problem() is None
    assert not store.folder.exists()


def test_prune_keeps_the_newest_and_drops_what_is_beyond_the_journal(store: SnapshotStore) -> None:
    """Files of a journal that was rolled back must not take the place of those that fit."""
    write(store, 1, 2, 3, 4, 100, 200, 300)

    dropped = store.prune(3, end=50)

    assert positions(store) == [4, 3, 2]
    assert sorted(file.position for file in dropped) == [1, 100, 200, 300]


def test_sweep_removes_what_a_dead_writer_left(store: SnapshotStore) -> None:
    """A temporary file is no snapshot; nothing else goes."""
    write(store, 1)
    (store.folder / "00000000000000000002.snapshot.77.partial").write_bytes(b"half")
    (store.folder / "notes.txt").write_text("mine")
    assert positions(store) == [1]

    store.sweep()

    names = sorted(path.name for path in store.folder.iterdir())
    assert names == ["00000000000000000001.snapshot", "notes.txt"]


def test_a_renamed_snapshot_is_rejected(store: SnapshotStore) -> None:
    """Its name decides which one is the newest, so it must be the truth."""
    write(store, 1)
    path = store.folder / store.files()[0].name
    path.rename(path.with_name(f"{9:020d}.snapshot"))

    with pytest.raises(RejectedSnapshot, match="it is of position 1, its name says otherwise"):
        store.read(store.files()[0])


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o700, 0o606, 0o400])
def test_without_a_key_the_mode_must_be_0600(store: SnapshotStore, mode: int) -> None:
    """What others may read or write may be others'; with a key the signature counts instead."""
    write(store, 1)
    (store.folder / store.files()[0].name).chmod(mode)

    with pytest.raises(RejectedSnapshot, match=f"mode {mode:04o} instead of 0600"):
        store.read(store.files()[0])


def test_with_a_key_the_mode_does_not_matter(tmp_path: Path) -> None:
    """A signed file may be copied about."""
    signed = SnapshotStore(tmp_path, KEY)
    tmp_path.chmod(0o777)
    write(signed, 1)
    (tmp_path / signed.files()[0].name).chmod(0o644)

    assert signed.read(signed.files()[0]).header.position == 1
    assert signed.folder_problem() is None


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_folder_that_others_may_write_is_neither_read_nor_written(
    store: SnapshotStore, mode: int
) -> None:
    """Whoever may write the folder may put another file in its place."""
    write(store, 1)
    store.folder.chmod(mode)

    with pytest.raises(RejectedSnapshot, match="others may write the folder"):
        store.read(store.files()[0])
    with pytest.raises(RejectedSnapshot, match="others may write the folder"):
        write(store, 2)
    assert "others may write the folder" in str(store.folder_problem())
    assert positions(store) == [1]


@pytest.mark.parametrize("key", [None, KEY], ids=["unsigned", "signed"])
def test_links_pipes_and_folders_are_rejected(tmp_path: Path, key: bytes | None) -> None:
    """Only a regular file is read; a pipe does not make the reader wait."""
    store = SnapshotStore(tmp_path / "s", key)
    write(store, 1)
    real = store.folder / store.files()[0].name
    real.rename(tmp_path / "elsewhere")
    real.symlink_to(tmp_path / "elsewhere")
    os.mkfifo(store.folder / f"{2:020d}.snapshot", 0o600)
    (store.folder / f"{3:020d}.snapshot").mkdir()

    found = {}
    for file in store.files():
        with pytest.raises(RejectedSnapshot) as why:
            store.read(file)
        found[file.position] = str(why.value)

    assert found[1] == "it is a symbolic link"
    assert found[2] == found[3] == "it is no regular file"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file to somebody else")
def test_somebody_elses_file_and_folder_are_rejected(store: SnapshotStore) -> None:
    """Mode 0600 says little when the file is another user's."""
    write(store, 1)
    os.chown(store.folder / store.files()[0].name, 12_345, 12_345)
    with pytest.raises(RejectedSnapshot, match="it belongs to somebody else, and no key is set"):
        store.read(store.files()[0])
    os.chown(store.folder, 12_345, 12_345)
    with pytest.raises(RejectedSnapshot, match="others may write the folder"):
        store.read(store.files()[0])


def test_a_full_disk_leaves_nothing_behind(store: SnapshotStore) -> None:
    """The write fails, the folder is as before, and the next one works."""
    write(store, 1)
    payload = b"x" * 1_000_000
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            store.write(header(2, payload), payload)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert [path.name for path in store.folder.iterdir()] == [store.files()[0].name]
    store.write(header(2, payload), payload)
    assert positions(store) == [2, 1]
