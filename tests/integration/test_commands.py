"""Every command through its real entry: help, data on stdout, exit codes, what comes back."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from tests.integration.conftest import Deployment, native, until

COMMANDS = (
    "demo", "init", "check", "run", "send", "read", "queries", "label", "annotate", "status",
    "budget", "budget set", "pause", "resume", "freeze", "shadow", "seed", "model",
    "model activate", "evaluate",
)  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(deployment: Deployment, command: str) -> None:
    """`--help` ends with 0, says what the command does and shows one call of it."""
    ended = deployment.done(*command.split(), "--help")
    assert "Example" in ended.out
    assert f"stream-al {command}" in ended.out
    assert ended.err == ""


def test_help_lists_every_command(deployment: Deployment) -> None:
    """The top level names them all; a wrong one is exit 2 with a hint."""
    shown = deployment.done("--help").out
    assert all(command.split()[0] in shown for command in COMMANDS)
    ended = deployment.cli("statsu")
    assert (ended.code, ended.out) == (2, "")
    assert "statsu" in ended.err


def test_init_then_check(deployment: Deployment) -> None:
    """`init` writes a file that `check` accepts, and never overwrites one by itself."""
    deployment.done("init", "own.yaml")
    shown = deployment.done("check", "--config", "own.yaml")
    assert shown.out.splitlines()[-1].startswith("ok ")
    ended = deployment.cli("init", "own.yaml")
    assert (ended.code, "--force" in ended.err) == (2, True)
    deployment.done("init", "own.yaml", "--force")
    found = deployment.done("check", "--config", "own.yaml", "--json").json()
    assert found["problems"] == []
    assert (deployment.folder / "own.yaml").stat().st_mode & 0o777 == 0o600


def test_check_tries_a_sample(deployment: Deployment) -> None:
    """Lines of one's own events show what the mapping finds, and which lines it can't read."""
    deployment.configure(events={"event_id": "post.id", "features": {"text": "post.parts.0.body"}})
    path = deployment.folder / "posts.jsonl"
    good = {"post": {"id": 5, "parts": [{"body": "hi"}]}}
    path.write_text(json.dumps(good) + "\n\n" + json.dumps(good) + "\n")
    assert "features: text (2)" in deployment.done("check", "--sample", path).out
    path.write_text(json.dumps(good) + '\n{"post": {}}\n')
    ended = deployment.cli("check", "--sample", path)
    assert ended.code == 2
    assert "line 2: MissingField" in ended.err


def test_send_and_read_keep_bytes(deployment: Deployment) -> None:
    """What was sent comes out byte for byte, keyed by id; blank lines are no records."""
    lines = [
        b'{"event_id":"a" ,  "features":{"text":"\xc3\xa9\\u00e9"}}',
        b'{"event_id": "a", "features": {"n": 1.0e+2}}',
        b"no json at all",
        b"\xff\xfe\x00",
    ]
    path = deployment.folder / "raw.jsonl"
    path.write_bytes(b"\n" + lines[0] + b"\n  \n" + lines[1] + b"\r\n" + b"\n".join(lines[2:]))

    place = f"t.events in {deployment.folder / 't.db'}"
    said = deployment.done("send", path).err.splitlines()
    assert said[0] == f"sent 4 records to {place}"
    assert said[1].startswith("2 of 4 can't be read by this configuration")

    records = deployment.records("events")
    assert sorted(record.value for record in records) == sorted(lines)
    keyed = [record for record in records if record.key == b"a"]
    assert len({record.partition for record in keyed}) == 1
    assert [record.value for record in keyed] == lines[:2]
    shown = [json.loads(line) for line in deployment.done("read", "events").out.splitlines()]
    assert [(one["partition"], one["offset"]) for one in shown] == [
        (record.partition, record.offset) for record in records
    ]
    values = [one.get("value", one.get("value_base64")) for one in shown]
    assert json.loads(lines[1]) in values
    assert "//4A" in values


def test_send_reads_stdin_and_keeps_a_rate(deployment: Deployment) -> None:
    """`send -` takes stdin; `--rate` spreads records over time; labels have their own topic."""
    path = deployment.folder / "labels.jsonl"
    body = {"event_id": "a", "label": "ham", "annotator": "x"}
    path.write_text((json.dumps(body) + "\n") * 60)

    started = time.monotonic()
    ended = deployment.done("send", "-", "--topic", "labels", "--rate", 60, stdin=path)

    assert time.monotonic() - started > 0.8
    assert ended.err == f"sent 60 records to t.labels in {deployment.folder / 't.db'}\n"
    assert ended.out == ""
    assert sum(deployment.ends("labels")) == 60
    assert deployment.cli("send", "nowhere.jsonl").code == 2


def test_read_from_limit_and_follow(deployment: Deployment) -> None:
    """`--from` and `--limit` cut; `--follow` shows what comes later, until SIGINT."""
    deployment.configure(topics={"partitions": 1})
    deployment.send(*(native(n) for n in range(10)))
    out = deployment.done("read", "events", "--from", 4, "--limit", 3).out
    assert [json.loads(line)["offset"] for line in out.splitlines()] == [4, 5, 6]

    follower = deployment.start("read", "events", "--follow", "--from", 9)
    until(lambda: follower.out.count("\n") == 1)
    deployment.send(native(10))
    until(lambda: follower.out.count("\n") == 2)
    follower.send_signal(signal.SIGINT)
    assert follower.wait(5).code == 130

    ended = deployment.cli("read", "evnets")
    assert (ended.code, "the topics are events" in ended.err) == (2, True)


def test_label_says_what_became_of_it(deployment: Deployment) -> None:
    """Label, skip, unsure, retract, a correction: each prints its outcome, as text and as JSON."""
    deployment.configure(gate={"budget": {"share": 1.0}})
    deployment.send(*(native(n) for n in range(4)))
    deployment.worker()
    until(lambda: sum(deployment.ends("queries")) == 4)

    def said(*arguments: object) -> str:
        return deployment.done("label", *arguments).out.split()[0]

    assert said("e-0", "spam", "--annotator", "ana") == "applied"
    assert said("e-0", "spam", "--annotator", "ana") == "duplicate"
    assert said("e-0", "ham", "--annotator", "bob") == "conflict"
    assert said("e-0", "ham", "--annotator", "ana", "--revision", 1) == "applied"
    assert said("e-0", "--retract", "--annotator", "ana", "--revision", 2) == "retracted"
    assert said("e-1", "--skip", "--annotator", "ana") == "skipped"
    assert said("e-1", "--unsure", "--annotator", "bob") == "unsure"
    assert said("e-1", "ham", "--annotator", "cy") == "late"
    found = deployment.done("label", "e-2", "ham", "--annotator", "ana", "--json").json()
    assert (found["outcome"], found["event_id"], found["annotator"]) == ("applied", "e-2", "ana")
    for wrong in (("e-3",), ("e-3", "ham", "--skip"), ("e-3", "--skip", "--unsure")):
        ended = deployment.cli("label", *wrong)
        assert (ended.code, "say one thing" in ended.err) == (2, True)


def test_label_without_a_worker_is_kept(deployment: Deployment) -> None:
    """Nobody there to take it: the command says so on stderr, and the next worker takes it."""
    deployment.configure(gate={"budget": {"share": 1.0}})
    deployment.send(native(0))
    deployment.done("run", "--until-idle")
    ended = deployment.done("label", "e-0", "spam")
    assert (ended.out, "no worker has taken it" in ended.err) == ("", True)
    deployment.done("run", "--until-idle")
    assert [one["outcome"] for one in deployment.messages("outcomes")] == ["applied"]


def test_queries_lists_open_ones(deployment: Deployment) -> None:
    """As a table for people and as JSON with every field of a query; closed ones are not there."""
    deployment.configure(gate={"budget": {"share": 1.0}})
    deployment.send(*(native(n, meta={"url": f"u{n}"}) for n in range(5)))
    deployment.worker()
    until(lambda: sum(deployment.ends("queries")) == 5)
    deployment.done("label", "e-2", "spam")

    found = deployment.done("queries", "--json").json()
    assert {one["event_id"] for one in found} == {"e-0", "e-1", "e-3", "e-4"}
    assert {
        "query_id", "source", "features", "label", "probabilities", "uncertainty", "propensity",
        "model_version", "reason", "priority", "votes_wanted", "asked_at_ms", "expires_at_ms",
        "segment", "meta",
    } <= set(found[0])  # fmt: skip
    assert found[0]["meta"]["url"].startswith("u")
    table = deployment.done("queries", "--limit", 2)
    assert len(table.out.strip().splitlines()) == 3
    assert "cold_start" in table.out
    assert "4 open" in table.err


def test_seed_twice_teaches_once(deployment: Deployment) -> None:
    """History teaches before any query, estimates nothing, and a second time changes nothing."""
    path = deployment.folder / "history.jsonl"
    rows = [native(n, "buy now" if n % 2 else "see you") | {"verdict": "spam" if n % 2 else "ham"}
            for n in range(40)]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    deployment.done("run", "--until-idle")
    for _ in range(2):
        ended = deployment.done("seed", path, "--label", "verdict")
        assert "40 labelled examples" in ended.err
        deployment.done("run", "--until-idle")

    assert sum(one["kind"] == "seed" for one in deployment.messages("journal")) == 40
    assert deployment.start("@fold").wait().json()["learnt"] == 40
    quality = deployment.done("status", "--json").json()["quality"]
    assert (quality["prequential"]["count"], quality["accuracy"]) == (0, None)
    deployment.send(native(99, "buy now"))
    deployment.done("run", "--until-idle")
    assert deployment.messages("predictions")[-1]["label"] == "spam"


def test_wrong_history_teaches_nothing(deployment: Deployment) -> None:
    """Every wrong line is named with its number before anything is proposed."""
    path = deployment.folder / "history.jsonl"
    path.write_text('{"event_id": "a", "features": {}, "label": "x"}\n{}\n{"event_id": "b"\n')
    deployment.done("run", "--until-idle")
    ended = deployment.cli("seed", path)
    assert ended.code == 2
    assert "line 2" in ended.err
    assert "line 3" in ended.err
    assert sum(deployment.ends("controls")) == 0


def test_status_shows_the_whole_picture(deployment: Deployment) -> None:
    """Positions, lag, spend, pending, latency, quality and the last control, from the log alone."""
    deployment.configure(gate={"budget": {"share": 1.0}})
    deployment.send(*(native(n) for n in range(12)))
    worker = deployment.worker()
    until(lambda: sum(deployment.ends("queries")) == 12)
    for number in range(6):
        deployment.done("label", f"e-{number}", "spam" if number % 2 else "ham")

    found = deployment.done("status", "--json").json()

    assert (found["lag"], found["labels_lag"], found["pending"]) == (0, 0, 6)
    assert (found["queries"], found["events_scored"], found["query_rate"]) == (12, 12, 1.0)
    assert [row["process"] for row in found["events"]] == [worker.pid] * 4
    assert sum(row["end"] for row in found["events"]) == 12
    assert found["resolver"][0]["process"] == worker.pid
    assert found["journal_position"] == deployment.ends("journal")[0]
    assert found["journal_records"] == {"model": 1, "control": 1, "label": 6}
    assert found["settings"]["gate"]["budget"]["share"] == 1.0
    assert found["oldest_pending_s"] > 0
    assert set(found["verification_latency_ms"]) == {"p50", "p90"}
    assert found["quality"]["accuracy"] is None, "six labels are too few for a number"
    assert found["resolver"][0]["stalled"] is False
    assert found["quality"]["prequential"]["count"] == 6
    shown = deployment.done("status")
    assert shown.err == ""
    for said in (
        "model linear",
        f"worker-0-{worker.pid}",
        "asked",
        "pending  6",
        "latency",
        "too few labels",
    ):
        assert said in shown.out


def test_closed_stdout_is_no_error(deployment: Deployment) -> None:
    """`stream-al read … | head -1` ends quietly."""
    deployment.send(*(native(n) for n in range(3_000)))
    pipe = deployment.folder / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    process = deployment.start("read", "events", stdout=pipe)
    until(lambda: _some(reader))
    os.close(reader)
    ended = process.wait(5)
    assert (ended.code, ended.err) == (0, "")


def _some(reader: int) -> bytes:
    try:
        return os.read(reader, 100)
    except BlockingIOError:
        return b""
