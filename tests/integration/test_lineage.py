"""Another model configuration never mixes with the journal's; `model activate` starts it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.conftest import Deployment, native, until

NUMBERS = {"model": {"preset": "river"}}
GATE = {"gate": {"budget": {"share": 1.0}}}


def _taught(deployment: Deployment) -> None:
    """Make a journal in which the first configuration learnt two classes."""
    deployment.configure(**GATE)
    deployment.send(native(0), native(1))
    deployment.done("run", "--until-idle")
    labels = [{"event_id": f"e-{n}", "label": name, "annotator": "a"}
              for n, name in enumerate(("spam", "ham"))]  # fmt: skip
    deployment.send(*labels, topic="labels")
    deployment.done("run", "--until-idle")


def _lineages(deployment: Deployment) -> list[dict[str, Any]]:
    return [one for one in deployment.messages("journal") if one["kind"] == "model"]


@pytest.mark.parametrize("role", ["all", "scorer", "resolver"])
def test_other_configuration_is_refused(deployment: Deployment, role: str) -> None:
    """Every role exits with 2, names both models and the command that starts the configured one."""
    _taught(deployment)
    before = deployment.ends("journal") + deployment.ends("predictions")
    deployment.configure(**GATE, **NUMBERS)
    deployment.send(native(2))

    ended = deployment.start("run", "--role", role).wait()

    assert ended.code == 2
    last = ended.err.strip().splitlines()[-1]
    assert last.startswith("config: the journal's lineage is of model configuration ")
    assert "(linear)" in last
    assert "(river)" in last
    assert "`stream-al model activate`" in last
    assert deployment.ends("journal") + deployment.ends("predictions") == before
    checked = deployment.cli("check")
    assert checked.code == 2
    assert "stream-al model activate" in checked.err


def test_activate_without_a_worker(deployment: Deployment) -> None:
    """The command journals the new lineage itself; it starts empty and keeps the settings."""
    _taught(deployment)
    deployment.configure(**GATE, **NUMBERS)

    ended = deployment.done("model", "activate", "--reason", "river is enough", "--actor", "ops")

    assert "in force from journal position" in ended.err
    shown = deployment.done("model", "--json").json()
    assert (shown["preset"], shown["start"], shown["actor"]) == ("river", "empty", "ops")
    assert "(this one)" in deployment.done("model").out
    deployment.send(native(2))
    deployment.done("run", "--until-idle")
    new = next(o for o in deployment.messages("predictions") if o["event_id"] == "e-2")
    assert (new["probabilities"], new["label"], new["rate"]) == ({}, None, 1.0)
    assert deployment.start("@fold").wait().json()["learnt"] == 0
    assert len(_lineages(deployment)) == 2


def test_activate_ends_a_running_worker_of_the_old_one(deployment: Deployment) -> None:
    """The old worker journals the lineage and exits with 2; the new one goes on at its place."""
    _taught(deployment)
    old = deployment.worker()
    other = deployment.configure("other.yaml", **GATE, **NUMBERS)

    deployment.done("model", "activate", "--config", other, "--reason", "a test")

    ended = old.wait(10)
    assert ended.code == 2
    assert "stream-al model activate" in ended.err.strip().splitlines()[-1]
    deployment.send(native(2), native(3))
    deployment.done("run", "--until-idle", "--config", other)
    by_id = {one["event_id"]: one for one in deployment.messages("predictions")}
    assert len(by_id) == len(deployment.messages("predictions")) == 4
    assert by_id["e-3"]["probabilities"] == {}
    assert [one["preset"] for one in _lineages(deployment)] == ["linear", "river"]


def test_activate_of_the_same_configuration_starts_it_afresh(deployment: Deployment) -> None:
    """A running worker of the same configuration goes on, with an empty model."""
    _taught(deployment)
    worker = deployment.worker()

    deployment.done("model", "activate", "--reason", "forget")
    deployment.send(native(2))
    until(lambda: len(deployment.messages("predictions")) == 3)

    assert worker.poll() is None
    newest = next(o for o in deployment.messages("predictions") if o["event_id"] == "e-2")
    assert newest["probabilities"] == {}
    assert deployment.done("label", "e-2", "spam").out == "applied\n"


def test_activate_on_an_empty_log(deployment: Deployment) -> None:
    """Before any worker ran there is nothing to replace: the configured model is in force."""
    deployment.send(native(0))
    deployment.done("model", "activate", "--reason", "first")

    assert deployment.done("model", "--json").json()["preset"] == "linear"
    deployment.done("run", "--until-idle")
    assert len(deployment.messages("predictions")) == 1
