"""What annotators do: see open queries, label them, annotate one key at a time."""

from __future__ import annotations

from typing import Annotated

import typer

from stream_al.errors import ConfigurationError
from stream_al.escaping import visible
from stream_al.messages import LabelKind, Query
from stream_al.service.answering import (
    NOT_TAKEN,
    OUTCOME_WAIT_S,
    append_label,
    await_outcome,
    label_of,
    outcome_words,
)
from stream_al.service.commands.common import (
    ConfigOption,
    JsonOption,
    actor_or_default,
    age_text,
    err,
    now_ms,
    opened,
    out,
    print_json,
)
from stream_al.service.question import in_one_line, is_predicted, predicted
from stream_al.service.rebuild import rebuild
from stream_al_connectors.opening import in_log

AnnotatorOption = Annotated[str | None, typer.Option(help="Your name [default: user@host].")]

ShowPredictionOption = Annotated[
    bool,
    typer.Option(
        "--show-prediction",
        help="Show the model's prediction too, which sways people; never of random queries.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    app.command()(queries)
    app.command()(label)
    app.command()(annotate)


def queries(
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
    show_prediction: ShowPredictionOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List open queries, most urgent first; `--json` has all of each.

    Example: `stream-al queries --limit 5`
    """
    with opened(config, needs=("queries", "journal")) as (settings, log):
        resolver = rebuild(log, settings, now_ms=now_ms())
        found = [pending.query for pending in resolver.open_queries(limit)]
        open_count = resolver.pending_count
    if as_json:
        print_json([query.model_dump(mode="json") for query in found])
        return
    if found:
        headings = ["event", "why", "p", "asked", "what"]
        rows = [_row(query) for query in found]
        if show_prediction:
            headings.insert(1, "predicted")
            for query, row in zip(found, rows, strict=True):
                row.insert(1, predicted(query) if is_predicted(query) else "–")
        out.show_table(headings, rows, cut="what")
    err.print(f"{open_count:,} open; answer one with `stream-al label EVENT_ID LABEL`")


def _row(query: Query) -> list[str]:
    return [
        query.event_id,
        query.reason,
        f"{query.propensity:.3f}",
        age_text(now_ms() - query.asked_at_ms),
        in_one_line(query),
    ]


def label(
    event_id: Annotated[str, typer.Argument(help="The event.")],
    label: Annotated[str | None, typer.Argument(help="Its class.")] = None,
    annotator: AnnotatorOption = None,
    skip: Annotated[bool, typer.Option("--skip", help="Not for me.")] = False,
    unsure: Annotated[bool, typer.Option("--unsure", help="I can't tell.")] = False,
    retract: Annotated[bool, typer.Option("--retract", help="Take my label back.")] = False,
    revision: Annotated[
        int, typer.Option(min=0, help="A higher one corrects an earlier label.")
    ] = 0,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Answer a query; prints what became of it.

    Example: `stream-al label p-1 spam`, `stream-al label p-1 --skip`
    """
    flags = {"skip": skip, "unsure": unsure, "retract": retract}
    kinds: list[LabelKind] = [kind for kind, given in flags.items() if given]  # type: ignore[misc]
    if len(kinds) + (label is not None) != 1:
        raise ConfigurationError("say one thing: a LABEL, or one of --skip, --unsure and --retract")
    body = label_of(
        event_id,
        kinds[0] if kinds else "label",
        label,
        annotator=actor_or_default(annotator),
        revision=revision,
        now_ms=now_ms(),
    )
    with opened(config) as (settings, log):
        place = append_label(log, settings, body)
        err.print(f"recorded in {in_log(settings, 'labels')}", markup=False)
        outcome = await_outcome(log, settings, place)
    if outcome is None:
        err.print(
            f"not answered yet: no worker has taken it within {OUTCOME_WAIT_S:.0f} s "
            "(`stream-al status` shows who runs); the next one does"
        )
        return
    if as_json:
        print_json(outcome.model_dump(mode="json"))
    else:
        out.print(visible(outcome_words(outcome, settings)), markup=False, soft_wrap=True)
    if outcome.outcome in NOT_TAKEN:
        raise typer.Exit(1)


def annotate(
    annotator: AnnotatorOption = None,
    show_prediction: ShowPredictionOption = False,
    config: ConfigOption = None,
) -> None:
    """Answer queries in the terminal, one key each: a label, s skip, u unsure, z undo, q quit.

    Two people on one machine never see one query at the same time. On Kafka, people on different
    machines, or as different users of one, may: the second answer is a duplicate or a conflict.

    Example: `stream-al annotate --annotator ana`
    """
    from stream_al.service.annotate import Annotating  # noqa: PLC0415 - a terminal only here

    needs = ("queries", "journal", "labels", "outcomes")
    with opened(config, needs=needs) as (settings, log):
        Annotating(
            log,
            settings,
            annotator=actor_or_default(annotator),
            console=err,
            show_prediction=show_prediction,
        ).run()
