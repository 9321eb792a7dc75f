"""`stream-al evaluate`: on your own labelled history, how many labels buy what."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from stream_al.config import Config
from stream_al.service.commands.common import (
    ConfigOption,
    JsonOption,
    err,
    out,
    print_json,
)
from stream_al.service.console import SafeConsole
from stream_al.service.settings import load_config
from stream_al.service.strategies import load_plugins

if TYPE_CHECKING:
    from stream_al.service.evaluate import Evaluation, History, Labelled, Plan, Ran

PresetName = Literal["linear", "committee", "river", "tree", "forest"]
FormatName = Literal["csv", "jsonl", "parquet"]
LONG_S = 600.0
TABLE_CHARACTERS = 110
START_S = 2.0
"""What it takes to start the processes: River is imported in each."""


def register(app: typer.Typer) -> None:
    """Add this command to `app`."""
    app.command()(evaluate)


def evaluate(
    file: Annotated[Path, typer.Argument(help="CSV, JSON lines or Parquet; .gz too.")],
    *,
    label: Annotated[str, typer.Option(metavar="FIELD", help="The field that is the label.")],
    text: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD", help="A field to use, as text; may be repeated."),
    ] = None,
    features: Annotated[
        str, typer.Option(metavar="FIELDS", help="Fields to use [default: all but the label].")
    ] = "",
    file_format: Annotated[
        FormatName | None, typer.Option("--format", help="[default: by the file's suffix]")
    ] = None,
    budgets: Annotated[
        str, typer.Option(help="Labels per event: 5% or 0.05.")
    ] = "1%,2%,5%,10%,20%",
    delays: Annotated[str, typer.Option(help="Events between a query and its label.")] = "0",
    strategies: Annotated[
        str, typer.Option(help="Uncertainties [default: the configured one, margin].")
    ] = "",
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each, for the spread.")] = 3,
    preset: Annotated[
        PresetName | None, typer.Option(help="Model [default: the configured one, linear].")
    ] = None,
    shuffle: Annotated[
        bool, typer.Option(help="Each seed takes the events in an order of its own.")
    ] = False,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes [default: cores].")] = None,
    limit: Annotated[
        int | None, typer.Option(min=20, help="Only the first so many rows [default: 200,000].")
    ] = None,
    report: Annotated[Path, typer.Option(help="Where the report goes; .json beside it.")] = Path(
        "report.html"
    ),
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Learn how many labels buy what, on your own labelled history.

    Features are those of the configuration's `events:` when the file has them, else all fields. It
    runs this gate, random queries and all labels over it, and writes report.html and .json.

    Example: `stream-al evaluate posts.csv --label verdict --text body`
    """
    from stream_al.service import evaluate as ev  # noqa: PLC0415 - imports River

    started = time.monotonic()
    settings = load_config(config)
    load_plugins(settings)
    history = ev.read_history(
        file,
        file_format or ev.format_of(file),
        ev.ROWS_MAX if limit is None else limit,
        paths=list(settings.events.features.values()),
    )
    data = _labelled(history, label, text or [], ev.parts(features), settings)
    base = _base(settings, preset)
    plan = ev.checked(
        ev.Plan(
            base=base,
            types=data.types,
            budgets=ev.shares(budgets),
            delays=ev.delays(delays),
            strategies=tuple(ev.parts(strategies)) or (base.gate.uncertainty,),
            seeds=seeds,
            shuffled=shuffle,
        ),
        len(data.examples),
    )
    _say_data(history, data, limit)
    runs = _run(plan, data, min(jobs or ev.cores(), len(plan.cells())))
    found = ev.evaluation_of(
        name=file.name,
        label=label,
        command=_command(),
        history=history,
        data=data,
        plan=plan,
        runs=runs,
        seconds=time.monotonic() - started,
    )
    _say_result(found, report, as_json=as_json)


