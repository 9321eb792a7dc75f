"""Gold questions and annotators through the real commands: a file, a terminal, `status`."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from stream_al.labels import GOLD_MAX, GoldQuestion
from stream_al.service.gold import gold_before
from tests.integration.conftest import Deployment, native, until
from tests.integration.test_annotate import Terminal


def _gold_file(deployment: Deployment, count: int) -> Any:
    path = deployment.folder / "checked.jsonl"
    rows = [native(1_000 + n, f"checked {n}") | {"label": "ham"} for n in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_gold_comes_between_queries_and_looks_like_one(deployment: Deployment) -> None:
    """Each gold question once, answered with one key, shown as any query; `status` knows it was."""
    deployment.configure(
        gate={"budget": {"share": 1.0}}, labels={"classes": ["ham", "spam"], "gold_share": 0.5}
    )
    path = _gold_file(deployment, 3)
    deployment.done("run", "--until-idle")
    for _ in range(2):
        assert "3 gold questions" in deployment.done("seed", path, "--gold").err
    deployment.send(*(native(n, f"offer number {n}") for n in range(20)))
    deployment.worker()
    until(lambda: sum(deployment.ends("queries")) == 20)
    ana = Terminal(deployment, "ana")
    try:
        seen = []
        for _ in range(23):
            panel = ana.wait_for(r"─ (e-\d+) ─.*?\[q\] quit")
            seen.append(panel.group(1))
            assert "predicted" not in panel.group(0)
            assert "gold" not in panel.group(0)
            ana.press("1")
            ana.wait_for(f"{seen[-1]}: ham: applied")
        assert ana.quit() == 0
    finally:
        ana.close()

    assert len(set(seen)) == 23
    journal = deployment.messages("journal")
    assert sum(one["kind"] == "gold" for one in journal) == 3
    answers = [one for one in journal if one["kind"] == "vote"]
    assert {one["truth"] for one in answers} == {"ham"}
    assert len(answers) == 3
    (row,) = deployment.done("status", "--json").json()["annotators"]
    assert (row["annotator"], row["labels"]) == ("ana", 20)
    assert (row["gold_answered"], row["gold_right"]) == (3, 3)
    assert "3 of 3" in deployment.done("status").out
    learnt = deployment.start("@fold").wait().json()["learnt"]
    assert learnt == 20


def _rich(number: int, **more: Any) -> dict[str, Any]:
    url = f"https://forum.example/{number}"
    return native(number) | {"segment": "en", "meta": {"url": url, "author": "ana"}} | more


@pytest.mark.parametrize("options", [(), ("--show-prediction",)], ids=["plain", "predictions"])
def test_a_gold_question_has_segment_and_meta_of_its_own(
    deployment: Deployment, options: tuple[str, ...]
) -> None:
    """B3: its lines are those of any query, in one order, and no event's prediction stands there.

    Fields of the file are in another order than those of the events.
    """
    deployment.configure(
        gate={"budget": {"share": 1.0}, "random_share": 1.0},
        labels={"classes": ["ham", "spam"], "gold_share": 0.5},
    )
    path = deployment.folder / "checked.jsonl"
    rows = [_rich(1_000 + n) | {"label": "spam"} for n in range(4)]
    turned = [dict(reversed(row.items())) | {"meta": dict(reversed(row["meta"].items()))}
              for row in rows]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in turned))
    deployment.send(*(_rich(n) for n in range(12)))
    deployment.send(
        *({"event_id": f"e-{n}", "label": ("ham", "spam")[n], "annotator": "bob"} for n in (0, 1)),
        topic="labels",
    )
    deployment.done("run", "--until-idle")
    deployment.done("seed", path, "--gold")
    deployment.send(*(_rich(n) for n in range(100, 110)))
    deployment.worker()
    until(lambda: sum(deployment.ends("queries")) == 22)
    until(lambda: sum(one["kind"] == "gold" for one in deployment.messages("journal")) == 4)
    ana = Terminal(deployment, "ana", *options)
    shown: dict[str, list[str]] = {}
    try:
        while len(shown) < 24:
            panel = ana.wait_for(r"─ (e-\d+) ─.*?\[q\] quit")
            lines = re.findall(r"│ (.*?) *│", panel.group(0))
            shown[panel.group(1)] = lines
            number = panel.group(1)[2:]
            assert f"meta.url: https://forum.example/{number}" in lines
            ana.press("1")
            ana.wait_for(f"{panel.group(1)}: ham: applied")
        assert ana.quit() == 0
    finally:
        ana.close()
    assert len([event_id for event_id in shown if len(event_id) == 6]) == 4
    names = {tuple(re.sub(r"[:\d].*", "", line) for line in lines) for lines in shown.values()}
    assert names == {("free money ", "segment", "meta.author", "meta.url")}
    assert deployment.done("audit").code == 0
    deployment.done("journal", "redact", "e-1000")
    journal = deployment.messages("journal")
    blanked = [one for one in journal if one["kind"] == "gold" and one["event_id"] == "e-1000"]
    assert [(one["features"], one.get("meta")) for one in blanked] == [(None, None)]
    assert deployment.done("audit").code == 0


def test_no_gold_question_is_put_that_would_stand_out(deployment: Deployment) -> None:
    """B3: without the meta of every query it is held back, and `status` says so.

    Seeded again with meta it is put; the same once more changes nothing.
    """
    deployment.configure(
        gate={"budget": {"share": 1.0}}, labels={"classes": ["ham", "spam"], "gold_share": 0.5}
    )
    path = _gold_file(deployment, 2)
    deployment.send(*(_rich(n) for n in range(8)))
    deployment.done("seed", path, "--gold")
    deployment.done("run", "--until-idle")
    assert deployment.done("status", "--json").json()["gold"] == {
        "questions": 2, "standing_out": 2,
    }  # fmt: skip
    assert "2 of 2 are not put" in deployment.done("status").out
    rows = [_rich(1_000 + n) | {"label": "ham"} for n in range(2)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for _ in range(2):
        deployment.done("seed", path, "--gold")
    deployment.done("run", "--until-idle")
    assert sum(one["kind"] == "gold" for one in deployment.messages("journal")) == 4
    assert deployment.done("status", "--json").json()["gold"] == {
        "questions": 2, "standing_out": 0,
    }  # fmt: skip


def test_status_shows_how_good_annotators_are(deployment: Deployment) -> None:
    """Two people who always agree and one who never does: rates with intervals, and alpha."""
    deployment.configure(
        gate={"budget": {"share": 1.0}}, labels={"classes": ["ham", "spam"], "votes": 3}
    )
    deployment.send(*(native(n) for n in range(15)))
    deployment.done("run", "--until-idle")
    path = deployment.folder / "labels.jsonl"
    labels = [
        {"event_id": f"e-{n}", "annotator": name, "label": label}
        for n in range(15)
        for name, label in (("cy", "spam"), ("ana", "ham"), ("bob", "ham"))
    ]
    path.write_text("".join(json.dumps(one) + "\n" for one in labels))
    deployment.done("send", path, "--topic", "labels")
    deployment.done("run", "--until-idle")

    found = deployment.done("status", "--json").json()
    rows = {row["annotator"]: row for row in found["annotators"]}
    assert set(rows) == {"ana", "bob", "cy"}
    assert (rows["ana"]["agreed"], rows["cy"]["agreed"]) == (rows["ana"]["compared"], 0)
    error = rows["cy"]["error_rate"]
    assert 0.5 < error["low"] < error["value"] <= error["high"] <= 1.0
    assert rows["ana"]["error_rate"]["value"] < 0.2
    assert found["annotators_alpha"] < 0
    shown = deployment.done("status").out
    assert "agreement between annotators: alpha -0." in shown
    assert "0 of 15" in shown


def test_the_share_of_gold_is_kept() -> None:
    """One question in twenty, another order for another person, and nothing once all are done."""
    questions = [GoldQuestion(f"g{n}", "ham", {}) for n in range(10)]

    def put(annotator: str, answered: set[str]) -> list[str]:
        found = (
            gold_before(f"e{n}", annotator, questions, share=0.05, answered=answered)
            for n in range(2_000)
        )
        return [gold.event_id for gold in found if gold is not None]

    assert 75 < len(put("ana", set())) < 125
    assert put("ana", set())[0] != put("bob", set())[0]
    assert put("ana", {gold.event_id for gold in questions}) == []


def test_more_gold_than_is_kept_is_refused(deployment: Deployment) -> None:
    """A file that would push out its own first questions is named, before anything is proposed."""
    deployment.done("run", "--until-idle")
    ended = deployment.cli("seed", _gold_file(deployment, GOLD_MAX + 1), "--gold")
    assert (ended.code, "1,001 gold questions, 1,000 are kept" in ended.err) == (2, True)
