"""The recorded stream under another budget: exact where it can be, honest where it can't."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from random import Random
from typing import Any

import pytest
from pydantic_core import from_json

from stream_al.config import Config
from stream_al.errors import ConfigurationError
from stream_al.gate import UNIT, Allowance, Gate
from stream_al.learner import ActiveLearner
from stream_al.messages import (
    Asked,
    ClosedEntry,
    JournalRecord,
    Label,
    LabelEntry,
    RetractionEntry,
    Settings,
    Source,
)
from stream_al.replay import Recorded, WhatIf, WhatIfReport, caveats_of
from stream_al.replay.rerun import DealingGate, Draws
from stream_al.replay.what_if import HOURS_MAX, OTHER, SEGMENTS_MAX
from stream_al.testing import SimulatedAnnotators, text_stream

SECRET = b"of a deployment, for tests"
CLASSES = ("ham", "spam")
Said = tuple[int, dict[str, Any]]


class Kept(ActiveLearner):
    """A learner that keeps its journal and its predictions, as a log would."""

    def __init__(self, **gate: Any) -> None:
        labels = {"classes": CLASSES, "votes": gate.pop("votes", 1), "expire_after": "10m"}
        self.journal: list[JournalRecord] = []
        self.said: list[Said] = []
        body = {"gate": gate, "labels": labels, "topics": {"partitions": 1}}
        super().__init__(Config.model_validate(body), secret=SECRET)

    def _fold(self, records: Iterable[JournalRecord]) -> None:
        for record in records:
            self.journal.append(record)
            super()._fold([record])

    def run(self, count: int, *, seed: int = 1, **people: Any) -> Iterator[int]:
        """Score a stream, answered by people; yield each index before its event."""
        annotators = SimulatedAnnotators(seed, classes=CLASSES, delay_events=(5, 60), **people)
        for index, example in enumerate(text_stream(seed, count, classes=CLASSES)):
            now_ms = index * 1_000
            yield index
            for label in annotators.due(index):
                self.label(label, now_ms=now_ms)
            decision = self.score(example.event, now_ms=now_ms)
            self.said.append((now_ms, from_json(decision.prediction.to_wire())))
            if decision.query is not None:
                annotators.ask(decision.query, example.label, index)

    def recorded(self) -> Recorded:
        return fold(self.engine.config.settings(), self.journal)


def fold(configured: Settings, journal: Iterable[JournalRecord]) -> Recorded:
    recorded = Recorded(configured)
    for position, record in enumerate(journal):
        recorded.apply(record, position)
    return recorded


def what_if(kept: Kept, patch: dict[str, Any] | None = None, **how: Any) -> WhatIfReport:
    found = WhatIf(kept.recorded(), patch or {}, secret=how.pop("secret", SECRET), **how)
    for at_ms, said in kept.said:
        found.add(0, at_ms, said)
    return found.report()


def share(value: float) -> dict[str, Any]:
    return {"gate": {"budget": {"share": value}}}


def predictions(
    count: int, *, seed: int, p: float = 0.1, accuracy: float = 0.9, **more: Any
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return predictions whose uncertainty tells something, and the true labels.

    They were decided by a real gate at the share `p` under the secret that `seed` names.
    """
    rng = Random(seed)
    gate = Gate(b"recorded %d" % seed, 0)
    allowance = Allowance.of(Settings().patched(share(p)))
    found, truths = [], []
    for index in range(count):
        wrong = rng.random() > accuracy
        doubt = min(max(rng.gauss(0.6 if wrong else 0.3, 0.2), 0.0), 1.0)
        choice = gate.decide(doubt, 0, allowance)
        truths.append("spam" if wrong else "ham")
        said = {
            "event_id": f"e{index}",
            "source": {"partition": 0, "offset": index},
            "label": "ham",
            "probabilities": {"ham": 1 - doubt / 2, "spam": doubt / 2},
            "uncertainty": doubt,
            "queried": choice.asked,
            "propensity": choice.propensity,
            "rate": choice.rate,
            "mode": "normal",
            "model_version": 0,
        }
        found.append(said | more)
    return found, truths


def labelled(said: list[dict[str, Any]], truths: list[str]) -> Recorded:
    """Return a journal that closed every query with its true label."""
    journal = [
        label_entry(one["source"]["offset"], truth)
        for one, truth in zip(said, truths, strict=True)
        if one["queried"]
    ]
    return fold(Settings().patched(share(0.1)), journal)


