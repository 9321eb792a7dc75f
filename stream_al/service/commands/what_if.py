"""`stream-al what-if`: the recorded stream under another budget, random share or uncertainty.

Reads only: the journal as a whole, then each partition of the predictions in its order, a record at
a time. Budgets per hour count by the record time of events, which is read beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from stream_al.config import Config
from stream_al.errors import ConfigurationError
from stream_al.escaping import visible_json
from stream_al.gate import known_uncertainties
from stream_al.labels.proposals import control_problem
from stream_al.port import Log
from stream_al.private_files import opened_for_people
from stream_al.replay import REPEATS_MAX, Recorded, WhatIf, WhatIfReport, WouldAsk, caveats_of
from stream_al.service.commands.common import (
    ConfigOption,
    JsonOption,
    err,
    number_or_off,
    opened,
    out,
    print_json,
    progress,
)
from stream_al.service.settings import gate_secret
from stream_al.service.strategies import load_plugins
from stream_al.service.streams import write_json
from stream_al.service.view import differences, journal, predictions, records
from stream_al.service.what_if_text import text_of
from stream_al_connectors.opening import log_path

HOUR_MS = 3_600_000
PROGRESS_EVERY = 10_000


def register(app: typer.Typer) -> None:
    """Add this command to `app`."""
    app.command("what-if")(what_if)


def what_if(
    share: Annotated[float | None, typer.Option(help="Queries per event, 0 to 1.")] = None,
    per_hour: Annotated[
        str | None, typer.Option(help="Labels an hour over all partitions, or `off`.")
    ] = None,
    open_max: Annotated[
        str | None, typer.Option("--open", help="Pending queries over all partitions, or `off`.")
    ] = None,
    random_share: Annotated[
        float | None, typer.Option(help="Part of the budget spent at random, 0.01 to 1.")
    ] = None,
    uncertainty: Annotated[
        str | None, typer.Option(help="entropy, margin or least_confidence.")
    ] = None,
    burst: Annotated[int | None, typer.Option(help="Queries a block may hold.")] = None,
    repeats: Annotated[
        int, typer.Option(min=1, max=REPEATS_MAX, help="How many secrets of the gate to try.")
    ] = 20,
    list_to: Annotated[
        str | None,
        typer.Option(
            "--list", metavar="FILE", help="Events that would have been asked, as JSON lines; or -."
        ),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what another budget, random share or uncertainty would have done on the recorded stream.

    What is not named stays as it was recorded, hour by hour. Nothing is written to the log.

    Example: `stream-al what-if --share 0.02 --list asked.jsonl`
    """
    if list_to == "-" and as_json:
        raise ConfigurationError("--list - and --json both want stdout; give --list a file")
    budget: dict[str, Any] = {"share": share}
    if per_hour is not None:
        budget["per_hour"] = number_or_off("--per-hour", per_hour, float)
    if open_max is not None:
        budget["open"] = number_or_off("--open", open_max, int)
    gate: dict[str, Any] = {
        "random_share": random_share,
        "uncertainty": uncertainty,
        "burst": burst,
    }
    patch: dict[str, Any] = {name: value for name, value in gate.items() if value is not None}
    if share is None:
        del budget["share"]
    if budget:
        patch["budget"] = budget
    with opened(config, needs=("events", "predictions", "journal")) as (settings, log):
        load_plugins(settings)
        report = _fold(log, settings, {"gate": patch} if patch else {}, repeats, list_to)
    if as_json:
        print_json(_json_of(report))
        return
    for line in text_of(report):
        (err if list_to == "-" else out).print(line, markup=False)


def _fold(
    log: Log, config: Config, patch: dict[str, Any], repeats: int, list_to: str | None
) -> WhatIfReport:
    topic = config.topic("predictions")
    # Ends before the journal: every prediction up to them is of a version that the journal has.
    ends = [log.end(topic, partition) for partition in range(log.partition_count(topic))]
    begins = [log.begin(topic, partition) for partition in range(len(ends))]
    if ends == begins:
        raise ConfigurationError(
            f"{topic} holds no prediction yet: a what-if needs a recorded stream; "
            "start `stream-al run` first"
        )
    recorded = Recorded(config.settings())
    for position, entry in journal(log, config):
        recorded.apply(entry, position)
    problem = control_problem(recorded.in_force, patch, known_uncertainties)
    if patch and problem is not None:
        raise ConfigurationError(problem)
    folded = WhatIf(recorded, patch, repeats=repeats, secret=_secret(config))
    if any(begins):
        folded.give_up_self_check("the first predictions are not there any more")
    done, total = 0, sum(ends) - sum(begins)
    with _listed(list_to) as note, progress("events") as moved:
        for partition, end in enumerate(ends):
            timed = _timed(log, config, folded, partition, end)
            for number, (said, at_ms) in enumerate(timed, 1):
                found = folded.add(partition, at_ms, said)
                if found is not None:
                    note(found)
                if number % PROGRESS_EVERY == 0:
                    done += PROGRESS_EVERY
                    moved(done, total)
    return folded.report()


def _secret(config: Config) -> bytes | None:
    """Return the gate's secret where this machine has it: for the self-check."""
    try:
        return gate_secret(config, beside=Path(log_path(config)), create=False)
    except ConfigurationError:
        return None


def _timed(
    log: Log, config: Config, folded: WhatIf, partition: int, end: int
) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield a partition's predictions below `end` with the record time of their events.

    Where it decides nothing, or the event is gone, it is the prediction's own.
    """
    stored = predictions(log, config, partition, 0)
    found = (pair for pair in stored if pair[0].offset < end)
    if not folded.needs_times:
        for record, said in found:
            yield said, record.timestamp_ms
        return
    events = records(log, config.topic("events"), partition, 0)
    event = next(events, None)
    for record, said in found:
        offset = said["source"]["offset"]
        while event is not None and event.offset < offset:
            event = next(events, None)
        if event is not None and event.offset == offset:
            yield said, event.timestamp_ms
        else:
            folded.give_up_self_check("record times of events that are not there any more decided")
            yield said, record.timestamp_ms


@contextmanager
def _listed(list_to: str | None) -> Iterator[Callable[[WouldAsk], None]]:
    """Give what writes an event to the list."""
    if list_to is None:
        yield lambda _: None
        return
    if list_to == "-":
        yield lambda found: write_json(_line(found))
        return
    try:
        with opened_for_people(Path(list_to)) as file:
            yield lambda found: print(_line(found), file=file)
    except OSError as error:
        raise ConfigurationError(
            f"--list is {list_to!r}: {error.strerror}; name a file that can be written, or -"
        ) from None


def _line(found: WouldAsk) -> str:
    return visible_json(asdict(found))


def _json_of(report: WhatIfReport) -> dict[str, Any]:
    """Return the report as one JSON document."""
    hours = [
        {"hour_ms": hour * HOUR_MS if isinstance(hour, int) else None, **asdict(spent)}
        for hour, spent in report.hours.items()
    ]
    segments = [{"segment": segment, **asdict(spent)} for segment, spent in report.segments.items()]
    changed = differences(report.changed, report.recorded)
    return {
        "events": report.events,
        "repeats": report.repeats,
        "on_paper": report.on_paper,
        "changed": {
            name: {"recorded": was, "what_if": would} for name, (would, was) in changed.items()
        },
        "spend": asdict(report.spend),
        "partitions": [
            {"partition": partition, **asdict(spent)}
            for partition, spent in report.partitions.items()
        ],
        "segments": segments,
        "hours": hours,
        "estimates": asdict(report.estimates),
        "self_check": asdict(report.self_check),
        "caveats": caveats_of(report),
    }
