"""The budget and the modes, turned by one process and in force in others, through the log alone."""

from __future__ import annotations

import json
from typing import Any

from tests.integration.conftest import Deployment, native, until

IN_FORCE_MS = 1_000


def _feed(deployment: Deployment, events: int = 20_000, rate: int = 400) -> None:
    path = deployment.folder / "feed.jsonl"
    path.write_text("".join(json.dumps(native(n)) + "\n" for n in range(events)))
    deployment.start("send", path, "--rate", rate)


def _since(deployment: Deployment, position: int) -> list[dict[str, Any]]:
    return [one for one in deployment.messages("predictions") if one["model_version"] >= position]


def _position(deployment: Deployment, *command: object) -> int:
    """Run an operator's command; return the journal position from which it is in force."""
    ended = deployment.done(*command, "--reason", "a test", "--actor", "ops")
    assert ended.out == ""
    assert ended.err.startswith("in force from journal position ")
    return int(ended.err.split()[5])


def test_budget_is_in_force_everywhere_within_a_second(deployment: Deployment) -> None:
    """Two workers; a third process sets the share: both obey within a second of the append."""
    deployment.configure(gate={"budget": {"share": 0.01}})
    workers = [deployment.worker(), deployment.worker()]
    _feed(deployment)
    until(
        lambda: len({one["source"]["partition"] for one in deployment.messages("predictions")}) == 4
    )

    position = _position(deployment, "budget", "set", "--share", "0.5")

    until(lambda: len({one["source"]["partition"] for one in _since(deployment, position)}) == 4)
    appended_ms = deployment.records("controls")[0].timestamp_ms
    for partition in range(4):
        records = [r for r in deployment.records("predictions") if r.partition == partition]
        applied = [r for r in records if json.loads(r.value)["rate"] == 0.5]
        assert applied[0].timestamp_ms - appended_ms < IN_FORCE_MS
        older = [r for r in records if r.timestamp_ms > appended_ms + IN_FORCE_MS]
        assert {json.loads(r.value)["rate"] for r in older} <= {0.5}
    assert all(worker.poll() is None for worker in workers)


def test_budget_is_recorded_with_actor_and_reason(deployment: Deployment) -> None:
    """The journal, `status` and `budget` all say who turned it and why; what is not named stays."""
    deployment.worker()
    _position(deployment, "budget", "set", "--share", "0.02", "--per-hour", "200", "--open", "40")
    _position(deployment, "budget", "set", "--per-hour", "off")

    control = deployment.messages("journal")[-1]
    assert (control["kind"], control["actor"], control["reason"]) == ("control", "ops", "a test")
    assert control["patch"] == {"gate": {"budget": {"per_hour": None}}}
    last = deployment.done("status", "--json").json()["last_control"]
    assert (last["actor"], last["reason"], last["patch"]) == ("ops", "a test", control["patch"])
    budget = deployment.done("budget", "--json").json()
    assert budget == {"share": 0.02, "per_hour": None, "open": 40}
    shown = deployment.done("budget").out
    assert "by ops: a test" in shown
    assert "(the configuration says 0.05)" in shown


def test_impossible_budget_is_refused_at_once(deployment: Deployment) -> None:
    """A value that no worker would take: exit 2, field and value named, nothing changed."""
    deployment.worker()
    before = deployment.ends("controls")

    for arguments, said in (
        (("--open", "2"), "gate.budget.open: 2"),
        (("--share", "1.5"), "1.5"),
        (("--per-hour=-3",), "per_hour"),
        (("--per-hour", "many"), "--per-hour is 'many'"),
        ((), "nothing to set"),
    ):
        ended = deployment.cli("budget", "set", *arguments)
        assert ended.code == 2
        assert said in ended.err
    assert deployment.ends("controls") == before


