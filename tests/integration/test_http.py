"""What a worker tells over HTTP: metrics with the promised names, alive, ready."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from stream_al.service.exits import KINDS
from stream_al.service.http import STEP_S_MAX, Health
from tests.integration.conftest import Deployment, Process, native, until

GAUGES = (
    "query_rate_ratio", "budget_share_ratio", "budget_remaining_labels", "pending_queries",
    "oldest_pending_query_seconds", "consumer_lag_records", "model_version",
    "journal_lag_records", "estimated_accuracy_ratio", "prequential_accuracy_ratio", "build_info",
)  # fmt: skip
COUNTERS = ("events", "predictions", "queries", "labels", "dead_letters")
HISTOGRAMS = ("verification_latency_seconds", "score_latency_seconds")


def _port(worker: Process) -> int:
    found = re.search(r"http_listening .*port=(\d+)", worker.err)
    assert found is not None
    return int(found[1])


def _get(worker: Process, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{_port(worker)}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def _metrics(worker: Process) -> dict[str, dict[tuple[str, ...], float]]:
    """Return sample name → label values but for `app` → value."""
    status, text = _get(worker, "/metrics")
    assert status == 200
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        assert family.name.startswith("stream_al_")
        assert family.documentation
        for sample in family.samples:
            name = sample.name.removeprefix("stream_al_")
            app, *values = sample.labels.values()
            assert (next(iter(sample.labels)), app) == ("app", "t")
            found.setdefault(name, {})[tuple(values)] = sample.value
    return found


def _busy(deployment: Deployment) -> Process:
    """Return a worker that scored 40 events, got 24 labels, 2 broken events and 1 broken label."""
    deployment.configure(gate={"budget": {"share": 1.0}})
    worker = deployment.worker()
    deployment.send(*(native(n) for n in range(40)), b"{", b"[]")
    until(lambda: sum(deployment.ends("predictions")) == 40)
    queries = [query["event_id"] for query in deployment.messages("queries")]
    labels = [{"event_id": name, "label": "spam" if n % 2 else "ham", "annotator": "a"}
              for n, name in enumerate(queries[:24])]  # fmt: skip
    deployment.send(*labels, labels[0], b"{", topic="labels")
    until(lambda: sum(deployment.ends("outcomes")) == 25)
    deployment.done("budget", "set", "--per-hour", "1000")
    until(lambda: _metrics(worker)["model_version"][()] == deployment.ends("journal")[0])
    return worker


def test_every_promised_metric_is_there(deployment: Deployment) -> None:
    """Names as in the docs, with labels from closed sets, and a type for each."""
    worker = _busy(deployment)
    found = _metrics(worker)

    assert set(GAUGES) <= set(found)
    assert {f"{name}_total" for name in COUNTERS} <= set(found)
    for name in HISTOGRAMS:
        assert {f"{name}_bucket", f"{name}_count", f"{name}_sum"} <= set(found)
        assert found[f"{name}_bucket"]["+Inf",] == found[f"{name}_count"][()] > 0
    low, value, high = (found[f"estimated_accuracy{name}_ratio"] for name in ("_low", "", "_high"))
    assert low[()] - 1e-9 <= value[()] <= high[()]
    assert found["mode"] == {("normal",): 1, ("paused",): 0, ("shadow",): 0, ("frozen",): 0}


def test_metrics_agree_with_the_log(deployment: Deployment) -> None:
    """Counts are those of the topics; the gauges say what `status` says."""
    worker = _busy(deployment)
    found = _metrics(worker)
    asked = sum(deployment.ends("queries"))

    assert found["events_total"][()] == 42
    assert found["predictions_total"][()] == 40
    assert sum(found["queries_total"].values()) == asked
    assert _some(found["queries_total"]).keys() <= {("cold_start",), ("random",), ("uncertain",)}
    assert _some(found["labels_total"]) == {("applied",): 24, ("duplicate",): 1}
    assert _some(found["dead_letters_total"]) == {("BrokenJson",): 2, ("WrongType",): 1}
    assert found["query_rate_ratio"][()] == pytest.approx(asked / 42)
    assert found["budget_share_ratio"][()] == 1.0
    assert 0 < found["budget_remaining_labels"][()] <= 100
    assert sum(found["pending_queries"].values()) == asked - 24
    assert found["oldest_pending_query_seconds"][()] < 60
    assert set(found["consumer_lag_records"].values()) == {0}
    assert ("0", "events") in found["consumer_lag_records"]
    assert ("3", "labels") in found["consumer_lag_records"]
    assert found["journal_lag_records"][()] == 0
    assert found["prequential_accuracy_ratio"][()] <= 1


def _some(counts: dict[tuple[str, ...], float]) -> dict[tuple[str, ...], float]:
    """Return what is above 0: all that there may be begins there."""
    return {name: count for name, count in counts.items() if count}


def test_budget_gauge_follows_a_command(deployment: Deployment) -> None:
    """The share in force is on the page about a second after it was set; per hour off: no gauge."""
    worker = deployment.worker()
    assert "budget_remaining_labels" not in _metrics(worker)
    deployment.done("budget", "set", "--share", "0.125")
    until(lambda: _metrics(worker)["budget_share_ratio"][()] == 0.125, timeout_s=5)
    deployment.done("pause", "--reason", "too many")
    until(lambda: _metrics(worker)["mode"]["paused",] == 1, timeout_s=5)
    assert _metrics(worker)["mode"]["normal",] == 0


@pytest.mark.parametrize("role", ["scorer", "resolver"])
def test_each_role_has_metrics(deployment: Deployment, role: str) -> None:
    """A process with one role answers too, with what it knows."""
    deployment.done("run", "--until-idle")
    worker = deployment.worker("--role", role)
    until(lambda: _get(worker, "/readyz")[0] == 200)
    until(lambda: "consumer_lag_records" in _metrics(worker))
    found = _metrics(worker)
    assert found["model_version"][()] == 2
    assert found["budget_share_ratio"][()] == 0.05
    topics = {topic for _, topic in found["consumer_lag_records"]}
    assert topics == ({"events"} if role == "scorer" else {"labels", "controls", "statistics"})


def test_ready_comes_after_the_journal_is_folded(deployment: Deployment) -> None:
    """Alive at once; ready only when the model is the journal's; unknown pages are 404."""
    history = deployment.folder / "history.jsonl"
    rows = (native(n) | {"label": "spam"} for n in range(4_000))
    history.write_text("".join(json.dumps(row) + "\n" for row in rows))
    deployment.done("run", "--until-idle")
    deployment.done("seed", history)
    deployment.done("run", "--until-idle")

    worker = deployment.worker()
    first = _get(worker, "/readyz")
    assert _get(worker, "/healthz") == (200, "ok\n")
    until(lambda: _get(worker, "/readyz")[0] == 200)

    assert first == (503, "folding the journal\n")
    assert re.search(r"journal_folded position=40\d\d\n", worker.err)  # and some digests
    assert _get(worker, "/readyz?verbose") == (200, "ready\n")
    assert _get(worker, "/nothing")[0] == 404
    assert _get(worker, "/../../etc/passwd")[0] == 404


def test_how_earlier_lives_ended_is_counted(deployment: Deployment) -> None:
    """A process takes its counters along; the next one of its slot tells of it."""
    deployment.worker().kill()
    assert deployment.worker().terminate().code == 0

    found = _metrics(deployment.worker())

    ends = {kind: count for (kind,), count in found["exits_total"].items()}
    assert ends == dict.fromkeys(KINDS, 0) | {"killed": 1, "stopped": 1}


def test_taken_port_is_replaced(deployment: Deployment) -> None:
    """A second worker of the same configuration listens elsewhere, and its log says where."""
    first = deployment.worker()
    deployment.configure(http={"port": _port(first)})
    second = deployment.worker()
    assert "port_taken" in second.err
    assert _port(second) != _port(first)
    assert _get(second, "/healthz")[0] == 200


def test_loop_that_stands_still_is_not_alive() -> None:
    """`/healthz` turns when the loop made no step for half a minute."""
    now_s = time.monotonic()
    assert Health(stepped_s=now_s).alive()
    assert not Health(stepped_s=now_s - STEP_S_MAX - 1).alive()
