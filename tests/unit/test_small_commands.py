"""`--version`, `-h`, ages of odd times, and how brokers may be written."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

import stream_al
from stream_al.config import Config
from stream_al.errors import ConfigurationError
from stream_al.service.commands.common import age_text

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000


def _said(*arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "stream_al", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return ended.returncode, ended.stdout


def test_the_version_is_known() -> None:
    """E: by `--version` and in Python, the same."""
    assert stream_al.__version__ == version("stream-al")
    assert _said("--version") == (0, f"stream-al {stream_al.__version__}\n")


@pytest.mark.parametrize("command", [(), ("label",), ("budget", "set"), ("snapshot",)], ids=str)
def test_h_is_help(command: tuple[str, ...]) -> None:
    """E: `-h` says what `--help` says, at every depth."""
    assert _said(*command, "-h") == _said(*command, "--help")
    assert _said(*command, "-h")[0] == 0


@pytest.mark.parametrize(
    ("ms", "text"),
    [(0, "0m00s ago"), (59_999, "0m59s ago"), (61 * MINUTE_MS, "1h01m ago"),
     (71 * HOUR_MS, "71h00m ago"), (72 * HOUR_MS, "3d ago"), (20_000 * DAY_MS, "54y ago"),
     (-500, "0m00s ago"), (-90 * MINUTE_MS, "in 1h30m"), (-(10**17), "in 3168808y"),
     (10**17, "3168808y ago")],
)  # fmt: skip
def test_ages_of_odd_times(ms: int, text: str) -> None:
    """E: of 1970, of the future, of no calendar: what people can read."""
    assert age_text(ms) == text


@pytest.mark.parametrize(
    "servers",
    ["a:1,b:2", " a:1 , b:2 ", ["a:1,b:2"], ["a:1", "b:2"], "a:1,b:2,", ["a:1 ", " b:2"]],
)
def test_brokers_as_people_write_them(servers: object) -> None:
    """C14: a text with commas, a list, or a list that holds such a text."""
    config = Config.model_validate({"log": {"bootstrap_servers": servers}})
    assert config.log.bootstrap_servers == ("a:1", "b:2")


def test_brokers_with_ipv6_and_without_a_port() -> None:
    """C14: brackets stay; Kafka's own port is 9092."""
    config = Config.model_validate({"log": {"bootstrap_servers": "[::1]:9093, kafka-1"}})
    assert config.log.bootstrap_servers == ("[::1]:9093", "kafka-1:9092")


@pytest.mark.parametrize(
    "servers",
    ["PLAINTEXT://a:9092", "a:b", "a:0", "a:70000", "a b:9092", ":9092", "a:1;b:2", "::1",
     "kafka-1:9092:9093", ["a:1", 5]],
)  # fmt: skip
def test_brokers_that_are_none_are_refused(servers: object) -> None:
    """C14: the setting, the value and the form."""
    with pytest.raises(ConfigurationError, match=r"log\.bootstrap_servers"):
        Config.model_validate({"log": {"bootstrap_servers": servers}})
