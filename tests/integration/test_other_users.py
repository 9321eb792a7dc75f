"""Users that the system does not know, and files of another user: a line, never a traceback."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import Deployment, Ended, Forks

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
UID = 12345


class Place:
    """A deployment in a folder that its user can reach, who has no name and no home."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.folder = deployment.folder

    def run(self, *arguments: str, uid: int = UID, **environment: str) -> Ended:
        """Run a command as that user; a traceback is never an answer."""
        return self.deployment.cli(*arguments, uid=uid, environment=environment)

    def start(self) -> None:
        """Send some events, and predict them."""
        for arguments in (("send", "events.jsonl"), ("run", "--until-idle")):
            done = self.run(*arguments)
            assert done.code == 0, done.err


@pytest.fixture(scope="module")
def importing(forks: Forks) -> Forks:
    forks.ask({"import_all": True})
    return forks


@pytest.fixture
def place(importing: Forks) -> Iterator[Place]:
    folder = Path(tempfile.mkdtemp(prefix="stream-al-test-"))
    deployment = Deployment(importing, folder)
    (folder / "process").chmod(0o777)
    lines = [json.dumps({"event_id": f"e-{n}", "features": {"text": f"hi {n}"}}) for n in range(40)]
    (folder / "events.jsonl").write_text("\n".join(lines))
    for each in (folder, *folder.iterdir()):
        os.chown(each, UID, UID)
    yield Place(deployment)
    deployment.close()
    shutil.rmtree(folder)


def line_of(done: Ended) -> str:
    return done.err.strip().splitlines()[-1]


