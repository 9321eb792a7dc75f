"""Workers whose clock is wrong, as processes: nothing that waits for people is lost."""

from __future__ import annotations

import pytest

from tests.integration.conftest import Deployment, native

YEAR_MS = 365 * 86_400_000


@pytest.mark.parametrize("shift_ms", [YEAR_MS, 9 * 86_400_000, -53 * YEAR_MS])
@pytest.mark.parametrize("first", [False, True], ids=["later", "first start"])
def test_a_wrong_clock_expires_nothing(
    deployment: Deployment, shift_ms: int, *, first: bool
) -> None:
    """A6: a year or nine days ahead, or in 1973, at the first start or later, again and again."""
    deployment.configure(gate={"budget": {"share": 1.0}})
    deployment.send(*(native(n) for n in range(10)))
    if not first:
        deployment.done("run", "--until-idle")
    ends = []
    for n in range(2):
        deployment.send(native(20 + n))
        ends.append(deployment.done("run", "--until-idle", clock_shift_ms=shift_ms).err)
    ends.append(deployment.done("run", "--until-idle").err)

    assert sum("clock_disagrees" in said for said in ends) >= (1 if first else 2)
    found = deployment.done("status", "--json").json()
    assert found["pending"] == 12
    assert deployment.ends("events") == [len(one) for one in _kept(deployment)]
    assert deployment.done("audit").code == 0
    deployment.send({"event_id": "e-3", "label": "ok", "annotator": "a"}, topic="labels")
    deployment.done("run", "--until-idle")
    assert deployment.messages("outcomes")[0]["outcome"] == "applied"


def _kept(deployment: Deployment) -> list[list[int]]:
    kept: list[list[int]] = [[] for _ in deployment.ends("events")]
    for record in deployment.records("events"):
        kept[record.partition].append(record.offset)
    return kept
