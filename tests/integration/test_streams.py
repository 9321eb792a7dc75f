"""Standard streams that are closed, full or not UTF-8: one line that names it, no traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.integration.conftest import ENVIRONMENT

ODD = "Größe 中文"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a log with one open query of a text beyond ASCII."""
    folder = tmp_path_factory.mktemp("streams")
    body = {
        "app": "t",
        "log": {"path": "t.db", "durability": "normal"},
        "http": {"port": 0},
        "gate": {"budget": {"share": 1.0}},
        "snapshots": {"every_records": 0},
    }
    (folder / "stream-al.yaml").write_text(yaml.safe_dump(body))
    event = {"event_id": f"ä-{ODD}", "features": {"text": ODD}, "segment": ODD}
    (folder / "events.jsonl").write_text(json.dumps(event) + "\n")
    for command in ("send events.jsonl", "run --until-idle"):
        assert _shell(folder, command).returncode == 0
    return folder


def _shell(
    folder: Path, command: str, redirected: str = "", **environment: str
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -m stream_al {command} {redirected}"],
        cwd=folder,
        env=ENVIRONMENT | environment,
        capture_output=True,
        timeout=60,
        check=False,
    )


LOOKS = ("status", "status --json", "queries", "queries --json", "read events", "read journal",
         "--help", "check", "audit", "dead-letters", "label --help", "model")  # fmt: skip
LATIN = (
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "latin-1"},
    {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"},
)


@pytest.mark.parametrize("environment", LATIN, ids=str)
@pytest.mark.parametrize("command", LOOKS)
def test_a_terminal_that_is_not_utf8(
    folder: Path, command: str, environment: dict[str, str]
) -> None:
    """C14: what it can't show is escaped; JSON stays JSON with the same values."""
    ended = _shell(folder, command, **environment)
    assert ended.returncode == 0, ended.stderr
    assert b"Traceback" not in ended.stderr
    if "--json" in command or command.startswith("read"):
        for line in ended.stdout.splitlines():
            json.loads(line)
    if command == "read events":
        value = json.loads(ended.stdout)["value"]
        assert value["features"]["text"] == ODD


@pytest.mark.parametrize("command", [one for one in LOOKS if one != "dead-letters"])
@pytest.mark.parametrize("redirected", [">/dev/full", ">&-"])
def test_an_output_that_takes_nothing_is_named(folder: Path, command: str, redirected: str) -> None:
    """C14: exit 1 and one line that says stdout; what was not said was not done in silence."""
    ended = _shell(folder, command, redirected)
    assert ended.returncode == 1, ended.stderr
    assert b"stdout" in ended.stderr
    assert b"Traceback" not in ended.stderr
    assert b"Exception ignored" not in ended.stderr


@pytest.mark.parametrize("redirected", ["<&-", "2>&-", "<&- >&- 2>&-", "<&- 2>/dev/full"])
def test_a_worker_needs_no_streams(folder: Path, redirected: str) -> None:
    """C14: as a daemon starts it; and no file of ours gets the number of a closed stream."""
    ended = _shell(folder, "run --until-idle", redirected)
    assert (ended.returncode, b"Traceback" in ended.stderr) == (0, False)
    assert _shell(folder, "audit").returncode == 0


@pytest.mark.parametrize("command", ["send -", "annotate"])
def test_an_input_that_is_closed_is_named(folder: Path, command: str) -> None:
    """C14: no traceback, and no success with nothing sent."""
    ended = _shell(folder, command, "<&-")
    assert ended.returncode == 2, ended.stderr
    assert b"stdin" in ended.stderr or b"terminal" in ended.stderr
    assert b"Traceback" not in ended.stderr


@pytest.mark.parametrize("redirected", ["2>&-", "2>/dev/full"])
def test_messages_that_nobody_hears_change_nothing(folder: Path, redirected: str) -> None:
    """C14: the exit code and the data stay."""
    ended = _shell(folder, "queries --json", redirected)
    assert ended.returncode == 0
    assert len(json.loads(ended.stdout)) == 1
    assert _shell(folder, "read nothing", redirected).returncode == 2


@pytest.mark.parametrize(
    "command",
    ["label $(printf '\\377') ham", "label e-0 $(printf '\\377')",
     "pause --reason $(printf 'a\\377b')", "read $(printf '\\377')",
     "budget set --share 0.5 --actor $(printf '\\377')", "replay --without $(printf '\\377')"],
)  # fmt: skip
def test_an_argument_that_is_no_text_is_named(folder: Path, command: str) -> None:
    """C14: exit 2, one line, nothing written."""
    ended = _shell(folder, command)
    assert ended.returncode == 2
    assert b"no UTF-8" in ended.stderr
    assert ended.stderr.count(b"\n") == 1


def test_a_reader_that_hangs_up_is_no_failure(folder: Path) -> None:
    """C14: `… | head -1` ends quietly, also with many lines."""
    ended = _shell(folder, "--help", "| head -1")
    assert b"Traceback" not in ended.stderr
