"""`run --from`: where the reading of events begins on the first start of an app.

It is journaled with the first records, so every worker, `audit` and `status` count from there.
Later starts find it there, and go on where they were.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from stream_al.config import Config
from stream_al.errors import ConfigurationError
from stream_al.messages import StartEntry
from stream_al.port import Log
from stream_al.service.groups import scorer_group
from stream_al.service.logs import log as log_line
from stream_al.service.view import READ_RECORDS_MAX, journal

LATEST = "latest"
OUTPUTS = ("predictions", "queries", "dead_letters")
Begins = Callable[[int], StartEntry | None]
"""By the resolver's clock: where inputs begin when the journal does; None: where they do."""


def begin_at(text: str | None, *, now_ms: int) -> int | None:
    """Return the time that `--from` says, in ms since 1970; None for `latest`.

    Raises
    ------
    ConfigurationError
        When it is neither, has no zone, or lies in the future.

    Examples
    --------
    >>> begin_at("2026-11-30T00:00Z", now_ms=2_000_000_000_000)
    1795996800000
    >>> begin_at("latest", now_ms=0) is None
    True
    """
    if text in (None, LATEST):
        return None
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        raise _refused(text, "is no time") from None
    if found.tzinfo is None:
        raise _refused(text, "has no zone")
    at_ms = (found - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    if at_ms > now_ms:
        raise _refused(text, "lies in the future")
    return at_ms


def _refused(text: str | None, what: str) -> ConfigurationError:
    return ConfigurationError(
        f"--from is {text!r}, which {what}; write latest, or a time with its zone as in "
        "2026-11-30T00:00Z"
    )


def beginning(log: Log, config: Config, text: str, *, role: str, now_ms: int) -> Begins:
    """Return what journals the beginning that `--from` asks for, when the journal begins.

    Raises
    ------
    ConfigurationError
        When the app began without it, or this worker writes no journal.
    """
    at_ms = begin_at(text, now_ms=now_ms)
    if role == "scorer":
        raise ConfigurationError(
            f"--from is {text!r}, but a worker of --role scorer writes no journal, where that is "
            "recorded; give it to the first worker with a resolver, which scorers wait for"
        )
    recorded = _recorded(log, config)
    if recorded is not None:
        log_line("began", reason=recorded.reason, events=list(recorded.starts))
        return nothing_said
    events, group = config.topic("events"), scorer_group(config)
    counts = range(log.partition_count(events))
    if log.end(config.topic("journal"), 0) or any(log.committed(group, events, p) for p in counts):
        raise ConfigurationError(
            f"--from is {text!r}, but {config.app!r} began before, without it: this is for the "
            "first start of an app; leave it out, or begin with another `app`"
        )

    def begins(decided_ms: int) -> StartEntry:
        ends = log.ends(events)
        starts = [
            end if at_ms is None else log.position_at(events, partition, at_ms)
            for partition, end in enumerate(ends)
        ]
        log_line("begins", reason=f"run --from {text}", events=starts)
        return StartEntry(
            at_ms=decided_ms,
            starts=tuple(starts),
            outputs={name: tuple(log.ends(config.topic(name))[: len(starts)]) for name in OUTPUTS},
            actor="resolver",
            reason=f"run --from {text}",
        )

    return begins


def nothing_said(_: int) -> StartEntry | None:
    """Return nothing: inputs begin where their topics do."""
    return None


def _recorded(log: Log, config: Config) -> StartEntry | None:
    """Return what an earlier start recorded: it stands among the journal's first records."""
    for position, entry in journal(log, config):
        if isinstance(entry, StartEntry) and entry.reason.startswith("run --from"):
            return entry
        if position > READ_RECORDS_MAX:
            break
    return None
