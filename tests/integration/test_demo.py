"""The demo, shortened: the real worker and log, the people, the arms, the report."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import time
from contextlib import suppress
from html.parser import HTMLParser
from pathlib import Path

import pytest

from stream_al.testing.data import SMS_FILE
from tests.kafka_fixture import Broker


@pytest.mark.parametrize("log", ["sqlite", "kafka"])
def test_the_demo_keeps_its_budget_and_ends_with_a_report(
    tmp_path: Path, log: str, request: pytest.FixtureRequest
) -> None:
    """`--json` is one document; spend is within one label a partition; the report is one file."""
    command = [sys.executable, "-m", "stream_al", "demo", "--no-live", "--json", "--log", log]
    if log == "kafka":
        broker: Broker = request.getfixturevalue("kafka")
        command += ["--bootstrap", ",".join(broker.bootstrap_servers)]

    done = subprocess.run(
        [*command, "--events", "800", "--rate", "400"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )

    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["events"] == 800
    assert figures["spend_within_one_a_partition"]
    assert abs(figures["queries"] - figures["propensity_sum"]) < 1.1 * 4
    assert figures["outcomes"]["applied"] == figures["queries"]
    assert set(figures["arms"]) == {"gate", "random", "all"}
    assert all(len(arm["macro_f1"]) == 5 for arm in figures["arms"].values())
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    HTMLParser().feed(report)
    assert figures["verdict"].split(":")[0] in report
    assert (tmp_path / ".demo" / "run" / "worker.log").stat().st_size > 0
    low, mean, high = (figures["difference"][name] for name in ("low", "mean", "high"))
    assert low <= mean <= high
    assert figures["better"] is (low > 0)
    found, there = figures["recall"]["spam"]["found"], figures["recall"]["spam"]["there"]
    assert 0 <= found <= there > 0
    assert f"({found:,} of {there:,} found)" in report
    shown = min(60, figures["queries"])
    assert re.search(rf"(All {shown}|{shown} of {figures['queries']}) queries", report)


def _messages(folder: Path, count: int) -> None:
    """Put messages of our own where the demo keeps those that it downloads."""
    texts = {
        "ham": "see you at the lake at {}, bring bread",
        "spam": "win {} free prizes, call now",
    }
    (folder / ".demo").mkdir()
    lines = [
        f"{name}\t{texts[name].format(number)}\n"
        for number in range(count)
        for name in ("spam" if number % 7 == 0 else "ham",)
    ]
    (folder / ".demo" / SMS_FILE).write_text("".join(lines), encoding="utf-8")


def test_the_terminal_moves_to_the_end_and_ends_with_three_lines(tmp_path: Path) -> None:
    """E: a real terminal: the panel counts on while the arms run; then three lines for people."""
    _messages(tmp_path, 400)
    shown: list[str] = []
    parent, child = pty.openpty()
    command = [sys.executable, "-m", "stream_al", "demo", "--rate", "400"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=child, stderr=child, stdin=child)
    os.close(child)
    with suppress(OSError):  # the end of a terminal
        while part := os.read(parent, 65_536):
            shown.append(part.decode(errors="replace"))
    os.close(parent)

    assert process.wait(120) == 0, "".join(shown)[-2_000:]
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", "".join(shown))
    frames = text.split("stream_al: people are asked")
    waiting = [frame for frame in frames if "400 of 400, all predicted" in frame]
    bars = {line for frame in waiting for line in frame.splitlines() if "in memory" in line}
    assert "15 of 15 runs" in waiting[0] or (len(waiting) > 3 and len(bars) > 3)
    lines = [line.rstrip() for line in text.rpartition("╯")[2].splitlines() if line.strip()]
    assert max(map(len, lines)) <= 80
    said = " ".join(lines)  # folded between words, none of which is broken
    first, _, rest = said.partition(" found). ")
    second, _, third = rest.partition(" The report is ")
    assert first.startswith("400 events predicted, ")
    assert "learnt. Accuracy " in first
    assert "recall of spam" in first
    assert second.startswith(("This gate is ", "No difference is shown"))
    assert third == "report.html: open it in a browser."


def test_a_demo_whose_worker_ends_does_not_wait_for_the_rest(tmp_path: Path) -> None:
    """E: no run in memory is finished when there is nothing to compare it with."""
    _messages(tmp_path, 5_000)
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "stream_al", "demo", "--no-live"],
        cwd=tmp_path,
        env=os.environ | {"STREAM_AL_APP": "no name for an app"},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    took_s = time.monotonic() - began

    assert done.returncode == 1
    assert "the demo's worker ended with exit code 2" in done.stderr
    assert took_s < 60  # fifteen runs of a hundred thousand predictions take longer than two