def label_entry(offset: int, label: str, **more: Any) -> LabelEntry:
    asked = Asked(
        query=Source(partition=0, offset=offset), label="ham", probabilities={}, model_version=0,
        propensity=0.1, rate=0.1, asked_at_ms=0,
    )  # fmt: skip
    closes = None if "overturns" in more else Source(partition=0, offset=offset)
    return LabelEntry(
        at_ms=0, event_id=f"e{offset}", revision=0, label=label, features=None, asked=asked,
        votes=(), latency_ms=0, closes=closes, **more,
    )  # fmt: skip


# ---------------------------------------------------------------------- the recorded settings


@pytest.mark.parametrize(
    ("gate", "people"),
    [
        ({}, {}),
        ({"budget": {"share": 0.2, "per_hour": 120}}, {}),
        ({"budget": {"share": 0.3, "open": 4}, "burst": 2}, {"loss": 0.3}),
        ({"budget": {"share": 0.3, "per_hour": 300}, "votes": 2}, {"noise": 0.4}),
    ],
    ids=["share", "per-hour", "open", "votes"],
)
def test_recorded_settings_give_the_recorded_decisions(
    gate: dict[str, Any], people: dict[str, Any]
) -> None:
    """Pause, shadow and a turned budget on the way: every propensity and decision comes out."""
    kept = Kept(**gate)
    patches = {
        400: {"modes": {"paused": True}},
        500: {"modes": {"paused": False}},
        700: share(0.15) | {"modes": {"shadow": True}},
        800: {"modes": {"shadow": False}},
        1_000: {"gate": {"uncertainty": "entropy", "burst": 3}},
    }
    for index in kept.run(1_500, **people):
        if index in patches:
            kept.control(patches[index], actor="ops", reason="a test", now_ms=index * 1_000)

    found = what_if(kept, repeats=2).self_check

    assert found.why_not is None
    assert found.compared == 1_500
    assert (found.propensities_differ, found.decisions_differ) == (0, 0), found.first


def test_another_secret_is_noticed() -> None:
    """Its propensities agree and its decisions do not, and the answer says so."""
    kept = Kept(budget={"share": 0.2})
    list(kept.run(600))

    report = what_if(kept, secret=b"that of another deployment")

    found = report.self_check
    assert found.propensities_differ == 0
    assert found.decisions_differ
    assert found.first is not None
    assert any("the secret here is not the workers'" in said for said in caveats_of(report))


def test_a_changed_record_is_noticed() -> None:
    """One propensity changed by hand: the place is named, and nothing is to be trusted."""
    kept = Kept(budget={"share": 0.2})
    list(kept.run(300))
    kept.said[120][1]["propensity"] *= 0.5

    report = what_if(kept)

    assert report.self_check.first == (0, 120)
    assert any("stream-al audit" in said for said in caveats_of(report))


def test_without_the_secret_propensities_are_checked_still() -> None:
    """They do not depend on it; under a budget on open queries they do, and nothing is said."""
    kept = Kept(budget={"share": 0.2})
    list(kept.run(300))
    found = what_if(kept, secret=None).self_check
    assert (found.compared, found.propensities_differ, found.decisions_differ) == (300, 0, None)

    limited = Kept(budget={"share": 0.2, "open": 3})
    list(limited.run(300))
    found = what_if(limited, secret=None).self_check
    assert found.compared == 0
    assert "the secret is not at hand" in str(found.why_not)


# ---------------------------------------------------------------------- other secrets


@pytest.mark.parametrize(("burst", "seed"), [(1, 1), (3, 2), (3, 3)])
def test_draws_are_those_of_real_gates(burst: int, seed: int) -> None:
    """While the share jumps up and down, carry included, every secret asks as its own gate does."""
    rng = Random(seed)
    secrets = [b"secret %d" % index for index in range(6)]
    gates = [Gate(secret, 2) for secret in secrets]
    leader, draws, drawn = DealingGate(secrets[0], 2), Draws(secrets, 2), -1
    asked_count = 0
    for index in range(3_000):
        if index % 40 == 0:
            patch = {"gate": {"burst": burst, "budget": {"share": rng.choice((0.02, 0.3, 0.9))}}}
            allowance = Allowance.of(Settings().patched(patch))
        doubt = rng.random()
        choice = leader.decide(doubt, 0, allowance)
        if leader.drawn != drawn:
            drawn = leader.drawn
            draws.begin_block(drawn)
        asked = draws.take(int(choice.propensity * UNIT))
        expected = [n for n, gate in enumerate(gates) if gate.decide(doubt, 0, allowance).asked]
        assert sorted(asked) == expected
        asked_count += len(asked)
    assert asked_count > 1_000


