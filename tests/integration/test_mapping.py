"""What decides predictions and queries is in the journal: no two configurations side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stream_al.messages import (
    CHAIN_START,
    ControlEntry,
    Inputs,
    ModelEntry,
    chained,
    read_journal_record,
)
from tests.integration.conftest import Deployment, until

GATE = {"gate": {"budget": {"share": 1.0}}}
EVENTS = {"event_id": "id", "features": {"text": "title"}}
MOVED = {"event_id": "id", "features": {"text": "body"}}
TEXTS = ("free money now", "see you at lunch")


def _post(number: int) -> dict[str, Any]:
    text = f"{TEXTS[number % 2]} {number}"
    return {"id": f"e-{number}", "title": text, "body": text.upper(), "n": number}


def _label(number: int, label: str | None = None) -> dict[str, Any]:
    said = label or ("spam", "ham")[number % 2]
    return {"event_id": f"e-{number}", "label": said, "annotator": "a"}


def _taught(deployment: Deployment, count: int = 20, **sections: Any) -> None:
    deployment.configure(**({**GATE, "events": EVENTS} | sections))
    deployment.send(*(_post(n) for n in range(count)))
    deployment.done("run", "--until-idle")
    deployment.send(*(_label(n) for n in range(count)), topic="labels")
    deployment.done("run", "--until-idle")
    deployment.send(*(_post(n) for n in range(count, count + 10)))
    deployment.done("run", "--until-idle")


def _inputs(deployment: Deployment) -> list[Inputs]:
    entries = [read_journal_record(record.value) for record in deployment.records("journal")]
    return [e.inputs for e in entries if isinstance(e, ModelEntry | ControlEntry) and e.inputs]


def _last(text: str) -> str:
    return text.strip().splitlines()[-1]


CHANGES: list[tuple[dict[str, Any], list[str]]] = [
    ({"events": MOVED}, ["events.features.text is 'title' in the journal, 'body' here"]),
    ({"events": EVENTS | {"segment": "lang", "at_ms": "when"}}, ["events.segment", "events.at_ms"]),
    ({"events": EVENTS | {"on_bad_number": "dead_letter"}}, ["events.on_bad_number"]),
    ({"events": EVENTS | {"features_max": 100}}, ["events.features_max"]),
    ({}, ["events.event_id", "events.features.text"]),
]


@pytest.mark.parametrize(
    ("role", "sections", "keys"),
    [
        *(("all", *change) for change in CHANGES),
        *((role, *CHANGES[0]) for role in ("scorer", "resolver")),
    ],
)
def test_a_worker_that_differs_names_the_keys(
    deployment: Deployment, role: str, sections: dict[str, Any], keys: list[str]
) -> None:
    """A11: another mapping or guard ends with 2 before anything is predicted, and says in what."""
    _taught(deployment)
    before = deployment.ends("predictions") + deployment.ends("journal")
    deployment.configure(**GATE, **sections)
    deployment.send(_post(90))

    ended = deployment.cli("run", "--until-idle", "--role", role)

    assert ended.code == 2
    for key in keys:
        assert key in _last(ended.err)
    assert "`stream-al mapping activate`" in _last(ended.err)
    assert deployment.ends("predictions") + deployment.ends("journal") == before
    checked = deployment.cli("check")
    assert checked.code == 2
    assert keys[0] in checked.err


def test_another_secret_is_refused_and_in_no_record(deployment: Deployment) -> None:
    """A11: the journal holds a slow keyed hash of the secret; another one ends with 2."""
    secret = {"environment": {"STREAM_AL_GATE__SECRET": "the first secret of all"}}
    deployment.configure(**GATE)
    deployment.send({"event_id": "a", "features": {"n": 1}})
    deployment.done("run", "--until-idle", **secret)

    other = {"environment": {"STREAM_AL_GATE__SECRET": "quite another secret"}}
    ended = deployment.cli("run", "--until-idle", **other)

    assert ended.code == 2
    assert "gate.secret" in _last(ended.err)
    (inputs,) = _inputs(deployment)
    assert len(inputs.digests["gate.secret"]) == 32
    assert b"first secret" not in b"".join(r.value for r in deployment.records("journal"))
    deployment.done("run", "--until-idle", **secret)
    deployment.done("mapping", "activate", "--reason", "it leaked", **other)
    deployment.done("run", "--until-idle", **other)
    assert deployment.cli("run", "--until-idle", **secret).code == 2


def test_a_wanted_change_is_one_command(deployment: Deployment) -> None:
    """A11: the model stays, and old predictions are verified by the mapping of their time."""
    _taught(deployment)
    worker = deployment.worker()
    other = deployment.configure("other.yaml", **GATE, events=MOVED)

    shown = deployment.done("mapping", "--config", other)
    deployment.done("mapping", "activate", "--config", other, "--reason", "the body moved")

    assert "events.features.text is 'title' in the journal, 'body' here" in shown.out
    assert "`stream-al mapping activate`" in shown.out
    ended = worker.wait(10)
    assert ended.code == 2
    assert "events.features.text" in _last(ended.err)
    deployment.configure(**GATE, events=MOVED)
    deployment.send(*(_post(n) for n in range(50, 60)))
    deployment.done("run", "--until-idle")
    found = deployment.done("replay", "--verify", "--json").json()
    assert found["learnt"] == 20
    assert found["predictions"]["compared"] == found["predictions"]["equal"] == 40
    assert deployment.done("audit").code == 0
    after = deployment.done("mapping", "--json").json()
    assert (after["events"], after["differs"]) == (MOVED, [])
    assert "nothing to do" in deployment.done("mapping", "activate").err


def test_a_journal_without_inputs_gets_them_at_the_next_start(deployment: Deployment) -> None:
    """A11: what an older version wrote is valid; unknown is recorded once, by the resolver."""
    _taught(deployment)
    values, chain = {}, CHAIN_START
    for record in deployment.records("journal"):
        entry = read_journal_record(record.value)
        unset = {"inputs": None} if isinstance(entry, ModelEntry) else {}
        entry = chained(entry.model_copy(update=unset), chain)
        values[record.offset], chain = entry.to_wire(), entry.chain
    deployment.log.rewrite(deployment.config.topic("journal"), 0, values)
    assert "names no mapping yet" in deployment.done("mapping").out
    count = len(deployment.records("journal"))

    deployment.done("run", "--until-idle")
    deployment.done("run", "--until-idle")

    assert len(deployment.records("journal")) == count + 1
    (inputs,) = _inputs(deployment)
    assert inputs.events == EVENTS
    deployment.configure(**GATE, events=MOVED)
    assert deployment.cli("run", "--until-idle").code == 2
    deployment.done("mapping", "activate")
    deployment.done("run", "--until-idle")
    assert deployment.done("replay", "--verify", "--json").json()["sound"]
    assert deployment.done("audit").code == 0


def test_two_workers_side_by_side(deployment: Deployment) -> None:
    """A11: the second of two configurations ends; all queries carry the features of one."""
    deployment.configure(**GATE, events=EVENTS)
    worker = deployment.worker()
    other = deployment.configure("other.yaml", **GATE, events=MOVED)
    deployment.send(*(_post(n) for n in range(10)))
    until(lambda: len(deployment.messages("queries")) == 10)

    second = deployment.cli("run", "--slot", 1, "--config", other)

    assert second.code == 2
    assert "events.features.text" in _last(second.err)
    deployment.send(*(_post(n) for n in range(10, 30)))
    until(lambda: len(deployment.messages("queries")) == 30)
    texts = [query["features"]["text"] for query in deployment.messages("queries")]
    assert [text for text in texts if text.isupper()] == []
    assert worker.terminate().code == 0


def test_what_the_resolver_alone_decides_may_change(deployment: Deployment) -> None:
    """A11: votes, expiry and packing make no other predictions: a restart is enough."""
    _taught(deployment)
    labels = {"votes": 2, "expire_after": "3d", "gold_share": 0.1, "skips_max": 3}

    deployment.configure(**GATE, events=EVENTS, labels=labels, predictions={"pack": "poll"})

    deployment.done("run", "--until-idle")


def test_a_changed_class_set_names_what_differs(deployment: Deployment) -> None:
    """A11: the new classes and the gone ones; lessons that fit are kept, the others counted."""
    _taught(deployment, labels={"classes": ["spam", "ham"]})
    deployment.configure(**GATE, events=EVENTS, labels={"classes": ["spam", "ok"]})

    ended = deployment.cli("run", "--until-idle")
    activated = deployment.done("model", "activate", "--replay", "--reason", "ham is ok now")

    assert ended.code == 2
    assert "labels.classes: 'ok' is new, 'ham' is gone" in _last(ended.err)
    assert "`stream-al model activate`" in _last(ended.err)
    assert "10 of 20 lessons are kept" in activated.err
    assert "10 are dropped" in activated.err
    assert "'ham' (10)" in activated.err
    deployment.done("run", "--until-idle")
    found = deployment.done("replay", "--verify", "--json").json()
    assert found["sound"]
    assert found["learnt"] == 10


def test_seeds_are_read_by_the_mapping_in_force(deployment: Deployment, tmp_path: Path) -> None:
    """A11: history that another mapping would read otherwise is refused before it teaches."""
    _taught(deployment)
    file = tmp_path / "history.jsonl"
    file.write_text(json.dumps(_post(500) | {"label": "spam"}) + "\n")
    other = deployment.configure("other.yaml", **GATE, events=MOVED)

    refused = deployment.cli("seed", file, "--config", other)

    assert refused.code == 2
    assert "events.features.text" in refused.err
    deployment.done("seed", file)


@pytest.mark.parametrize(
    ("sections", "said", "command"),
    [
        ({"events": EVENTS | {"types": {"title": "text"}}}, "events.types.title", "model"),
        ({"events": EVENTS, "model": {"seed": 2}}, "model.seed", "model"),
        ({"events": EVENTS, "labels": {"classes": ["spam", "ham"]}}, "labels.classes", "model"),
    ],
)
def test_each_kind_of_difference_names_its_command(
    deployment: Deployment, sections: dict[str, Any], said: str, command: str
) -> None:
    """A11: types, seed and classes make another model, and the line names which."""
    _taught(deployment, count=4)
    deployment.configure(**GATE, **sections)

    ended = deployment.cli("run", "--until-idle")

    assert ended.code == 2
    assert said in _last(ended.err)
    assert f"`stream-al {command} activate`" in _last(ended.err)
    assert said in deployment.done("mapping").out
    deployment.done(command, "activate", *(["--replay"] if command == "model" else []))
    deployment.done("run", "--until-idle")
    assert deployment.done("replay", "--verify", "--json").json()["sound"]
