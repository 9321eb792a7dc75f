"""Classes of an open set through the real commands: one spelling, told mistakes, a bound."""

from __future__ import annotations

import json
import re
import urllib.request
from unicodedata import normalize

from tests.integration.conftest import Deployment, native, until
from tests.integration.test_annotate import Terminal

SPELLINGS = (
    "spam", "spam ", " spam", "spam\u200b", "\u2060spam", "sp\u00adam", "spam\n", "spam\x07",
    normalize("NFC", "spam"), normalize("NFD", "spam"),
)  # fmt: skip


def _asked(deployment: Deployment, count: int, **labels: object) -> None:
    deployment.configure(gate={"budget": {"share": 1.0}}, labels=labels)
    deployment.send(*(native(n) for n in range(count)))
    deployment.done("run", "--until-idle")


def test_spellings_of_a_class_are_one_and_status_lists_the_classes(deployment: Deployment) -> None:
    """B6: labels as they come from any front end; counts, from whom, when, and what looks alike."""
    said = [*SPELLINGS, "Spam", "s-pam", "caf\u00e9", "cafe\u0301"]
    _asked(deployment, len(said))
    deployment.send(
        *({"event_id": f"e-{n}", "label": one, "annotator": f"a{n}"} for n, one in enumerate(said)),
        topic="labels",
    )
    worker = deployment.worker()
    until(lambda: len(deployment.messages("outcomes")) == len(said))
    outcomes = deployment.messages("outcomes")
    assert {one["outcome"] for one in outcomes} == {"applied"}
    hints = [one["reason"] for one in outcomes if one["reason"]]
    assert hints == ["a new class; did you mean `spam`?"] * 2
    rows = {row["name"]: row for row in deployment.done("status", "--json").json()["classes"]}
    assert {name: row["labels"] for name, row in rows.items()} == {
        "spam": len(SPELLINGS), "Spam": 1, "s-pam": 1, "café": 2,
    }  # fmt: skip
    assert rows["Spam"]["like"] == rows["s-pam"]["like"] == "spam"
    assert rows["Spam"]["annotators"] == [f"a{len(SPELLINGS)}"]
    shown = deployment.done("status").out
    assert re.search(r"Spam +1 +0 +\d{4}-\d\d-\d\d \d\d:\d\d .* a10 +spam\?", shown)
    port = re.search(r"http_listening.*port=(\d+)", worker.err)
    assert port is not None
    page = urllib.request.urlopen(f"http://127.0.0.1:{port[1]}/metrics").read().decode()
    assert 'stream_al_near_equal_classes_total{app="t"} 2.0' in page
    assert worker.err.count("class_near_equal") == 2


def test_label_says_what_was_probably_meant(deployment: Deployment) -> None:
    """B6: of an open set and of a closed one, by `label` and by `seed`."""
    _asked(deployment, 4)
    deployment.worker()
    assert deployment.done("label", "e-0", "spam").out == "applied\n"
    told = deployment.done("label", "e-1", "SPAM").out
    assert told == "applied (a new class; did you mean `spam`?)\n"
    assert deployment.done("label", "e-2", " spam\u200b").out == "applied\n"


def test_a_closed_set_says_what_was_probably_meant(deployment: Deployment) -> None:
    """B6: `Spam` is invalid where `spam` is configured, `spam ` is not."""
    _asked(deployment, 2, classes=["ok", "spam"])
    deployment.worker()
    refused = deployment.cli("label", "e-0", "Spam")
    assert "invalid" in refused.out + refused.err
    assert "did you mean `spam`?" in refused.out + refused.err
    assert deployment.done("label", "e-0", "spam ").out == "applied\n"


def test_no_class_is_applied_that_no_model_learns(deployment: Deployment) -> None:
    """B7: the 257th, and a name of 300 characters: `invalid` with why, `applied` means learnt."""
    _asked(deployment, 260)
    lines = [
        *({"event_id": f"e-{n}", "label": f"class {n}", "annotator": "a"} for n in range(258)),
        {"event_id": "e-258", "label": "x" * 300, "annotator": "a"},
    ]
    deployment.send(*lines, topic="labels")
    seeds = deployment.folder / "seeds.jsonl"
    seeds.write_text(json.dumps(native(900) | {"label": "one more"}) + "\n")
    deployment.done("seed", seeds)
    deployment.done("run", "--until-idle")
    outcomes = {one["event_id"]: one for one in deployment.messages("outcomes")}
    applied = [one for one in outcomes.values() if one["outcome"] == "applied"]
    invalid = {one["event_id"]: one["reason"] for one in outcomes.values() if one not in applied}
    assert len(applied) + len(invalid) == 259
    assert deployment.start("@fold").wait().json()["learnt"] == len(
        [one for one in deployment.messages("journal") if one["kind"] in {"label", "seed"}]
    )
    assert "no model learns a class of more than 256" in invalid.pop("e-258")
    assert all("256 classes are known" in reason for reason in invalid.values())
    assert 2 <= len(invalid) <= 3


def test_a_new_class_that_looks_like_a_known_one_is_asked_about(deployment: Deployment) -> None:
    """B6: in the terminal, before it is sent: y takes the known one, n the new one."""
    _asked(deployment, 3)
    deployment.worker()
    ana = Terminal(deployment, "ana")
    try:
        for typed, key, became in (("spam\r", "", "spam"), ("Spam\r", "y", "spam"),
                                   ("SPAM \r", "n", "SPAM")):  # fmt: skip
            event_id = ana.wait_for(r"─ (e-\d+) ─.*?\[q\] quit").group(1)
            ana.press("n" + typed)
            if key:
                ana.wait_for(r"did you mean `spam`\?.*another class")
                ana.press(key)
            ana.wait_for(f"{event_id}: {became}: applied")
        ana.press("q")
    finally:
        ana.close()


def test_check_names_classes_that_no_model_learns(deployment: Deployment) -> None:
    """B7: a closed set of 257, or with a name over the bound, before the first label."""
    for classes, said in (
        ([f"c{n}" for n in range(257)], "labels.classes: 257 classes, a model tells 256 apart"),
        (["ok", "文" * 257], "has 257 characters, 256 are allowed"),
    ):
        deployment.configure(labels={"classes": classes})
        ended = deployment.cli("check")
        assert ended.code == 2
        assert said in ended.out + ended.err
