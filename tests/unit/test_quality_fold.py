"""The fold: labels in, estimates out, labels taken back; bounded, and right about the stream."""

from __future__ import annotations

import math
import pickle
from random import Random
from typing import Any

import pytest

from stream_al.gate import Allowance, Gate
from stream_al.messages import Asked, LabelEntry, RetractionEntry, Settings, Source
from stream_al.quality import LABELS_MIN, Quality, QualitySummary, weight_of
from stream_al.quality.quality import CLASSES_MAX, OTHER, RECENT_MAX

SHARE = 0.05
EPS = 0.2


def asked(offset: int, predicted: str | None, **more: Any) -> Asked:
    fields = {"propensity": SHARE, "rate": SHARE, **more}
    return Asked(
        query=Source(partition=0, offset=offset),
        label=predicted,
        probabilities={},
        model_version=0,
        asked_at_ms=0,
        **fields,
    )


def label(offset: int, true: str, predicted: str | None, **more: Any) -> LabelEntry:
    return LabelEntry(
        at_ms=0,
        event_id=f"e-{offset}",
        revision=0,
        label=true,
        features=None,
        asked=asked(offset, predicted, **more),
        votes=(),
        latency_ms=0,
    )


def filled(count: int = 80, **more: Any) -> Quality:
    """Return a fold over labels with all kinds of weights."""
    quality, draw = Quality(), Random(2)
    for offset in range(count):
        true = draw.choice(["spam", "ham", "ham"])
        predicted = true if draw.random() < 0.8 else "spam"
        propensity = draw.uniform(0.01, 1.0)
        entry = label(offset, true, predicted, propensity=propensity, segment="en", **more)
        quality.apply(entry, random_share=EPS)
    return quality


def numbers(summary: QualitySummary) -> list[float]:
    """Return every number of a summary in one list."""
    found: list[float] = [summary.truncated_share, summary.lost_share]
    scores = summary.prequential
    found += [scores.count, scores.accuracy, scores.macro_f1, scores.kappa]
    found += [scores.recent_accuracy, scores.recent_count]
    intervals = [summary.accuracy, summary.accuracy_sequence, *summary.segments.values()]
    for one in summary.classes.values():
        found += [one.labels, one.predicted]
        intervals += [one.precision, one.recall, one.f1, one.prevalence]
    for interval in intervals:
        if interval is not None:
            found += [interval.value, interval.low, interval.high, interval.effective_size]
    return found


# ---------------------------------------------------------------------- against a whole stream


class Run:
    """One synthetic stream through the real gate: its truth, and what its labels say."""

    def __init__(self, seed: int, events: int, share: float, eps: float = EPS) -> None:
        draw, gate, self.quality = Random(seed), Gate(b"%d" % seed, 0), Quality()
        gate_settings = {"budget": {"share": share}, "random_share": eps}
        allowed = Allowance.of(Settings().patched({"gate": gate_settings}))
        right = spam = spam_found = 0
        for offset in range(events):
            sure = 1.0 - 0.5 * draw.random() ** 2  # the model knows how sure it is
            true = "spam" if draw.random() < 0.3 else "ham"
            hit = draw.random() < sure
            predicted = true if hit else ("ham" if true == "spam" else "spam")
            right += hit
            spam += true == "spam"
            spam_found += hit and true == "spam"
            choice = gate.decide(2.0 * (1.0 - sure), 0, allowed)
            if choice.asked:
                known = {"propensity": choice.propensity, "rate": choice.rate}
                self.quality.apply(label(offset, true, predicted, **known), random_share=eps)
        self.accuracy, self.prevalence = right / events, spam / events
        self.recall = spam_found / spam
        self.summary = self.quality.summary()


@pytest.fixture(scope="module")
def runs() -> list[Run]:
    return [Run(seed, 2_000, 0.05) for seed in range(300)]


def test_accuracy_interval_covers_the_truth(runs: list[Run]) -> None:
    """300 streams, 100 labels each: the 95 % interval holds the stream's own accuracy."""
    covered = sum(
        run.summary.accuracy is not None
        and run.summary.accuracy.low <= run.accuracy <= run.summary.accuracy.high
        for run in runs
    )
    print(f"accuracy covered {covered / len(runs):.3f}")
    assert 0.93 <= covered / len(runs) <= 0.995


