"""The terminal annotator: one query at a time, one key a label, undo, skip.

A query on screen is claimed in the log, so nobody else sees it; a claim dies with its process.
"""

from __future__ import annotations

import codecs
import os
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from stream_al.config import Config
from stream_al.labels import OpenQuery
from stream_al.messages import Label, LabelKind
from stream_al.port import Log
from stream_al.service.answering import append_label, await_outcome, in_one_line, predicted
from stream_al.service.desk import Desk
from stream_al.service.gold import outcome_shown

IDLE_S = 0.5
TEXT_CHARACTERS_MAX = 2_000
CLASSES_MAX = 9
LABEL_KEYS = "123456789"
END = "\x04"
QUIT = ("q", END)


class Annotating:
    """One person's session."""

    def __init__(self, log: Log, config: Config, *, annotator: str, console: Console) -> None:
        self._config = config
        self._annotator = annotator
        self._console = console
        self._desk = Desk(log, config, annotator)
        self._log = log
        self._last: tuple[OpenQuery, Label] | None = None

    def run(self) -> None:
        """Show queries until `q`."""
        if not sys.stdin.isatty():
            self._console.print("annotate needs a terminal; scripts use `stream-al label`")
            return
        with _single_keys():
            while self._one():
                pass
        self._console.print(f"{len(self._desk.answered)} answered; thank you")

    def _one(self) -> bool:
        """Show the most urgent query that nobody else sees; False when the person quits."""
        with self._desk.next() as opened:
            if opened is not None:
                return self._ask(opened, revision=0)
        self._console.print("nothing open; waiting (q quits)", end="\r")
        return _key(IDLE_S) not in QUIT

    def _ask(self, opened: OpenQuery, *, revision: int) -> bool:
        query = opened.query
        classes = list(dict.fromkeys([*self._desk.classes, *query.probabilities]))[:CLASSES_MAX]
        self._show(opened, classes)
        started = time.monotonic()
        while True:
            key = _key(None)
            if key in QUIT:
                return False
            if key == "z":
                if not self._undo():
                    return False
                self._show(opened, classes)
                continue
            said = self._said(key, classes)
            if said is not None:
                lead_time_ms = round((time.monotonic() - started) * 1_000)
                self._send(opened, *said, revision=revision, lead_time_ms=lead_time_ms)
                return True

    def _show(self, opened: OpenQuery, classes: list[str]) -> None:
        query = opened.query
        keys = "   ".join(f"[{key}] {name}" for key, name in zip(LABEL_KEYS, classes, strict=False))
        why = f"{query.reason}, asked with probability {query.propensity:.3f}"
        body = Text(in_one_line(query)[:TEXT_CHARACTERS_MAX])
        below = f"predicted {predicted(query)}  ·  {why}  ·  {len(opened.votes)} votes so far"
        self._console.print(
            Panel(body, title=Text(query.event_id), subtitle=Text(below), title_align="left")
        )
        self._console.print(
            Text(f"{keys}   [n] new class   [s] skip   [u] unsure   [z] undo   [q] quit")
        )

    def _said(self, key: str, classes: list[str]) -> tuple[LabelKind, str | None] | None:
        if key == "s":
            return "skip", None
        if key == "u":
            return "unsure", None
        if key == "n" and self._config.labels.classes is None:
            name = self._new_class()
            return ("label", name) if name else None
        if key in LABEL_KEYS and LABEL_KEYS.index(key) < len(classes):
            return "label", classes[LABEL_KEYS.index(key)]
        return None

    def _new_class(self) -> str:
        self._console.print("name of the new class, then Enter: ", end="")
        name = ""
        while (key := _key(None)) not in {"\r", "\n", END}:
            name = name[:-1] if key in {"\x7f", "\b"} else name + key
            self._console.print(f"\rname of the new class, then Enter: {name} ", end="",
                                markup=False)  # fmt: skip
        self._console.print()
        return name.strip()

    def _send(
        self,
        opened: OpenQuery,
        kind: LabelKind,
        label: str | None,
        *,
        revision: int,
        lead_time_ms: int | None = None,
    ) -> str:
        """Append what the person said; return, and show, what became of it."""
        said = Label(
            event_id=opened.query.event_id,
            kind=kind,
            label=label,
            annotator=self._annotator,
            revision=revision,
            at_ms=_now_ms(),
            lead_time_ms=lead_time_ms,
            source="terminal",
        )
        outcome = await_outcome(
            self._log, self._config, append_label(self._log, self._config, said)
        )
        became = "recorded, no worker has taken it yet"
        if outcome is not None:
            became = outcome_shown(opened, outcome.outcome)
        if kind != "retract":
            self._console.print(Text(f"{said.event_id}: {label or kind}: {became}"))
            self._desk.answered.add(said.event_id)
            self._last = (opened, said)
        return became

    def _undo(self) -> bool:
        """Take the last answer back and ask again; False when the person quits."""
        if self._last is None:
            self._console.print("nothing to undo")
            return True
        opened, last = self._last
        self._last = None
        revision = last.revision
        if last.kind == "label":
            revision += 1
            became = self._send(opened, "retract", None, revision=revision)
            self._console.print(Text(f"{last.event_id}: {last.label} taken back: {became}"))
        return self._ask(opened, revision=revision + 1)


@contextmanager
def _single_keys() -> Iterator[None]:
    """Give every key at once, and the terminal back as it was."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _key(timeout_s: float | None) -> str:
    """Return the next key; an empty text when none came in time, `END` at the end of input."""
    descriptor = sys.stdin.fileno()
    ready, _, _ = select.select([descriptor], [], [], timeout_s)
    if not ready:
        return ""
    # Not sys.stdin.read: it would take in what is typed ahead, where `select` can't see it.
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    key = ""
    while not key:
        byte = os.read(descriptor, 1)
        if not byte:
            return END
        key = decoder.decode(byte)
    return key


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
