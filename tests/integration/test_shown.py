"""What comes from outside reaches a terminal or a script whole, and does nothing to it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.integration.conftest import Deployment, native

# ESC, C1, bidi, zero-width, markup and emoji codes of rich.
HOSTILE = "p\x1b[2J\x1b]0;owned\x07\x9b31m\u202egpj\u200b[bold]:smile:"
SHOWN = r"p\x1b[2J\x1b]0;owned\x07\x9b31m\u202egpj\u200b[bold]:smile:"
COMMANDS = (
    *("queries", "status", "dead-letters", "dead-letters show 0:0", "budget", "model", "audit"),
    *("queries --json", "status --json", "dead-letters --json"),
    *("read events", "read queries", "read predictions", "read labels", "read outcomes"),
    *("read journal", "read dead-letters", "read controls"),
)


def _safe(text: str) -> bool:
    return not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e]", text)


@pytest.fixture
def asked(deployment: Deployment) -> Deployment:
    """One open query, one answer and one dead letter, hostile wherever they can be."""
    deployment.configure(gate={"budget": {"share": 1.0}})
    deployment.send(
        native(0) | {"event_id": HOSTILE, "segment": HOSTILE, "meta": {HOSTILE: HOSTILE}},
        native(1) | {"features": {"text": f"{HOSTILE}\nnext line", HOSTILE: 1}},
        native(2) | {"features": {HOSTILE: "c" * 300}},
    )
    deployment.send(
        {"event_id": "e-1", "label": f"spam {HOSTILE}", "annotator": HOSTILE, "revision": -1},
        topic="labels",
    )
    # Nobody takes it yet, whatever that ends with.
    deployment.cli("budget", "set", "--share", "1", "--reason", HOSTILE, "--actor", HOSTILE)
    deployment.done("run", "--until-idle")
    return deployment


def test_nothing_that_came_reaches_a_terminal_as_it_came(asked: Deployment) -> None:
    """D3: ids, names, classes, features, segments, meta, reasons, error texts."""
    for command in COMMANDS:
        shown = asked.done(*command.split())
        assert _safe(shown.out), command
        assert _safe(shown.err), command
        if command in {"queries", "budget", "status"}:
            assert SHOWN in shown.out, command


def test_json_keeps_what_came(asked: Deployment) -> None:
    """D3: escaped inside of JSON, so a script gets the id to the letter."""
    ids = {query["event_id"] for query in asked.done("queries", "--json").json()}
    assert ids == {HOSTILE, "e-1"}
    lines = [json.loads(line) for line in asked.done("read", "queries").out.splitlines()]
    assert {line["value"]["event_id"] for line in lines} == ids


def test_labels_are_escaped_in_answers_and_refusals(asked: Deployment) -> None:
    """D3: what became of a label, a wrong place, a wrong option."""
    answered = asked.cli("label", HOSTILE, f"c\x1b[2J{HOSTILE}", "--annotator", HOSTILE)
    refused: list[Any] = [
        asked.cli("dead-letters", "show", HOSTILE),
        asked.cli("read", HOSTILE),
        asked.cli("label", HOSTILE, "--no\x1b[2J"),
        asked.cli("check", "--config", HOSTILE),
    ]
    assert all(ended.code == 2 for ended in refused)
    assert all(_safe(ended.out + ended.err) for ended in (answered, *refused))


def test_an_id_and_a_message_are_never_cut(deployment: Deployment) -> None:
    """E: 512 characters of an id, a text and an error's message, on a line that scripts read."""
    deployment.configure(gate={"budget": {"share": 1.0}})
    event_id, text = "i" * 512, "t" * 3_000
    deployment.send(
        native(0) | {"event_id": event_id, "features": {"text": text}},
        native(1) | {"features": {"n" * 190: "c" * 300}},
    )
    deployment.done("run", "--until-idle")
    queries = deployment.done("queries").out
    assert event_id in queries.split()
    assert text in queries.split()
    letters = deployment.done("dead-letters")
    message = deployment.messages("dead_letters")[0]["message"]
    assert message in letters.out
    assert len(message) > 90
