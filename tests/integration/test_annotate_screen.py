"""What the terminal annotator shows, on screens of several sizes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rich.cells import cell_len

from tests.integration.conftest import Deployment, until
from tests.integration.test_annotate import Terminal

SIZES = [(80, 24), (40, 15)]
POST = "Limited offer: original watches at a tenth of the price, shipped today. " * 5
META = {"url": "https://forum.example/t/42", "author": {"name": "ana", "posts": 3}}


@pytest.fixture
def come(deployment: Deployment) -> Iterator[Callable[..., Terminal]]:
    """Give what starts a worker, asks about an event, and opens a terminal on it."""
    terminals: list[Terminal] = []

    def asked(event: dict[str, Any], size: tuple[int, int] | None, *options: str) -> Terminal:
        deployment.configure(gate={"budget": {"share": 1.0}})
        deployment.send({"event_id": "e-0", "features": {"text": "x"}} | event)
        deployment.worker()
        until(lambda: sum(deployment.ends("queries")) == 1)
        terminals.append(Terminal(deployment, "ana", *options, size=size))
        return terminals[-1]

    yield asked
    for terminal in terminals:
        terminal.close()


def _screen(terminal: Terminal) -> str:
    return terminal.wait_for(r"╭.*?\[q\] quit").group(0).replace("\r", "")


def _inside(screen: str) -> str:
    return "\n".join(re.findall(r"^│ (.*?) *│$", screen, re.MULTILINE))


@pytest.mark.parametrize("size", [None, *SIZES])
def test_a_post_is_shown_whole_with_all_that_came_along(
    come: Callable[..., Terminal], size: tuple[int, int] | None
) -> None:
    """B1: 345 characters, features, segment and meta, on each size of screen."""
    assert len(POST) >= 345
    features = {"text": POST, "followers": 12, "kind": "reply"}
    event = {"features": features, "segment": "en", "meta": META}
    screen = _screen(come(event, size))
    if size is not None:
        assert len(screen.splitlines()) <= size[1]
        assert all(cell_len(line) <= size[0] for line in screen.splitlines())
    inside = "".join(_inside(screen).split())
    if size != (40, 15):
        assert "".join(POST.split()) in inside
        assert "[m]" not in screen
    for said in ("followers: 12", "kind: reply", "segment: en", "meta.url: https://forum.example"):
        assert "".join(said.split()) in inside
    assert "predicted" not in screen


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "text", ["word " * 2_000, "x" * 10_000, "看到" * 5_000, "a\nb\r\n" * 2_000],
    ids=["words", "one word", "wide", "lines"],
)  # fmt: skip
def test_what_is_cut_is_said_and_a_key_shows_it(
    come: Callable[..., Terminal], text: str, size: tuple[int, int]
) -> None:
    """B1: 10,000 characters: the beginning and how many more; `m` turns the pages to the end."""
    terminal = come({"features": {"text": text}, "meta": META}, size)
    screen = _screen(terminal)
    assert re.search(r"… [\d,]+ more characters", screen)
    assert "meta.url" in screen
    assert len(screen.splitlines()) <= size[1]
    read = ""
    while "[m] from the start" not in screen:
        terminal.press("m")
        screen = _screen(terminal)
        assert len(screen.splitlines()) <= size[1]
        read += _inside(screen)
    assert "".join(text.split()) in "".join(read.split())
    terminal.press("n")
    terminal.press("spam\r")
    terminal.wait_for("e-0: spam: applied")


def test_an_id_is_never_cut_and_nothing_is_obeyed(come: Callable[..., Terminal]) -> None:
    """B1, D3, E: an id of 300 characters with escapes, markup and emoji codes."""
    event_id = "[bold]:smile:\x1b[2J" + "i" * 283
    screen = _screen(come({"event_id": event_id, "features": {"text": "\x1b]0;x\x07"}}, (40, 24)))
    inside = "".join(_inside(screen).split())
    assert "event:[bold]:smile:\\x1b[2J" + "i" * 283 in inside
    assert "\\x1b]0;x\\x07" in inside
