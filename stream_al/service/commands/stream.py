"""Records in and out: `send` appends lines as they are, `read` shows a topic as JSON lines."""

from __future__ import annotations

import base64
import shlex
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

import typer
from pydantic_core import from_json

from stream_al.errors import ConfigurationError
from stream_al.escaping import visible, visible_json
from stream_al.port import Log, Outgoing, Record
from stream_al.service.commands.common import ConfigOption, err, opened, topic_of
from stream_al.service.keys import KeyReader
from stream_al.service.looking import begins_with_mark, paths_of, refused
from stream_al.service.streams import write_json
from stream_al.service.view import opened_up, records
from stream_al_connectors.opening import in_log

SEND_RECORDS_MAX = 1_000
FOLLOW_EVERY_S = 0.2
CHUNK_BYTES = 1_048_576
HEAD_LINES, HEAD_BYTES = 8, 4_096
"""What is looked at before anything is sent."""
UNREADABLE_SHOWN = 5


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

    The key is the event's id where one can be read; blank lines are skipped. A file that does not
    hold one JSON object a line (an archive, an array, UTF-16) is refused, with the command that
    makes it one; lines that this configuration can't read are sent, and counted on stderr.

    Example: `stream-al send posts.jsonl --rate 100`
    """
    with opened(config, create=True) as (settings, log), _opened_lines(file) as lines:
        found = _looked_at(lines, str(file), _then(topic, config), paths_of(settings, topic))
        keys = KeyReader(settings)
        sent = _send(log, keys, settings.topic(topic), topic, found, rate)
    err.print(f"sent {sent:,} records to {in_log(settings, topic)}", markup=False)
    _say_unreadable(keys, "stdin" if str(file) == "-" else str(file), sent)


def _then(topic: str, config: Path | None) -> str:
    """Return the command that sends to the same place what comes from stdin."""
    options = [] if topic == "events" else ["--topic", topic]
    options += [] if config is None else ["--config", str(config)]
    return shlex.join(["stream-al", "send", "-", *options])


def _looked_at(
    chunks: Iterator[list[bytes]], name: str, then: str, paths: Mapping[str, str]
) -> Iterator[list[bytes]]:
    """Return the chunks, the first of which was looked at.

    Raises
    ------
    ConfigurationError
        When they are no lines of JSON; nothing is sent then.
    """
    first = next(chunks, [])
    head = b"\n".join(line.rstrip(b"\r\n") for line in first[:HEAD_LINES])[:HEAD_BYTES]
    why = refused(head, name, then, paths)
    if why is not None:
        raise ConfigurationError(f"FILE {why}")
    if begins_with_mark(head):
        said = f"{name} begins with a mark of byte order; it is sent, and passed over in reading"
        err.print(said, markup=False)
    return chain([first], chunks)


def _say_unreadable(keys: KeyReader, name: str, sent: int) -> None:
    """Say what of that was sent will be a dead letter, each kind once."""
    count = keys.problems.count
    if not count:
        return
    said = f"{count:,} of {sent:,} can't be read by this configuration, and become dead letters:"
    err.print(said, markup=False)
    for said in keys.problems.sentences(name, sent)[:UNREADABLE_SHOWN]:
        err.print(f"  {visible(said)}", markup=False)


def _send(
    log: Log,
    keys: KeyReader,
    full: str,
    topic: str,
    chunks: Iterable[list[bytes]],
    rate: float | None,
) -> int:
    """Append what each chunk holds, at most `SEND_RECORDS_MAX` records a transaction."""
    batch_max = SEND_RECORDS_MAX if rate is None else max(1, min(SEND_RECORDS_MAX, int(rate / 10)))
    started = time.monotonic()
    sent = read = 0
    for lines in chunks:
        values = [
            (number, value)
            for number, line in enumerate(lines, read + 1)
            if (value := line.rstrip(b"\r\n")).strip()
        ]
        read += len(lines)
        for start in range(0, len(values), batch_max):
            batch = values[start : start + batch_max]
            log.append(
                full, [Outgoing(value, key=keys.key(topic, value, line)) for line, value in batch]
            )
            sent += len(batch)
            if rate is not None:
                time.sleep(max(0.0, started + sent / rate - time.monotonic()))
    return sent


@contextmanager
def _opened_lines(file: Path) -> Iterator[Iterator[list[bytes]]]:
    if str(file) == "-":
        yield _live_chunks(sys.stdin.buffer)
        return
    try:
        opened_file = file.open("rb")
    except OSError as error:
        raise ConfigurationError(
            f"FILE is {str(file)!r}: {error.strerror}; name a file with one record a line, or -"
        ) from None
    with opened_file:
        yield _full_chunks(opened_file)


def _full_chunks(file: BinaryIO) -> Iterator[list[bytes]]:
    while lines := list(islice(file, SEND_RECORDS_MAX)):
        yield lines


def _read_some(pipe: Any) -> bytes:
    try:
        found: bytes = pipe.read1(CHUNK_BYTES)
    except OSError as error:
        raise ConfigurationError(
            f"FILE is '-', but stdin can't be read ({error.strerror}): it is closed or a folder; "
            "pipe lines into it, or name a file"
        ) from None
    return found


def _live_chunks(pipe: Any) -> Iterator[list[bytes]]:
    """Yield whole lines as they come: a live pipe is not held back until a batch is full."""
    rest = b""
    while chunk := _read_some(pipe):
        *lines, rest = (rest + chunk).split(b"\n")
        if lines:
            yield lines
    if rest:
        yield [rest]


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
        positions: dict[int, int] = {}
        while True:
            before = shown
            for partition in range(log.partition_count(full)):
                for record in records(log, full, partition, positions.get(partition, start)):
                    positions[partition] = record.offset + 1
                    for one in _opened_up(record) if topic == "predictions" else (record,):
                        _show(one)
                        shown += 1
                        if shown == limit:
                            return
            sys.stdout.flush()
            if not follow:
                return
            if shown == before:
                time.sleep(FOLLOW_EVERY_S)


def _opened_up(record: Record) -> Iterator[Record]:
    """Yield each message of an array; what is none stays as it is."""
    try:
        yield from opened_up(record)
    except ValueError:
        yield record


def _show(record: Record) -> None:
    line: dict[str, Any] = {"partition": record.partition, "offset": record.offset}
    try:
        line["value"] = from_json(record.value)
        text = visible_json(line)
    except ValueError:
        line["value_base64"] = base64.b64encode(record.value).decode()
        text = visible_json(line)
    write_json(text)
