"""The audit finds every way in which a recorded run is broken by hand; a sound one is clean."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest

from stream_al.service.audit import audit
from stream_al_connectors.memory import MemoryLog
from tests.unit.audit_run import BATCH, BATCHES, CONFIG, Edited, recorded

EVENTS = BATCH * BATCHES
Place = tuple[str, int, int]
Found = dict[str, Place]


@pytest.fixture(scope="module")
def run() -> MemoryLog:
    return recorded()


def quiet(body: dict[str, Any]) -> bool:
    """Return whether nobody was asked about a prediction that could have been asked about."""
    return body["mode"] == "normal" and not body["queried"] and body["propensity"] > 0


# ---------------------------------------------------------------------- sound logs


def test_a_sound_run_is_clean_and_everything_in_it_was_met(run: MemoryLog) -> None:
    """Votes, repeated events, dead letters, modes, budgets, lineages: all counted, none wrong."""
    report = audit(run, CONFIG)

    assert report.violations == ()
    assert report.clean
    assert report.checked["t.events"] == EVENTS
    assert report.checked["predictions"] < EVENTS  # the others are dead letters
    assert report.checked["queries"] > 100
    assert report.checked["label records"] > 50
    assert report.checked["digests"] >= 2
    assert report.checked["gate states"] == 2
    kinds = {body["kind"] for _, body in Edited(run).bodies("journal")}
    assert {"label", "vote", "closed", "retraction", "control", "model", "volunteered"} <= kinds
    starts = [b["start"] for _, b in Edited(run).bodies("journal") if b["kind"] == "model"]
    assert starts == ["empty", "replay", "empty"]
    outcomes = {body["outcome"] for _, body in Edited(run).bodies("outcomes")}
    assert {"applied", "counted", "duplicate", "conflict", "retracted", "unknown"} <= outcomes


def test_a_log_at_work_is_clean_at_every_step() -> None:
    """Between any two steps of a worker, in a log whose offsets have gaps, nothing is reported."""
    looks = [0]

    def look(log: MemoryLog) -> None:
        looks[0] += 1
        if looks[0] % 23 == 0:
            assert audit(log, CONFIG).violations == ()

    log = recorded(gaps=True, after=look)

    report = audit(log, CONFIG)
    assert report.violations == ()
    assert report.checked["t.events"] == EVENTS


def test_an_empty_log_is_clean() -> None:
    """Before the first worker there is nothing to check."""
    empty = Edited(MemoryLog(topics={}))

    assert audit(empty.log, CONFIG).clean


def test_what_retention_dropped_is_said_and_not_reported(run: MemoryLog) -> None:
    """Each topic alone, and all together, may lose its beginning."""
    topics = ("events", "predictions", "queries", "labels", "outcomes", "dead_letters")
    for dropped in (*((topic,) for topic in topics), topics):
        edited = Edited(run)
        for topic in dropped:
            edited.expire(topic.replace("_", "-"), 30 if topic != "dead_letters" else 2)

        report = audit(edited.log, CONFIG)

        assert report.violations == (), dropped
        assert report.unchecked, dropped


def test_a_redacted_record_is_counted_and_no_violation(run: MemoryLog) -> None:
    """A person's features are blanked; the chain still proves the rest."""
    edited = Edited(run)
    index, body = edited.find("journal", lambda one: one["kind"] == "label")
    edited.put("journal", index, body | {"features": None})

    report = audit(edited.log, CONFIG)

    assert report.clean
    assert report.checked["journal records redacted"] >= 1


def test_a_mark_of_a_redrive_is_no_dead_letter(run: MemoryLog) -> None:
    """The place of a mark is its letter's, and still every event has one answer."""
    edited = Edited(run)
    _, letter = edited.find("dead-letters", lambda one: one["topic"] == "t.events")
    mark = {"raw_base64": "", "redrives": {"partition": 0, "offset": 0}}
    edited.append("dead-letters", letter | mark)

    assert audit(edited.log, CONFIG).clean


# ---------------------------------------------------------------------- outputs


def _drop_prediction(edited: Edited) -> Found:
    index, body = edited.find("predictions", quiet, after=20)
    edited.drop("predictions", index)
    return {"I1": ("t.events", 0, body["source"]["offset"])}


