"""Strategies of one's own by `plugins:`, and the brake that needs none of them."""

from __future__ import annotations

import json

import pytest

from tests.integration.conftest import Deployment, native, until

STRATEGY = """
from stream_al import register_uncertainty

def by_letters(probabilities):
    return 0.5

register_uncertainty("letters", by_letters)
"""
COMMITTEE = """
class Two:
    def __init__(self):
        self.known = {}

    def learn_one(self, x, y):
        self.known[y] = self.known.get(y, 0) + 1

    def predict_proba_one(self, x):
        return self.vote(x)[0]

    def vote(self, x):
        total = sum(self.known.values()) or 1
        return {name: count / total for name, count in self.known.items()}, 0.25

def build(seed=1):
    return Two()
"""


def _with_plugin(deployment: Deployment, **more: object) -> None:
    (deployment.folder / "own_strategies.py").write_text(STRATEGY)
    deployment.configure(
        plugins=["own_strategies"],
        gate={"uncertainty": "letters", "budget": {"share": 1.0}},
        **more,
    )


@pytest.mark.parametrize(
    "command",
    [("pause",), ("freeze",), ("shadow",), ("resume",), ("budget", "set", "--share", "0.5"),
     ("budget", "set", "--from-config")],
    ids=" ".join,
)  # fmt: skip
def test_the_brake_needs_no_plugin(deployment: Deployment, command: tuple[str, ...]) -> None:
    """C1: a patch is judged by the resolver, by what it names: no other process loads a plugin."""
    _with_plugin(deployment)
    deployment.worker()
    until(lambda: deployment.ends("journal")[0] >= 2)
    (deployment.folder / "own_strategies.py").write_text("raise SystemExit('never import me')")
    assert "in force from" in deployment.done(*command).err
    for look in (("status",), ("budget",), ("queries",), ("model",)):
        deployment.done(*look)


def test_a_preset_runs_with_ones_own_strategy(deployment: Deployment) -> None:
    """C1: worker, check, replay, what-if, evaluate and snapshot know what the plugin registers."""
    _with_plugin(deployment, model={"preset": "linear"})
    deployment.send(*(native(n) for n in range(6)))
    deployment.done("run", "--until-idle")
    for n in range(4):
        deployment.send(
            {"event_id": f"e-{n}", "label": "spam" if n % 2 else "ham", "annotator": "ana"},
            topic="labels",
        )
    deployment.done("run", "--until-idle")
    deployment.send(*(native(n) for n in range(6, 12)))
    deployment.done("run", "--until-idle")
    assert {one["uncertainty"] for one in deployment.messages("predictions")[-4:]} <= {0.5, 1.0}
    deployment.done("check")
    deployment.done("replay", "--verify")
    deployment.done("what-if", "--uncertainty", "letters")
    deployment.done("snapshot", "write")
    history = deployment.folder / "history.jsonl"
    rows = [{"text": f"free {n}", "verdict": "spam" if n % 2 else "ham"} for n in range(60)]
    history.write_text("".join(json.dumps(row) + "\n" for row in rows))
    ended = deployment.done(
        "evaluate", history, "--label", "verdict", "--text", "text", "--budgets", "20%",
        "--seeds", 1, "--strategies", "letters", "--jobs", 1, "--json",
    )  # fmt: skip
    assert "letters" in ended.out


@pytest.mark.parametrize("command", [("run", "--until-idle"), ("check",)], ids=" ".join)
@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "No module named"), ("import nowhere_at_all", "nowhere_at_all"), ("a b", "syntax"),
     ("raise SystemExit(3)", "SystemExit"), ("1 / 0", "division by zero")],
)  # fmt: skip
def test_a_plugin_that_can_not_be_imported_is_named(
    deployment: Deployment, command: tuple[str, ...], text: str | None, said: str
) -> None:
    """C1: exit 2 with the plugin, where it was looked for, and why."""
    deployment.configure(plugins=["broken_plugin"])
    if text is not None:
        (deployment.folder / "broken_plugin.py").write_text(text)
    ended = deployment.cli(*command)
    assert ended.code == 2
    assert "plugins: 'broken_plugin'" in ended.err
    assert str(deployment.folder) in ended.err
    assert said in ended.err


def test_an_unknown_strategy_says_the_nearest(deployment: Deployment) -> None:
    """C1: what is still unknown after the plugins were loaded names its neighbour."""
    _with_plugin(deployment)
    deployment.configure(plugins=["own_strategies"], gate={"uncertainty": "leters"})
    for command in (("check",), ("run", "--until-idle")):
        ended = deployment.cli(*command)
        assert (ended.code, "did you mean `letters`" in ended.err) == (2, True)


@pytest.mark.parametrize("model", [{"preset": "linear"}, {"preset": "river"},
                                   {"factory": "single:build"}], ids=str)  # fmt: skip
def test_disagreement_needs_a_committee(deployment: Deployment, model: dict[str, str]) -> None:
    """C2: without members that can disagree `check`, `run` and the resolver refuse it."""
    (deployment.folder / "single.py").write_text(COMMITTEE.replace("def vote", "def _vote")
                                                 .replace("self.vote", "self._vote"))  # fmt: skip
    deployment.configure(model=model, gate={"uncertainty": "disagreement"})
    for command in (("check",), ("run", "--until-idle")):
        ended = deployment.cli(*command)
        assert ended.code == 2
        assert "gate.uncertainty is 'disagreement'" in ended.err
        assert "committee" in ended.err
    assert not (deployment.folder / "t.db").exists()
    deployment.configure(model=model)
    deployment.worker()
    until(lambda: deployment.ends("journal")[0] >= 2)
    deployment.configure(model=model, gate={"uncertainty": "disagreement"})
    ended = deployment.cli("budget", "set", "--from-config")
    assert (ended.code, "committee" in ended.err) == (2, True)
    assert deployment.ends("journal") == [2]


@pytest.mark.parametrize("model", [{"preset": "committee"}, {"factory": "two:build"}], ids=str)
def test_a_committee_may_disagree(deployment: Deployment, model: dict[str, str]) -> None:
    """C2: the preset, and a factory's own model with `vote`, whose number is the uncertainty."""
    (deployment.folder / "two.py").write_text(COMMITTEE)
    deployment.configure(
        model=model, gate={"uncertainty": "disagreement", "budget": {"share": 1.0}}
    )
    deployment.done("check")
    deployment.send(*(native(n) for n in range(4)))
    deployment.done("run", "--until-idle")
    for n, label in enumerate(("ham", "spam")):
        body = {"event_id": f"e-{n}", "label": label, "annotator": "ana"}
        deployment.send(body, topic="labels")
    deployment.done("run", "--until-idle")
    deployment.send(*(native(n) for n in range(4, 8)))
    deployment.done("run", "--until-idle")
    last = [one for one in deployment.messages("predictions") if one["event_id"] >= "e-4"]
    assert all(0.0 <= one["uncertainty"] <= 1.0 for one in last)
    if "factory" in model:
        assert {one["uncertainty"] for one in last} == {0.25}
    deployment.done("replay", "--verify")
