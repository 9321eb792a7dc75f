"""What another budget would have done, asked of a stream that a real worker recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Deployment, native

TEXTS = ("free money now", "see you at lunch", "win a prize today", "the report is done")
PARTITIONS = 4


def _label(number: int) -> dict[str, Any]:
    return {"event_id": f"e-{number}", "label": ("spam", "ham")[number % 2], "annotator": "a"}


def _send(deployment: Deployment, start: int, end: int) -> None:
    deployment.send(*(native(n, f"{TEXTS[n % 4]} {n % 13}") for n in range(start, end)))
    deployment.done("run", "--until-idle")


def _recorded(deployment: Deployment, **gate: Any) -> None:
    """Let a worker meet 900 events, people answer, and an operator turn the budget in between."""
    deployment.configure(
        gate={"budget": {"share": 0.2}} | gate, labels={"classes": ["ham", "spam"]}
    )
    _send(deployment, 0, 300)
    asked = [query["event_id"] for query in deployment.messages("queries")]
    deployment.send(*(_label(int(name[2:])) for name in asked), topic="labels")
    deployment.done("run", "--until-idle")
    _send(deployment, 300, 600)
    deployment.cli("budget", "set", "--share", "0.1", "--reason", "test")
    deployment.done("run", "--until-idle")
    _send(deployment, 600, 900)


def test_the_same_settings_give_the_same_decisions(deployment: Deployment) -> None:
    """With the deployment's own secret every recorded decision comes out again, to the bit."""
    _recorded(deployment)

    found = deployment.done("what-if", "--json").json()

    checked = found["self_check"]
    assert checked["compared"] == found["events"] == 900
    assert checked["propensities_differ"] == checked["decisions_differ"] == 0
    assert found["changed"] == {}
    assert found["spend"]["recorded"] == len(deployment.messages("queries"))
    assert "all 900 recorded decisions come out again" in deployment.done("what-if").out


def test_a_tampered_decision_is_noticed(deployment: Deployment) -> None:
    """A prediction whose propensity is not the gate's is counted, and the command says so."""
    _recorded(deployment)
    topic = deployment.config.topic("predictions")
    record = deployment.records("predictions")[-1]
    said = json.loads(record.value)
    said["propensity"] = said["propensity"] / 2
    wrong = json.dumps(said, separators=(",", ":")).encode()
    deployment.log.rewrite(topic, record.partition, {record.offset: wrong})

    assert deployment.done("what-if", "--json").json()["self_check"]["propensities_differ"] == 1


def test_another_budget_is_spent_as_it_says(deployment: Deployment, tmp_path: Path) -> None:
    """2 % of 900 events are asked, in every secret within the gate's slack; the list names them."""
    _recorded(deployment)
    listed = tmp_path / "asked.jsonl"

    found = deployment.done("what-if", "--share", "0.02", "--list", listed, "--json").json()

    spend = found["spend"]
    assert spend["expected"] == pytest.approx(0.02 * 900, abs=PARTITIONS)  # blocks under way
    assert 0.02 * 900 - PARTITIONS <= spend["low"] <= spend["high"] <= 0.02 * 900 + PARTITIONS
    assert found["changed"] == {"gate.budget.share": {"recorded": 0.1, "what_if": 0.02}}
    lines = [json.loads(line) for line in listed.read_text(encoding="utf-8").splitlines()]
    assert spend["low"] <= len(lines) <= spend["high"]
    assert len({line["event_id"] for line in lines}) == len(lines)
    assert all(0.0 < line["propensity"] <= 1.0 for line in lines)


def test_an_hourly_budget_counts_by_record_time(deployment: Deployment) -> None:
    """All came within seconds: an hour's labels, and what a full bucket starts with, are asked."""
    _recorded(deployment)

    found = deployment.done("what-if", "--share", "1", "--per-hour", "40", "--json").json()

    # A partition starts with max(2, h/10) labels in credit, and its block may be under way.
    assert found["spend"]["high"] <= PARTITIONS * (2 + 2)


def test_a_stretch_that_was_paused_is_no_guess(deployment: Deployment) -> None:
    """Events that could not be asked support no estimate, and the command says how many."""
    deployment.configure(gate={"budget": {"share": 0.5}}, labels={"classes": ["ham", "spam"]})
    _send(deployment, 0, 100)
    deployment.cli("pause", "--reason", "test")
    deployment.done("run", "--until-idle")
    _send(deployment, 100, 300)

    ended = deployment.done("what-if", "--share", "0.1")

    assert "too few labels" in ended.out
    assert "200" in ended.out


def test_disagreement_can_not_be_made_up(deployment: Deployment) -> None:
    """What a committee's members said is in no prediction: refused with the ways out."""
    _recorded(deployment)

    ended = deployment.cli("what-if", "--uncertainty", "disagreement")

    assert ended.code == 2
    assert "what its committee's members said" in ended.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--share", "1.5"), "share"),
        (("--share", "nan"), "share"),
        (("--uncertainty", "guess"), "guess"),
        (("--repeats", "0"), "repeats"),
        (("--per-hour", "many"), "--per-hour is 'many'"),
        (("--list", "-", "--json"), "both want stdout"),
        (("--list", "no/such/folder/x"), "no/such/folder/x"),
    ],
)
def test_a_wrong_option_is_named(
    deployment: Deployment, arguments: tuple[str, ...], words: str
) -> None:
    """Exit code 2 and a line that names the option; nothing is written."""
    deployment.configure()
    _send(deployment, 0, 20)

    ended = deployment.cli("what-if", *arguments)

    assert ended.code == 2
    assert words in ended.err
    assert "Traceback" not in ended.err


def test_a_stream_that_was_not_recorded_is_told(deployment: Deployment) -> None:
    """Before the first prediction there is nothing to fold: the line says what to start."""
    deployment.configure()
    deployment.send(native(1))

    ended = deployment.cli("what-if", "--share", "0.1")

    assert ended.code == 2
    assert "holds no prediction yet" in ended.err