def _drop_queried_prediction(edited: Edited) -> Found:
    index, body = edited.find("predictions", lambda one: one["queried"], after=20)
    _, query = edited.find("queries", lambda one: one["source"] == body["source"])
    place = edited.records("queries")[edited.bodies("queries").index((_, query))].offset
    edited.drop("predictions", index)
    return {"I1": ("t.events", 0, body["source"]["offset"]), "I6": ("t.queries", 0, place)}


def _double_prediction(edited: Edited) -> Found:
    _, body = edited.find("predictions", quiet, after=20)
    return {"I1": ("t.predictions", 0, edited.append("predictions", body))}


def _prediction_of_another_event(edited: Edited) -> Found:
    index, body = edited.find("predictions", quiet, after=20)
    return {"I1": ("t.predictions", 0, edited.put("predictions", index, body | {"event_id": "x"}))}


def _byte_of_a_prediction(edited: Edited) -> Found:
    index, body = edited.find("predictions", quiet, after=20)
    digits = json.dumps(max(body["probabilities"].values()))
    changed = digits[:3] + str((int(digits[3]) + 1) % 10) + digits[4:]
    raw = edited.records("predictions")[index].value.replace(digits.encode(), changed.encode())
    return {"I1": ("t.predictions", 0, edited.put("predictions", index, raw))}


def _drop_dead_letter(edited: Edited) -> Found:
    index, body = edited.find("dead-letters", lambda one: one["topic"] == "t.events")
    edited.drop("dead-letters", index)
    return {"I1": ("t.events", 0, body["offset"])}


def _other_raw(edited: Edited) -> Found:
    index, body = edited.find("dead-letters", lambda one: one["topic"] == "t.events")
    body |= {"raw_base64": b64encode(b"{other").decode()}
    return {"I1": ("t.dead-letters", 0, edited.put("dead-letters", index, body))}


def _drop_outcome(edited: Edited) -> Found:
    index, body = edited.find("outcomes", lambda one: one["outcome"] == "counted", after=5)
    edited.drop("outcomes", index)
    return {"I2": ("t.labels", 0, body["source"]["offset"])}


def _drop_applied(edited: Edited) -> Found:
    index, body = edited.find("outcomes", lambda one: one["outcome"] == "applied", after=5)
    edited.drop("outcomes", index)
    same = (body["event_id"], body["revision"])
    at, _ = edited.find(
        "journal",
        lambda one: one["kind"] == "label" and (one["event_id"], one["revision"]) == same,
    )
    return {
        "I2": ("t.labels", 0, body["source"]["offset"]),
        "I3": ("t.journal", 0, edited.records("journal")[at].offset),
    }


def _outcome_twice(edited: Edited) -> Found:
    _, body = edited.find("outcomes", lambda one: one["outcome"] == "applied", after=5)
    return {"I2": ("t.outcomes", 0, edited.append("outcomes", body))}


def _applied_without_record(edited: Edited) -> Found:
    index, body = edited.find("outcomes", lambda one: one["outcome"] == "duplicate")
    place = edited.put("outcomes", index, body | {"outcome": "applied", "revision": 77})
    return {"I3": ("t.outcomes", 0, place)}


# ---------------------------------------------------------------------- queries and gate


def _double_query(edited: Edited) -> Found:
    _, body = edited.find("queries", lambda one: True, after=5)
    return {"I6": ("t.queries", 0, edited.append("queries", body))}


def _drop_query(edited: Edited) -> Found:
    index, body = edited.find("queries", lambda one: True, after=5)
    offset = edited.drop("queries", index)
    at, said = edited.find("predictions", lambda one: one["source"] == body["source"])
    closer, _ = edited.find("journal", lambda one: _query_of(one) == offset)
    assert said["queried"]
    return {
        "I6": ("t.predictions", 0, edited.records("predictions")[at].offset),
        "closing": ("t.journal", 0, edited.records("journal")[closer].offset),
    }


def _query_of(entry: dict[str, Any]) -> int | None:
    if not entry.get("closes"):
        return None
    query = entry["asked"]["query"] if entry.get("asked") else entry["query"]
    return query["offset"] if query["partition"] == 0 else None


def _other_query_id(edited: Edited) -> Found:
    index, body = edited.find("queries", lambda one: True, after=5)
    return {"I6": ("t.queries", 0, edited.put("queries", index, body | {"query_id": "0" * 24}))}