@pytest.mark.parametrize("wanted", [0.02, 0.05, 0.37])
def test_spend_agrees_with_the_budget(wanted: float) -> None:
    """Within one label of share · events for every secret, whatever was recorded."""
    said, truths = predictions(3_000, seed=4)
    found = WhatIf(labelled(said, truths), share(wanted))
    for one in said:
        found.add(0, 0, one)
    spend = found.report().spend
    assert abs(spend.expected - wanted * 3_000) <= 1
    assert abs(spend.mean - wanted * 3_000) <= 1
    assert wanted * 3_000 - 2 < spend.low <= spend.high < wanted * 3_000 + 2
    assert spend.recorded == sum(one["queried"] for one in said)


def test_the_list_is_what_the_first_secret_asks() -> None:
    """As many events as its count, with a reason each; labels where the journal has one."""
    said, truths = predictions(2_000, seed=5)
    found = WhatIf(labelled(said, truths), share(0.2), repeats=1)
    listed = [asked for one in said if (asked := found.add(0, 0, one))]
    assert len(listed) == found.report().spend.low
    assert {asked.reason for asked in listed} == {"random", "uncertain"}
    assert all((asked.label is not None) == asked.queried for asked in listed)
    assert any(asked.label is None for asked in listed)


def test_open_queries_press_on_the_spend() -> None:
    """Under a cap on open queries less is spent; people who need longer let less be spent."""
    spent = []
    for delay_ms in (5_000, 80_000):
        said, truths = predictions(1_500, seed=6)
        asked = [(one, truth) for one, truth in zip(said, truths, strict=True) if one["queried"]]
        journal = [
            label_entry(one["source"]["offset"], truth).model_copy(
                update={"at_ms": one["source"]["offset"] * 1_000 + delay_ms}
            )
            for one, truth in asked
        ]
        recorded = fold(Settings().patched(share(0.1)), journal)
        found = WhatIf(recorded, {"gate": {"budget": {"share": 0.5, "open": 2}}}, repeats=5)
        for index, one in enumerate(said):
            # The k-th label is journaled at position k, and seen by events 80 s later at most.
            version = sum(entry.at_ms <= index * 1_000 for entry in journal)
            found.add(0, index * 1_000, one | {"model_version": version})
        spent.append(found.report().spend.mean)
    quick, slow = spent
    assert slow < quick < 750


# ---------------------------------------------------------------------- what the labels say


def test_estimates_cover_the_truth() -> None:
    """Accuracy, mistakes in the stream and mistakes asked about, over 40 simulated streams."""
    covered = {"accuracy": 0, "mistakes": 0, "asked": 0, "asked_recorded": 0}
    widths = []
    for seed in range(40):
        said, truths = predictions(2_000, seed=seed)
        found = WhatIf(labelled(said, truths), share(0.25), repeats=1)
        mistakes = truths.count("spam")
        asked = 0.0
        for one, truth in zip(said, truths, strict=True):
            chosen = found.add(0, 0, one)
            asked += truth == "spam" and chosen is not None
        really = sum(t == "spam" and one["queried"] for one, t in zip(said, truths, strict=True))
        known = found.report().estimates
        assert known.accuracy
        assert known.mistakes
        assert known.mistakes_asked
        assert known.mistakes_asked_recorded
        covered["accuracy"] += known.accuracy.low <= 1 - mistakes / 2_000 <= known.accuracy.high
        covered["mistakes"] += known.mistakes.low <= mistakes <= known.mistakes.high
        covered["asked"] += known.mistakes_asked.low <= asked <= known.mistakes_asked.high
        recorded = known.mistakes_asked_recorded
        covered["asked_recorded"] += recorded.low <= really <= recorded.high
        assert known.width
        widths.append(known.expected_width or 0.0)
    assert all(count >= 35 for count in covered.values()), covered
    really_wide = _width_at(0.25)
    assert 0.8 < (sum(widths) / len(widths)) / really_wide < 1.25


def _width_at(budget: float) -> float:
    """Return the mean width of the interval of accuracy that this budget really brings."""
    widths = []
    for seed in range(20):
        said, truths = predictions(2_000, seed=seed, p=budget)
        found = WhatIf(labelled(said, truths), {}, repeats=1)
        for one in said:
            found.add(0, 0, one)
        widths.append(found.report().estimates.width or 0.0)
    return sum(widths) / len(widths)


def test_missing_support_is_said_not_guessed() -> None:
    """Events that could not be asked (p = 0): their part of the spend is named, nothing is said."""
    said, truths = predictions(2_000, seed=7)
    for one in said[:500]:
        one |= {"propensity": 0.0, "rate": 0.0, "queried": False}
    found = WhatIf(labelled(said, truths), share(0.2))
    for one in said:
        found.add(0, 0, one)
    report = found.report()
    assert report.estimates.outside_count == 500
    assert abs(report.estimates.unsupported_share - 0.25) < 0.01
    assert any("500 events could not be asked" in caveat for caveat in caveats_of(report))


