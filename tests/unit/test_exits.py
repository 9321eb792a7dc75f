"""How lives of a worker ended is counted over its restarts, whatever became of the file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stream_al.errors import Ambiguous, ConfigurationError, Diverged, Fenced, Gone, Stalled
from stream_al.service.exits import KINDS, Exits


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Fenced("f"), "fenced"),
        (Stalled("s"), "stalled"),
        (Ambiguous("a"), "ambiguous"),
        (Gone("g"), "gone"),
        (Diverged("d"), "diverged"),
        (ConfigurationError("c"), "config"),
        (OSError("full"), "ambiguous"),
    ],
)
def test_an_end_is_counted_by_the_first_word_of_its_line(
    tmp_path: Path, error: Exception, kind: str
) -> None:
    """And goes on as it was; the next life knows of it."""
    path = tmp_path / "exits-0.json"
    for _ in range(2):
        with pytest.raises(type(error)), Exits(path).noted():
            raise error

    assert Exits(path).counts == {kind: 2}
    assert kind in KINDS


def test_a_life_without_an_end_was_killed(tmp_path: Path) -> None:
    """Also in a container, where every life has the same process number."""
    path = tmp_path / "exits-0.json"
    code = "import sys, os; from pathlib import Path; from stream_al.service.exits import Exits\n"
    code += "with Exits(Path(sys.argv[1])).noted(): os._exit(9)"
    subprocess.run([sys.executable, "-c", code, path], check=False)
    assert Exits(path).counts == {"killed": 1}

    Exits(path)._write(Exits(path).counts, os.getpid())
    assert Exits(path).counts == {"killed": 2}


def test_a_life_that_goes_on_has_not_ended(tmp_path: Path) -> None:
    """Two processes of one slot: the younger one does not count the elder as dead."""
    path = tmp_path / "exits-0.json"
    Exits(path)._write(Exits(path).counts, os.getppid())

    assert not Exits(path).counts


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"counts": 3}', '{"counts": {"killed": "x", "odd": 7}, "process": "x"}'],
)
def test_a_file_that_says_nothing_counts_nothing(tmp_path: Path, text: str) -> None:
    """It is for metrics only: no worker stops for it."""
    path = tmp_path / "exits-0.json"
    path.write_text(text)

    with Exits(path).noted():
        pass

    assert Exits(path).counts == {"stopped": 1}


def test_a_folder_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    """Nor does a log in memory, which has none."""
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "exits-0.json", None):
        with Exits(path).noted():
            pass
        assert not Exits(path).counts
