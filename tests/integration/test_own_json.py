"""People's own JSON, both ways: events and labels as their tools write them, nothing lost."""

from __future__ import annotations

import re
import urllib.request
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.integration.conftest import Deployment, Process, native, until

ALL = {"budget": {"share": 1.0}}
POSTS = {"event_id": "post.id", "at_ms": "post.at", "features": {"text": "post.body"}}
TOOL = {"event_id": "task.id", "label": "answer.choice", "annotator": "who.name", "at_ms": "done"}


def post(number: int, **more: Any) -> dict[str, Any]:
    return {"post": {"id": number, "body": f"free money {number}"} | more}


def answer(number: object, choice: object, **more: Any) -> dict[str, Any]:
    return {"task": {"id": number}, "answer": {"choice": choice}, "who": {"name": 7}} | more


def metric(worker: Process, name: str) -> dict[tuple[str, ...], float]:
    """Return label values → value of one metric; `app` is none of them."""
    found = re.search(r"http_listening.*?port=(\d+)", worker.err)
    assert found is not None
    with urllib.request.urlopen(f"http://127.0.0.1:{found[1]}/metrics", timeout=5) as said:
        families = list(text_string_to_metric_families(said.read().decode()))
    return {
        tuple(value for key, value in sample.labels.items() if key != "app"): sample.value
        for family in families
        for sample in family.samples
        if sample.name == f"stream_al_{name}"
    }


def outcomes(deployment: Deployment) -> dict[str, str]:
    return {one["event_id"]: one["outcome"] for one in deployment.messages("outcomes")}


def test_labels_of_tools_teach(deployment: Deployment) -> None:
    """B4: ids and classes as numbers and booleans, times in any form, own field names, native."""
    deployment.configure(events=POSTS, labels=TOOL | {"classes": [True, False]}, gate=ALL)
    worker = deployment.worker()
    deployment.send(*(post(number) for number in range(6)))
    until(lambda: sum(deployment.ends("queries")) == 6)

    deployment.send(
        answer(0, True, done="2026-11-30T12:00:00Z"),
        answer(1.0, False, done=1796036400.5),
        answer("2", ["true"], done={"no": "time"}),
        {"event_id": 3, "label": True, "annotator": "ann", "at_ms": 1.5},
        answer(4, "maybe"),
        topic="labels",
    )
    said = deployment.done("label", "5", "false", "--annotator", "ann")

    assert said.out.strip() == "applied"
    until(lambda: sum(deployment.ends("outcomes")) == 6)
    assert outcomes(deployment) == {
        "0": "applied", "1": "applied", "2": "applied", "3": "applied", "4": "invalid",
        "5": "applied",
    }  # fmt: skip
    assert sum(deployment.ends("dead_letters")) == 0
    assert {record.key for record in deployment.records("labels")} == {
        b"0", b"1", b"2", b"3", b"4", b"5",
    }  # fmt: skip
    until(lambda: metric(worker, "unreadable_fields_total")["at_ms", "labels"] == 1)
    deployment.done("audit")


def test_redriven_labels_are_read_as_the_configuration_says_now(deployment: Deployment) -> None:
    """B4: what was a dead letter under the configuration before teaches after `redrive`."""
    deployment.configure(events=POSTS, gate=ALL)
    deployment.send(*(post(number) for number in range(3)))
    deployment.done("run", "--until-idle")
    deployment.send(answer(0, "spam"), answer(1, 1), topic="labels")
    deployment.done("run", "--until-idle")
    assert sum(deployment.ends("dead_letters")) == 2

    deployment.configure(events=POSTS, labels=TOOL, gate=ALL)
    deployment.done("dead-letters", "redrive", "--where", "topic=labels")
    deployment.done("run", "--until-idle")

    assert outcomes(deployment) == {"0": "applied", "1": "applied"}
    assert {record.key for record in deployment.records("labels")} == {None, b"0", b"1"}


ODD: dict[str, Any] = {
    "iso": {"at_ms": "2026-11-30T12:00:00+01:00"},
    "seconds": {"at_ms": 1796036400},
    "text": {"at_ms": "1796036400000"},
    "no time": {"at_ms": "yesterday"},
    "segment": {"segment": ["en"]},
    "strings": {"features": {"text": ["free", "money"], "tags": ["a", "b"]}},
    "nested": {"features": {"tags": [["a"], ["b"]], "grid": [[1, 2], [3]], "who": {"age": 7}}},
    "null": {"features": {"text": None, "n": 1}},
}


def test_every_event_gets_its_prediction(deployment: Deployment) -> None:
    """B5: times in any unit, lists and objects as features; what can't be read is counted."""
    deployment.configure(gate=ALL)
    worker = deployment.worker()

    deployment.send(*(native(n) | {"event_id": name} | more
                      for n, (name, more) in enumerate(ODD.items())))  # fmt: skip
    deployment.send(native(0) | {"event_id": 4711})
    until(lambda: sum(deployment.ends("predictions")) == len(ODD) + 1)

    found = {one["event_id"]: one for one in deployment.messages("predictions")}
    assert {found[name]["at_ms"] for name in ("iso", "seconds", "text")} == {1796036400000}
    assert found["no time"]["at_ms"] > 1796036400000 - 10**9
    assert "4711" in found
    asked = {one["event_id"]: one["features"] for one in deployment.messages("queries")}
    assert asked["strings"] == {"text": "free\nmoney", "tags": ["a", "b"]}
    assert asked["nested"] == {"tags": ["a", "b"]}
    until(lambda: metric(worker, "features_left_out_total")[("other",)] == 2)
    assert metric(worker, "unreadable_fields_total")["at_ms", "events"] == 1
    assert metric(worker, "unreadable_fields_total")["segment", "events"] == 1
    for name in asked:
        deployment.done("label", name, "spam" if "s" in name else "ok", "--annotator", "ann")
    deployment.done("replay", "--verify")
    deployment.done("audit")


def test_a_path_without_a_value_is_counted(deployment: Deployment) -> None:
    """E: `features_missing_total` from 0, for each configured feature."""
    features = {"text": "post.body", "followers": "post.author.followers"}
    deployment.configure(events=POSTS | {"features": features})
    worker = deployment.worker()
    assert set(metric(worker, "features_missing_total").items()) == {
        (("text",), 0), (("followers",), 0),
    }  # fmt: skip

    deployment.send(*(post(number, author={"followers": None}) for number in range(5)), post(6))
    until(lambda: sum(deployment.ends("predictions")) == 6)

    assert metric(worker, "features_missing_total") == {("text",): 0, ("followers",): 6}


def test_an_edited_event_is_its_own_event(deployment: Deployment) -> None:
    """B8: with `events.version` a label teaches the version that was shown."""
    deployment.configure(events=POSTS | {"version": "post.rev"}, gate=ALL)
    deployment.send(post(1, rev=1), post(1, rev=2, body="see you at lunch"), post(2))
    deployment.done("run", "--until-idle")

    shown = deployment.done("queries", "--json").json()
    assert {one["event_id"] for one in shown} == {"1@1", "1@2", "2"}
    deployment.worker()
    assert deployment.done("label", "1@2", "ham").out.strip() == "applied"
    assert deployment.done("label", "1@1", "spam").out.strip() == "applied"

    lessons = [one for one in deployment.messages("journal") if one["kind"] == "label"]
    assert {(one["features"]["text"], one["label"]) for one in lessons} == {
        ("see you at lunch", "ham"), ("free money 1", "spam"),
    }  # fmt: skip
    keys = {record.key for record in deployment.records("events")}
    assert keys == {b"1@1", b"1@2", b"2"}