def test_journal_wins_over_the_file_until_told_otherwise(deployment: Deployment) -> None:
    """A changed file changes nothing by itself; `status` says so; `--from-config` takes it."""
    deployment.worker().terminate()
    deployment.configure(gate={"budget": {"share": 0.3}})
    deployment.worker()

    deployment.send(*(native(n) for n in range(8)))
    until(lambda: len(deployment.messages("predictions")) == 8)
    assert {one["rate"] for one in deployment.messages("predictions")} == {0.05}
    status = deployment.done("status", "--json").json()
    assert status["differs_from_configuration"] == {"gate.budget.share": [0.3, 0.05]}
    assert "the configuration says 0.3" in deployment.done("status").out

    position = _position(deployment, "budget", "set", "--from-config")
    deployment.send(*(native(n) for n in range(8, 16)))
    until(lambda: len(_since(deployment, position)) == 8)
    assert {one["rate"] for one in _since(deployment, position)} == {0.3}
    assert deployment.done("status", "--json").json()["differs_from_configuration"] == {}


def test_control_without_a_worker_waits_for_one(deployment: Deployment) -> None:
    """With nobody to journal it, the command says so, and the next worker puts it in force."""
    deployment.send(native(1))
    ended = deployment.cli("budget", "set", "--share", "0.2")
    assert (ended.code, "no resolver took it in time" in ended.err) == (1, True)

    deployment.done("run", "--until-idle")
    deployment.send(native(2))
    deployment.done("run", "--until-idle")
    assert deployment.messages("journal")[-1]["patch"] == {"gate": {"budget": {"share": 0.2}}}
    assert {o["rate"] for o in deployment.messages("predictions") if o["event_id"] == "e-2"} == {
        0.2
    }


def _scored(deployment: Deployment, start: int, count: int, position: int) -> list[dict[str, Any]]:
    deployment.send(*(native(n) for n in range(start, start + count)))
    until(lambda: len(deployment.messages("predictions")) == start + count)
    found = _since(deployment, position)
    assert len(found) == count
    return found


def test_modes_through_the_log(deployment: Deployment) -> None:
    """Pause asks nobody, shadow asks on paper, resume lifts both; every event is predicted."""
    deployment.configure(gate={"budget": {"share": 1.0}})
    deployment.worker()

    paused = _scored(deployment, 0, 40, _position(deployment, "pause"))
    assert {(o["mode"], o["queried"], o["rate"], o["propensity"]) for o in paused} == {
        ("paused", False, 0.0, 0.0)
    }

    assert _position(deployment, "resume") > 0
    shadow = _scored(deployment, 40, 40, _position(deployment, "shadow"))
    assert {(o["mode"], o["queried"], o["would_query"]) for o in shadow} == {
        ("shadow", False, True)
    }
    assert {o["propensity"] for o in shadow} == {1.0}
    assert sum(deployment.ends("queries")) == 0

    resumed = _scored(deployment, 80, 40, _position(deployment, "resume"))
    assert {(o["mode"], o["queried"]) for o in resumed} == {("normal", True)}
    assert not any("would_query" in o for o in resumed)
    assert sum(deployment.ends("queries")) == 40


def test_freeze_keeps_labels_and_teaches_nothing(deployment: Deployment) -> None:
    """Frozen labels are journaled and estimated; no fold of this lineage learns them."""
    deployment.configure(gate={"budget": {"share": 1.0}})
    deployment.worker()
    _scored(deployment, 0, 8, 0)
    deployment.done("label", "e-0", "spam")
    deployment.done("label", "e-1", "ham")

    position = _position(deployment, "freeze")
    for number in range(2, 8):
        assert deployment.done("label", f"e-{number}", "scam").out == "applied\n"
    frozen = _scored(deployment, 8, 8, position)

    assert {o["mode"] for o in frozen} == {"frozen"}
    assert {frozenset(o["probabilities"]) for o in frozen} == {frozenset({"spam", "ham"})}
    assert sum(o["queried"] for o in frozen) == 8
    assert deployment.start("@fold").wait().json()["learnt"] == 2
    status = deployment.done("status", "--json").json()
    assert status["journal_records"]["label"] == 8
    assert status["quality"]["prequential"]["count"] == 8


def test_the_budget_names_who_turned_it_not_who_paused(deployment: Deployment) -> None:
    """A pause after it is no turn of the budget; without a reason nothing stands where it would."""
    deployment.worker()
    deployment.done("budget", "set", "--share", "0.02", "--actor", "ana")
    deployment.done("pause", "--actor", "bob", "--reason", "a fire")

    assert deployment.done("budget").out.splitlines()[-1].endswith(" by ana")
