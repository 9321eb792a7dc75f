"""The demo's end: its figures, its report, its last line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stream_al.errors import Ambiguous
from stream_al.private_files import write_for_people
from stream_al.service.demo.arms import ARMS
from stream_al.service.demo.observer import Observer
from stream_al.service.report import DemoFigures, Run, arm_figures, render, verdict
from stream_al.testing import Injected

SCORE_NAME = "macro-F1"


def figures_of(
    observer: Observer,
    injected: Injected,
    runs: Mapping[tuple[str, int], Run],
    *,
    data: str,
    share: float,
) -> DemoFigures:
    """Join what was seen live with the runs in memory."""
    arms = tuple(
        arm_figures(arm, [run for (name, _), run in runs.items() if name == arm]) for arm in ARMS
    )
    reasons = ", ".join(f"{name} {count}" for name, count in sorted(observer.reasons.items()))
    people = ", ".join(f"{name} {count}" for name, count in asdict(injected).items())
    return DemoFigures(
        title="stream_al: what a few labels buy",
        data=f"{data}, through a real worker and log on this machine; simulated annotators",
        score_name=SCORE_NAME,
        arms=arms,
        spend=tuple(observer.spend),
        propensities=tuple(observer.propensities),
        estimates=tuple(observer.estimates),
        asked=observer.asked_rows(),
        asked_count=len(observer.queries),
        facts=(
            ("events", f"{observer.events:,}"),
            ("budget", f"{share:.1%} of the events, {observer.allowed:.1f} queries"),
            ("asked", f"{len(observer.queries):,} ({reasons})"),
            ("true accuracy of the live run", f"{observer.confusion.accuracy():.2%}"),
            ("true macro-F1 of the live run", f"{observer.confusion.macro_f1():.2%}"),
            *_found(observer),
            ("what the simulated people did", people),
        ),
        outcomes=tuple(sorted(observer.outcomes.items())),
        command="stream-al demo",
    )


def _found(observer: Observer) -> tuple[tuple[str, str], ...]:
    """Return how much of the rarest class was found: what a filter is for."""
    name = observer.confusion.rarest()
    if name is None:
        return ()
    found, there = observer.confusion.recall(name)
    return ((f"recall of {name}", f"{found / there:.1%} ({found:,} of {there:,} found)"),)


def three_lines(
    observer: Observer, figures: DemoFigures, *, share: float, report: Path
) -> tuple[str, str, str]:
    """Return what people read at the end: what came out, the verdict, where the report is."""
    estimate = observer.quality.summary().accuracy
    said = "too few labels for an estimate"
    if estimate is not None:
        said = f"estimated {estimate.value:.1%} ({estimate.low:.1%} to {estimate.high:.1%})"
    recall = "".join(f"; {name} {value}" for name, value in _found(observer))
    first = (
        f"{observer.events:,} events predicted, {len(observer.queries):,} asked about (budget "
        f"{share:.1%}), {observer.outcomes['applied']:,} labels learnt. Accuracy "
        f"{observer.confusion.accuracy():.1%}, {said}{recall}."
    )
    sentence = verdict(figures.arms, figures.score_name).sentence
    return first, sentence, f"The report is {report}: open it in a browser."


def write_report(figures: DemoFigures, path: Path) -> None:
    """Write the report as one file.

    Raises
    ------
    Ambiguous
        When the file can't be written.
    """
    try:
        write_for_people(path, render(figures))
    except OSError as error:
        raise Ambiguous(f"the report can't be written to {str(path)!r}: {error}") from None


def document(
    observer: Observer, figures: DemoFigures, *, share: float, partitions: int
) -> dict[str, Any]:
    """Return the figures of the demo for scripts."""
    estimate = observer.quality.summary().accuracy
    found = verdict(figures.arms, figures.score_name)
    asked = len(observer.queries)
    return {
        "events": observer.events,
        "queries": asked,
        "budget_share": share,
        "allowed": round(observer.allowed, 3),
        "spend_error": round(asked - observer.allowed, 3),
        "spend_within_one_a_partition": abs(asked - observer.allowed) <= partitions,
        "propensity_sum": round(sum(observer.propensities), 3),
        "outcomes": dict(observer.outcomes),
        "reasons": dict(observer.reasons),
        "accuracy_true": round(observer.confusion.accuracy(), 4),
        "accuracy_estimated": estimate and round(estimate.value, 4),
        "accuracy_interval": estimate and [round(estimate.low, 4), round(estimate.high, 4)],
        "macro_f1_true": round(observer.confusion.macro_f1(), 4),
        "arms": {
            arm.name: {
                "macro_f1": [round(score, 4) for score in arm.final],
                "labels_mean": arm.labels_mean,
            }
            for arm in figures.arms
        },
        "better": found.better,
        "difference": found.difference and asdict(found.difference),
        "recall": {
            name: {"found": pair[0], "there": pair[1]}
            for name in sorted({truth for truth, _ in observer.confusion.pairs})
            for pair in (observer.confusion.recall(name),)
        },
        "verdict": found.sentence,
    }
