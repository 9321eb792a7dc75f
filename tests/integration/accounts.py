"""What must hold in a deployment's topics when everything is read: each input is answered once."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path
from random import Random
from typing import Any

from stream_al.messages import CHAIN_START, chained, read_journal_record, unpacked
from stream_al.testing import text_stream
from tests.integration.conftest import Deployment

SLACK = 1.1
FOLDED_S = 600.0
"""Every prediction is made again, about half a millisecond each: 130,000 after 15 min of chaos."""


def write_stream(folder: Path, events: int) -> Path:
    """Write texts with a broken, a repeated and a wrong event now and then; return the truth."""
    rng = Random(3)
    truth = {}
    with (folder / "stream.jsonl").open("w") as file:
        for example in text_stream(5, events):
            event = example.event
            truth[event.event_id] = example.label
            line = json.dumps({"event_id": event.event_id, "features": event.features})
            file.write(line + "\n")
            draw = rng.random()
            if draw < 0.01:
                file.write(line[:-3] + "\n")
            elif draw < 0.02:
                file.write(line + "\n")
            elif draw < 0.03:
                file.write('{"event_id": "wrong", "features": {"text": 7}}\n')
    path = folder / "truth.json"
    path.write_text(json.dumps(truth))
    return path


def places(messages: list[dict[str, Any]]) -> Counter[tuple[int, int]]:
    """Count what each place of the input was answered with."""
    return Counter((one["source"]["partition"], one["source"]["offset"]) for one in messages)


def letters(deployment: Deployment, topic: str) -> Counter[tuple[int, int]]:
    """Count the dead letters of each place of a topic."""
    return Counter(
        (letter["partition"], letter["offset"])
        for letter in deployment.messages("dead_letters")
        if letter["topic"] == deployment.config.topic(topic)
    )


def all_places(deployment: Deployment, topic: str) -> Counter[tuple[int, int]]:
    """Return every place of a topic that holds a record."""
    return Counter((record.partition, record.offset) for record in deployment.records(topic))


def assert_every_event_has_one_answer(deployment: Deployment, *, events_min: int) -> None:
    """Compare: a prediction or a dead letter an event, and never both or two."""
    predicted = places(deployment.messages("predictions"))
    broken = letters(deployment, "events")
    assert predicted + broken == all_places(deployment, "events")
    assert len(predicted) > events_min
    assert broken


def assert_every_label_has_one_outcome(deployment: Deployment, *, applied_min: int) -> None:
    """Compare: an outcome or a dead letter a label, of every kind that people make."""
    outcomes = deployment.messages("outcomes")
    heard = places(outcomes) + letters(deployment, "labels")
    assert heard == all_places(deployment, "labels")
    kinds = Counter(outcome["outcome"] for outcome in outcomes)
    assert kinds["applied"] > applied_min
    assert {"duplicate", "unknown", "invalid", "skipped", "retracted"} <= set(kinds)


def assert_spend_follows_propensity(deployment: Deployment) -> None:
    """Hold |queries − Σ propensity| < 1.1 at every prefix; the version never goes back."""
    by_partition = defaultdict(list)
    for record in deployment.records("predictions"):
        by_partition[record.partition] += map(json.loads, unpacked(record.value))
    asked: Counter[tuple[int, int]] = Counter()
    for partition, predictions in by_partition.items():
        owed, version, offset = 0.0, 0, -1
        for one in predictions:
            assert one["source"]["offset"] > offset, "predictions come in the events' order"
            assert one["model_version"] >= version, "a model's version never goes back"
            offset, version = one["source"]["offset"], one["model_version"]
            owed += one["queried"] - one["propensity"]
            assert abs(owed) < SLACK, f"partition {partition}, offset {offset}: {owed}"
            asked[partition, offset] += one["queried"]
    assert places(deployment.messages("queries")) == +asked


def assert_journal_is_one_chain(deployment: Deployment) -> None:
    """One chain of hashes; one label record a revision; one closing record a query."""
    chain = CHAIN_START
    labels: Counter[tuple[str, int]] = Counter()
    closed: Counter[tuple[int, int]] = Counter()
    for record in deployment.records("journal"):
        entry = read_journal_record(record.value)
        assert entry.chain == chained(entry, chain).chain
        chain = entry.chain
        if entry.kind == "label":
            labels[entry.event_id, entry.revision] += 1
        source = getattr(entry, "closes", None)
        if source is not None:
            closed[source.partition, source.offset] += 1
    assert set(labels.values()) == {1}
    assert set(closed.values()) == {1}
    assert not closed - places(deployment.messages("queries"))


def assert_offline_folds_agree(deployment: Deployment, *, learnt_min: int) -> None:
    """Two processes fold the journal alike, and reproduce every prediction and every query."""
    first = deployment.start("@fold", "replay").wait(FOLDED_S)
    second = deployment.start("@fold").wait(FOLDED_S)
    assert (first.code, second.code) == (0, 0), first.err + second.err
    replayed, folded = first.json(), second.json()
    assert replayed["different"] == []
    assert replayed["predictions"] == len(deployment.messages("predictions"))
    assert replayed["queries"] == len(deployment.messages("queries"))
    assert replayed["learnt"] > learnt_min
    assert {key: replayed[key] for key in folded} == folded
