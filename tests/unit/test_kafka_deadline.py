"""What ends a process whose calls don't come back, also when no thread of Python can run."""

from __future__ import annotations

import subprocess
import sys

ENDS_S = 60

HANGS = """
import ctypes, time
from stream_al_connectors.kafka import deadline
deadline.STILL_S = 0.5
watch = deadline.Deadline(0.5)
with watch.guard("waiting for nothing"):
    {hang}
"""


def _ended(hang: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", HANGS.format(hang=hang)],
        capture_output=True,
        text=True,
        timeout=ENDS_S,
        check=False,
    )
    return done.returncode, done.stderr


def test_a_call_that_does_not_come_back_ends_the_process_in_a_line() -> None:
    code, said = _ended("time.sleep(100)")
    assert code == 1
    assert said.startswith("deadline: waiting for nothing has not ended after 0."), said


def test_a_call_that_keeps_all_threads_still_ends_it_with_the_stack() -> None:
    code, said = _ended("time.sleep(0.4); ctypes.PyDLL(None).sleep(100)")
    assert code == 1
    assert said.startswith("Timeout ("), said
    assert 'File "<string>", line 7' in said


def test_a_process_whose_calls_come_back_goes_on() -> None:
    assert _ended("pass\nfor _ in range(30): time.sleep(0.1)\nwatch.close()\ntime.sleep(2)") == (
        0,
        "",
    )