def test_weighted_estimate_is_unbiased_where_the_plain_one_is_not(runs: list[Run]) -> None:
    """The gate asks about the hard ones: unweighted accuracy is far too low, weighted is not."""
    plain = sum(run.summary.prequential.accuracy - run.accuracy for run in runs) / len(runs)
    weighted = sum(
        run.summary.accuracy.value - run.accuracy for run in runs if run.summary.accuracy
    ) / len(runs)
    print(f"bias: plain {plain * 100:+.1f} points, weighted {weighted * 100:+.1f}")

    assert plain < -0.08
    assert abs(weighted) < 0.012


def test_recall_and_prevalence_of_a_class_cover_too(runs: list[Run]) -> None:
    """Intervals of the rarer class hold what the whole stream says, and none is cut."""
    found = [(run, run.summary.classes["spam"]) for run in runs]
    recalls = [(run, one.recall) for run, one in found if one.recall]
    shares = [(run, one.prevalence) for run, one in found if one.prevalence]

    assert len(recalls) > 250
    covered = sum(i.low <= run.recall <= i.high for run, i in recalls) / len(recalls)
    assert covered >= 0.9
    covered = sum(i.low <= run.prevalence <= i.high for run, i in shares) / len(shares)
    assert covered >= 0.93
    assert all(run.summary.truncated_share == 0.0 for run in runs)


def test_sequence_covers_always_and_is_wider(runs: list[Run]) -> None:
    """The bound for alarms: at least 99 % here, at most four times as wide."""
    covered, wider = 0, []
    for run in runs:
        always, at_once = run.summary.accuracy_sequence, run.summary.accuracy
        assert always is not None
        assert at_once is not None
        covered += always.low <= run.accuracy <= always.high
        wider.append((always.high - always.low) / (at_once.high - at_once.low))

    assert covered >= 297
    assert 1.0 < sum(wider) / len(wider) < 4.0


# ---------------------------------------------------------------------- arithmetic of the fold


def test_scores_of_a_known_table() -> None:
    """5 spam (4 found), 5 ham (3 found): accuracy 0.7, kappa 0.4, macro F1 of both classes."""
    quality = Quality()
    table = [("spam", "spam")] * 4 + [("spam", "ham")] + [("ham", "ham")] * 3
    table += [("ham", "spam")] * 2
    for offset, (true, predicted) in enumerate(table):
        quality.apply(label(offset, true, predicted), random_share=EPS)
    scores = quality.summary().prequential

    assert (scores.count, scores.accuracy) == (10, 0.7)
    assert scores.kappa == pytest.approx(0.4)
    assert scores.macro_f1 == pytest.approx((8 / 11 + 6 / 9) / 2)
    assert (scores.recent_accuracy, scores.recent_count) == (0.7, 10)


def test_precision_recall_and_f1_of_a_class_agree_with_weighted_counts() -> None:
    """Weights count in every one of them, as in a direct computation."""
    quality, draw, w = Quality(), Random(9), {"tp": 0.0, "fp": 0.0, "fn": 0.0, "tn": 0.0}
    for offset in range(300):
        true, predicted = draw.choice("ab"), draw.choice("aab")
        propensity = draw.uniform(0.02, 1.0)
        cell = {"aa": "tp", "ba": "fp", "ab": "fn", "bb": "tn"}[true + predicted]
        w[cell] += 1 / propensity
        quality.apply(label(offset, true, predicted, propensity=propensity), random_share=EPS)
    one = quality.summary().classes["a"]

    assert one.precision is not None
    assert one.recall is not None
    assert one.f1 is not None
    assert one.prevalence is not None
    assert one.precision.value == pytest.approx(w["tp"] / (w["tp"] + w["fp"]))
    assert one.recall.value == pytest.approx(w["tp"] / (w["tp"] + w["fn"]))
    assert one.f1.value == pytest.approx(2 * w["tp"] / (2 * w["tp"] + w["fp"] + w["fn"]))
    assert one.prevalence.value == pytest.approx((w["tp"] + w["fn"]) / sum(w.values()))


