"""What is shipped: the wheel's contents, and a `stream-al` that works in an empty environment."""

from __future__ import annotations

import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {"stream_al", "stream_al_connectors"}


def _run(*command: str | Path, cwd: Path = ROOT) -> str:
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    _run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder)
    (built,) = folder.glob("*.whl")
    return built


def _modules_of_the_tree() -> set[str]:
    files = set()
    for base, package in ((ROOT, "stream_al"), (ROOT / "connectors", "stream_al_connectors")):
        paths = (base / package).rglob("*")
        files |= {
            path.relative_to(base).as_posix()
            for path in paths
            if path.is_file() and "__pycache__" not in path.parts
        }
    return files


def test_wheel_holds_the_two_packages_and_nothing_else(wheel: Path) -> None:
    """Every file of both packages is in, with its type marker; no test, no tool, no data."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    described = {name for name in names if ".dist-info/" in name}

    assert names - described == _modules_of_the_tree()
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    assert {name.rsplit("/", 1)[1] for name in described} == {
        "METADATA",
        "WHEEL",
        "RECORD",
        "entry_points.txt",
        "LICENSE",
    }


def test_wheel_installed_into_an_empty_environment_works(wheel: Path, tmp_path: Path) -> None:
    """`pip install` at the locked versions gives a `stream-al` that answers, far from the tree."""
    venv.create(tmp_path / "empty", with_pip=True)
    bin_folder = tmp_path / "empty" / "bin"
    # pip resolves the wheel's own requirements; the lock only says which versions it may take.
    _run(
        *(bin_folder / "python", "-m", "pip", "install", "--quiet"),
        *("--disable-pip-version-check", "--no-compile", "--prefer-binary"),
        *("--constraint", _constraints(tmp_path), wheel),
        cwd=tmp_path,
    )

    assert "Usage" in _run(bin_folder / "stream-al", "--help", cwd=tmp_path)
    found = _run(
        *(bin_folder / "python", "-c"),
        "import stream_al, stream_al_connectors; print(stream_al.__file__)",
        cwd=tmp_path,
    )
    assert found.startswith(str(tmp_path))


def _constraints(folder: Path) -> Path:
    """Return a file of the locked versions without hashes: a local wheel has none in the lock."""
    locked = (ROOT / "requirements" / "base.txt").read_text(encoding="utf-8")
    path = folder / "constraints.txt"
    path.write_text("\n".join(re.findall(r"^[\w.-]+==[^\s\\]+", locked, flags=re.MULTILINE)))
    return path


@pytest.mark.parametrize("name", ["base", "dev"])
def test_lock_has_hashes_and_names_no_place(name: str) -> None:
    """Every requirement is pinned and hashed; no address, index, option or path is in the file."""
    locked = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    lines = [line for line in locked.splitlines() if line and not line.lstrip().startswith("#")]
    pins = [line for line in lines if not line.startswith(" ")]

    assert pins
    assert all(re.fullmatch(r"[\w.-]+==[\w.+!-]+( ;.*)? \\", pin) for pin in pins)
    hashed = re.compile(r" +--hash=sha256:[0-9a-f]{64}( \\)?")
    assert all(hashed.fullmatch(line) for line in lines if line.startswith(" "))
    assert "://" not in locked


def test_dev_lock_holds_the_base_lock() -> None:
    """What is tested is what is installed: each base pin is in the lock for development, alike."""
    pins = {
        name: set(re.findall(r"^[\w.-]+==\S+", text, flags=re.MULTILINE))
        for name in ("base", "dev")
        for text in [(ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")]
    }

    assert pins["base"] <= pins["dev"]
