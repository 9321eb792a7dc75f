"""What is shown is escaped, by one function; JSON keeps its value; a console obeys nothing."""

from __future__ import annotations

import io
import json
import logging
import sys
from pathlib import Path

import pytest
from rich.panel import Panel
from rich.text import Text

from stream_al.escaping import visible, visible_json, visible_lines
from stream_al.service import logs
from stream_al.service.console import SafeConsole
from stream_al.service.main import run
from stream_al_connectors.kafka import deadline

HOSTILE = (
    *(chr(code) for code in (*range(32), *range(0x7F, 0xA0))),
    *"\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
    *"\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\xad\u061c\u180e\u3164",
    *"\u2028\u2029\ud800\udfff\ufffe\U000e0041\U000e0100",
)


@pytest.mark.parametrize("character", HOSTILE, ids=ascii)
def test_what_a_terminal_would_obey_or_not_show_is_escaped(character: str) -> None:
    """D3: controls, bidi overrides, zero-width characters and halves of characters."""
    shown = visible(f"a{character}b")
    assert character not in shown
    assert shown.startswith("a\\")
    assert shown.isprintable()
    written = visible_json({f"a{character}b": [character]})
    assert character not in written
    assert json.loads(written) == {f"a{character}b": [character]}
    written.encode()


@pytest.mark.parametrize(
    "text",
    ["Größe", "中文字", "שלום עולם", "[bold]x[/bold] :smile:",
     "می\u200cخواهم", "क्\u200dष", "👩\u200d💻 ❤\ufe0f\u200d🔥", "1\ufe0f\u20e3",
     "prix\xa0: 5\u202f€", "c:\\new\\x1b"],
)  # fmt: skip
def test_what_people_write_stays(text: str) -> None:
    """D3: letters of all scripts, emojis with their joiners, spaces, backslashes."""
    assert visible(text) == text
    assert visible_lines(text) == text


def test_lines_stay_lines_only_where_that_is_asked_for() -> None:
    """D3: an id can't begin a line of its own; a text keeps its lines."""
    assert visible("a\nfenced: b") == "a\\nfenced: b"
    assert visible_lines("a\r\nb\rc\nd\x1b[2J") == "a\nb\nc\nd\\x1b[2J"


def _console(width: int | None = None) -> tuple[SafeConsole, io.StringIO]:
    file = io.StringIO()
    if width is None:
        return SafeConsole(file=file), file
    terminal = SafeConsole(file=file, force_terminal=True, width=width, color_system=None)
    return terminal, file


@pytest.mark.parametrize("width", [None, 80, 40])
def test_a_console_obeys_nothing_that_it_is_given(width: int | None) -> None:
    """D3, E: strings, texts, titles and cells; ids like `[bold]` and `:smile:` come out as is."""
    console, file = _console(width)
    hostile = "[bold]:smile:\x1b]0;owned\x07\x9b2J\u202e"
    console.print(hostile)
    console.print(Text(hostile))
    console.print(Panel(Text(hostile), title=Text(hostile)))
    console.show_table(("event", "what"), [(hostile, hostile)])
    shown = file.getvalue()
    assert shown.replace("\n", "").isprintable()
    assert shown.count("[bold]:smile:") >= 4


@pytest.mark.parametrize("width", [80, 40, 15])
def test_a_table_never_cuts_an_id(width: int) -> None:
    """E: it is folded, in a narrow terminal on lines of its own; `cut` cuts its column only."""
    console, file = _console(width)
    event_id = "".join(chr(0x4E00 + number) for number in range(300))
    console.show_table(
        ("event", "why", "p", "what"), [(event_id, "cold_start", "1.000", "free " * 99)], cut="what"
    )
    shown = file.getvalue()
    assert [char for char in shown if char >= "\u4e00"] == list(event_id)
    assert "…" in shown
    assert max(len(line) for line in shown.splitlines()) <= width


def test_without_a_terminal_nothing_is_cut_or_wrapped() -> None:
    """E: each row is one line, each cell whole, whatever `COLUMNS` says."""
    console, file = _console()
    rows = [("e" * 512, "x" * 10_000), ("b", "y")]
    console.show_table(("event", "what"), rows, cut="what")
    console.print("z" * 500, "[red]")
    lines = file.getvalue().splitlines()
    assert [line.split() for line in lines[1:3]] == [list(row) for row in rows]
    assert lines[3] == "z" * 500 + " [red]"


def test_lines_of_the_log_and_of_errors_are_escaped(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D3: a log line, the line of an exit, a wrong usage, the last line of a stuck process."""
    hostile = "a\x1b[2J\nfenced: b\u202e"
    logger = logging.getLogger("stream_al")
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logger, "propagate", True)
    logs.start_logging()
    logs.log("event_quarantined", event_id=hostile)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert run(["check", "--config", hostile]) == 2
    assert run(["read", "events", hostile]) == 2
    monkeypatch.setattr(deadline.os, "_exit", lambda _: None)
    deadline.end_process(f"deadline: {hostile}")
    said = capsys.readouterr().err
    assert said.count("[2J\\nfenced: b\\u202e") == 3
    assert said.count("fenced") == 4
    assert said.replace("\n", "").isprintable()
