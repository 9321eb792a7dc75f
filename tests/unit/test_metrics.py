"""What a scrape sees: each series named and labelled, and there from the start."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
from prometheus_client.core import Metric

from stream_al.errors import INPUT_ERRORS
from stream_al.messages import Modes, OutcomeName, Reason
from stream_al.quality import Quality, QualitySummary
from stream_al.service.attempts import QUARANTINED
from stream_al.service.counters import Counters
from stream_al.service.metrics import JOURNAL_KINDS, View, WorkerCollector
from tests.unit.labels_desk import Desk

SOURCE = Path(__file__).parents[2] / "stream_al"


def families(view: View | None = None, counters: Counters | None = None) -> dict[str, Metric]:
    collector = WorkerCollector(counters or Counters(), app="moderation")
    collector.view = view or View()
    return {family.name: family for family in collector.collect()}


def values(name: str, label: str, **how: object) -> dict[str, float]:
    family = families(**how)[f"stream_al_{name}"]  # type: ignore[arg-type]
    return {sample.labels[label]: sample.value for sample in family.samples}


@pytest.mark.parametrize(
    ("name", "label", "known"),
    [
        ("queries", "reason", get_args(Reason)),
        ("labels", "outcome", get_args(OutcomeName)),
        ("dead_letters", "error", INPUT_ERRORS),
        ("journal_records", "kind", JOURNAL_KINDS),
        ("strays", "topic", ("journal", "queries")),
    ],
)
def test_counters_of_closed_sets_start_at_0(name: str, label: str, known: tuple[str, ...]) -> None:
    """E: a series that begins with 1 has no increase; what came is counted on top."""
    assert values(name, label) == dict.fromkeys(known, 0)
    counters = Counters()
    getattr(counters, name)[known[0]] += 3
    assert values(name, label, counters=counters) == dict.fromkeys(known, 0) | {known[0]: 3}


def test_the_closed_sets_are_those_that_the_code_knows() -> None:
    """E: every class of a dead letter that the code raises, every kind of a journal record."""
    text = "\n".join(path.read_text() for path in SOURCE.rglob("*.py"))
    raised = set(re.findall(r'(?:InvalidInput|_refuse)\(\s*"(\w+)"', text)) | {QUARANTINED}
    assert raised == set(INPUT_ERRORS)
    desk = Desk()
    desk.ask("e")
    desk.say("e")
    assert {record.kind for record in desk.journal.values()} <= set(JOURNAL_KINDS)
    assert len(set(JOURNAL_KINDS)) > 10


def test_every_series_has_its_app() -> None:
    """E: several deployments in one Prometheus; histograms too, and nothing else is lost."""
    view = View(pending={0: 2}, lag={("events", 1): 3}, quality=_known(), budget_remaining=1.0)
    found = families(view)
    assert len(found) > 20
    for family in found.values():
        assert all(sample.labels["app"] == "moderation" for sample in family.samples)
    (lag,) = found["stream_al_consumer_lag_records"].samples
    assert lag.labels == {"app": "moderation", "topic": "events", "partition": "1"}


def test_no_name_has_two_quantities() -> None:
    """E: an estimate and its bounds are three metrics."""
    found = families(View(quality=_known()))
    low, value, high = (
        found[f"stream_al_estimated_accuracy{name}_ratio"].samples[0]
        for name in ("_low", "", "_high")
    )
    assert low.value < value.value < high.value
    assert all("bound" not in one.labels for family in found.values() for one in family.samples)


@pytest.mark.parametrize(
    ("modes", "on"),
    [({}, {"normal"}), ({"paused": True}, {"paused"}), ({"frozen": True}, {"frozen"}),
     ({"shadow": True, "frozen": True}, {"shadow", "frozen"})],
)  # fmt: skip
def test_modes_are_0_or_1(modes: dict[str, bool], on: set[str]) -> None:
    """E: paused, shadow and frozen can hold together; normal is none of them."""
    said = values("mode", "mode", view=View(modes=Modes(**modes)))
    assert said == {name: name in on for name in ("normal", "paused", "shadow", "frozen")}


def _known() -> QualitySummary:
    """Return a summary with an estimate: of 30 labels, one in three wrong."""
    desk, quality = Desk(), Quality()
    for number in range(30):
        desk.ask(f"e{number}")
        for record in desk.say(f"e{number}", "ok" if number % 3 == 0 else "spam").records:
            quality.apply(record, random_share=0.2)  # type: ignore[arg-type]
    return quality.summary()
