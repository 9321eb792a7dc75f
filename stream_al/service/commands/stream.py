"""Records in and out: `send` appends lines as they are, `read` shows a topic as JSON lines."""

from __future__ import annotations

import base64
import json
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

import typer
from pydantic_core import from_json

from stream_al.config import Config
from stream_al.engine import EventReader
from stream_al.errors import ConfigurationError, InvalidInput
from stream_al.port import Log, Outgoing, Record
from stream_al.service.commands.common import ConfigOption, err, opened, topic_of

SEND_RECORDS_MAX = 1_000
READ_RECORDS_MAX = 500
FOLLOW_EVERY_S = 0.2


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    app.command()(send)
    app.command()(read)


def send(
    file: Annotated[Path, typer.Argument(help="A file with one record a line, or - for stdin.")],
    topic: Annotated[Literal["events", "labels"], typer.Option(help="Where to.")] = "events",
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="At most so many records a second.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Append lines to a topic, bytes unchanged.

    The key is the event's id where one can be read; blank lines are skipped.

    Example: `stream-al send posts.jsonl --rate 100`
    """
    with opened(config, create=True) as (settings, log), _lines(file) as lines:
        sent = _send(log, settings, settings.topic(topic), topic, lines, rate)
    err.print(f"sent {sent:,} records to {settings.topic(topic)}")


def _send(
    log: Log, config: Config, full: str, topic: str, lines: Iterable[bytes], rate: float | None
) -> int:
    batch_max = SEND_RECORDS_MAX if rate is None else max(1, min(SEND_RECORDS_MAX, int(rate / 10)))
    reader = EventReader(config.events)
    started = time.monotonic()
    sent = 0
    batch: list[Outgoing] = []
    for line in lines:
        value = line.rstrip(b"\r\n")
        if not value.strip():
            continue
        batch.append(Outgoing(value=value, key=_key(reader, topic, value)))
        if len(batch) == batch_max:
            log.append(full, batch)
            sent += len(batch)
            batch = []
            if rate is not None:
                time.sleep(max(0.0, started + sent / rate - time.monotonic()))
    if batch:
        log.append(full, batch)
    return sent + len(batch)


def _key(reader: EventReader, topic: str, value: bytes) -> bytes | None:
    try:
        if topic == "events":
            return reader.read(value).event_id.encode()
        event_id = from_json(value)["event_id"]
    except (InvalidInput, ValueError, TypeError, KeyError):
        return None
    return event_id.encode() if isinstance(event_id, str) else None


@contextmanager
def _lines(file: Path) -> Iterator[Iterator[bytes]]:
    if str(file) == "-":
        yield iter(sys.stdin.buffer)
        return
    try:
        opened_file: BinaryIO = file.open("rb")
    except OSError as error:
        raise ConfigurationError(
            f"FILE is {str(file)!r}: {error.strerror}; name a file with one record a line, or -"
        ) from None
    with opened_file:
        yield iter(opened_file)


def read(
    topic: Annotated[
        str,
        typer.Argument(
            help="events, predictions, queries, labels, outcomes, journal, statistics, "
            "controls or dead-letters."
        ),
    ],
    follow: Annotated[bool, typer.Option(help="Go on with what comes.")] = False,
    start: Annotated[int, typer.Option("--from", min=0, help="First offset of partitions.")] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many records.")] = None,
    config: ConfigOption = None,
) -> None:
    """Show a topic as JSON lines: committed records, partition by partition.

    Each line is `{"partition", "offset", "value"}`; a value that is no JSON comes as
    `value_base64`.

    Example: `stream-al read predictions --follow`
    """
    with opened(config) as (settings, log):
        full = topic_of(settings, topic)
        shown = 0
        positions = {
            partition: max(start, log.begin(full, partition))
            for partition in range(log.partition_count(full))
        }
        while True:
            before = shown
            for partition in positions:
                for record in _records(log, full, positions, partition):
                    _show(record)
                    shown += 1
                    if shown == limit:
                        return
            sys.stdout.flush()
            if not follow:
                return
            if shown == before:
                time.sleep(FOLLOW_EVERY_S)


def _records(log: Log, full: str, positions: dict[int, int], partition: int) -> Iterator[Record]:
    """Yield a partition's records to its present end, moving its position."""
    while records := log.read(full, partition, positions[partition], limit=READ_RECORDS_MAX):
        for record in records:
            positions[partition] = record.offset + 1
            yield record


def _show(record: Record) -> None:
    line: dict[str, Any] = {"partition": record.partition, "offset": record.offset}
    try:
        line["value"] = from_json(record.value)
        text = json.dumps(line, ensure_ascii=False, allow_nan=True)
    except ValueError:
        line["value_base64"] = base64.b64encode(record.value).decode()
        text = json.dumps(line)
    sys.stdout.write(text + "\n")
