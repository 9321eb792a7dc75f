"""What came out, for people and for scripts: the terminal's table, one JSON document, the files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from stream_al.errors import Ambiguous
from stream_al.escaping import visible_json
from stream_al.private_files import write_for_people
from stream_al.service.evaluate.columns import Labelled
from stream_al.service.evaluate.plan import Plan
from stream_al.service.evaluate.run import Ran
from stream_al.service.evaluate.source import History
from stream_al.service.evaluate.summary import Group, Spread, Told, grouped, paragraph, told_of
from stream_al.service.report import ARM_NAMES, share_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Everything that is shown.

    Attributes
    ----------
    name, label
        The file's name, without its folder, and the field that is the label.
    command
        What makes this again.
    """

    name: str
    label: str
    command: str
    history: History
    data: Labelled
    plan: Plan
    runs: tuple[Ran, ...]
    groups: tuple[Group, ...]
    told: Told
    paragraph: str
    seconds: float


def evaluation_of(
    *,
    name: str,
    label: str,
    command: str,
    history: History,
    data: Labelled,
    plan: Plan,
    runs: Sequence[Ran],
    seconds: float,
) -> Evaluation:
    """Join the runs: rows of the table, and the paragraph about the first strategy and delay."""
    groups = grouped(runs)
    told = told_of(groups, strategy=plan.strategies[0], delay=plan.delays[0])
    return Evaluation(
        name=name,
        label=label,
        command=command,
        history=history,
        data=data,
        plan=plan,
        runs=tuple(runs),
        groups=tuple(groups),
        told=told,
        paragraph=paragraph(told, plan, len(data.examples)),
        seconds=seconds,
    )


def arm_name(group: Group, plan: Plan) -> str:
    """Return what a row is called: with its strategy where there are several."""
    name = ARM_NAMES[group.arm]
    return f"{name}, {group.strategy}" if group.strategy and len(plan.strategies) > 1 else name


def in_points(spread: Spread) -> str:
    """Return a share in points, with its sd over seeds where there is one.

    Examples
    --------
    >>> in_points(Spread(0.9612, 0.0049, 0.95, 0.97)), in_points(Spread(0.5, None, 0.5, 0.5))
    ('96.1 ± 0.5', '50.0')
    """
    sd = "" if spread.sd is None else f" ± {100 * spread.sd:.1f}"
    return f"{100 * spread.mean:.1f}{sd}"


def cells_of(group: Group, evaluation: Evaluation) -> list[str]:
    """Return a row of the table, in the order of `heads_of`."""
    delay = [f"{group.delay:,}"] if len(evaluation.plan.delays) > 1 else []
    return [
        *delay,
        share_text(group.share),
        arm_name(group, evaluation.plan),
        f"{group.labels.mean:,.0f}",
        f"{group.allowed:,.0f}",
        in_points(group.accuracy),
        in_points(group.macro_f1),
        in_points(group.kappa),
        share_text(group.of_all),
    ]


def heads_of(evaluation: Evaluation) -> list[str]:
    """Return the heads of the table."""
    delay = ["delay"] if len(evaluation.plan.delays) > 1 else []
    heads = ["budget", "asked by", "labels", "allowed", "accuracy", "macro-F1", "kappa", "of all"]
    return delay + heads


def table(evaluation: Evaluation) -> Table:
    """Return the table for a terminal."""
    shown = Table(box=None, pad_edge=False, collapse_padding=True)
    for head in heads_of(evaluation):
        shown.add_column(head, justify="left" if head == "asked by" else "right", no_wrap=True)
    before: Group | None = None
    for group in evaluation.groups:
        if before is not None and (before.share, before.delay) != (group.share, group.delay):
            shown.add_section()
        shown.add_row(*cells_of(group, evaluation))
        before = group
    return shown


def document(evaluation: Evaluation) -> dict[str, Any]:
    """Return everything as one JSON document; shares in [0, 1], delays in events."""
    plan, data, told = evaluation.plan, evaluation.data, evaluation.told
    verdicts = [told.verdict(index) for index in range(len(told.gate))]
    return {
        "file": evaluation.name,
        "label": evaluation.label,
        "events": len(data.examples),
        "classes": data.classes,
        "columns": [asdict(column) for column in data.columns],
        "rows_without_label": data.unlabelled,
        "rows_bad": evaluation.history.bad_count,
        "rows_left": evaluation.history.more,
        "model": plan.base.model.model_dump(mode="json"),
        "random_share": plan.base.gate.random_share,
        "budgets": plan.budgets,
        "delays": plan.delays,
        "strategies": plan.strategies,
        "seeds": plan.seeds,
        "shuffled": plan.shuffled,
        "summary": [_summary(group) for group in evaluation.groups],
        "verdicts": [
            {
                "budget": row.share,
                "better": found.better,
                "difference": found.difference and asdict(found.difference),
                "sentence": found.sentence,
            }
            for row, found in zip(told.gate, verdicts, strict=True)
        ],
        "paragraph": evaluation.paragraph,
        "runs": [asdict(ran) for ran in evaluation.runs],
        "seconds": round(evaluation.seconds, 1),
        "command": evaluation.command,
    }


def _summary(group: Group) -> dict[str, Any]:
    described = asdict(group)
    del described["curves"]
    return described


def write(path: Path, content: str) -> None:
    """Write one file.

    Raises
    ------
    Ambiguous
        When it can't be written.
    """
    try:
        write_for_people(path, content)
    except OSError as error:
        raise Ambiguous(f"the report can't be written to {str(path)!r}: {error.strerror}") from None


def json_text(described: dict[str, Any]) -> str:
    """Return a document as text, in one line."""
    return visible_json(described) + "\n"
