"""`stream-al audit` on a deployment: beside real workers, and after somebody's hand was in it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

from tests.integration.conftest import Deployment, native, until


def _labelled(deployment: Deployment) -> None:
    """Answer every query that is there."""
    labels = [
        {"event_id": query["event_id"], "label": "ham" if number % 2 else "spam", "annotator": "a"}
        for number, query in enumerate(deployment.messages("queries"))
    ]
    deployment.send(*labels, topic="labels")


def test_audit_is_clean_beside_workers_and_after_them(deployment: Deployment) -> None:
    """Two workers score and learn; every audit on the way exits 0 and counts what it saw."""
    deployment.configure(gate={"budget": {"share": 0.2}})
    workers = [deployment.worker(), deployment.worker()]
    path = deployment.folder / "feed.jsonl"
    path.write_text("".join(json.dumps(native(n)) + "\n" for n in range(3_000)))
    feed = deployment.start("send", path, "--rate", 1_000)
    until(lambda: deployment.messages("queries"))
    _labelled(deployment)
    while feed.poll() is None:
        report = deployment.done("audit", "--json").json()
        assert report["clean"], report
    until(lambda: len(deployment.records("predictions")) == 3_000)
    workers[0].kill()
    workers[1].terminate()
    deployment.done("run", "--until-idle")

    ended = deployment.done("audit")

    assert ended.out.startswith("clean: ")
    assert "3,000 t.events" in ended.out
    assert ended.err == ""


def test_what_a_hand_did_to_the_file_is_found_and_named(deployment: Deployment) -> None:
    """A prediction is deleted and a journal record changed: exit 3 names both places."""
    deployment.send(*(native(n) for n in range(200)))
    deployment.done("run", "--until-idle")
    _labelled(deployment)
    deployment.done("run", "--until-idle")
    lost = json.loads(deployment.records("predictions")[7].value)["source"]
    with closing(sqlite3.connect(deployment.folder / "t.db")) as file, file:
        streams = dict(file.execute("SELECT topic, min(id) FROM streams GROUP BY topic"))
        place = streams["t.predictions"] << 40
        found = file.execute(
            "SELECT place FROM records WHERE place >= ? ORDER BY place LIMIT 8", (place,)
        ).fetchall()
        file.execute("DELETE FROM records WHERE place = ?", found[7])
        file.execute(
            "UPDATE records SET value = CAST(replace(CAST(value AS TEXT), ?, ?) AS BLOB)"
            " WHERE place = (SELECT max(place) FROM records WHERE place >= ? AND place < ?)",
            (
                '"annotator":"a"',
                '"annotator":"b"',
                streams["t.journal"] << 40,
                (streams["t.journal"] + 1) << 40,
            ),
        )

    ended = deployment.cli("audit")
    as_json = deployment.cli("audit", "--json")

    assert (ended.code, as_json.code) == (3, 3)
    assert f"I1 t.events/{lost['partition']}/{lost['offset']} " in ended.out
    journal = deployment.records("journal")[-1].offset
    assert f"chain t.journal/0/{journal} " in ended.out
    body = as_json.json()
    assert not body["clean"]
    assert {one["invariant"] for one in body["violations"]} >= {"I1", "chain"}


def test_audit_before_anything_ran_is_clean(deployment: Deployment) -> None:
    """There is a log with events, but no worker ever came."""
    deployment.send(native(1))

    ended = deployment.done("audit")

    assert ended.out == "clean: nothing to check yet\n"
