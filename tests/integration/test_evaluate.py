"""`stream-al evaluate` as a process: files, exit codes, a killed run, Ctrl-C, no orphans."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stream_al.testing import text_stream

SHARED = Path(__file__).parents[3] / "shared" / "data"
QUICK = ("--budgets", "5%,20%", "--seeds", "2", "--jobs", "2")


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "stream_al", "evaluate", *arguments]


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _command(*arguments), cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )


def _history(folder: Path, count: int = 300) -> str:
    lines = [
        json.dumps({"body": example.event.features["text"], "verdict": example.label})
        for example in text_stream(1, count)
    ]
    (folder / "posts.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return "posts.jsonl"


def test_a_history_becomes_table_report_and_document(tmp_path: Path) -> None:
    """Data on stdout, the rest on stderr; the same figures again with another number of jobs."""
    name = _history(tmp_path)
    told = _run(tmp_path, name, "--label", "verdict", "--text", "body", *QUICK)
    again = _run(tmp_path, name, "--label", "verdict", "--text", "body", *QUICK[:-1], "1", "--json")

    assert (told.returncode, again.returncode) == (0, 0), told.stderr + again.stderr
    assert "9 runs of 300 events in 2 processes: about" in told.stderr
    assert "random queries" in told.stdout
    document = json.loads(again.stdout)
    assert document == json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert document["paragraph"] in " ".join(told.stdout.split())
    assert "<h2>All figures</h2>" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_configurations_events_are_the_features(tmp_path: Path) -> None:
    """E: `evaluate` reads `events:`; an id and a time are no features then."""
    name = _history(tmp_path)
    (tmp_path / "stream-al.yaml").write_text(
        "events: {event_id: id, features: {title: body}, types: {title: text}}\n"
    )

    told = _run(tmp_path, name, "--label", "verdict", *QUICK, "--json")

    assert told.returncode == 0, told.stderr
    assert "features as in the configuration's `events:`" in told.stderr
    assert json.loads(told.stdout)["columns"] == [{"name": "title", "kind": "text", "used": True}]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("none.csv", "--label", "y"), "config: FILE is 'none.csv', which does not exist"),
        (("posts.jsonl", "--label", "verdikt"), "did you mean 'verdict'?"),
        (("posts.jsonl", "--label", "verdict", "--budgets", "5"), "did you mean 5%?"),
    ],
)
def test_wrong_use_is_a_line_and_exit_2(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    """No traceback, no report, nothing on stdout."""
    _history(tmp_path)
    ended = _run(tmp_path, *arguments)

    assert (ended.returncode, ended.stdout) == (2, "")
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "report.html").exists()


def _children(process: int) -> list[int]:
    found = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii")
    return [int(child) for child in found.split()]


def _is_run(process: int) -> bool:
    try:
        return b"spawn_main" in Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return False


def _alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rsplit(")", 1)[1]
    except OSError:
        return False
    return state.split()[0] != "Z"


@contextmanager
def _started(folder: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """Start an evaluation that takes minutes; give it and its processes once they are there."""
    name = _history(folder, 6_000)
    process = subprocess.Popen(
        _command(name, "--label", "verdict", "--text", "body", "--seeds", "50", "--jobs", "2"),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 60
        runs: list[int] = []
        while len(runs) < 2:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
            runs = [child for child in _children(process.pid) if _is_run(child)]
        yield process, runs
    finally:
        process.kill()
        process.communicate()


def _gone(processes: list[int]) -> bool:
    deadline = time.monotonic() + 10
    while any(map(_alive, processes)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(_alive, processes))


@pytest.mark.parametrize("how", ["run killed", "interrupted", "parent killed"])
def test_an_end_before_the_end_is_clean(tmp_path: Path, how: str) -> None:
    """A killed run is one sentence, Ctrl-C is exit 130, and no process outlives its parent."""
    with _started(tmp_path) as (process, runs):
        match how:
            case "run killed":
                os.kill(runs[0], signal.SIGKILL)
            case "interrupted":
                os.killpg(process.pid, signal.SIGINT)
            case _:
                process.kill()
        out, messages = process.communicate(timeout=20)

    assert process.returncode == {"run killed": 1, "interrupted": 130}.get(how, -signal.SIGKILL)
    assert ("ambiguous: a run's process died" in messages) is (how == "run killed")
    assert "Traceback" not in messages or how == "parent killed"  # they say that it is gone
    assert out == ""
    assert _gone(runs)
    assert not (tmp_path / "report.html").exists()


def test_real_messages_reach_most_with_few_labels(tmp_path: Path) -> None:
    """On the SMS file a tenth of the labels reaches 95 % of what all reach, above random."""
    if not SHARED.exists():
        pytest.skip("the real data beside the checkout (shared/data) is not there")
    ended = _run(
        tmp_path, str(SHARED / "sms_spam.jsonl.gz"), "--label", "y", "--text", "text",
        "--budgets", "10%", "--seeds", "2", "--json",
    )  # fmt: skip
    document = json.loads(ended.stdout)
    everything, gate, chance = document["summary"]

    assert document["events"] == 5_575
    assert gate["of_all"] > 0.95
    assert gate["macro_f1"]["low"] > chance["macro_f1"]["high"]
    assert abs(gate["labels"]["mean"] - gate["allowed"]) <= 1
    assert everything["labels"]["mean"] == 5_575
