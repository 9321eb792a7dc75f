"""What the commands share: options, opening the log, output for people and for scripts."""

from __future__ import annotations

import getpass
import os
import re
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from stream_al.config import TOPIC_NAMES, Config
from stream_al.errors import ConfigurationError
from stream_al.escaping import visible_json
from stream_al.port import Log
from stream_al.service.console import SafeConsole
from stream_al.service.settings import Loaded, load
from stream_al.service.starting import partition_counts
from stream_al.service.streams import write_json
from stream_al_connectors.opening import log_path, open_log

HOURS_SHOWN_MAX = 72
YEAR_DAYS = 365.25
NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]{1,3})?")
"""What an option takes: `010` and `1_000` can be read in two ways."""

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="Configuration [default: stream-al.yaml, if there]."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
ReasonOption = Annotated[str, typer.Option(help="Why; kept in the journal with your name.")]
ActorOption = Annotated[
    str | None, typer.Option(help="Who does it [default: user@host of this shell].")
]

out = SafeConsole()
err = SafeConsole(stderr=True, soft_wrap=True)


def now_ms() -> int:
    """Return the wall clock in ms since 1970."""
    return time.time_ns() // 1_000_000


@contextmanager
def opened(
    config_file: Path | None, *, create: bool = False, needs: Sequence[str] = ()
) -> Iterator[tuple[Config, Log]]:
    """Give the configuration and its log, closed at the end.

    Parameters
    ----------
    create
        Make the log where it is made on first use.
    needs
        Short names of topics that must be there: what can't be seen is not taken for empty.
    """
    config = configured(config_file, create=create)
    log = open_log(config, create=create)
    try:
        partition_counts(log, config, needs)
        yield config, log
    finally:
        log.close()


def configured(config_file: Path | None, *, create: bool) -> Config:
    """Return the configuration, once it is sure that its log is there, or may be made.

    Raises
    ------
    ConfigurationError
        Also when a log lies where its path counted from before.
    """
    loaded = load(config_file)
    problem = log_problem(loaded, create=create)
    if problem is not None:
        raise ConfigurationError(problem)
    return loaded.config


def log_problem(loaded: Loaded, *, create: bool) -> str | None:
    """Return what is wrong with the place of an embedded log; None if nothing."""
    if loaded.config.log.connector != "sqlite":
        return None
    here, was = Path(log_path(loaded.config)).absolute(), loaded.log_was
    if here.exists():
        return None
    if was is not None and was.exists():
        return (
            f"log.path: there is no log at {here}, but one at {was}: relative paths of "
            f"{loaded.file} count from its folder, no longer from the current one; write "
            f"`log: {{path: {was}}}` there, or move that log with all files beside it"
        )
    if create:
        return None
    return (
        f"log.path: there is no log at {here}, which {loaded} names; name another by --config, or "
        "start `stream-al run` with this one first"
    )


@contextmanager
def progress(text: str) -> Iterator[Callable[[int, int], None]]:
    """Give what moves a bar on stderr to (done, total), shown while stdout is a terminal."""
    from rich.progress import Progress  # noqa: PLC0415 - most commands need none

    with Progress(console=err, transient=True, disable=not sys.stdout.isatty()) as bar:
        task = bar.add_task(text, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def actor_or_default(actor: str | None) -> str:
    """Return who acts: given, or the shell's user at this host."""
    return actor or f"{_user()}@{os.uname().nodename}"


def _user() -> str:
    """Return the shell's user; the number where the system knows no name, as in containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"


def new_proposal_id() -> str:
    """Return a fresh id, by which a proposal and its journal record find each other."""
    return uuid.uuid4().hex


def topic_of(config: Config, name: str) -> str:
    """Return the full name of a topic that people call by its short one.

    Raises
    ------
    ConfigurationError
        When there is no such topic.
    """
    short = name.replace("-", "_")
    if short not in TOPIC_NAMES:
        known = ", ".join(known.replace("_", "-") for known in TOPIC_NAMES)
        raise ConfigurationError(f"TOPIC is {name!r}; the topics are {known}")
    return config.topic(short)


def print_json(value: Any) -> None:
    """Write one JSON document to stdout."""
    write_json(visible_json(value))


def age_text(ms: int) -> str:
    """Return how long ago something was, or how far ahead, in the two units that matter.

    Examples
    --------
    >>> age_text(3_661_000), age_text(-7_200_000)
    ('1h01m ago', 'in 2h00m')
    """
    seconds = abs(ms) // 1_000
    hours, days = seconds // 3_600, seconds // 86_400
    if hours < 1:
        said = f"{seconds // 60}m{seconds % 60:02}s"
    elif hours < HOURS_SHOWN_MAX:
        said = f"{hours}h{seconds % 3_600 // 60:02}m"
    else:
        said = f"{days}d" if days < 2 * YEAR_DAYS else f"{int(days / YEAR_DAYS)}y"
    return f"in {said}" if ms < 0 and seconds else f"{said} ago"


def number_or_off(option: str, text: str, kind: type[float | int]) -> float | None:
    """Return the number that an option says; None for `off`.

    Raises
    ------
    ConfigurationError
        When it is neither.
    """
    if text == "off":
        return None
    try:
        if NUMBER.fullmatch(text):
            return kind(text)
    except ValueError:
        pass
    raise ConfigurationError(f"{option} is {text!r}; give a decimal number, or off")