def _labelled(
    history: History, label: str, text: list[str], features: list[str], config: Config
) -> Labelled:
    """Return the examples: as the configuration reads events, or by the fields that are named."""
    from stream_al.model import Model  # noqa: PLC0415 - River, as above
    from stream_al.service import evaluate as ev  # noqa: PLC0415

    paths = {} if text or features else ev.paths_for(config.events, history)
    if paths:
        err.print("features as in the configuration's `events:`; name others with --features",
                  markup=False)  # fmt: skip
        return ev.as_configured(history, label, paths, config.events, Model(config).clean)
    if config.events.features and not (text or features):
        err.print("the paths of the configuration's `events:` are in no row: fields by their looks",
                  markup=False)  # fmt: skip
    return ev.labelled(history, label, text=text, features=features, types=config.events.types)


def _say_result(found: Evaluation, report: Path, *, as_json: bool) -> None:
    """Write the report, and say on stdout what it says."""
    from stream_al.service import evaluate as ev  # noqa: PLC0415 - imports River

    document = ev.document(found)
    ev.write(report, ev.render_evaluation(found))
    ev.write(report.with_suffix(".json"), ev.json_text(document))
    if as_json:
        print_json(document)
    else:
        # A row that is cut says nothing: what does not fit is wrapped by the terminal.
        wide = SafeConsole(width=max(out.width, TABLE_CHARACTERS))
        wide.print(ev.table(found))
        out.print()
        out.print(found.paragraph, markup=False)
    err.print(f"report: {report} and {report.with_suffix('.json')}", markup=False)


def _base(config: Config, preset: PresetName | None) -> Config:
    """Return the configuration; another preset has parameters of its own."""
    if preset is None or (preset == config.model.preset and config.model.factory is None):
        return config
    model = config.model.model_copy(update={"preset": preset, "factory": None, "parameters": {}})
    return config.model_copy(update={"model": model})


def _command() -> str:
    return shlex.join(["stream-al", *sys.argv[1:]])


def _say_data(history: History, data: Labelled, limit: int | None) -> None:
    kinds: dict[str, list[str]] = {}
    for column in data.columns:
        kinds.setdefault(column.kind if column.used else "left out", []).append(column.name)
    said = "; ".join(f"{kind}: {_names(names)}" for kind, names in kinds.items())
    err.print(f"{len(data.examples):,} events, {len(data.classes)} classes; {said}", markup=False)
    if "left out" in kinds:
        err.print(
            "left out: fields that look like ids or times, or hold mixed values; name a field "
            "with --features or --text to use it",
            markup=False,
        )
    if data.unlabelled:
        err.print(f"skipped: {data.unlabelled:,} rows without a label", markup=False)
    for said in data.set_aside:
        err.print(f"skipped, a dead letter in production: {said}", markup=False)
    if history.bad_count:
        first = "; ".join(history.bad)
        err.print(f"skipped: {history.bad_count:,} bad rows: {first}", markup=False)
    if history.more and limit is None:
        err.print(
            f"only the first {len(history.rows):,} rows are taken; more with --limit", markup=False
        )


def _names(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _run(plan: Plan, data: Labelled, jobs: int) -> list[Ran]:
    from stream_al.service.evaluate import estimated_seconds, run_all  # noqa: PLC0415

    count, events = len(plan.cells()), len(data.examples)
    seconds = START_S + estimated_seconds(plan, data.examples, jobs)
    hint = ""
    if seconds > LONG_S:
        hint = "; --limit, --seeds or fewer --budgets shorten it, Ctrl-C ends it"
    err.print(
        f"{count} runs of {events:,} events in {jobs} processes: about {_duration(seconds)}{hint}",
        markup=False,
    )
    with _shown(count * events) as show:
        return run_all(plan, data.examples, jobs, show)


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6_000 else f"{seconds / 3_600:.1f} h"


@contextmanager
def _shown(total: int) -> Iterator[Callable[[int], None]]:
    """Give the function that shows how far it is: a bar, or nothing where nobody looks."""
    if not err.is_terminal:
        yield lambda _: None
        return
    columns = (TextColumn("runs"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task("runs", total=total)
        yield lambda done: progress.update(task, completed=done)