def _query_differs(edited: Edited) -> Found:
    index, body = edited.find("queries", lambda one: one["uncertainty"] < 1, after=5)
    return {"I6": ("t.queries", 0, edited.put("queries", index, body | {"uncertainty": 1.0}))}


def _position_behind(edited: Edited) -> Found:
    records = edited.bodies("predictions")
    _, body = records[-5]
    edited.commit(body["source"]["offset"])
    return {"I6": ("t.predictions", 0, edited.records("predictions")[-5].offset)}


def _overspend(edited: Edited) -> Found:
    last = edited.bodies("queries")[-1][1]["source"]["offset"]
    behind = [f for f in edited.bodies("predictions") if f[1]["source"]["offset"] > last]
    assert len(behind) >= 3
    template = edited.bodies("queries")[-1][1]
    places = []
    for index, body in behind:
        asked = body | {"queried": True, "reason": "uncertain"}
        places.append(edited.put("predictions", index, asked))
        edited.append("queries", template | {k: asked[k] for k in template.keys() & asked.keys()})
    return {"I4": ("t.predictions", 0, places[-1]), "I6": ("", 0, 0)}


def _rate_above_the_settings(edited: Edited) -> Found:
    index, body = edited.find("predictions", quiet, after=20)
    return {"I4": ("t.predictions", 0, edited.put("predictions", index, body | {"rate": 0.9}))}


def _queried_while_paused(edited: Edited) -> Found:
    index, body = edited.find("predictions", lambda one: one["mode"] == "paused")
    return {"I4": ("t.predictions", 0, edited.put("predictions", index, body | {"mode": "normal"}))}


def _propensities_do_not_add_up(edited: Edited) -> Found:
    first = None
    for index, body in edited.bodies("predictions"):
        if quiet(body) and index < 200:
            units = int(body["propensity"] * 2**30) // 4
            offset = edited.put("predictions", index, body | {"propensity": units / 2**30})
            first = offset if first is None else first
    return {"propensity": ("", 0, 0)}


def _propensity_at_odds_with_rate(edited: Edited) -> Found:
    index, body = edited.find("predictions", quiet, after=20)
    place = edited.put("predictions", index, body | {"propensity": 0.0})
    return {"propensity": ("t.predictions", 0, place)}


def _propensity_not_of_the_gate(edited: Edited) -> Found:
    index, body = edited.find("predictions", quiet, after=20)
    place = edited.put("predictions", index, body | {"propensity": body["propensity"] + 1e-12})
    return {"propensity": ("t.predictions", 0, place)}


def _version_goes_back(edited: Edited) -> Found:
    index, body = edited.find("predictions", quiet, after=100)
    place = edited.put("predictions", index, body | {"model_version": 2})
    return {"I7": ("t.predictions", 0, place)}


def _version_beyond_the_journal(edited: Edited) -> Found:
    index, body = edited.find("predictions", quiet, after=100)
    place = edited.put("predictions", index, body | {"model_version": 10**6})
    return {"I7": ("t.predictions", 0, place)}


# ---------------------------------------------------------------------- journal


def _drop_journal_record(edited: Edited) -> Found:
    index, _ = edited.find("journal", lambda one: one["kind"] == "vote", after=30)
    edited.drop("journal", index)
    return {"chain": ("t.journal", 0, edited.records("journal")[index].offset)}


def _swap_journal_records(edited: Edited) -> Found:
    index, first = edited.find("journal", lambda one: one["kind"] == "vote", after=30)
    _, second = edited.bodies("journal")[index + 1]
    edited.put("journal", index + 1, first)
    return {"chain": ("t.journal", 0, edited.put("journal", index, second))}


def _byte_of_a_journal_record(edited: Edited) -> Found:
    index, _ = edited.find("journal", lambda one: one["kind"] == "label", after=30)
    raw = edited.records("journal")[index].value.replace(b'"label":"', b'"label":"S', 1)
    return {"chain": ("t.journal", 0, edited.put("journal", index, raw))}


def _byte_of_a_payload(edited: Edited) -> Found:
    index, body = edited.find("journal", lambda one: one["kind"] == "label", after=30)
    body["features"]["text"] += "."
    return {"chain": ("t.journal", 0, edited.put("journal", index, body))}