def test_nothing_is_said_before_the_first_label() -> None:
    """No estimate, scores of zero labels, and no division by zero."""
    summary = Quality().summary()

    assert (summary.accuracy, summary.accuracy_sequence) == (None, None)
    assert (summary.prequential.count, summary.classes, summary.segments) == (0, {}, {})


def test_too_few_labels_of_a_class_say_so() -> None:
    """Below 20 there is no interval; with the 20th there is."""
    quality = Quality()
    for offset in range(LABELS_MIN - 1):
        quality.apply(label(offset, "spam", "spam", segment="en"), random_share=EPS)
    before = quality.summary()
    quality.apply(label(99, "spam", "spam", segment="en"), random_share=EPS)
    after = quality.summary()

    few = before.classes["spam"]
    assert (few.labels, few.precision, few.recall, few.f1, few.prevalence) == (19, *[None] * 4)
    assert before.segments == {"en": None}
    assert after.classes["spam"].recall is not None
    assert after.segments["en"] is not None


def test_cold_start_counts_as_wrong() -> None:
    """No class was known, so there was no prediction: it can't have been right."""
    quality = Quality()
    for n in range(LABELS_MIN):
        assert quality.summary().accuracy is None, "too few labels for a number"
        quality.apply(label(n, "spam", None), random_share=EPS)
    summary = quality.summary()

    assert summary.prequential.accuracy == 0.0
    assert summary.accuracy is not None
    assert summary.accuracy.value == 0.0
    assert (summary.classes["spam"].labels, summary.classes["spam"].predicted) == (LABELS_MIN, 0)


@pytest.mark.parametrize(
    ("propensity", "rate"),
    [(0.0, 0.05), (-1.0, 0.05), (math.nan, 0.05), (1.5, 0.05), (0.05, 0.0), (0.05, math.inf)],
)
def test_labels_outside_the_frame_count_nowhere(propensity: float, rate: float) -> None:
    """A propensity that nobody could have drawn can't be weighted."""
    quality = Quality()
    quality.apply(label(0, "a", "a", propensity=propensity, rate=rate), random_share=EPS)

    assert quality.summary() == Quality().summary()


def test_weights_are_bounded_and_the_share_of_cut_ones_is_told() -> None:
    """2/(random share·rate) is the most that one label may count."""
    assert weight_of(1e-9, 0.5, 0.5) == (8.0, True)
    quality = Quality()
    for offset, propensity in enumerate((1e-6, 0.5, 0.5, 0.5)):
        entry = label(offset, "a", "a", propensity=propensity)
        quality.apply(entry, random_share=EPS)

    assert quality.summary().truncated_share == 0.25


# ---------------------------------------------------------------------- taken back


def test_overturned_label_counts_as_if_it_had_been_right_at_once() -> None:
    """The replaced label's terms go, the new one's come: as if only the new one had been there."""
    quality, plain = filled(), filled()
    first = label(200, "spam", "ham", propensity=0.02, segment="en")
    quality.apply(first, random_share=EPS)
    second = first.model_copy(
        update={"label": "ham", "revision": 1, "overturns": 80, "replaced_label": "spam"}
    )
    quality.apply(second, random_share=EPS)
    plain.apply(label(200, "ham", "ham", propensity=0.02, segment="en"), random_share=EPS)

    assert numbers(quality.summary()) == pytest.approx(numbers(plain.summary()), rel=1e-9)


def retraction(entry: LabelEntry, position: int = 80) -> RetractionEntry:
    return RetractionEntry(
        at_ms=1,
        event_id=entry.event_id,
        revision=1,
        annotator="a7",
        retracts=position,
        label=entry.label,
        asked=entry.asked,
    )


@pytest.mark.parametrize("propensity", [1e-7, 0.013, 1.0])
def test_retracted_label_is_forgotten_at_once(propensity: float) -> None:
    """A label and its retraction: the summary of before, cut weights included."""
    quality = filled()
    before = numbers(quality.summary())
    entry = label(200, "new", "ham", propensity=propensity, segment="fr")
    quality.apply(entry, random_share=EPS)
    assert numbers(quality.summary()) != pytest.approx(before, rel=1e-9)
    quality.retract(retraction(entry), random_share=EPS)

    assert numbers(quality.summary()) == pytest.approx(before, rel=1e-9)
    assert set(quality.summary().classes) == {"spam", "ham"}


