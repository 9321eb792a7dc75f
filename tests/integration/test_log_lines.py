"""What a real worker writes to stderr: every line parses, in both formats, the last one too."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.conftest import Deployment, native
from tests.logfmt import parsed

READERS = {"logfmt": parsed, "json": json.loads}


@pytest.mark.parametrize(("log_format", "read"), READERS.items())
def test_logs_go_to_stderr_only_and_parse(
    deployment: Deployment, log_format: str, read: Callable[[str], dict[str, Any]]
) -> None:
    """E: a worker's stdout stays empty; each line of stderr is time, level, event and fields."""
    deployment.send(native(1), "not an event")
    ended = deployment.done("run", "--until-idle", "--log-format", log_format)

    assert ended.out == ""
    found = [read(line) for line in ended.err.splitlines()]
    assert {one["level"] for one in found} == {"info"}
    assert [one["event"] for one in found][-1] == "worker_left"
    assert all(one["timestamp"].endswith("Z") for one in found)


def test_the_environment_says_it_for_every_command(deployment: Deployment) -> None:
    """E: it is no setting, so nothing refuses it, and the line of an error follows it."""
    environment = {"STREAM_AL_LOG_FORMAT": "json"}
    deployment.send(native(1))
    ended = deployment.cli("label", environment=environment)
    assert ended.code == 2
    assert json.loads(ended.err)["kind"] == "usage"

    deployment.done("status", environment=environment)
    deployment.configure(gate={"bugdet": {}})
    ended = deployment.cli("run", environment=environment)
    assert ended.code == 2
    (line,) = ended.err.splitlines()
    said = json.loads(line)
    assert (said["event"], said["kind"], said["exit_code"]) == ("exit", "config", 2)
    assert "gate.bugdet is not a setting" in said["message"]


@pytest.mark.parametrize(
    "command",
    [("run", "--until-idle"), ("status",), ("budget",), ("budget", "show"), ("topics", "create")],
)
def test_every_command_takes_the_option(deployment: Deployment, command: tuple[str, ...]) -> None:
    """E: before the command's name and behind it."""
    deployment.send(native(1))
    for arguments in (("--log-format", "json", *command), (*command, "--log-format", "json")):
        ended = deployment.cli(*arguments)
        assert "--log-format" not in ended.err


def test_a_wrong_format_is_refused(deployment: Deployment) -> None:
    """E: in the option and in the variable, with the two that there are."""
    for ended in (
        deployment.cli("status", "--log-format", "xml"),
        deployment.cli("status", environment={"STREAM_AL_LOG_FORMAT": "xml"}),
    ):
        assert ended.code == 2
        assert "logfmt" in ended.err
        assert "json" in ended.err
