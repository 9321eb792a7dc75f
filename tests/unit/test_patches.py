"""Patches that change nothing, or what they do not name."""

from __future__ import annotations

from typing import Any

import pytest

from stream_al import OFF, ActiveLearner, Config, ConfigurationError
from stream_al.labels.proposals import control_problem
from stream_al.messages import Settings


def _turned(learner: ActiveLearner, **budget: Any) -> None:
    learner.set_budget(**budget, actor="ops", reason="", now_ms=0)


@pytest.mark.parametrize(
    "budget", [{}, {"per_hour": None}, {"share": None, "per_hour": None, "open": None}]
)
def test_nothing_to_set_is_an_error(budget: dict[str, Any]) -> None:
    """C12: None is what was left out; nothing is journaled, and `OFF` is named."""
    learner = ActiveLearner(Config())
    before = learner.engine.version
    with pytest.raises(ConfigurationError, match=r"nothing to set.*OFF"):
        _turned(learner, **budget)
    assert learner.engine.version == before


@pytest.mark.parametrize("patch", [{}, {"gate": {}}, {"gate": {"budget": {}}}, {"modes": {}},
                                   {"gate": {"budget": {}}, "modes": {}}])  # fmt: skip
def test_an_empty_patch_is_an_error_everywhere(patch: dict[str, Any]) -> None:
    """C12: at whatever depth it ends."""
    assert "changes nothing" in str(control_problem(Settings(), patch, None))
    with pytest.raises(ConfigurationError, match="changes nothing"):
        ActiveLearner(Config()).control(patch, actor="ops", reason="", now_ms=0)


def test_off_turns_a_limit_off() -> None:
    """C12: as in the command line; a share has no off."""
    learner = ActiveLearner(Config.model_validate({"gate": {"budget": {"per_hour": 5}}}))
    _turned(learner, per_hour=OFF, open=50)
    budget = learner.engine.settings.gate.budget
    assert (budget.per_hour, budget.open) == (None, 50)
    _turned(learner, open=OFF, share=0.5)
    assert learner.engine.settings.gate.budget.open is None
    with pytest.raises(ConfigurationError, match=r"share: .*0"):
        _turned(learner, share=OFF)
    assert repr(OFF) == "OFF"


@pytest.mark.parametrize(
    "patch",
    [{"gate": {"budget": {"share": True}}}, {"gate": {"budget": {"share": "0.5"}}},
     {"gate": {"burst": 2.5}}, {"modes": {"paused": 1}}, {"modes": {"paused": "no"}},
     {"gate": {"budget": {"open": "10"}}}, {"gate": 5}, {"gate": {"budget": {"shar": 0.1}}}],
)  # fmt: skip
def test_a_patch_is_taken_strictly(patch: dict[str, Any]) -> None:
    """A7: true is no share, a text no number; what is journaled means one thing."""
    assert control_problem(Settings(), patch, None) is not None


def test_a_patch_is_judged_by_what_it_names() -> None:
    """C1: a strategy or a limit that is in force already blocks no pause."""
    own = Settings.model_validate({"gate": {"uncertainty": "own", "budget": {"open": 2}},
                                   "partitions": 4})  # fmt: skip
    known = lambda: {"margin"}  # noqa: E731
    assert control_problem(own, {"modes": {"paused": True}}, known) is None
    assert control_problem(own, {"gate": {"budget": {"share": 0.1}}}, known) is None
    assert "did you mean `margin`" in str(
        control_problem(own, {"gate": {"uncertainty": "margn"}}, known)
    )
    assert "committee" in str(
        control_problem(own, {"gate": {"uncertainty": "disagreement"}}, known)
    )


def test_a_learner_without_members_refuses_disagreement() -> None:
    """C2: at the start, and by a patch."""
    with pytest.raises(ConfigurationError, match="committee"):
        ActiveLearner(Config.model_validate({"gate": {"uncertainty": "disagreement"}}))
    with pytest.raises(ConfigurationError, match="committee"):
        ActiveLearner(Config()).control(
            {"gate": {"uncertainty": "disagreement"}}, actor="ops", reason="", now_ms=0
        )
    both = {"gate": {"uncertainty": "disagreement"}, "model": {"preset": "committee"}}
    assert ActiveLearner(Config.model_validate(both)).engine.model.has_members
