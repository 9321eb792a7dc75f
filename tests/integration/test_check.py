"""`check` says what can't run, and where file and journal differ; `send -` holds nothing back."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.integration.conftest import ENVIRONMENT, Deployment, native, until


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model": {"factory": "nope:build"}}, "model.factory"),
        (
            {"gate": {"uncertainty": "margn"}},
            "gate.uncertainty is 'margn': no strategy has that name",
        ),
        ({"topics": {"events": "x", "predictions": "x"}}, "named more than once"),
    ],
    ids=["factory", "uncertainty", "topics"],
)
def test_check_refuses_what_can_not_run(
    deployment: Deployment, settings: dict[str, Any], said: str
) -> None:
    """Exit 2 and the field, before anything is started."""
    deployment.configure(**settings)

    ended = deployment.cli("check")

    assert ended.code == 2
    assert said in ended.err


def test_check_says_where_the_journal_differs(deployment: Deployment) -> None:
    """From the first start on the journal wins; the file is taken by `--from-config`."""
    deployment.done("run", "--until-idle")
    deployment.configure(gate={"random_share": 0.5})

    assert "gate.random_share is 0.2, the configuration says 0.5" in deployment.done("check").out
    assert deployment.cli("budget", "set", "--from-config").code == 1, "nobody took it yet"
    deployment.done("run", "--until-idle")
    assert "random_share" not in deployment.done("check").out


def test_a_live_pipe_is_sent_as_it_comes(deployment: Deployment) -> None:
    """One line through `send -` is there at once, while the pipe stays open."""
    deployment.done("run", "--until-idle")
    command = [sys.executable, "-m", "stream_al", "send", "-"]
    sender = subprocess.Popen(
        command,
        cwd=deployment.folder,
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert sender.stdin is not None

    sender.stdin.write(json.dumps(native(1)).encode() + b"\n")
    sender.stdin.flush()

    until(lambda: sum(deployment.ends("events")) == 1)
    sender.stdin.close()
    assert sender.wait(10) == 0