def test_everything_retracted_is_nothing_known() -> None:
    """Emptied sums are exactly zero, not a rounding error that a weight is divided by."""
    quality = Quality()
    entries = [label(n, "a", "ab"[n % 2], propensity=0.011 * (n + 1)) for n in range(50)]
    for entry in entries:
        quality.apply(entry, random_share=EPS)
    for entry in entries:
        quality.retract(retraction(entry), random_share=EPS)

    summary = quality.summary()
    assert (summary.accuracy, summary.prequential.count, summary.classes) == (None, 0, {})


def later_asked(entry: LabelEntry, *, model_version: int) -> LabelEntry:
    asked = entry.asked.model_copy(update={"model_version": model_version})
    return entry.model_copy(update={"asked": asked})


def test_labels_of_an_earlier_lineage_do_not_count() -> None:
    """What an earlier model predicted says nothing of this one, and is not taken back from it."""
    quality = Quality(since=100)
    entry = label(5, "a", "b")
    quality.retract(retraction(entry, position=99), random_share=EPS)
    overturning = entry.model_copy(update={"overturns": 99, "replaced_label": "c"})
    quality.apply(overturning, random_share=EPS)

    summary = quality.summary()
    assert (summary.prequential.count, set(summary.classes)) == (0, set())
    quality.apply(later_asked(entry, model_version=101), random_share=EPS)
    assert quality.summary().prequential.count == 1


# ---------------------------------------------------------------------- bounds


def test_segments_beyond_their_cap_are_together() -> None:
    """Three of their own, all others in `other`, and taking back finds them there."""
    quality = Quality(segments_max=3)
    entries = [label(n, "a", "a", segment=f"s{n % 10}") for n in range(300)]
    for entry in entries:
        quality.apply(entry, random_share=EPS)
    found = quality.summary().segments
    assert set(found) == {"s0", "s1", "s2", OTHER}
    assert {name: one.labels for name, one in found.items() if one} == {
        **dict.fromkeys(("s0", "s1", "s2"), 30),
        OTHER: 210,
    }

    for entry in entries[9::10]:
        quality.retract(retraction(entry), random_share=EPS)
    other = quality.summary().segments[OTHER]
    assert other is not None
    assert other.labels == 180


def test_classes_beyond_their_cap_are_together_but_right_is_right() -> None:
    """Memory is bounded; two different classes in `other` are not taken for the same."""
    quality = Quality()
    for n in range(2 * CLASSES_MAX):
        quality.apply(label(n, f"c{n}", f"c{n}" if n % 2 else "c-wrong"), random_share=EPS)
    summary = quality.summary()

    assert len(summary.classes) == CLASSES_MAX + 1
    assert summary.prequential.accuracy == 0.5


def test_recent_accuracy_forgets() -> None:
    """500 wrong ones and then 500 right ones: half of all, all of the recent."""
    quality = Quality()
    for n in range(2 * RECENT_MAX):
        quality.apply(label(n, "a", "a" if n >= RECENT_MAX else "b"), random_share=EPS)
    scores = quality.summary().prequential

    assert (scores.accuracy, scores.recent_accuracy, scores.recent_count) == (0.5, 1.0, RECENT_MAX)


def test_lost_labels_are_told_beside_the_estimate() -> None:
    """One in five brought no label; a reason that does not exist is a mistake of the caller."""
    quality = filled(80)
    for reason in ["expired"] * 12 + ["skipped"] * 5 + ["unsure"] * 3:
        quality.lost(reason)
    summary = quality.summary()

    assert summary.lost_share == pytest.approx(0.2)
    assert summary.lost == {"expired": 12, "skipped": 5, "unsure": 3}
    with pytest.raises(ValueError, match="'repeated'"):
        quality.lost("repeated")


def test_fold_survives_a_snapshot() -> None:
    """Dumped and loaded it goes on as if nothing had been."""
    quality = filled()
    back = pickle.loads(pickle.dumps(quality))
    for fold in (quality, back):
        fold.apply(label(500, "spam", "ham", propensity=0.3), random_share=EPS)

    assert back.summary() == quality.summary()
