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
        facts=(
            ("events", f"{observer.events:,}"),
            ("budget", f"{share:.1%} of the events, {observer.allowed:.1f} queries"),
            ("asked", f"{len(observer.queries)} ({reasons})"),
            ("true accuracy of the live run", f"{observer.confusion.accuracy():.2%}"),
            ("true macro-F1 of the live run", f"{observer.confusion.macro_f1():.2%}"),
            ("what the simulated people did", people),
        ),
        outcomes=tuple(sorted(observer.outcomes.items())),
        command="stream-al demo",
    )


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


def last_line(
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
        "separated": found.better,
        "verdict": found.sentence,
    }
