"""Log lines are read back by any parser, whatever is in them, and never stop the work."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_al.errors import ConfigurationError
from stream_al.escaping import visible
from stream_al.service import logs
from stream_al.service.logs import chosen_format, log, log_exit, start_exit_lines, start_logging
from stream_al_connectors.kafka import client_log, deadline
from tests.logfmt import parsed

NASTY = [
    "two words",
    'say "hi"',
    "a=b",
    "C:\\new\\table",
    "line\nbreak\r\n\ttab",
    "\x1b]0;owned\x07\x1b[2J",
    "\u202egpj.exe\u2066\u200b\ufeff\u2028",
    "\x80\x9b31m",
    "\ud800 alone",
    "",
    " ",
    "naïve 日本 🙂",
    'level=error event="forged"',
]


@pytest.fixture(autouse=True)
def own_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put back what `start_logging` changes of the process."""
    loggers = [logging.getLogger(name) for name in (None, "stream_al", "stream_al.exit")]
    before = [(it, it.handlers, it.level, it.propagate) for it in loggers]
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    yield
    logging.captureWarnings(capture=False)
    for logger, handlers, level, propagate in before:
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


@pytest.fixture(params=["logfmt", "json"])
def read(request: pytest.FixtureRequest) -> Callable[[str], dict[str, Any]]:
    """Start the log in one of the formats; give what reads a line of it."""
    start_logging(log_format=request.param)
    start_exit_lines("json")
    return parsed if request.param == "logfmt" else json.loads


Read = Callable[[str], dict[str, Any]]


@pytest.mark.parametrize("text", NASTY)
def test_any_value_is_one_line_that_reads_back(
    text: str, read: Read, capsys: pytest.CaptureFixture[str]
) -> None:
    """E: quotes, `=`, newlines, escapes of terminals: quoted, and the same when read."""
    log("event_seen", event_id=text, why=ValueError(text))

    (line,) = capsys.readouterr().err.splitlines()
    assert visible(line) == line
    found = read(line)
    assert (found["event"], found["event_id"], found["why"]) == ("event_seen", text, text)
    assert list(found)[:3] == ["timestamp", "level", "event"]


@given(st.dictionaries(st.from_regex("[a-z_]+", fullmatch=True), st.text(), max_size=4))
def test_logfmt_reads_back(fields: dict[str, str]) -> None:
    """E: for every text, surrogates and controls included."""
    line = logs.logfmt(fields)
    assert visible(line) == line
    assert parsed(line) == fields


def test_the_time_has_a_zone(read: Read, capsys: pytest.CaptureFixture[str]) -> None:
    """E: ISO 8601 in UTC, to the millisecond."""
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    log("worker_left")

    said = read(capsys.readouterr().err)["timestamp"]
    assert said.endswith("Z")
    assert before <= datetime.fromisoformat(said) <= datetime.now(UTC)


def test_json_keeps_kinds_and_has_no_word_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    """E: numbers stay numbers; NaN, which JSON lacks, is text."""
    start_logging(log_format="json")
    log("seen", count=3, share=0.5, on=True, none=None, nan=float("nan"), places=[1, "a"])

    def refuse(word: str) -> None:
        raise AssertionError(word)

    found = json.loads(capsys.readouterr().err, parse_constant=refuse)
    assert (found["count"], found["share"], found["on"], found["none"]) == (3, 0.5, True, None)
    assert (found["nan"], found["places"]) == ("nan", "[1, 'a']")


def test_a_long_value_is_cut(read: Read, capsys: pytest.CaptureFixture[str]) -> None:
    """E: an error that quotes an event of megabytes is a line of some kilobytes."""
    log("seen", why="x" * 5_000_000)

    why = read(capsys.readouterr().err)["why"]
    assert len(why) == logs.VALUE_CHARACTERS_MAX
    assert why.endswith("x…")


def test_lines_of_libraries_have_the_same_shape(
    read: Read, capsys: pytest.CaptureFixture[str]
) -> None:
    """E: a library's warning, and Kafka's client's."""
    logging.getLogger("some.library").warning("no %s\nhere", "host")
    client = client_log._ClientLog()
    client.emit(logging.makeLogRecord({"name": "kafka.conn", "msg": "a \x1b b", "args": ()}))

    library, kafka = map(read, capsys.readouterr().err.splitlines())
    assert (library["event"], library["logger"]) == ("library", "some.library")
    assert (library["level"], library["message"]) == ("warning", "no host\nhere")
    assert (kafka["event"], kafka["logger"]) == ("kafka_client", "kafka.conn")
    assert kafka["message"] == "a \x1b b"


