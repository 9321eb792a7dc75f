"""People's own JSON, both ways: events and labels as their tools write them, nothing lost."""

from __future__ import annotations

import gzip
import json
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

    wanted = {("text",): 0, ("followers",): 6}
    until(lambda: metric(worker, "features_missing_total") == wanted)


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


def test_check_tries_samples_on_the_configuration(deployment: Deployment) -> None:
    """E: exit 2 and every problem once; with the right paths exit 0 and what the lines have."""
    sample, labels = deployment.folder / "posts.jsonl", deployment.folder / "labels.jsonl"
    sample.write_text("".join(json.dumps(post(number)) + "\n" for number in range(250)))
    labels.write_text(json.dumps(answer(1, True)) + "\n")
    deployment.configure(events=POSTS | {"features": {"text": "post.bodi"}}, labels=TOOL)
    options = ("check", "--sample", sample, "--sample-labels", labels)

    ended = deployment.cli(*options)

    assert ended.code == 2
    assert "events.features.text: `post.bodi`: in 0 of 200 lines" in ended.err
    assert "did you mean `post.body`?" in ended.err
    assert "events.at_ms: `post.at`: in 0 of 200 lines" in ended.err
    assert "labels.at_ms: `done`: in 0 of 1 lines" in ended.err
    deployment.configure(events={key: POSTS[key] for key in ("event_id", "features")})
    assert "features: text (200)" in deployment.done("check", "--sample", sample).out


def test_send_says_what_it_is_given(deployment: Deployment) -> None:
    """E: an archive, an array, UTF-16 are refused, a mark of byte order is said, lines counted."""
    whole = json.dumps([native(1), native(2)]).encode()
    path = deployment.folder / "events"
    for content, command in (
        (gzip.compress(json.dumps(native(1)).encode()), "gunzip -c"),
        (whole, "jq -c '.[]'"),
        (json.dumps(native(1), indent=1).encode(), "jq -c ."),
        (json.dumps(native(1)).encode().decode().encode("utf-16"), "iconv -f UTF-16LE"),
    ):
        path.write_bytes(content)
        ended = deployment.cli("send", path)
        assert ended.code == 2
        assert f"{command} " in ended.err
        assert ended.err.rstrip().endswith("| stream-al send -")
        ended = deployment.cli("send", "-", "--topic", "labels", stdin=path)
        assert ended.code == 2
        assert ended.err.rstrip().endswith("| stream-al send - --topic labels")
    other = deployment.folder / "other file.yaml"
    other.write_text("app: other\n")
    ended = deployment.cli("send", "-", "--config", other, stdin=path)
    assert ended.err.rstrip().endswith(f"| stream-al send - --config '{other}'")
    assert sum(deployment.ends("events")) == sum(deployment.ends("labels")) == 0

    path.write_bytes(
        b"\xef\xbb\xbf" + json.dumps(native(1)).encode() + b'\n{"id": 7}\n\n{"id": 8}\n'
    )
    said = deployment.done("send", path).err
    assert "begins with a mark of byte order" in said
    assert "2 of 3 can't be read by this configuration" in said
    assert f"{path}, 2 of 3 lines, first line 2: MissingField: `event_id` is missing" in said
    path.write_text('{"event_id": "e-1", "label": 0.5}\n')
    said = deployment.done("send", path, "--topic", "labels").err
    assert "1 of 1 can't be read" in said
    assert "`label` is 0.5" in said
    deployment.done("run", "--until-idle")
    assert [one["event_id"] for one in deployment.messages("predictions")] == ["e-1"]


def test_status_tells_what_went_missing_and_what_was_edited(deployment: Deployment) -> None:
    """E, B8: from the newest events, against the oldest and the configuration; a metric too."""
    features = POSTS["features"] | {"likes": "post.likes", "lang": "post.lang"}
    deployment.configure(events=POSTS | {"features": features}, topics={"partitions": 1})
    full = {"likes": 7}
    deployment.send(*(with_likes(number, **full) for number in range(240)))
    assert deployment.done("status", "--json").json()["features"]["missing"] == [
        {"feature": "lang", "share": 0.0, "share_before": 0.0, "events": 120},
    ]
    deployment.send(*(with_likes(number) for number in range(240, 440)))
    deployment.send(with_likes(439, body="other words"))

    found = deployment.done("status", "--json").json()["features"]
    said = deployment.done("status").out

    assert {one["feature"]: one["share_before"] for one in found["missing"]} == {
        "likes": 1.0, "lang": 0.0,
    }  # fmt: skip
    assert found["edited"] == 1
    assert "missing  feature likes: in 0% of the newest 200 events, before in 100%" in said
    assert "edited   1 of the newest 200 events have an id that came before" in said
    worker = deployment.worker()
    until(lambda: metric(worker, "event_ids_changed_total")[()] == 1)


def test_status_tells_what_went_missing_in_a_short_log(deployment: Deployment) -> None:
    """E, B8: a log of fewer events than two samples is halved; edits count across the halves."""
    features = POSTS["features"] | {"likes": "post.likes"}
    deployment.configure(events=POSTS | {"features": features}, topics={"partitions": 1})
    deployment.send(*(with_likes(number, likes=7) for number in range(60)))
    deployment.send(*(with_likes(number, body="other words") for number in range(60)))

    found = deployment.done("status", "--json").json()["features"]

    assert found["missing"] == [
        {"feature": "likes", "share": 0.0, "share_before": 1.0, "events": 60},
    ]
    assert (found["edited"], found["newest_events"]) == (60, 60)


def with_likes(number: int, body: str = "hi", **more: int) -> dict[str, Any]:
    return {"post": {"id": number, "body": body, **more}}


def test_seeds_are_labelled_as_labels_are(deployment: Deployment) -> None:
    """B4: numbers and booleans as classes, a dotted path to the label; a fraction is refused."""
    deployment.configure(events=POSTS, gate=ALL)
    path = deployment.folder / "seeds.jsonl"
    truths: list[Any] = [True, 1, 7.0, "ok"]
    path.write_text(
        "".join(json.dumps(post(n) | {"said": {"y": y}}) + "\n" for n, y in enumerate(truths))
    )
    worker = deployment.worker()

    deployment.done("seed", path, "--label", "said.y")

    until(lambda: sum(one["kind"] == "seed" for one in deployment.messages("journal")) == 4)
    seeds = [one for one in deployment.messages("journal") if one["kind"] == "seed"]
    assert [one["label"] for one in seeds] == ["true", "1", "7", "ok"]
    path.write_text(json.dumps(post(9) | {"said": {"y": 0.5}}) + "\n" + json.dumps(post(10)) + "\n")
    ended = deployment.cli("seed", path, "--label", "said.y")
    assert ended.code == 2
    assert "`said.y` is 0.5; it must be the label" in ended.err
    assert "`said.y` is missing" in ended.err
    worker.terminate()