@pytest.mark.parametrize(
    "arguments",
    [
        ("pause", "--reason", "x"),
        ("budget", "set", "--share", "0.02", "--reason", "x"),
        ("freeze",),
        ("model", "activate", "--reason", "x"),
        ("seed", "seeds.jsonl"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_an_operator_without_a_name_acts_as_his_number(
    place: Place, arguments: tuple[str, ...]
) -> None:
    """C6: a container's uid has no passwd entry; the journal says which it was."""
    place.start()
    (place.folder / "seeds.jsonl").write_text(
        json.dumps({"event_id": "s", "features": {"text": "x"}, "label": "ok"})
    )

    place.run(*arguments)
    place.run("run", "--until-idle")
    read = place.run("read", "journal").out + place.run("read", "controls").out

    assert f"uid-{UID}@{os.uname().nodename}" in read


def test_an_annotator_without_a_name_labels_as_his_number(place: Place) -> None:
    """C6: `label` too, and `annotate` gets as far as asking for a terminal."""
    place.start()
    place.run("label", "e-1", "spam")
    assert f"uid-{UID}@" in place.run("read", "labels").out
    assert "terminal" in place.run("annotate").err


@pytest.mark.parametrize(
    "arguments", [("status",), ("check",), ("audit",), ("evaluate", "--help"), ("init", "new.yaml"),
                  ("backup", "copy.db"), ("snapshot", "write")], ids=lambda a: a[0],
)  # fmt: skip
def test_no_command_needs_a_name_or_a_home(place: Place, arguments: tuple[str, ...]) -> None:
    """C6: nothing looks the user up."""
    place.start()

    done = place.run(*arguments)

    assert done.code == 0, done.err


def test_a_broker_without_a_home_says_what_to_set(place: Place) -> None:
    """C6: its jars are cached there."""
    done = place.run("broker", "--port", "19999")

    assert done.code == 2
    assert "XDG_CACHE_HOME" in line_of(done)


def test_root_who_looks_locks_nobody_out(place: Place) -> None:
    """C8: what root's commands leave beside a log is the service's."""
    place.start()
    for arguments in (("status",), ("send", "events.jsonl"), ("run", "--until-idle"), ("pause",),
                      ("snapshot", "write")):  # fmt: skip
        place.run(*arguments, uid=0)

    done = place.run("run", "--until-idle")

    assert done.code == 0, done.err
    assert "snapshots_not_read" not in done.err


def _all(folder: Path) -> None:
    for each in [*folder.glob("t.db*"), *folder.rglob("t.db*/**/*")]:
        os.chown(each, 0, 0)
        each.chmod(0o700 if each.is_dir() else 0o600)


def _only(name: str) -> Callable[[Path], None]:
    def take(folder: Path) -> None:
        for each in folder.glob(name) if name != "." else [folder]:
            os.chown(each, 0, 0)
            each.chmod(0o700 if each.is_dir() else 0o600)

    return take


@pytest.mark.parametrize(
    ("take", "named"),
    [
        (_all, "t.db"),
        (_only("t.db"), "t.db"),
        (_only("t.db.locks"), "t.db.locks"),
        (_only("t.db.locks/*"), "t.db.locks/"),
        (_only("t.db.secret"), "t.db.secret"),
        (_only("stream-al.yaml"), "stream-al.yaml"),
        (_only("."), "stream-al-test-"),
    ],
    ids=["all", "log", "locks", "in locks", "secret", "configuration", "folder"],
)
def test_a_file_of_root_is_named_with_whose_it_is(
    place: Place, take: Callable[[Path], None], named: str
) -> None:
    """C8: root ran it once; then the service's user gets one line and a command."""
    place.start()
    take(place.folder)

    done = place.run("run", "--until-idle", STREAM_AL_CONFIG=str(place.folder / "stream-al.yaml"))
    line = line_of(done)

    assert done.code == 2, done.err
    assert re.search(rf"{re.escape(named)}\S* belongs to root \(uid 0\), mode 0[67]00", line), line
    assert f"runs as uid {UID}" in line
    assert re.search(rf"`chown (-R )?{UID} ", line)


def test_a_folder_of_root_is_handed_over_alone(place: Place) -> None:
    """C8: the log is the user's, and files beside it can't be made; the command mends that."""
    place.start()
    os.chown(place.folder, 0, 0)
    place.folder.chmod(0o755)

    line = line_of(place.run("run", "--until-idle"))
    assert f"`chown {UID} {place.folder}`" in line

    os.chown(place.folder, UID, -1)
    assert place.run("run", "--until-idle").code == 0


@pytest.mark.parametrize("ending", ["-wal", "-shm"])
def test_a_side_file_of_root_is_named(place: Place, ending: str) -> None:
    """C8: left by a worker of root that was killed."""
    place.start()
    (place.folder / "t.db").chmod(0o600)
    side = place.folder / f"t.db{ending}"
    shutil.copy(place.folder / "t.db", place.folder / "t.db-wal")
    side.touch()
    os.chown(place.folder / "t.db-wal", UID, UID)
    os.chown(side, 0, 0)
    side.chmod(0o600)

    for arguments in (("status",), ("send", "events.jsonl")):
        line = line_of(place.run(*arguments))
        assert f"t.db{ending} belongs to root" in line
        assert "chown -R" in line


def test_snapshots_of_root_are_named(place: Place) -> None:
    """C8: the worker goes on, since they are a cache, and says so; the command refuses."""
    place.start()
    done = place.run("snapshot", "write")
    assert done.code == 0, done.err
    _only("t.db.snapshots")(place.folder)

    for arguments in (("snapshot", "list"), ("snapshot", "write"), ("snapshot", "prune")):
        refused = place.run(*arguments)
        assert refused.code == 2, arguments
        assert "t.db.snapshots belongs to root (uid 0)" in line_of(refused)
    ran = place.run("run", "--until-idle")
    assert ran.code == 0, ran.err
    assert "snapshots_not_read" in ran.err


@pytest.mark.parametrize("mode", [0o777, 0o775])
def test_a_snapshot_into_a_shared_folder_is_one_line(place: Place, mode: int) -> None:
    """C14: others may write it, so what is written there could not be read again."""
    place.start()
    shared = place.folder / "shared"
    shared.mkdir()
    os.chown(shared, UID, UID)
    shared.chmod(mode)
    config = place.folder / "stream-al.yaml"
    config.write_text(config.read_text() + "snapshots: {directory: shared}\n")

    done = place.run("snapshot", "write")

    assert done.code == 2
    assert "snapshots.directory" in line_of(done)
    assert "chmod go-w" in line_of(done)
    signed = place.run("snapshot", "write", STREAM_AL_SNAPSHOTS__KEY="0123456789abcdef")
    assert signed.code == 0, signed.err


def test_a_snapshot_into_what_is_no_folder_is_one_line(place: Place) -> None:
    """C14: a file, or a folder of root's."""
    place.start()
    config = place.folder / "stream-al.yaml"
    plain = config.read_text()
    (place.folder / "closed").mkdir(mode=0o755)
    for directory in ("events.jsonl", "closed"):
        config.write_text(f"{plain}snapshots: {{directory: {directory}}}\n")
        done = place.run("snapshot", "write")
        assert (done.code, "snapshots.directory" in line_of(done)) == (2, True), done.err
