"""The report as one HTML file: no script, no network, everything that came from outside escaped."""

from __future__ import annotations

from collections.abc import Sequence

from stream_al.service.report.charts import LineChart, Series, histogram, line_chart
from stream_al.service.report.figures import (
    Arm,
    AskedRow,
    DemoFigures,
    EstimatePoint,
    Point,
    SpendPoint,
)
from stream_al.service.report.page import ARM_NAMES, facts_grid, page
from stream_al.service.report.scales import share_text
from stream_al.service.report.texts import TEXT_CHARACTERS_MAX, cut, plain, shown
from stream_al.service.report.verdict import verdict

WORD_CHARACTERS_MAX = 40
ASKED_ROWS_MAX = 200
BINS_PER_DECADE = 6
PROPENSITY_MIN = 0.001
"""Smaller propensities share the first bin."""

PROPENSITY_TOLD = (
    "A <em>propensity</em> is the probability with which the gate asked about an event, fixed "
    "before it drew. A random share of the budget gives every event some; uncertain events get "
    "more. It is written into each prediction, because it makes the few labels speak for all "
    "events: a label of an event that was asked about with probability 0.02 stands for 50 events "
    "like it. That is how accuracy is estimated here although people saw the hard cases most. All "
    "propensities add up to the number of queries that may be expected."
)

REASONS = {
    "cold_start": "fewer than two classes known",
    "random": "random share",
    "uncertain": "uncertain",
    "disagreement": "models disagree",
    "rule": "rule",
}


def render(figures: DemoFigures) -> str:
    """Return the whole report as one HTML document, in UTF-8 without lone surrogates."""
    found = verdict(figures.arms, figures.score_name)
    return page(
        title=figures.title,
        lead=figures.data,
        better=found.better,
        said=found.sentence,
        body=(
            f"{facts_grid(figures.facts)}{_learning(figures)}{_running(figures)}"
            f"{_asked(figures)}{_outcomes(figures)}"
        ),
        command=figures.command,
    )


def _learning(figures: DemoFigures) -> str:
    description = "Mean over the seeds; the band reaches from the lowest to the highest seed."
    by_events = line_chart(
        LineChart(
            title=f"{_title(figures.score_name)} while events flow",
            description=description,
            x_name="events",
            y_name=figures.score_name,
            series=[_series(arm, arm.by_events) for arm in figures.arms],
        )
    )
    by_labels = line_chart(
        LineChart(
            title=f"{_title(figures.score_name)} against labels spent",
            description="The same runs by what they cost, on a log scale.",
            x_name="labels",
            y_name=figures.score_name,
            series=[_series(arm, arm.by_labels) for arm in figures.arms],
            x_kind="log",
        )
    )
    return (
        "<h2>Learning</h2><p>The same stream with the same delays, asked about in three ways.</p>"
        f'<div class="charts">{by_events}{by_labels}</div>'
    )


def _title(name: str) -> str:
    return name[:1].upper() + name[1:]  # not capitalize(): it is macro-F1


def _series(arm: Arm, points: Sequence[Point]) -> Series:
    return Series(ARM_NAMES[arm.name], arm.name, points)


def _running(figures: DemoFigures) -> str:
    charts = _spend(figures.spend) + _estimates(figures.estimates)
    return (
        "<h2>The live run</h2><p>What the worker spent, what its labels say about the model, and "
        "how likely each event was to be asked about.</p>"
        f"<p>{PROPENSITY_TOLD}</p>"
        f'<div class="charts three">{charts}{_propensities(figures.propensities)}</div>'
    )


def _spend(spend: Sequence[SpendPoint]) -> str:
    def points(values: Sequence[float]) -> list[Point]:
        return [
            Point(point.event_count, value, value, value)
            for point, value in zip(spend, values, strict=True)
        ]

    return line_chart(
        LineChart(
            title="Spend against budget",
            description="Queries sent, and what the budget allowed until then.",
            x_name="events",
            y_name="queries",
            series=[
                Series("queries sent", "gate", points([point.query_count for point in spend])),
                Series("allowed", "limit", points([point.allowed for point in spend])),
            ],
            y_kind="count",
        )
    )


