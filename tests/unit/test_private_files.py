"""What we create is for us alone, whatever the umask, and is never written through a trap."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from stream_al.config import Config
from stream_al.errors import ConfigurationError
from stream_al.port import Outgoing
from stream_al.private_files import (
    Access,
    append_to,
    folder_problem,
    make_folder,
    opened_for_people,
    tighten,
    write_for_people,
    write_whole,
)
from stream_al.service.exits import Exits
from stream_al.service.settings import gate_secret, load_config, snapshot_key
from stream_al_connectors import SqliteLog
from stream_al_connectors.locks import FileLock

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files of other users")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[0o000, 0o022, 0o777], ids=lambda umask: f"umask {umask:03o}")
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "victim"
    path.write_text("precious")
    return path


def test_a_log_and_all_beside_it_are_for_its_owner_alone(tmp_path: Path, umask: int) -> None:
    """D4: the file, its side files, locks, members and the note, whatever the umask."""
    folder = tmp_path / "data"
    folder.mkdir()
    folder.chmod(0o755)
    log = SqliteLog(folder / "m.db", topics={"events": 1, "journal": 1})
    log.append("events", [Outgoing(b"a")])
    member = log.join("g", "events", name="w")
    member.poll(limit=1, timeout_s=0.1)
    claim = log.claim("c")
    gate_secret(Config(), beside=folder / "m.db")
    with Exits(folder / "m.db.snapshots" / "exits-0.json").noted():
        pass

    found = {path: mode(path) for path in folder.rglob("*")}
    log.close()

    assert claim is not None
    assert len([path for path in found if path.is_file()]) >= 5
    assert {path.name for path in found} >= {"m.db-wal", "m.db-shm", "m.db.secret", "member-1"}
    wrong = {str(path): oct(each) for path, each in found.items() if each & 0o077}
    assert wrong == {}


def test_a_log_of_an_older_version_is_closed_to_others(tmp_path: Path) -> None:
    """D4: 0644, or what umask 000 left, is tightened by its owner; what a group may write stays."""
    path = tmp_path / "m.db"
    SqliteLog(path, topics={"events": 1}).close()
    for before, after in ((0o644, 0o600), (0o666, 0o600), (0o640, 0o640), (0o660, 0o660),
                          (0o664, 0o660)):  # fmt: skip
        path.chmod(before)
        (tmp_path / "m.db.locks").chmod(0o777)
        SqliteLog(path, topics={}, create=False).close()
        assert (oct(mode(path)), mode(tmp_path / "m.db.locks") & 0o007) == (oct(after), 0)


def test_a_group_that_may_write_the_log_shares_what_lies_beside_it(tmp_path: Path) -> None:
    """D4: `chmod 660 m.db` is how a group uses a log together; the secret stays its owner's."""
    path = tmp_path / "m.db"
    SqliteLog(path, topics={"events": 1}).close()
    path.chmod(0o660)
    for made in (tmp_path / "m.db.locks").rglob("*"):
        made.unlink()
    (tmp_path / "m.db.locks").rmdir()

    log = SqliteLog(path, topics={}, create=False)
    log.join("g", "events", name="w").poll(limit=1, timeout_s=0.1)
    gate_secret(Config(), beside=path)
    found = {each.name: mode(each) for each in tmp_path.rglob("*")}
    log.close()

    assert (found["m.db-wal"], found["m.db-shm"], found["m.db.locks"]) == (0o660, 0o660, 0o770)
    assert (found["member-1"], found["partition-0"]) == (0o660, 0o660)
    assert found["m.db.secret"] == 0o600


def test_a_log_that_a_group_was_given_later_is_shared_with_all_beside_it(tmp_path: Path) -> None:
    """D4: the locks made before `chmod 660 m.db` would keep the group out; the secret stays."""
    path = tmp_path / "m.db"
    log = SqliteLog(path, topics={"events": 1})
    log.join("g", "events", name="w").poll(limit=1, timeout_s=0.1)
    gate_secret(Config(), beside=path)
    log.close()
    (tmp_path / "m.db.locks" / "link").symlink_to(tmp_path / "m.db.secret")
    path.chmod(0o660)

    SqliteLog(path, topics={}, create=False).close()

    beside = [tmp_path / "m.db.locks", *(tmp_path / "m.db.locks").rglob("*")]
    found = {str(each): mode(each) for each in beside if not each.is_symlink()}
    wrong = {name: oct(each) for name, each in found.items() if each not in {0o660, 0o770}}
    assert wrong == {}
    assert len(found) >= 3
    assert mode(tmp_path / "m.db.secret") == 0o600


def _exits(link: Path) -> None:
    with Exits(link.with_name("exits-0.json")).noted():
        pass


def _listed(link: Path) -> None:
    with opened_for_people(link) as file:
        print("line", file=file)


TRAPS: dict[str, Callable[[Path], None]] = {
    "exits-0.part": _exits,
    "exits-0.json": _exits,
    "report.html": lambda link: write_for_people(link, "report"),
    "list.jsonl": _listed,
    "anything": lambda link: write_whole(link, "content"),
}


@pytest.mark.parametrize("name", TRAPS)
def test_a_planted_link_is_replaced_and_never_followed(
    tmp_path: Path, victim: Path, name: str
) -> None:
    """D2: the file that it leads to keeps its content."""
    link = tmp_path / name
    link.symlink_to(victim)

    TRAPS[name](link)

    assert victim.read_text() == "precious"


