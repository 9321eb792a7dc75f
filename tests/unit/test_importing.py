"""Code comes from what is installed, or from beside the configuration: never from where one is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TRAP = "from pathlib import Path\nPath(__file__).with_suffix('.ran').touch()\n"
MODULES = ("_winapi", "nt", "winreg", "msvcrt", "colorama", "orjson", "java")
COMMAND = str(Path(sys.executable).with_name("stream-al"))
WAYS = {"script": [COMMAND], "module": [sys.executable, "-m", "stream_al"]}
MODEL = """
import helpers
from river import linear_model

def build():
    helpers.touch()
    return linear_model.LogisticRegression()
"""
HELPERS = """
from pathlib import Path

def touch():
    Path(__file__).with_suffix(".ran").touch()
"""


def _run(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        command, cwd=folder, env=kept | environment, capture_output=True, text=True, check=False
    )


def _ran(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*.ran"))


@pytest.fixture
def trapped(tmp_path: Path) -> Path:
    """Give a folder in which somebody left files with names that libraries try to import."""
    folder = tmp_path / "trapped"
    folder.mkdir()
    for name in MODULES:
        (folder / f"{name}.py").write_text(TRAP)
    return folder


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize(
    "environment",
    [{}, {"PYTHONHASHSEED": "0"}, {"PYTHONPATH": ""}, {"PYTHONPATH": ":/nowhere"},
     {"PYTHONPATH": ".:/nowhere", "PYTHONHASHSEED": "0"}],
    ids=["plain", "seeded", "empty path", "empty part", "dot"],
)  # fmt: skip
def test_no_command_runs_what_lies_in_the_current_folder(
    trapped: Path, way: list[str], environment: dict[str, str]
) -> None:
    """D1: `--help` and a command that reads everything leave the planted modules alone."""
    helped = _run(trapped, *way, "--help", **environment)
    checked = _run(trapped, *way, "check", **environment)

    assert (helped.returncode, checked.returncode) == (0, 0), checked.stderr
    assert _ran(trapped) == []


def test_a_factory_is_found_beside_the_configuration_file(trapped: Path, tmp_path: Path) -> None:
    """D1: from any folder, with the modules that it imports itself; nothing else is."""
    own = tmp_path / "own"
    own.mkdir()
    (own / "my_models.py").write_text(MODEL)
    (own / "helpers.py").write_text(HELPERS)
    (own / "stream-al.yaml").write_text(
        "model: {factory: my_models:build}\nlog: {path: a.db}\nhttp: {port: 0}\n"
    )
    config = ("--config", str(own / "stream-al.yaml"))

    checked = _run(trapped, COMMAND, "check", *config)

    assert checked.returncode == 0, checked.stderr
    assert _ran(own) == ["helpers.ran"]
    assert _ran(trapped) == []


def test_what_lies_beside_the_configuration_never_stands_for_a_standard_module(
    trapped: Path,
) -> None:
    """D1: with a factory the folder counts, but names of the standard library stay Python's own."""
    (trapped / "my_models.py").write_text(MODEL)
    (trapped / "helpers.py").write_text(
        HELPERS + "\ntry:\n    import _winapi\nexcept ImportError: pass\n"
    )
    (trapped / "stream-al.yaml").write_text("model: {factory: my_models:build}\n")

    checked = _run(trapped, COMMAND, "check")

    assert checked.returncode == 0, checked.stderr
    assert _ran(trapped) == ["helpers.ran"]


def test_a_factory_in_the_current_folder_alone_is_refused_with_the_place(
    trapped: Path, tmp_path: Path
) -> None:
    """D1: it says where a module of one's own is looked up."""
    (trapped / "my_models.py").write_text(TRAP)
    elsewhere = tmp_path / "elsewhere.yaml"
    elsewhere.write_text("model: {factory: my_models:build}\n")

    checked = _run(trapped, COMMAND, "check", "--config", str(elsewhere))

    assert checked.returncode == 2
    assert "my_models:build" in checked.stderr
    assert "beside the configuration file" in " ".join(checked.stderr.split())
    assert _ran(trapped) == []
