"""What a start takes from snapshots, and that it ends where a start from nothing ends."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stream_al.engine import Engine
from stream_al.errors import Gone
from stream_al.service.snapshotting import load_newest
from tests.unit.snapshot_place import Place

KEY_VARIABLE = "STREAM_AL_SNAPSHOTS__KEY"
KEY = "a key of sixteen characters"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a journal with two snapshots in its middle, and a backup from between them."""
    folder = tmp_path_factory.mktemp("template")
    place = Place(folder)
    place.teach(0, 8)
    place.write()
    shutil.copytree(folder, folder / "backup", ignore=shutil.ignore_patterns("log.db.locks"))
    place.teach(100, 6)
    place.write()
    place.teach(200, 4, unanswered=2)
    return folder


@pytest.fixture
def place(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    ignored = shutil.ignore_patterns("log.db.locks")
    shutil.copytree(template, tmp_path / "place", ignore=ignored)
    return Place(tmp_path / "place")


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give the log lines about snapshots so far."""
    logger = logging.getLogger("stream_al")
    monkeypatch.setattr(logger, "propagate", True)
    caplog.set_level(logging.INFO, "stream_al")
    return lambda: [line for line in caplog.messages if line.startswith("snapshot_")]


def test_a_start_from_the_newest_ends_where_a_start_from_nothing_ends(
    place: Place, lines: Callable[[], list[str]]
) -> None:
    """The same digest, counts and label state, with and without the queries; one line says it."""
    newest, older = place.store.files()
    started = place.start()
    said = lines()
    nothing = place.start_from_nothing()

    assert (started.engine_from, started.resolver_from) == (newest.position, newest.position)
    assert older.position < newest.position
    assert (nothing.engine_from, nothing.resolver_from) == (0, 0)
    assert started.digest == nothing.digest
    assert started.fingerprint == nothing.fingerprint
    assert started.pending == nothing.pending
    assert said[0] == (f"snapshot_loaded part=engine file={newest.name} position={newest.position}")


def flip(place: Place) -> None:
    data = bytearray(place.path.read_bytes())
    data[-100] ^= 1
    place.path.write_bytes(data)


def cut(place: Place) -> None:
    place.path.write_bytes(place.path.read_bytes()[:-1])


def link(place: Place) -> None:
    place.path.rename(place.folder / "elsewhere")
    (place.store.folder / f"{10**6:020d}.snapshot").symlink_to(place.folder / "elsewhere")


def partial(place: Place) -> None:
    place.path.rename(place.path.with_name(f"{place.path.name}.99.partial"))


def mode(place: Place) -> None:
    place.path.chmod(0o644)


def signed(place: Place) -> None:
    place.resealed(key=KEY.encode())


def shifted(place: Place) -> None:
    position = place.newest.position - 1
    path = place.path
    place.resealed(position=position)
    path.rename(path.with_name(f"{position:020d}.snapshot"))


def beyond(place: Place) -> None:
    path = place.path
    place.resealed(position=10**6)
    path.rename(path.with_name(f"{10**6:020d}.snapshot"))


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (flip, "its checksum does not fit"),
        (cut, "its checksum does not fit"),
        (link, "it is a symbolic link"),
        (partial, None),
        (mode, "it has mode 0644 instead of 0600"),
        (signed, "it is signed, and no key is set"),
        (shifted, "it is of another journal, or of one that was rolled back"),
        (beyond, "the journal has no record just before 1000000"),
        (lambda place: place.resealed(chain="0b" * 16), "it is of another journal"),
        (lambda place: place.resealed(config_hash="00" * 8), "it is of model configuration 0000"),
        (lambda place: place.resealed(environment="PDP-11"), "it was folded by PDP-11; this is"),
        (lambda place: place.resealed(engine_bytes=9), "its payload can't be decoded"),
        (lambda place: place.resealed(payload=b"\x80\x05N."), "its payload can't be decoded"),
    ],
    ids=[
        *("flipped", "cut off", "symlink", "killed while writing", "mode", "signed, no key"),
        *("other position", "beyond the end", "other chain", "other configuration"),
        *("other environment", "cut in another place", "not a fold"),
    ],
)
def test_what_does_not_fit_is_passed_over_for_an_older_one(
    place: Place, lines: Callable[[], list[str]], damage: Callable[[Place], None], why: str | None
) -> None:
    """One line for each rejection says why; the start ends where one from nothing ends."""
    nothing = place.start_from_nothing()
    older = place.store.files()[1]
    damage(place)

    started = place.start()

    rejected = [line for line in lines() if line.startswith("snapshot_rejected part=engine")]
    assert len(rejected) == (why is not None)
    assert all(str(why) in line for line in rejected)
    assert (started.engine_from, started.resolver_from) == (older.position, older.position)
    assert started.digest == nothing.digest
    assert started.fingerprint == nothing.fingerprint
    assert started.pending == nothing.pending


def test_nothing_that_fits_means_a_replay(place: Place, lines: Callable[[], list[str]]) -> None:
    """A folder that others may write holds nothing that counts."""
    nothing = place.start_from_nothing()
    place.store.folder.chmod(0o777)

    started = place.start()

    assert (started.engine_from, started.digest) == (0, nothing.digest)
    assert (started.resolver_from, started.fingerprint) == (0, nothing.fingerprint)
    engine = [line for line in lines() if "part=engine" in line]
    assert len(engine) == 2
    assert all("others may write the folder" in line for line in engine)


def test_other_label_settings_spoil_the_resolvers_part_alone(place: Place) -> None:
    """What is remembered of closed events depends on them; the model does not."""
    body = place.config.model_dump(mode="json") | {"labels": {"closed_max": 5_000}}
    other = Place(place.folder, **body)

    started = other.start()

    assert started.engine_from == other.newest.position
    assert started.resolver_from == 0
    assert started.fingerprint == other.start_from_nothing().fingerprint


def test_a_crafted_pickle_is_never_decoded_with_a_wrong_bit(place: Place) -> None:
    """Every byte flipped and every truncation of a file whose decoding would leave a trace."""
    trace = place.bomb()
    data = place.path.read_bytes()
    older = place.store.files()[1].position
    changed = [data[:length] for length in range(len(data))]
    changed += [data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :] for at in range(len(data))]

    with place.log() as log:
        for contents in changed:
            place.path.write_bytes(contents)
            assert load_newest(log, place.config, Engine(place.config, secret=b"")) == older
        assert not trace.exists()

        place.path.write_bytes(data)  # nobody else could have written it: it is believed
        assert load_newest(log, place.config, Engine(place.config, secret=b"")) == older
    assert trace.exists()


@pytest.mark.parametrize("forged_with", [None, b"another key, long enough"])
def test_with_a_key_a_crafted_pickle_is_never_decoded(
    place: Place, monkeypatch: pytest.MonkeyPatch, forged_with: bytes | None
) -> None:
    """Somebody who may write the folder, and does not know the key, runs no code here."""
    trace = place.bomb(key=forged_with)
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    nothing = place.start_from_nothing()

    started = place.start()

    assert not trace.exists()
    assert (started.engine_from, started.digest) == (0, nothing.digest)


def test_signed_snapshots_serve_whoever_has_the_key(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key may come from a file; without it, or with another, the journal is folded."""
    (place.folder / "key").write_text(f"{KEY}\n")
    own = Place(place.folder, snapshots={"key_file": str(place.folder / "key")})
    written = own.write()
    assert written is not None

    assert own.start().engine_from == written.position
    monkeypatch.setenv(KEY_VARIABLE, KEY + "!")
    assert own.start().engine_from == 0
    monkeypatch.delenv(KEY_VARIABLE)
    assert place.start().engine_from == place.store.files()[1].position


def test_a_rolled_back_journal_takes_no_snapshot_of_its_lost_future(place: Place) -> None:
    """A power loss took the newest records; others came in their places."""
    for name in ("log.db", "log.db-wal", "log.db-shm"):
        (place.folder / name).unlink(missing_ok=True)
        if (place.folder / "backup" / name).exists():
            shutil.copy(place.folder / "backup" / name, place.folder / name)
    newest, older = place.store.files()
    place.teach(500, 12)
    nothing = place.start_from_nothing()

    started = place.start()

    assert started.engine_from == older.position < newest.position
    assert (started.digest, started.fingerprint) == (nothing.digest, nothing.fingerprint)
    assert started.pending == nothing.pending


def test_another_journals_snapshot_is_rejected(place: Place, tmp_path: Path) -> None:
    """Of the same configuration, at a position that both have."""
    other = Place(tmp_path / "other")
    other.folder.mkdir()
    other.teach(900, 20)
    shutil.copytree(place.store.folder, other.store.folder)

    started = other.start()

    assert started.engine_from == 0
    assert started.digest == other.start_from_nothing().digest


def test_a_journal_without_its_beginning_needs_a_snapshot(place: Place) -> None:
    """With one that fits the start goes on there; without one it stops and says so."""
    whole = place.start()
    with place.log() as log:

        class Shortened:
            """The log, whose journal begins later."""

            def __getattr__(self, name: str) -> Any:
                return getattr(log, name)

            def begin(self, topic: str, partition: int) -> int:
                shortened = topic == place.config.topic("journal")
                return 4 if shortened else log.begin(topic, partition)

        engine = Engine(place.config, secret=b"")
        assert load_newest(Shortened(), place.config, engine) == whole.engine_from
        shutil.rmtree(place.store.folder)
        with pytest.raises(Gone, match="the journal begins at 4 and no snapshot"):
            load_newest(Shortened(), place.config, Engine(place.config, secret=b""))


def test_the_writer_remembers_only_what_is_not_closed_yet(tmp_path: Path) -> None:
    """The fold without queries forgets what the committed positions have passed."""
    place = Place(tmp_path)
    for turn in range(4):
        place.teach(100 * turn, 20, unanswered=turn == 3)
        assert place.write() is not None

    started, nothing = place.start(), place.start_from_nothing()

    assert started.engine_from == place.newest.position
    assert started.fingerprint == nothing.fingerprint
    assert started.pending == nothing.pending
    assert [file.position for file in place.store.files()] == sorted(
        (file.position for file in place.store.files()), reverse=True
    )
    assert len(place.store.files()) == place.config.snapshots.keep


def test_a_snapshot_where_there_is_one_is_not_written_again(place: Place) -> None:
    """Nothing new in the journal: nothing to do."""
    assert place.write() is not None
    before = place.path.stat().st_mtime_ns

    assert place.write() is None
    assert place.path.stat().st_mtime_ns == before


def test_an_empty_journal_needs_no_snapshot(tmp_path: Path) -> None:
    """Before the first worker there is nothing to keep."""
    assert Place(tmp_path).write() is None
