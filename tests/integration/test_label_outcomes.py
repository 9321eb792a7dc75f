"""What `stream-al label` says became of a label, and by which exit code."""

from __future__ import annotations

import json

import pytest

from tests.integration.conftest import Deployment, native, until


@pytest.fixture
def asked(deployment: Deployment) -> Deployment:
    """Let a worker ask about two events, with a closed set of classes."""
    deployment.configure(
        gate={"budget": {"share": 1.0}}, labels={"classes": ["ham", "spam"], "votes": 1}
    )
    deployment.send(native(0), native(1))
    deployment.worker()
    until(lambda: sum(deployment.ends("queries")) == 2)
    return deployment


@pytest.mark.parametrize(
    ("arguments", "outcome", "words"),
    [
        (("nobody", "ham"), "unknown", "'nobody'"),
        (("nobody", "--skip"), "unknown", "'nobody'"),
        (("nobody", "--retract"), "unknown", "'nobody'"),
        (("e-0", "--retract"), "unknown", "e-0"),
        (("e-0", "hamm"), "invalid", "ham, spam"),
        (("e-0", "SPAM"), "invalid", "ham, spam"),
    ],
    ids=str,
)
def test_what_came_to_nothing_is_exit_1(
    asked: Deployment, arguments: tuple[str, ...], outcome: str, words: str
) -> None:
    """B10: an unknown event, an invalid class: exit 1 and the outcome in words."""
    ended = asked.cli("label", *arguments)
    assert ended.code == 1
    assert ended.out.startswith(f"{outcome} (")
    assert words in ended.out
    as_json = asked.cli("label", *arguments, "--json")
    assert (as_json.code, json.loads(as_json.out)["outcome"]) == (1, outcome)


def test_what_was_taken_is_exit_0(asked: Deployment) -> None:
    """B10: an answer, a second one, another's and a skip are no mistakes."""
    for arguments, outcome in (
        (("e-0", "ham", "--annotator", "ana"), "applied"),
        (("e-0", "ham", "--annotator", "ana"), "duplicate"),
        (("e-0", "spam", "--annotator", "bob"), "conflict"),
        (("e-1", "--skip"), "skipped"),
    ):
        assert asked.done("label", *arguments).out.split()[0] == outcome


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("", "ham"), "event_id is ''"),
        (("e-0", ""), "a label is a class"),
        (("e-0", "x" * 600), "label is"),
        (("e-0", "ham", "--annotator", "x" * 600), "annotator is"),
        (("e-0", "ham", "--revision", str(2**40)), "revision is"),
        (("e-0", "\udcff"), "no UTF-8"),
        (("\udcffe", "ham"), "no UTF-8"),
        (("e-0", "ham", "--annotator", "\udcff"), "no UTF-8"),
    ],
    ids=repr,
)
def test_what_can_be_no_label_is_refused(
    deployment: Deployment, arguments: tuple[str, ...], said: str
) -> None:
    """B10, C14: exit 2 and one line, before anything is sent."""
    deployment.done("run", "--until-idle")
    ended = deployment.cli("label", *arguments)
    assert ended.code == 2
    assert said in ended.err
    assert len(ended.err.splitlines()) == 1
    assert sum(deployment.ends("labels")) == 0


def test_a_label_that_nobody_took_is_sent(deployment: Deployment) -> None:
    """B10: sent and not answered yet is no failure, and says so."""
    deployment.done("run", "--until-idle")
    ended = deployment.done("label", "e-0", "ham")
    assert "not answered yet" in ended.err
    assert ended.out == ""
