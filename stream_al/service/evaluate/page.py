"""The report of an evaluation as one HTML file, made of the parts that all reports share. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from stream_al.service.evaluate.outcome import Evaluation, cells_of, heads_of
from stream_al.service.evaluate.summary import SCORE_NAME, Group, Spread, Told, told_of
from stream_al.service.report import (
    ARM_NAMES,
    LineChart,
    Point,
    Run,
    Series,
    band,
    cut,
    facts_grid,
    line_chart,
    page,
    share_text,
    shown,
)

CLASSES_SHOWN = 6
NAME_CHARACTERS_MAX = 60
_BAND = "Mean over the seeds; the band reaches from the lowest to the highest seed."


def render_evaluation(evaluation: Evaluation) -> str:
    """Return the whole report, in UTF-8 without lone surrogates."""
    told = evaluation.told
    return page(
        title=f"What labels buy on {cut(evaluation.name, NAME_CHARACTERS_MAX)}",
        lead=(
            f"{len(evaluation.data.examples):,} events of your own history, label "
            f"“{cut(evaluation.label, NAME_CHARACTERS_MAX)}”. {_model(evaluation)} Every event "
            "is scored with the prediction made before anything was learnt from it."
        ),
        better=told.verdict(told.chosen).better,
        said=evaluation.paragraph,
        body=(
            f"{facts_grid(_facts(evaluation))}{_quality(evaluation)}{_budgets(evaluation)}"
            f"{_table(evaluation)}"
        ),
        command=evaluation.command,
    )


def _model(evaluation: Evaluation) -> str:
    model = evaluation.plan.base.model
    name = model.preset if model.factory is None else model.factory
    order = "in an order of each seed's own" if evaluation.plan.shuffled else "in the file's order"
    return f"Model {cut(name, NAME_CHARACTERS_MAX)}, events {order}."


def _facts(evaluation: Evaluation) -> list[tuple[str, str]]:
    data = evaluation.data
    events = len(data.examples)
    classes = [
        f"{cut(name, 24)}: {share_text(count / events)}" for name, count in data.classes.items()
    ]
    rest = f" and {len(classes) - CLASSES_SHOWN} more" if len(classes) > CLASSES_SHOWN else ""
    used = sum(column.used for column in data.columns)
    skipped = data.unlabelled + evaluation.history.bad_count
    facts = [
        ("events", f"{events:,}"),
        ("classes", ", ".join(classes[:CLASSES_SHOWN]) + rest),
        ("features", f"{used} of {len(data.columns)} fields"),
        ("rows skipped", f"{skipped:,}"),
        ("seeds", f"{evaluation.plan.seeds}"),
    ]
    if len(evaluation.plan.strategies) == 1:
        facts.append(("strategy", evaluation.plan.strategies[0]))
    return facts


def _quality(evaluation: Evaluation) -> str:
    charts = "".join(
        _by_budget(told_of(evaluation.groups, strategy=strategy, delay=delay), evaluation)
        for delay in evaluation.plan.delays
        for strategy in evaluation.plan.strategies
    )
    return (
        "<h2>Quality against labels</h2><p>One dot for each budget: what was reached over the "
        f'whole history, and what it cost.</p><div class="charts">{charts}</div>'
    )


def _by_budget(told: Told, evaluation: Evaluation) -> str:
    """Return two charts of one strategy and delay: by macro-F1 and by accuracy."""
    plan, gate = evaluation.plan, told.gate[0]
    of = ""
    if len(plan.strategies) > 1 or len(plan.delays) > 1:
        of = f": {gate.strategy}, labels {gate.delay:,} events late"
    f1 = _by_labels(told, SCORE_NAME, of, lambda row: row.macro_f1)
    return f1 + _by_labels(told, "accuracy", of, lambda row: row.accuracy)


def _by_labels(told: Told, name: str, of: str, score: Callable[[Group], Spread]) -> str:
    def points(rows: Sequence[Group]) -> list[Point]:
        found = [(row.labels.mean, score(row)) for row in rows]
        return [Point(labels, one.mean, one.low, one.high) for labels, one in found]

    fewest = min(row.labels.mean for row in (*told.gate, *told.chance))
    (best,) = points([told.everything])
    return line_chart(
        LineChart(
            title=f"{name[0].upper()}{name[1:]} by labels spent{of}",
            description=f"{_BAND} The dotted line is what all labels reach.",
            x_name="labels",
            y_name=name,
            series=[
                Series(ARM_NAMES["gate"], "gate", points(told.gate)),
                Series(ARM_NAMES["random"], "random", points(told.chance)),
                Series(ARM_NAMES["all"], "all", [replace(best, x=fewest), best]),
            ],
            x_kind="log",
            dotted=True,
        )
    )


def _budgets(evaluation: Evaluation) -> str:
    told, plan = evaluation.told, evaluation.plan
    parts = []
    for index, gate in enumerate(told.gate):
        chance = told.chance[index]
        learning = line_chart(
            LineChart(
                title=f"{SCORE_NAME[0].upper()}{SCORE_NAME[1:]} so far, while events flow",
                description=_BAND,
                x_name="events",
                y_name=SCORE_NAME,
                series=[
                    Series(ARM_NAMES[row.arm], row.arm, row.curves.by_events)
                    for row in (gate, chance, told.everything)
                ],
            )
        )
        sentence = shown(told.verdict(index).sentence)
        parts.append(
            f"<h2>Budget {share_text(gate.share)}: {gate.labels.mean:,.0f} labels</h2>"
            f'<p>{sentence}</p><div class="charts">{learning}{_spend(evaluation, gate)}</div>'
        )
    several = ""
    if len(plan.strategies) > 1 or len(plan.delays) > 1:
        gate = told.gate[0]
        several = (
            f"<h2>One budget at a time</h2><p>Strategy {shown(gate.strategy or '')} with delay "
            f"{gate.delay:,}, the ones named first.</p>"
        )
    return several + "".join(parts)


def _spend(evaluation: Evaluation, gate: Group) -> str:
    event_count = len(evaluation.data.examples)
    runs = [
        ran.run
        for ran in evaluation.runs
        if (ran.cell.arm, ran.cell.strategy, ran.cell.share, ran.cell.delay)
        == (gate.arm, gate.strategy, gate.share, gate.delay)
    ]
    allowed = [Point(x, x * gate.share, x * gate.share, x * gate.share) for x in (0, event_count)]
    return line_chart(
        LineChart(
            title="Spend against budget",
            description=(
                f"{gate.labels.mean:,.0f} queries sent, {gate.allowed:,.1f} allowed; what is not "
                "spent is not saved up."
            ),
            x_name="events",
            y_name="labels",
            series=[
                Series("queries sent", "gate", band([_spent(run) for run in runs])),
                Series("allowed", "limit", allowed),
            ],
            y_kind="count",
        )
    )


def _spent(run: Run) -> list[tuple[float, float]]:
    """Return (events, labels) of one run, from its two curves over the same points."""
    both = zip(run.by_events, run.by_labels, strict=True)
    return [(0, 0), *((events, labels) for (events, _), (labels, _) in both)]


def _table(evaluation: Evaluation) -> str:
    heads = heads_of(evaluation)
    head = "".join(f"<th{_class(name)}>{shown(name)}</th>" for name in heads)
    rows = "".join(_row(heads, cells_of(group, evaluation)) for group in evaluation.groups)
    return (
        "<h2>All figures</h2><p>In points, mean ± sd over the seeds, over the whole history; “of "
        "all” is macro-F1 over that of all labels.</p>"
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
        "</div>"
    )


def _row(heads: Sequence[str], cells: Sequence[str]) -> str:
    filled = "".join(
        f'<td{_class(name)} data-name="{shown(name)}">{shown(cell)}</td>'
        for name, cell in zip(heads, cells, strict=True)
    )
    return f"<tr>{filled}</tr>"


def _class(head: str) -> str:
    return "" if head == "asked by" else ' class="number"'
