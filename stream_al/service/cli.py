"""The command line's frame: one typer application, its commands in `stream_al.service.commands`."""

from __future__ import annotations

import typer

from stream_al.service.commands import (
    audit,
    broker,
    dead_letters,
    demo,
    evaluate,
    operate,
    people,
    replay,
    setup,
    snapshot,
    stream,
    topics,
    what_if,
)

app = typer.Typer(
    help=(
        "Streaming online active learning: predict every event, ask people about a few, "
        "learn from their labels while it runs."
    ),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
for module in (
    demo,
    audit,
    evaluate,
    setup,
    stream,
    people,
    operate,
    replay,
    snapshot,
    dead_letters,
    what_if,
    topics,
    broker,
):
    module.register(app)
