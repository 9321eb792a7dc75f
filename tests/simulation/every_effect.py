"""Crash at every side effect of a scenario, before and after it, and compare with a quiet run."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.simulation.ending import same_answers
from tests.simulation.scenario import Fault, Scenario
from tests.simulation.slots import Result
from tests.simulation.world import World


def crashed_everywhere(
    scenario: Scenario, *, start: int = 1, step: int = 1, log: str = "memory"
) -> Iterator[tuple[str, Result]]:
    """Yield where a worker crashed, and what came of it, for every `step`-th side effect."""
    quiet = _run(scenario, log)
    assert quiet.violation is None, quiet.violation
    for number in range(start, quiet.effect_count + 1, step):
        for do in ("crash_before", "crash_after"):
            fault = Fault(by="effect", at=number, do=do)  # type: ignore[arg-type]
            changed = scenario.model_copy(update={"fixed": (*scenario.fixed, fault)})
            result = _run(changed, log)
            if result.violation is None:
                result.violation = _difference(scenario, quiet, result)
            yield f"{scenario.name}: {do} {number}", result


def _run(scenario: Scenario, log: str) -> Result:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) if log == "sqlite" else None
        return World(scenario, kind=log, folder=path).run()


def _difference(scenario: Scenario, quiet: Result, crashed: Result) -> str | None:
    """Return how two runs differ where the design allows no difference.

    The same events have the same kind of answer. Where the journal taught the same lessons up to
    the version that both predictions name, the model said the same. Where everything is asked, the
    queries are the same, and so is what became of each label.
    """
    try:
        before, after = quiet.outputs, crashed.outputs
        assert before is not None
        assert after is not None, "both runs came to their end"
        same_answers(before, after)
        if scenario.all_asked:
            lost, new = before.outcomes - after.outcomes, after.outcomes - before.outcomes
            assert not lost, f"outcomes differ: {lost} became {new}"
            assert not new, f"outcomes are new: {new}"
    except AssertionError as error:
        return f"unlike the run without a crash: {error}"
    return None
