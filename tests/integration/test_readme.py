"""What the README tells a newcomer to type is typed here, word by word."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.integration.conftest import ENVIRONMENT

README = Path(__file__).parents[2] / "README.md"


def test_the_first_hour_works_as_it_is_written(tmp_path: Path) -> None:
    """Own JSON → check → send → run → queries → label → status → budget set → predictions."""
    hour = README.read_text(encoding="utf-8").split("## A first hour")[1].split("\n## ")[0]
    steps = re.findall(r"```bash\n(.*?)```", hour, re.DOTALL)
    script = "\n".join(["set -euo pipefail", *steps, "kill %1 && wait %1"])
    environment = ENVIRONMENT | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("applied") == 3
    assert "skipped" in done.stdout
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    predictions = [json.loads(line)["value"] for line in lines]
    assert [prediction["event_id"] for prediction in predictions] == list("123456")
    assert all(abs(prediction["rate"] - 0.2) < 1e-6 for prediction in predictions)
    assert predictions[0]["label"] == "spam"
    assert predictions[1]["label"] == "ok"


def test_the_quick_start_on_kafka_works_as_it_is_written(tmp_path: Path) -> None:
    """Broker → topics create → check → send → run → status, on a broker of its own."""
    part = README.read_text(encoding="utf-8").split("## On Kafka")[1].split("\n## ")[0]
    steps = re.findall(r"```bash\n(.*?)```", part, re.DOTALL)
    script = "\n".join(["set -uo pipefail", *steps, "code=$?", "kill %1 %2; wait", "exit $code"])
    environment = ENVIRONMENT | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "created   moderation.journal: 1 partition(s)" in done.stdout
    assert "ok       moderation: 127.0.0.1:9092" in done.stdout
    assert done.stdout.count('"model_version"') == 3
    assert "violations" in done.stdout or "clean" in done.stdout


def test_every_page_that_the_readme_names_is_there() -> None:
    """A link that leads nowhere costs a newcomer's trust."""
    pages = re.findall(r"\]\((docs/[^)]+)\)", README.read_text(encoding="utf-8"))

    assert pages
    assert [page for page in pages if not (README.parent / page).is_file()] == []