@pytest.mark.parametrize("name", ["member-1", "creation"])
def test_a_link_in_place_of_a_lock_is_refused(tmp_path: Path, name: str) -> None:
    """D2: no file is made where it leads to."""
    target = tmp_path / "made-by-us"
    (tmp_path / name).symlink_to(target)

    with pytest.raises(OSError, match="symbolic links"):
        FileLock.take(tmp_path / name)

    assert not target.exists()


def test_a_link_in_place_of_a_new_log_is_refused(tmp_path: Path) -> None:
    """D2: a name that leads nowhere makes no file elsewhere."""
    target = tmp_path / "elsewhere.db"
    (tmp_path / "m.db").symlink_to(target)

    with pytest.raises(ConfigurationError, match="a link to"):
        SqliteLog(tmp_path / "m.db", topics={"events": 1})

    assert not target.exists()


def test_a_log_of_lines_is_appended_to_only_when_it_is_ours(tmp_path: Path, victim: Path) -> None:
    """D2: neither through a link, nor into a file with another name, nor into a pipe."""
    (tmp_path / "link.log").symlink_to(victim)
    os.link(victim, tmp_path / "hard.log")
    os.mkfifo(tmp_path / "pipe.log")
    for name in ("link.log", "hard.log", "pipe.log"):
        with pytest.raises(OSError, match=r"link|own|No such device"):
            append_to(tmp_path / name)
    os.close(append_to(tmp_path / "new.log"))

    assert victim.read_text() == "precious"
    assert mode(tmp_path / "new.log") == 0o600


@as_root
def test_a_folder_that_somebody_else_made_is_not_used(tmp_path: Path) -> None:
    """D2: the folder of short locks in /tmp, made before by another user; or a link of his."""
    folder, link = tmp_path / "stream-al-0", tmp_path / "stream-al-link"
    folder.mkdir(mode=0o755)
    os.chown(folder, 4242, 4242)
    link.symlink_to(tmp_path)
    os.chown(link, 4242, 4242, follow_symlinks=False)

    for path in (folder, link):
        with pytest.raises(PermissionError, match="uid 4242"):
            make_folder(path)
    assert folder_problem(folder, Access(uid=4242)) is None
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(PermissionError, match="everybody may write it"):
        make_folder(tmp_path / "open")


@as_root
def test_files_of_others_are_not_tightened(tmp_path: Path) -> None:
    """D4: only the owner decides."""
    path = tmp_path / "theirs"
    path.write_text("x")
    path.chmod(0o644)
    os.chown(path, 4242, 4242)
    tighten(path)

    assert mode(path) == 0o644


@as_root
def test_what_root_makes_beside_a_log_is_its_owners(tmp_path: Path) -> None:
    """C8: root looks once, and the service's user goes on without him."""
    path = tmp_path / "m.db"
    SqliteLog(path, topics={"events": 1}).close()
    for each in (path, tmp_path / "m.db.locks", *(tmp_path / "m.db.locks").rglob("*")):
        os.chown(each, 4242, 4243)

    log = SqliteLog(path, topics={}, create=False)
    log.join("g", "events", name="w").poll(limit=1, timeout_s=0.1)
    owners = {each.name: (each.stat().st_uid, each.stat().st_gid) for each in tmp_path.rglob("*")}
    log.close()

    assert set(owners.values()) == {(4242, 4243)}, owners


SECRET = "hunter2-hunter2-hunter2-hunter2"


@pytest.mark.parametrize("given", [SECRET, f"{SECRET}/x", SECRET * 40, f"{SECRET}\0x"])
def test_a_secret_in_place_of_a_file_name_is_not_repeated(given: str, tmp_path: Path) -> None:
    """D4: the line names the setting, and not its value."""
    config = Config.model_validate(
        {"gate": {"secret_file": given}, "snapshots": {"key_file": given}}
    )
    for read, setting in (
        (lambda: gate_secret(config, beside=tmp_path / "m.db"), "gate.secret_file"),
        (lambda: snapshot_key(config), "snapshots.key_file"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            read()
        assert setting in str(caught.value)
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        f"gate: {{secret_file: [{SECRET}]}}",
        f"gate: {{secret_file: {{{SECRET}: 1}}}}",
        f"snapshots: {{key_file: [{SECRET}]}}",
        f"log: {{connector: kafka, security: {SECRET}}}",
        f"log: {{connector: kafka, security: {{password: {SECRET}}}}}",
        f"log: {{connector: kafka, security: {{protocol: [{SECRET}]}}}}",
        f"log: {{connector: kafka, security: {{protocol: SASL_SSL, password_file: {SECRET}}}}}",
    ],
)
def test_a_wrong_setting_for_secrets_shows_no_value(text: str, tmp_path: Path) -> None:
    """D4: not in the lines about what is wrong with a configuration either."""
    path = tmp_path / "stream-al.yaml"
    path.write_text(text)

    with pytest.raises(ConfigurationError) as caught:
        load_config(path, {})

    assert "hunter2" not in str(caught.value)


def test_what_a_person_named_is_for_them_alone_and_whole_or_not_there(tmp_path: Path) -> None:
    """D2, D4: whatever the umask; one that ends in the midst leaves what was there before."""
    path = tmp_path / "list.jsonl"
    umask = os.umask(0)
    try:
        _listed(path)
    finally:
        os.umask(umask)
    with suppress(KeyError), opened_for_people(path) as file:
        print("half", file=file)
        raise KeyError

    assert path.read_text() == "line\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]
