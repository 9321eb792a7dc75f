"""The terminal annotator: one query at a time, one key a label, undo, skip.

A query on screen is claimed, so nobody else on this machine sees it (on Kafka: nobody else of the
same user); a claim dies with its process. A desk on another machine may show the same query.
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

from rich.cells import cell_len
from rich.panel import Panel
from rich.text import Text

from stream_al.config import Config
from stream_al.errors import ConfigurationError
from stream_al.escaping import visible
from stream_al.labels import OpenQuery, class_name, likeness
from stream_al.messages import CLASS_CHARACTERS_MAX, Label, LabelKind, Outcome
from stream_al.port import Log
from stream_al.service.answering import append_label, await_outcome
from stream_al.service.console import SafeConsole
from stream_al.service.desk import Desk
from stream_al.service.gold import outcome_shown
from stream_al.service.question import Field, Fitted, fields_of_query, fitted, folded, pages

IDLE_S = 0.5
LABEL_KEYS = "123456789abcdefghijkloprtvwxy"
"""Without those that say something else: m, n, q, s, u, z."""
BORDER_CELLS = 4
BORDER_LINES = 2
LINES_KEPT = 2
"""For what became of the last answer, and for the cursor."""
LINES_MIN = 3
END = "\x04"
QUIT = ("q", END)


class Annotating:
    """One person's session."""

    def __init__(
        self,
        log: Log,
        config: Config,
        *,
        annotator: str,
        console: SafeConsole,
        show_prediction: bool = False,
    ) -> None:
        self._config = config
        self._show_prediction = show_prediction
        self._texts = {name for name, kind in config.events.types.items() if kind == "text"}
        self._annotator = annotator
        self._console = console
        self._desk = Desk(log, config, annotator)
        self._log = log
        self._last: tuple[OpenQuery, Label] | None = None
        self._waiting = False

    def run(self) -> None:
        """Show queries until `q`."""
        if not sys.stdin.isatty():
            raise ConfigurationError("annotate needs a terminal; scripts use `stream-al label`")
        with _single_keys():
            while self._one():
                pass
        self._console.print(f"{len(self._desk.answered)} answered; thank you")

    def _one(self) -> bool:
        """Show the most urgent query that nobody else sees; False when the person quits."""
        with self._desk.next() as opened:
            if opened is not None:
                self._waiting = False
                return self._ask(opened, revision=0)
        if not self._waiting:
            self._console.print("nothing open; waiting (q quits)")
            self._waiting = True
        return _key(IDLE_S) not in QUIT

    def _ask(self, opened: OpenQuery, *, revision: int) -> bool:
        classes = self._desk.classes
        event_id = opened.query.event_id
        fields = fields_of_query(opened, show_prediction=self._show_prediction, texts=self._texts)
        if not self._fits(event_id):
            fields.insert(0, Field("event", visible(event_id)))
        cut = self._show(event_id, fields, classes)
        rest: Iterator[Fitted] = iter(())
        started = time.monotonic()
        while True:
            key = _key(None)
            if key in QUIT:
                return False
            if key == "m" and cut:
                page = next(rest, None)
                if page is None:
                    rest = pages(fields, *self._room(classes))
                    page = next(rest)
                self._panel(event_id, page.lines)
                self._keys(classes, "m" if page.cut else "m again")
                continue
            if key == "z":
                if not self._undo():
                    return False
                self._show(event_id, fields, classes)
                continue
            said = self._said(key, classes)
            if said is not None:
                lead_time_ms = round((time.monotonic() - started) * 1_000)
                if self._answer(opened, *said, revision=revision, lead_time_ms=lead_time_ms):
                    return True
                self._show(event_id, fields, classes)

    # ------------------------------------------------------------------ the screen

    def _show(self, event_id: str, fields: list[Field], classes: list[str]) -> bool:
        """Show a query, as much of it as fits; return whether anything is cut."""
        shown = fitted(fields, *self._room(classes))
        self._panel(event_id, shown.lines)
        self._keys(classes, "m" if shown.cut else "")
        return shown.cut

    def _fits(self, event_id: str) -> bool:
        """Whether an id goes whole into the line above a query."""
        return cell_len(visible(event_id)) <= self._console.width - 2 * BORDER_CELLS

    def _room(self, classes: list[str]) -> tuple[int, int]:
        """Return the cells and lines that a query has on this screen."""
        size = self._console.size
        around = BORDER_LINES + LINES_KEPT + len(self._key_lines(classes, "m again"))
        return size.width - BORDER_CELLS, max(LINES_MIN, size.height - around)

    def _panel(self, event_id: str, lines: tuple[str, ...]) -> None:
        title = Text(visible(event_id)) if self._fits(event_id) else None
        body = Text("\n".join(lines))
        self._console.print(Panel(body, title=title, title_align="left"), soft_wrap=False)

    def _keys(self, classes: list[str], more: str) -> None:
        self._console.print(Text("\n".join(self._key_lines(classes, more))), soft_wrap=False)

    def _key_lines(self, classes: list[str], more: str) -> list[str]:
        """Return what the keys are for, as many on a line as there is room for."""
        keys = [f"[{key}] {visible(name)}" for key, name in zip(LABEL_KEYS, classes, strict=False)]
        if self._names_classes(classes):
            keys.append("[n] new class" if self._config.labels.classes is None else "[n] another")
        keys += ["[s] skip", "[u] unsure", "[z] undo"]
        if more:
            keys.append("[m] more" if more == "m" else "[m] from the start")
        lines = [""]
        for key in (*keys, "[q] quit"):
            longer = f"{lines[-1]}   {key}" if lines[-1] else key
            if lines[-1] and cell_len(longer) > self._console.width:
                lines.append(key)
            else:
                lines[-1] = longer
        return [part for line in lines for part in folded(line, self._console.width)]

    def _names_classes(self, classes: list[str]) -> bool:
        """Whether a class may be named by hand: a new one, or one that has no key."""
        return self._config.labels.classes is None or len(classes) > len(LABEL_KEYS)

    def _said(self, key: str, classes: list[str]) -> tuple[LabelKind, str | None] | None:
        if key == "s":
            return "skip", None
        if key == "u":
            return "unsure", None
        if key == "n" and self._names_classes(classes):
            name = self._new_class()
            return ("label", name) if name else None
        if key in LABEL_KEYS and LABEL_KEYS.index(key) < len(classes):
            return "label", classes[LABEL_KEYS.index(key)]
        return None

    def _new_class(self) -> str:
        """Return a class that is typed, or the known one that was meant; nothing to go on."""
        name = class_name(self._typed("name of the class, then Enter: "))
        if len(name) > CLASS_CHARACTERS_MAX:
            self._console.print(f"a class may have {CLASS_CHARACTERS_MAX} characters at most")
            return ""
        like = next((one for one in self._desk.classes if likeness(one) == likeness(name)), name)
        if like == name or name in self._desk.classes:
            return name
        self._console.print(f"did you mean `{like}`? [y] yes   [n] no, `{name}` is another class")
        return {"y": like, "n": name}.get(_key(None), "")

    def _typed(self, asked: str) -> str:
        self._console.print(asked, end="")
        name = ""
        while (key := _key(None)) not in {"\r", "\n", END}:
            name = name[:-1] if key in {"\x7f", "\b"} else name + key
            self._console.file.write(f"\r{asked}{visible(name)} \b")
            self._console.file.flush()
        self._console.print()
        return name

    def _answer(
        self,
        opened: OpenQuery,
        kind: LabelKind,
        label: str | None,
        *,
        revision: int,
        lead_time_ms: int,
    ) -> bool:
        """Send what the person said and show what became of it; False when it can't be taken."""
        said, outcome = self._send(opened, kind, label, revision, lead_time_ms)
        shown = f"{said.event_id}: {label or kind}: {_became(opened, outcome)}"
        refused = outcome is not None and outcome.outcome == "invalid"
        self._console.print(f"{shown} ({outcome.reason})" if outcome and refused else shown)
        if not refused:
            self._desk.answered.add(said.event_id)
            self._last = (opened, said)
        return not refused

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
            _, outcome = self._send(opened, "retract", None, revision)
            became = _became(opened, outcome)
            self._console.print(f"{last.event_id}: {last.label} taken back: {became}")
        return self._ask(opened, revision=revision + 1)

    def _send(
        self,
        opened: OpenQuery,
        kind: LabelKind,
        label: str | None,
        revision: int,
        lead_time_ms: int | None = None,
    ) -> tuple[Label, Outcome | None]:
        """Append what the person said; return it, and its outcome when a worker took it."""
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
        place = append_label(self._log, self._config, said)
        return said, await_outcome(self._log, self._config, place)


def _became(opened: OpenQuery, outcome: Outcome | None) -> str:
    if outcome is None:
        return "recorded, no worker has taken it yet"
    return outcome_shown(opened, outcome.outcome)


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
