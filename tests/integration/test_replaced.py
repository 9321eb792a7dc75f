"""A log file that goes away under running commands: each of them ends, and says what to do."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.conftest import Deployment, native


def _removed(path: Path) -> None:
    for each in path.parent.glob(f"{path.name}*"):
        if each.is_file():
            each.unlink()


def _moved_over(path: Path) -> None:
    path.with_name("backup.db").replace(path)


def _copied_over(path: Path) -> None:
    shutil.copyfile(path.with_name("backup.db"), path)


@pytest.mark.parametrize("way", [_removed, _moved_over, _copied_over])
def test_everything_that_has_the_log_open_ends_as_gone(
    deployment: Deployment, way: Callable[[Path], None]
) -> None:
    """A4: a worker and a reader that only looks, exit 2 within a second or two, one line each."""
    path = deployment.folder / "t.db"
    deployment.send(*(native(n) for n in range(20)))
    deployment.done("run", "--until-idle")
    shutil.copy(path, path.with_name("backup.db"))
    deployment.send(*(native(n) for n in range(20, 400)))
    worker = deployment.worker()
    reader = deployment.start("read", "predictions", "--follow")
    deployment.send(native(400))
    time.sleep(0.5)
    way(path)

    ended = [process.wait(10) for process in (worker, reader)]

    assert [each.code for each in ended] == [2, 2], [each.err for each in ended]
    for each in ended:
        line = each.err.strip().splitlines()[-1]
        assert line.startswith("gone: "), each.err
        assert str(path.name) in line
        assert "stream-al restore FILE" in line