def test_warnings_of_python_are_lines_too() -> None:
    """E: in a process of its own, since pytest takes them here."""
    code = (
        "import warnings; from stream_al.service.logs import start_logging\n"
        "start_logging(log_format='json'); warnings.warn('old', DeprecationWarning)"
    )
    command = [sys.executable, "-W", "always", "-c", code]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)

    found = json.loads(ended.stderr)
    assert (found["level"], found["logger"]) == ("warning", "py.warnings")
    assert "DeprecationWarning: old" in found["message"]


def test_a_thread_that_dies_is_one_line(read: Read, capsys: pytest.CaptureFixture[str]) -> None:
    """E: its stack is a field, so that no reader of lines meets half of it."""
    dying = threading.Thread(target=lambda: int("no"), name="dying")
    dying.start()
    dying.join()

    found = read(capsys.readouterr().err.removesuffix("\n"))
    assert (found["event"], found["level"], found["thread"]) == ("thread_died", "error", "dying")
    assert found["why"].startswith("ValueError: ")
    assert found["exception"].startswith("Traceback ")


class Full(io.StringIO):
    def write(self, _: str) -> int:
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("stream", [None, Full()], ids=["closed", "full"])
def test_where_nobody_takes_lines_the_work_goes_on(
    stream: io.StringIO | None, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E: a closed stderr and a full disk are no reason to stop."""
    monkeypatch.setattr(sys, "stderr", stream)
    log("seen")
    log_exit("fenced", "another owner took over", code=1)


@pytest.mark.parametrize("log_format", logs.FORMATS)
def test_the_exit_line(log_format: logs.LogFormat, capsys: pytest.CaptureFixture[str]) -> None:
    """E: `kind: message` for people, one object with the same for programs."""
    start_exit_lines(log_format)
    log_exit("config", "app is 'a\nb'", code=2)

    (line,) = capsys.readouterr().err.splitlines()
    if log_format == "logfmt":
        assert line == r"config: app is 'a\nb'"
        return
    found = json.loads(line)
    assert (found["event"], found["kind"], found["exit_code"]) == ("exit", "config", 2)
    assert found["message"] == "app is 'a\nb'"


@pytest.mark.parametrize("log_format", logs.FORMATS)
def test_a_deadline_speaks_as_the_command_does(
    log_format: logs.LogFormat,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """E: a thread ends the process there, and its line has the format of the others."""
    codes: list[int] = []
    monkeypatch.setattr(deadline.os, "_exit", codes.append)
    start_exit_lines(log_format)
    deadline.end_process("deadline: commit has not ended; restart: now")

    line = capsys.readouterr().err
    assert codes == [1]
    if log_format == "logfmt":
        assert line == "deadline: commit has not ended; restart: now\n"
        return
    found = json.loads(line)
    assert (found["kind"], found["exit_code"]) == ("deadline", 1)
    assert found["message"] == "commit has not ended; restart: now"


@pytest.mark.parametrize(
    ("arguments", "variable", "said"),
    [
        (["run"], None, "logfmt"),
        (["--log-format", "json", "run"], None, "json"),
        (["run", "--log-format=logfmt"], "json", "logfmt"),
        (["run", "--log-format", "json", "--log-format", "logfmt"], None, "logfmt"),
        (["send", "--", "--log-format", "json"], None, "logfmt"),
        (["run", "--log-format"], None, "logfmt"),
    ],
)
def test_the_command_line_wins_over_the_environment(
    arguments: list[str], variable: str | None, said: str
) -> None:
    """E: the format is known before the command line is understood."""
    environment = {} if variable is None else {logs.FORMAT_VARIABLE: variable}
    assert chosen_format(arguments, environment) == said


def test_a_format_that_is_none_is_refused() -> None:
    """E: named with what can be said."""
    with pytest.raises(ConfigurationError, match="STREAM_AL_LOG_FORMAT is 'xml'; say logfmt or"):
        chosen_format(["run"], {logs.FORMAT_VARIABLE: "xml"})