def _chain_start(edited: Edited) -> Found:
    _, body = edited.bodies("journal")[0]
    return {"chain": ("t.journal", 0, edited.put("journal", 0, body | {"actor": "someone"}))}


def _journal_cut(edited: Edited) -> Found:
    edited.expire("journal", 1)
    return {"chain": ("t.journal", 0, edited.records("journal")[0].offset)}


def _double_label_record(edited: Edited) -> Found:
    _, body = edited.find("journal", lambda one: one["kind"] == "label" and one["closes"])
    place = edited.append("journal", body | {"closes": None, "overturns": 3})
    edited.rechain()
    return {"I3": ("t.journal", 0, place)}


def _close_twice(edited: Edited) -> Found:
    _, body = edited.find("journal", lambda one: one["kind"] == "label" and one["closes"])
    closed = {key: body[key] for key in ("at_ms", "event_id", "closes")}
    more = {"kind": "closed", "reason": "expired", "query": body["asked"]["query"], "chain": ""}
    place = edited.append("journal", closed | more)
    edited.rechain()
    return {"closing": ("t.journal", 0, place)}


def _asked_differs(edited: Edited) -> Found:
    index, body = edited.find("journal", lambda one: one["kind"] == "label")
    body["asked"]["propensity"] /= 2
    place = edited.put("journal", index, body)
    edited.rechain()
    return {"closing": ("t.journal", 0, place)}


def _digest_lies(edited: Edited) -> Found:
    _, body = edited.find("journal", lambda one: one["kind"] == "digest")
    place = edited.append("journal", body | {"digest": "f" * 32})
    edited.rechain()
    return {"I5": ("t.journal", 0, place)}


def _digest_learnt_too_much(edited: Edited) -> Found:
    index, body = edited.find("journal", lambda one: one["kind"] == "digest")
    lessons = body["learnt_count"] + 1
    place = edited.put("journal", index, body | {"learnt_count": lessons})
    edited.rechain()
    return {"I3": ("t.journal", 0, place)}


def _digest_of_another_model(edited: Edited) -> Found:
    index, body = edited.find("journal", lambda one: one["kind"] == "digest")
    place = edited.put("journal", index, body | {"model_id": "other"})
    edited.rechain()
    return {"I5": ("t.journal", 0, place)}


BREAKS: list[Callable[[Edited], Found]] = [
    _drop_prediction,
    _drop_queried_prediction,
    _double_prediction,
    _prediction_of_another_event,
    _byte_of_a_prediction,
    _drop_dead_letter,
    _other_raw,
    _drop_outcome,
    _drop_applied,
    _outcome_twice,
    _applied_without_record,
    _double_query,
    _drop_query,
    _other_query_id,
    _query_differs,
    _position_behind,
    _overspend,
    _rate_above_the_settings,
    _queried_while_paused,
    _propensities_do_not_add_up,
    _propensity_at_odds_with_rate,
    _propensity_not_of_the_gate,
    _version_goes_back,
    _version_beyond_the_journal,
    _drop_journal_record,
    _swap_journal_records,
    _byte_of_a_journal_record,
    _byte_of_a_payload,
    _chain_start,
    _journal_cut,
    _double_label_record,
    _close_twice,
    _asked_differs,
    _digest_lies,
    _digest_learnt_too_much,
    _digest_of_another_model,
]


@pytest.mark.parametrize("broken", BREAKS, ids=lambda function: function.__name__.strip("_"))
def test_every_break_is_found_where_it_is(
    run: MemoryLog, broken: Callable[[Edited], Found]
) -> None:
    """Exactly the invariants that were broken are named, with the record that breaks them."""
    edited = Edited(run)
    expected = broken(edited)

    found = edited.found()

    assert set(found) == set(expected)
    for invariant, place in expected.items():
        assert place in found[invariant] or not place[0], (place, found[invariant])


def test_many_violations_are_counted_and_the_first_ten_named(run: MemoryLog) -> None:
    """A log without its last predictions gives a bounded report with the whole number."""
    edited = Edited(run)
    for _ in range(60):
        edited.drop("predictions", 100)

    report = audit(edited.log, CONFIG)

    assert report.totals["I1", "missing"] == 60
    assert sum(one.invariant == "I1" for one in report.violations) == 10
    first = report.as_json()["violations"][0]
    assert (first["invariant"], first["total"], len(first["first"])) == ("I1", 60, 10)