def _estimates(estimates: Sequence[EstimatePoint]) -> str:
    estimated = [Point(e.event_count, e.estimate, e.low, e.high) for e in estimates]
    true = [Point(e.event_count, e.truth, e.truth, e.truth) for e in estimates]
    inside = sum(e.low <= e.truth <= e.high for e in estimates)
    held = f" The truth is inside at {inside} of {len(estimates)} points." if estimates else ""
    return line_chart(
        LineChart(
            title="Accuracy, estimated and true",
            description=f"Estimated from the labels alone, with its 95 % interval.{held} Wrong "
            "answers of people count as the model's errors, since nobody knows which they are.",
            x_name="events",
            y_name="accuracy",
            series=[
                Series("estimated from labels", "gate", estimated),
                Series("true, known only here", "truth", true),
            ],
        )
    )


def _propensities(propensities: Sequence[float]) -> str:
    asked = [value for value in propensities if value > 0]
    never = len(propensities) - len(asked)
    bin_count = 3 * BINS_PER_DECADE
    edges = [PROPENSITY_MIN * 10 ** (step / BINS_PER_DECADE) for step in range(bin_count + 1)]
    counts = [0] * bin_count
    for value in asked:
        above = sum(value >= edge for edge in edges[1:-1])
        counts[above] += 1
    rest = f" {never:,} events had none." if never else ""
    return histogram(
        title="Propensities",
        description=f"The probability with which each event was asked about, recorded.{rest}",
        x_name="propensity",
        edges=edges,
        counts=counts,
    )


def _asked(figures: DemoFigures) -> str:
    if not figures.asked:
        return "<h2>What was asked, and why</h2><p>Nothing was asked.</p>"
    shown = figures.asked[-ASKED_ROWS_MAX:]
    rows = "".join(_asked_row(row) for row in shown)
    return (
        "<h2>What was asked, and why</h2>"
        f"<p>{_rows_of(len(shown), figures.asked_count)}</p>"
        '<div class="scroll"><table><thead><tr><th>Event</th><th>Predicted</th>'
        '<th class="number">Probability</th><th>Why asked</th><th class="number">Propensity</th>'
        f"<th>Label</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _rows_of(rows: int, count: int) -> str:
    if rows == count:
        return f"All {count:,} queries, the newest last."
    return f"{rows:,} of {count:,} queries: the newest, the very newest last."


def _asked_row(row: AskedRow) -> str:
    text = shown(cut(row.text if plain(row.text[:TEXT_CHARACTERS_MAX]) else row.event_id))
    differs = row.label is not None and row.predicted is not None and row.label != row.predicted
    probability = "–" if row.probability is None else share_text(row.probability)
    label = "–" if row.label is None else shown(cut(row.label, WORD_CHARACTERS_MAX))
    predicted = shown(cut(row.predicted or "–", WORD_CHARACTERS_MAX))
    reason = shown(cut(REASONS.get(row.reason, row.reason), WORD_CHARACTERS_MAX))
    return (
        f'<tr><td class="text" data-name="Event"><bdi>{text}</bdi></td>'
        f'<td data-name="Predicted">{predicted}</td>'
        f'<td class="number" data-name="Probability">{probability}</td>'
        f'<td data-name="Why asked">{reason}</td>'
        f'<td class="number" data-name="Propensity">{row.propensity:.3f}</td>'
        f'<td data-name="Label"><span{" class=wrong" if differs else ""}>{label}</span></td></tr>'
    )


def _outcomes(figures: DemoFigures) -> str:
    facts = [(name, f"{count:,}") for name, count in figures.outcomes]
    if not facts:
        return ""
    return (
        "<h2>What became of the labels</h2><p>Every label received has exactly one outcome.</p>"
        f"{facts_grid(facts)}"
    )
