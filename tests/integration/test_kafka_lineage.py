"""Lineages and mappings on a real broker, whose journal has gaps between its transactions."""

from __future__ import annotations

from typing import Any

from tests.integration.conftest import Deployment
from tests.kafka_fixture import Broker

EVENTS = {"event_id": "id", "features": {"text": "title"}}
MOVED = {"event_id": "id", "features": {"text": "body"}}
TEXTS = ("free money now", "see you at lunch")


def _post(number: int) -> dict[str, Any]:
    text = f"{TEXTS[number % 2]} {number}"
    return {"id": f"e-{number}", "title": text, "body": text.upper()}


def _said(number: int, label: str | None = None, **more: Any) -> dict[str, Any]:
    said = label or ("spam", "ham")[number % 2]
    return {"event_id": f"e-{number}", "label": said, "annotator": "a"} | more


def test_corrections_and_another_mapping(deployment: Deployment, kafka: Broker) -> None:
    """A11, B9: final labels are learnt, another mapping is refused, activated, and verified."""
    (deployment.folder / "gate.secret").write_text("0123456789abcdef" * 2)
    gate = {"secret_file": "gate.secret", "budget": {"share": 1.0}}
    own: dict[str, Any] = {"app": kafka.new_app(), "log": kafka.log_section(), "gate": gate}
    deployment.configure(**own, events=EVENTS)
    deployment.done("topics", "create")
    deployment.send(*(_post(n) for n in range(12)))
    deployment.done("run", "--until-idle")
    deployment.send(*(_said(n, ("ham", "spam")[n % 2]) for n in range(4)), topic="labels")
    deployment.done("run", "--until-idle")
    right = (*(_said(n, revision=1) for n in range(3)), *(_said(n) for n in range(4, 8)))
    deployment.send(*right, _said(3, kind="retract", label=None), topic="labels")
    deployment.done("run", "--until-idle")
    assert deployment.done("replay", "--json").json()["learnt"] == 11

    corrected = deployment.done("replay", "--corrected", "--activate", "--json").json()
    without = deployment.done("replay", "--without", "e-0", "--without", "e-4", "--activate",
                              "--json").json()  # fmt: skip

    assert (corrected["learnt"], corrected["left_out_why"]) == (
        7, {"superseded": 3, "retracted": 1},
    )  # fmt: skip
    assert (without["learnt"], without["corrections_kept"]) == (6, 1)
    worker = deployment.worker("--slot", 0)
    deployment.configure(**own, events=MOVED)
    refused = deployment.cli("run", "--slot", 1, "--until-idle")
    assert refused.code == 2
    assert "events.features.text is 'title' in the journal, 'body' here" in refused.err
    deployment.done("mapping", "activate", "--reason", "the body moved")
    ended = worker.wait(30)
    assert ended.code == 2
    assert "`stream-al mapping activate`" in ended.err
    deployment.send(*(_post(n) for n in range(20, 26)))
    deployment.done("run", "--until-idle")
    found = deployment.done("replay", "--verify", "--json").json()
    assert found["sound"]
    assert (found["learnt"], found["predictions"]["equal"]) == (6, 18)
    assert deployment.done("audit").code == 0
