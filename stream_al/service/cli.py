"""The command line's frame: one typer application, its commands in `stream_al.service.commands`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

import stream_al
from stream_al.service.commands import (
    audit,
    backup,
    broker,
    dead_letters,
    demo,
    evaluate,
    mapping,
    operate,
    people,
    positions,
    replay,
    setup,
    snapshot,
    stream,
    topics,
    what_if,
)
from stream_al.service.logs import FORMAT_OPTION, FORMAT_VARIABLE, LogFormat

LogFormatOption = Annotated[
    LogFormat | None,
    typer.Option(
        FORMAT_OPTION,
        help=f"Of log lines and of the line that says why it ended [default: logfmt, or "
        f"{FORMAT_VARIABLE}].",
    ),
]

app = typer.Typer(
    help=(
        "Streaming online active learning: predict every event, ask people about a few, "
        "learn from their labels while it runs."
    ),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (
    demo,
    audit,
    backup,
    evaluate,
    setup,
    stream,
    people,
    operate,
    mapping,
    replay,
    snapshot,
    dead_letters,
    positions,
    what_if,
    topics,
    broker,
):
    module.register(app)


def _with_log_format(command: Callable[..., Any]) -> Callable[..., Any]:
    """Return a command that also takes the option of all; `logs.chosen_format` reads it.

    That is before the command line is understood: the line about a wrong one has a format, too.
    """

    @functools.wraps(command)
    def taking(*, log_format: LogFormat | None = None, **arguments: Any) -> Any:
        del log_format
        return command(**arguments)

    option = inspect.Parameter(
        "log_format", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=LogFormatOption
    )
    signature = inspect.signature(command, eval_str=True)
    taken = [*signature.parameters.values(), option]
    taking.__signature__ = signature.replace(parameters=taken)  # type: ignore[attr-defined]
    return taking


def _no_command() -> None:
    """Take the options that stand before a command's name."""


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"stream-al {stream_al.__version__}")
        raise typer.Exit


@app.callback()
def _first(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_say_version, is_eager=True, help="Say it, and end."),
    ] = False,
) -> None:
    """Take the options that stand before a command's name."""


def _take_log_format(group: typer.Typer) -> None:
    """Let every command of `group`, at any depth, take the option, and the group itself."""
    if group.registered_callback is None:
        group.callback()(_no_command)
    for info in (group.registered_callback, *group.registered_commands):
        if info is not None and info.callback is not None:
            info.callback = _with_log_format(info.callback)
    for below in group.registered_groups:
        if below.typer_instance is not None:
            _take_log_format(below.typer_instance)


_take_log_format(app)
