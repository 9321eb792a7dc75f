"""Where a command works: paths count from the configuration file, and what writes says where."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml

from tests.integration.conftest import Deployment, native, until

WRITES = (
    ("pause",), ("resume",), ("freeze",), ("shadow",), ("budget", "set", "--share", "0.5"),
    ("seed", "SEEDS"), ("label", "e-0", "spam"), ("model", "activate"),
    ("replay", "--learn-frozen", "--activate"), ("journal", "redact", "e-0"),
    ("dead-letters", "redrive"), ("snapshot", "write"), ("snapshot", "prune"),
)  # fmt: skip
LOOKS = (("status",), ("budget",), ("queries",), ("model",), ("audit",), ("read", "events"))


@pytest.fixture
def elsewhere(deployment: Deployment) -> Path:
    """Write a configuration in another folder than the one that commands run in."""
    folder = deployment.folder / "x"
    folder.mkdir()
    body = {"app": "m", "log": {"path": "m.db", "durability": "normal"}, "http": {"port": 0}}
    (folder / "own.yaml").write_text(yaml.safe_dump(body))
    seeds = native(1) | {"label": "spam"}
    (deployment.folder / "seeds.jsonl").write_text(json.dumps(seeds) + "\n")
    return folder / "own.yaml"


def _arguments(deployment: Deployment, command: tuple[str, ...], file: Path) -> list[str]:
    seeds = str(deployment.folder / "seeds.jsonl")
    return [*(seeds if one == "SEEDS" else one for one in command), "--config", str(file)]


@pytest.mark.parametrize("command", [*WRITES, *LOOKS], ids=" ".join)
def test_no_command_but_run_and_send_makes_a_log(
    deployment: Deployment, elsewhere: Path, command: tuple[str, ...]
) -> None:
    """A9: on a log that is not there: exit 2 with the full path and the configuration."""
    ended = deployment.cli(*_arguments(deployment, command, elsewhere))
    assert ended.code == 2
    assert str(elsewhere.parent / "m.db") in ended.err
    assert str(elsewhere) in ended.err
    assert not list(deployment.folder.rglob("*.db*"))


def test_paths_count_from_the_file(deployment: Deployment, elsewhere: Path) -> None:
    """A9: run, send and status from two folders work on one log, secret and snapshots."""
    (deployment.folder / "events.jsonl").write_text(json.dumps(native(0)) + "\n")
    sent = deployment.done("send", "events.jsonl", "--config", elsewhere)
    assert str(elsewhere.parent / "m.db") in sent.err
    deployment.done("run", "--until-idle", "--config", elsewhere)
    (deployment.folder / "y").mkdir()
    relative = deployment.done("status", "--config", Path("x/own.yaml"), "--json").json()
    assert relative["events_scored"] == 1
    made = {path.name for path in elsewhere.parent.iterdir()}
    assert {"m.db", "m.db.secret"} <= made
    assert not list(deployment.folder.glob("m.db*"))


def test_the_default_log_lies_beside_the_file(deployment: Deployment, elsewhere: Path) -> None:
    """A9: also when the file names no path; a path of a variable counts from where we are."""
    elsewhere.write_text("app: d\nhttp: {port: 0}\n")
    deployment.done("run", "--until-idle", "--config", elsewhere)
    assert (elsewhere.parent / "d.db").exists()
    deployment.done(
        "run", "--until-idle", "--config", elsewhere, environment={"STREAM_AL_LOG__PATH": "v.db"}
    )
    assert (deployment.folder / "v.db").exists()


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("command", [("run", "--until-idle"), ("send", "seeds.jsonl")])
def test_a_log_at_the_old_place_is_not_left_behind(
    deployment: Deployment, elsewhere: Path, command: tuple[str, ...], *, named: bool
) -> None:
    """A9: one in the current folder and none beside the file: exit 2 naming both."""
    if not named:
        elsewhere.write_text("app: m\nhttp: {port: 0}\n")
    deployment.configure("old.yaml", app="m", log={"path": "m.db", "durability": "normal"})
    deployment.done("run", "--until-idle", "--config", "old.yaml")
    ended = deployment.cli(*command, "--config", elsewhere)
    assert ended.code == 2
    assert str(elsewhere.parent / "m.db") in ended.err
    assert str(deployment.folder / "m.db") in ended.err
    assert not (elsewhere.parent / "m.db").exists()
    checked = deployment.cli("check", "--config", elsewhere)
    assert (checked.code, str(deployment.folder / "m.db") in checked.err) == (2, True)


@pytest.mark.parametrize(
    "command",
    [("pause",), ("resume",), ("freeze",), ("shadow",), ("budget", "set", "--share", "0.5")],
    ids=" ".join,
)
def test_what_no_resolver_took_is_exit_1(deployment: Deployment, command: tuple[str, ...]) -> None:
    """A9: an emergency brake that nobody pulls is no success; it stays proposed, and says so."""
    deployment.done("run", "--until-idle")
    ended = deployment.cli(*command)
    assert ended.code == 1
    assert "not in force" in ended.err
    assert "stays proposed" in ended.err
    assert str(deployment.folder / "t.db") in ended.err
    deployment.done("run", "--until-idle")
    assert deployment.messages("journal")[-1]["kind"] == "control"


def test_people_need_not_wait_for_a_resolver(deployment: Deployment) -> None:
    """A9: a label and a seed are sent; they say where, and end with 0."""
    deployment.configure(gate={"budget": {"share": 1.0}})
    deployment.send(native(0))
    deployment.done("run", "--until-idle")
    path = deployment.folder / "seeds.jsonl"
    path.write_text(json.dumps(native(1) | {"label": "spam"}) + "\n")
    for command in (("seed", path), ("label", "e-0", "spam")):
        assert str(deployment.folder / "t.db") in deployment.done(*command).err


def test_what_is_in_force_says_where(deployment: Deployment) -> None:
    """A9: each command that writes names the log, also when it worked."""
    deployment.worker()
    until(lambda: deployment.ends("journal")[0] >= 2)
    for command in (("pause",), ("resume",), ("budget", "set", "--open", "50")):
        ended = deployment.done(*command)
        assert "in force from journal position" in ended.err
        assert str(deployment.folder / "t.db") in ended.err


def test_a_configuration_from_a_pipe_counts_from_here(deployment: Deployment) -> None:
    """A9: a pipe lies in no folder."""
    pipe = deployment.folder / "pipe"
    os.mkfifo(pipe)
    worker = deployment.start("run", "--until-idle", "--config", pipe)
    pipe.write_text("app: p\nhttp: {port: 0}\n")
    assert worker.wait().code == 0
    assert (deployment.folder / "p.db").exists()
