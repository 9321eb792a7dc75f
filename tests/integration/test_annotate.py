"""The terminal annotator in a real terminal: one key a label, and no query for two at once."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.integration.conftest import ENVIRONMENT, ROOT, Deployment, native, until

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
SHOWN_S = 15.0


class Terminal:
    """A person at a terminal who runs `stream-al annotate`."""

    def __init__(
        self,
        deployment: Deployment,
        annotator: str,
        *options: str,
        size: tuple[int, int] | None = None,
    ) -> None:
        self._descriptor, follower = pty.openpty()
        environment = ENVIRONMENT | {"TERM": "xterm"}
        if size is not None:  # columns and lines
            environment = {k: v for k, v in environment.items() if k not in {"COLUMNS", "LINES"}}
            packed = struct.pack("HHHH", size[1], size[0], 0, 0)
            fcntl.ioctl(follower, termios.TIOCSWINSZ, packed)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.text = ""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "stream_al", "annotate", "--annotator", annotator, *options],
            cwd=deployment.folder,
            env=environment,
            stdin=follower,
            stdout=follower,
            stderr=follower,
            start_new_session=True,
        )
        os.close(follower)

    def read(self) -> str:
        """Take in what the terminal shows by now."""
        while select.select([self._descriptor], [], [], 0)[0]:
            try:
                data = os.read(self._descriptor, 65_536)
            except OSError:  # the other end is closed
                break
            self.text += ESCAPES.sub("", self._decoder.decode(data))
        return self.text

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait until the terminal shows `pattern`, and forget all up to it."""
        deadline = time.monotonic() + SHOWN_S
        while (found := re.search(pattern, self.read(), re.DOTALL)) is None:
            assert time.monotonic() < deadline, f"no {pattern!r} in {self.text!r}"
            time.sleep(0.02)
        self.text = self.text[found.end() :]
        return found

    def shown(self) -> str:
        """Wait for a query and return its event."""
        return self.wait_for(r"─ (e-\d+) ─.*?\[q\] quit").group(1)

    def press(self, keys: str) -> None:
        os.write(self._descriptor, keys.encode())

    def quit(self) -> int:
        self.press("q")
        return self._process.wait(10)

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
        os.close(self._descriptor)


@pytest.fixture
def people(deployment: Deployment) -> Iterator[Callable[[str], Terminal]]:
    """Twelve open queries, a worker, and terminals for whoever comes."""
    deployment.configure(gate={"budget": {"share": 1.0}}, labels={"classes": ["ham", "spam"]})
    deployment.send(*(native(n, f"offer number {n}") for n in range(12)))
    deployment.worker()
    until(lambda: sum(deployment.ends("queries")) == 12)
    terminals: list[Terminal] = []

    def come(name: str) -> Terminal:
        terminals.append(Terminal(deployment, name))
        return terminals[-1]

    yield come
    for terminal in terminals:
        terminal.close()


def _labels(deployment: Deployment) -> list[dict[str, Any]]:
    return sorted(deployment.messages("labels"), key=lambda one: one["at_ms"])


def test_one_key_a_label(deployment: Deployment, people: Callable[[str], Terminal]) -> None:
    """The event, and what the keys are for; a key answers; s skips, u is unsure."""
    ana = people("ana")
    panel = ana.wait_for(r"─ (e-\d+) ─.*?\[q\] quit").group(0)
    first = re.search(r"e-\d+", panel).group()  # type: ignore[union-attr]
    assert f"offer number {first[2:]}" in panel
    assert "[1] ham   [2] spam" in panel
    assert "[n]" not in panel  # the set is closed

    ana.press("2")
    ana.wait_for(f"{first}: spam: applied")
    second = ana.shown()
    ana.press("s")
    ana.wait_for(f"{second}: skip: skipped")
    third = ana.shown()
    ana.press("u")
    ana.wait_for(f"{third}: unsure: unsure")
    assert len({first, second, third, ana.shown()}) == 4
    assert ana.quit() == 0

    ana.wait_for("3 answered; thank you")
    said = [(one["event_id"], one["kind"], one["label"], one["annotator"])
            for one in _labels(deployment)]  # fmt: skip
    assert said == [
        (first, "label", "spam", "ana"), (second, "skip", None, "ana"),
        (third, "unsure", None, "ana"),
    ]  # fmt: skip


def test_undo_takes_the_last_label_back(
    deployment: Deployment, people: Callable[[str], Terminal]
) -> None:
    """`z` retracts the last label and asks again; the corrected one counts; then it goes on."""
    ana = people("ana")
    first = ana.shown()
    ana.press("1")
    ana.wait_for(f"{first}: ham: applied")
    second = ana.shown()

    ana.press("z")
    ana.wait_for(f"{first}: ham taken back")
    ana.press("z")
    ana.wait_for("nothing to undo")
    ana.press("2")
    ana.wait_for(f"{first}: spam: applied")
    ana.press("1")
    ana.wait_for(f"{second}: ham: applied")
    ana.quit()

    until(lambda: len(deployment.messages("outcomes")) == 4)
    outcomes = [(o["event_id"], o["outcome"], o["label"]) for o in deployment.messages("outcomes")]
    expected = [
        (first, "applied", "ham"),
        (first, "retracted", None),
        (first, "applied", "spam"),
        (second, "applied", "ham"),
    ]
    assert sorted(outcomes, key=str) == sorted(expected, key=str)


def test_keys_typed_ahead_are_not_lost(
    deployment: Deployment, people: Callable[[str], Terminal]
) -> None:
    """Two keys at once answer two queries; keys that mean nothing do nothing."""
    ana = people("ana")
    first = ana.shown()
    ana.press("x9é12")

    ana.wait_for(f"{first}: ham: applied")
    second = ana.shown()
    ana.wait_for(f"{second}: spam: applied")
    ana.shown()
    assert ana.quit() == 0
    assert len(_labels(deployment)) == 2


def test_two_people_never_see_one_query(
    deployment: Deployment, people: Callable[[str], Terminal]
) -> None:
    """What is on one screen is not on the other; a person who is killed gives it free."""
    ana, bob = people("ana"), people("bob")
    seen = [ana.shown(), bob.shown()]
    assert len(set(seen)) == 2
    for _ in range(3):
        ana.press("1")
        ana.wait_for("applied")
        bob.press("2")
        bob.wait_for("applied")
        seen += [ana.shown(), bob.shown()]
    assert len(set(seen)) == 8

    ana.close = lambda: None  # type: ignore[method-assign]
    os.kill(ana._process.pid, signal.SIGKILL)
    ana._process.wait()
    os.close(ana._descriptor)
    assert bob.quit() == 0
    assert people("cy").shown() in {seen[-2], seen[-1]}
    outcomes = [one["outcome"] for one in deployment.messages("outcomes")]
    assert outcomes == ["applied"] * 6


def test_annotate_needs_a_terminal(deployment: Deployment) -> None:
    """In a pipe it says what to use instead, and shows nothing."""
    deployment.done("run", "--until-idle")
    ended = deployment.cli("annotate")
    assert ended.out == ""
    assert "`stream-al label`" in ended.err


def test_help_and_documents_say_how_far_a_claim_reaches(deployment: Deployment) -> None:
    """B2: one machine; nobody says that two people never get the same query."""
    said = " ".join(deployment.done("annotate", "--help").out.split())
    assert "on one machine" in said
    assert "On Kafka, people on different machines" in said
    for name in ("README.md", "docs/OPERATIONS.md"):
        text = " ".join((ROOT / name).read_text().split())
        assert "on one machine" in text
        assert "different machines" in text
        assert "never shows one query to two people at once" not in text
