"""What annotators do: see open queries, label them, annotate one key at a time."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.table import Table

from stream_al.config import Config
from stream_al.engine import parse
from stream_al.errors import ConfigurationError
from stream_al.messages import Label, LabelKind, Outcome, Query
from stream_al.port import Log, Outgoing
from stream_al.service.commands.common import (
    ConfigOption,
    JsonOption,
    actor_or_default,
    err,
    now_ms,
    opened,
    out,
    print_json,
)
from stream_al.service.rebuild import rebuild

OUTCOME_WAIT_S = 3.0
OUTCOME_POLL_S = 0.03
TEXT_SHOWN_CHARACTERS = 70

AnnotatorOption = Annotated[str | None, typer.Option(help="Your name [default: user@host].")]


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    app.command()(queries)
    app.command()(label)
    app.command()(annotate)


def queries(
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List open queries, most urgent first.

    Example: `stream-al queries --limit 5`
    """
    with opened(config) as (settings, log):
        resolver = rebuild(log, settings, now_ms=now_ms())
        found = [pending.query for pending in resolver.open_queries(limit)]
        open_count = resolver.pending_count
    if as_json:
        print_json([query.model_dump(mode="json") for query in found])
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("event", "predicted", "why", "p", "asked", "what"):
        table.add_column(heading, overflow="ellipsis", no_wrap=True)
    for query in found:
        age_s = max(0, now_ms() - query.asked_at_ms) // 1_000
        table.add_row(
            query.event_id,
            predicted(query),
            query.reason,
            f"{query.propensity:.3f}",
            f"{age_s // 3600}h{age_s % 3600 // 60:02}m{age_s % 60:02}s ago",
            shown(query, TEXT_SHOWN_CHARACTERS),
        )
    out.print(table, markup=False) if found else None
    err.print(f"{open_count:,} open; answer one with `stream-al label EVENT_ID LABEL`")


def predicted(query: Query) -> str:
    """Return the prediction as people read it: `spam 69 %`."""
    if query.label is None:
        return "nothing yet"
    return f"{query.label} {query.probabilities[query.label]:.0%}"


def shown(query: Query, characters_max: int) -> str:
    """Return what the event says, in one line: its text, else its features."""
    text = query.features.get("text")
    if not isinstance(text, str):
        text = "  ".join(f"{name}={value}" for name, value in query.features.items())
    text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= characters_max else text[: characters_max - 1] + "…"


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
    body = Label(
        event_id=event_id,
        kind=kinds[0] if kinds else "label",
        label=label,
        annotator=actor_or_default(annotator),
        revision=revision,
        at_ms=now_ms(),
    )
    with opened(config) as (settings, log):
        place = append_label(log, settings, body)
        outcome = await_outcome(log, settings, place)
    if outcome is None:
        err.print(
            f"recorded; no worker has taken it within {OUTCOME_WAIT_S:.0f} s "
            "(`stream-al status` shows who runs)"
        )
        return
    if as_json:
        print_json(outcome.model_dump(mode="json"))
    else:
        why = f" ({outcome.reason})" if outcome.reason else ""
        out.print(f"{outcome.outcome}{why}", markup=False)


def append_label(log: Log, config: Config, label: Label) -> tuple[int, int]:
    """Append a label; return its partition and offset in the labels topic."""
    outgoing = Outgoing(value=label.to_wire(), key=label.event_id.encode())
    return log.append(config.topic("labels"), [outgoing])[0]


def await_outcome(log: Log, config: Config, place: tuple[int, int]) -> Outcome | None:
    """Wait a little for the outcome of the label at `place`; None when no worker took it."""
    partition, offset = place
    topic = config.topic("outcomes")
    position = max(log.begin(topic, partition), log.end(topic, partition) - 1_000)
    deadline = time.monotonic() + OUTCOME_WAIT_S
    while time.monotonic() < deadline:
        for record in log.read(topic, partition, position, limit=1_000):
            position = record.offset + 1
            outcome = parse(Outcome, record.value)
            if outcome.source.offset == offset and outcome.source.partition == partition:
                return outcome
        time.sleep(OUTCOME_POLL_S)
    return None


def annotate(
    annotator: AnnotatorOption = None,
    config: ConfigOption = None,
) -> None:
    """Answer queries in the terminal, one key each: a label, s skip, u unsure, z undo, q quit.

    Two people never see one query at the same time.

    Example: `stream-al annotate --annotator ana`
    """
    from stream_al.service.annotate import Annotating  # noqa: PLC0415 - a terminal only here

    with opened(config) as (settings, log):
        Annotating(log, settings, annotator=actor_or_default(annotator), console=err).run()
