"""Positions of the groups for people: where each partition goes on, and what is wrong with it."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from stream_al.service.clock import SystemClock
from stream_al.service.commands.common import (
    ActorOption,
    ConfigOption,
    JsonOption,
    actor_or_default,
    err,
    opened,
    out,
    print_json,
)
from stream_al.service.repairing import Found, look, repair

WRONG = 3
READS = ("events", "predictions", "queries", "labels", "outcomes", "journal", "dead_letters")

positions_app = typer.Typer(invoke_without_command=True, pretty_exceptions_enable=False)


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    app.add_typer(positions_app, name="positions")


@positions_app.callback()
def positions(
    context: typer.Context, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Where events and labels are read on, and what is wrong there: exit 3; or `repair` it.

    Example: `stream-al positions`, `stream-al positions repair --reason "group was reset"`
    """
    context.obj = config
    if context.invoked_subcommand is not None:
        return
    with opened(config, needs=READS) as (settings, log):
        found = look(log, settings)
    if as_json:
        print_json([_row(one) for one in found])
    else:
        _show(found)
    if any(one.wrong for one in found):
        raise typer.Exit(WRONG)


@positions_app.command("repair")
def repair_command(
    context: typer.Context,
    reason: Annotated[str, typer.Option(help="Why; kept in the journal with your name.")] = "",
    actor: ActorOption = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set positions that workers refuse to go on from, while no worker runs.

    Every record gets one answer: what has none is read again, what has one is not. Of a topic that
    was deleted and made again everything is read.

    Example: `stream-al positions repair --dry-run`
    """
    with opened(config or context.obj, needs=READS) as (settings, log):
        found = look(log, settings)
        wrong = [one for one in found if one.wrong]
        if wrong and not dry_run:
            who = actor_or_default(actor)
            repair(log, settings, found, actor=who, reason=reason, clock=SystemClock())
    if as_json:
        print_json([_row(one) for one in wrong])
        return
    for one in wrong:
        assert one.wrong is not None, "of these alone"
        out.print(f"{one.wrong.sentence}", markup=False, soft_wrap=True)
        said = "would go on" if dry_run else "goes on"
        out.print(f"  {said} at {one.wrong.offset}", markup=False)
    if not wrong:
        err.print("nothing to repair: every position fits what is answered")
    elif not dry_run:
        err.print("done; start the workers")


def _row(one: Found) -> dict[str, Any]:
    return {
        "topic": one.it.topic,
        "partition": one.it.partition,
        "group": one.it.group,
        "position": None if one.position is None else one.position.offset,
        "begin": one.begin,
        "end": one.end,
        "wrong": None if one.wrong is None else one.wrong.sentence,
        "goes_on_at": None if one.wrong is None else one.wrong.offset,
    }


def _show(found: list[Found]) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("topic", "partition", "position", "begin", "end"):
        table.add_column(heading, justify="left" if heading == "topic" else "right")
    for one in found:
        position = "none" if one.position is None else f"{one.position.offset:,}"
        table.add_row(
            one.it.topic, str(one.it.partition), position, f"{one.begin:,}", f"{one.end:,}"
        )
    out.print(table, markup=False)
    for one in found:
        if one.wrong is not None:
            out.print(f"wrong    {one.wrong.sentence}", markup=False, soft_wrap=True)
