"""The demo, shortened: the real worker and log, the people, the arms, the report."""

from __future__ import annotations

import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.kafka_fixture import Broker


@pytest.mark.parametrize("log", ["sqlite", "kafka"])
def test_the_demo_keeps_its_budget_and_ends_with_a_report(
    tmp_path: Path, log: str, request: pytest.FixtureRequest
) -> None:
    """The last line is JSON; spend is within one label a partition; the report is one file."""
    command = [sys.executable, "-m", "stream_al", "demo", "--no-live", "--log", log]
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
    figures = json.loads(done.stdout.splitlines()[-1])
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