def test_too_few_labels_give_no_number() -> None:
    """19 labels: no accuracy, no mistakes, no width, but the spend; one sentence says why."""
    said, truths = predictions(190, seed=8)
    found = WhatIf(labelled(said, truths), share(0.02))
    for one in said:
        found.add(0, 0, one)
    report = found.report()
    known = report.estimates
    assert known.labels == 19
    assert (known.accuracy, known.mistakes, known.mistakes_asked, known.expected_width) == (
        None, None, None, None,
    )  # fmt: skip
    assert abs(report.spend.mean - 3.8) < 1
    assert any("too few labels (19" in caveat for caveat in caveats_of(report))


def test_overturned_retracted_and_lost_labels() -> None:
    """The label in force is the last one; a retracted one is none; a lost one says why."""
    asked = label_entry(3, "spam").asked
    journal: list[JournalRecord] = [
        label_entry(3, "ham"),
        label_entry(4, "spam"),
        label_entry(3, "spam", overturns=0, replaced_label="ham"),
        RetractionEntry(
            at_ms=9, event_id="e4", revision=1, annotator="a", retracts=1, label="spam",
            asked=asked,
        ),
        ClosedEntry(
            at_ms=9, event_id="e5", reason="expired", query=Source(partition=0, offset=2),
            closes=Source(partition=0, offset=5),
        ),
    ]  # fmt: skip
    recorded = fold(Settings(), journal)
    closings = [recorded.closing(0, offset) for offset in (3, 4, 5, 6)]
    assert [found and (found.label, found.lost) for found in closings] == [
        ("spam", None), (None, "retracted"), (None, "expired"), None,
    ]  # fmt: skip
    taken_back = RetractionEntry(
        at_ms=9, event_id="e3", revision=2, annotator="a", retracts=2, label="spam", asked=asked
    )
    recorded.apply(taken_back, 5)
    found = recorded.closing(0, 3)
    assert found is not None
    assert found.label is None


# ---------------------------------------------------------------------- uncertainty, bounds


def test_uncertainty_is_computed_again_from_probabilities() -> None:
    """Entropy instead of margin asks about other events for the same spend."""
    kept = Kept(budget={"share": 0.1})
    list(kept.run(1_200))
    margin, entropy = (
        what_if(kept, {"gate": {"uncertainty": name}}) for name in ("margin", "entropy")
    )
    assert abs(margin.spend.mean - entropy.spend.mean) <= 1
    assert margin.self_check.decisions_differ == entropy.self_check.decisions_differ == 0


def test_disagreement_is_refused_unless_recorded() -> None:
    """A prediction doesn't hold it; where it was recorded it is taken as it is."""
    wanted = {"gate": {"uncertainty": "disagreement"}}
    with pytest.raises(ConfigurationError, match="'disagreement', but the stream was recorded"):
        WhatIf(Recorded(Settings()), wanted)
    assert WhatIf(Recorded(Settings().patched(wanted)), wanted).report().events == 0


def test_groups_have_a_cap() -> None:
    """More segments and hours than the caps: the rest is together, and nothing is lost."""
    found = WhatIf(Recorded(Settings()), share(0.5), repeats=2)
    said, _ = predictions(1, seed=1)
    count = HOURS_MAX + 200
    for index in range(count):
        found.add(0, index * 3_600_000, said[0] | {"segment": f"s{index % 80}"})
    report = found.report()
    assert len(report.segments) == SEGMENTS_MAX + 1
    assert len(report.hours) == HOURS_MAX + 1
    assert report.hours[OTHER].expected > 0
    for groups in (report.segments, report.hours):
        assert sum(spent.mean for spent in groups.values()) == report.spend.mean


def test_shadow_counts_on_paper() -> None:
    """What shadow mode asked on paper is told apart from real queries."""
    kept = Kept(budget={"share": 0.2})
    for index in kept.run(600):
        if index == 300:
            kept.control({"modes": {"shadow": True}}, actor="ops", reason="", now_ms=index * 1_000)
    report = what_if(kept)
    assert 55 < report.on_paper < 65
    assert abs(report.spend.recorded - 120) <= 2
    assert abs(report.spend.mean - 120) <= 2


def test_answer_is_the_same_twice() -> None:
    """Secrets that are tried are named by number: two people see the same figures."""
    kept = Kept(budget={"share": 0.1})
    list(kept.run(400))
    kept.label(Label(event_id="e-000001", label="ham", annotator="a"), now_ms=500_000)
    assert what_if(kept, share(0.03)) == what_if(kept, share(0.03))
