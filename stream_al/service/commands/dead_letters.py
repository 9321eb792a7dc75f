"""Dead letters for people: what was set aside and why, one of them whole, sending them again."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from stream_al.config import Config
from stream_al.errors import ConfigurationError
from stream_al.escaping import visible_lines
from stream_al.messages import DeadLetter
from stream_al.service.commands.common import (
    ActorOption,
    ConfigOption,
    JsonOption,
    actor_or_default,
    err,
    now_ms,
    opened,
    out,
    print_json,
)
from stream_al.service.dead import (
    Listing,
    Place,
    Summary,
    hint,
    letter_at,
    list_letters,
    raw_of,
    redriven_places,
    short_topic,
)
from stream_al.service.redrive import Redriven, redrive, wanted_where
from stream_al_connectors.opening import in_log

LIST_MAX = 50
HEX_BYTES = 16

letters_app = typer.Typer(invoke_without_command=True, pretty_exceptions_enable=False)

PlaceArgument = Annotated[
    str, typer.Argument(metavar="PLACE", help="partition:offset, as `list` shows it.")
]
LimitOption = Annotated[int, typer.Option(min=1, max=10_000, help="At most so many letters.")]


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    app.add_typer(letters_app, name="dead-letters")


@letters_app.callback()
def dead_letters(
    context: typer.Context,
    limit: LimitOption = LIST_MAX,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Input that was set aside: list it (the default), `show` a letter, or `redrive` it.

    Example: `stream-al dead-letters`, `stream-al dead-letters redrive --where error=TooLarge`
    """
    context.obj = config
    if context.invoked_subcommand is None:
        _list(config, limit, as_json=as_json)


@letters_app.command("list")
def letters_list(
    context: typer.Context,
    limit: LimitOption = LIST_MAX,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Count letters by error and topic, then show the newest.

    Example: `stream-al dead-letters list --limit 5`
    """
    _list(config or context.obj, limit, as_json=as_json)


def _list(config: Any, limit: int, *, as_json: bool) -> None:
    with opened(config, needs=("dead_letters",)) as (settings, log):
        found = list_letters(log, settings, limit=limit)
    if as_json:
        print_json(_listing_json(found, settings))
        return
    _show_counts(found)
    if found.newest:
        out.print()
        _show_newest(found.newest, settings)
    if found.foreign:
        err.print(f"{found.foreign:,} records of the topic are no dead letters; passed over")


def _show_counts(found: Listing) -> None:
    if not found.counts:
        err.print("no dead letters")
        return
    kinds = {(error, topic) for error, topic, _ in found.counts}
    totals = {kind: found.counts[*kind, False] + found.counts[*kind, True] for kind in kinds}
    out.show_table(
        ("error", "topic", "letters", "redriven"),
        [
            (*kind, f"{totals[kind]:,}", f"{found.counts[*kind, True]:,}")
            for kind in sorted(kinds, key=lambda kind: (-totals[kind], kind))
        ],
    )


def _show_newest(newest: list[Summary], config: Config) -> None:
    headings = ("place", "error", "from", "age", "size", "redriven", "message")
    now = now_ms()
    rows = [
        (
            str(letter.place),
            letter.error,
            f"{short_topic(config, letter.topic)} {letter.partition}:{letter.offset}",
            _age(now - letter.set_aside_ms),
            f"{letter.raw_bytes:,} B" + (" (cut)" if letter.cut else ""),
            "yes" if letter.redriven else "no",
            letter.message,
        )
        for letter in newest
    ]
    out.show_table(headings, rows)


def _listing_json(found: Listing, config: Config) -> dict[str, Any]:
    return {
        "counts": [
            {"error": error, "topic": topic, "redriven": redriven, "letters": count}
            for (error, topic, redriven), count in sorted(found.counts.items())
        ],
        "letters": [
            asdict(letter)
            | {"place": str(letter.place), "topic": short_topic(config, letter.topic)}
            for letter in found.newest
        ],
        "foreign": found.foreign,
    }


@letters_app.command("show")
def letters_show(
    context: typer.Context,
    place: PlaceArgument,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a letter whole: where it came from, why, what to do, and the raw bytes.

    Bytes that are no UTF-8 are shown in hex.

    Example: `stream-al dead-letters show 0:17`
    """
    at = _place(place)
    with opened(config or context.obj) as (settings, log):
        topic, labels = settings.topic("dead_letters"), settings.topic("labels")
        letter = letter_at(log, topic, at)
        if letter is None:
            raise ConfigurationError(
                f"PLACE is {place}, where no dead letter lies; `stream-al dead-letters` lists them"
            )
        redriven = at in redriven_places(log, topic)
    todo = hint(letter.error, label=letter.topic == labels)
    if as_json:
        body = letter.model_dump(mode="json", exclude={"redrives"})
        print_json(body | {"place": place, "redriven": redriven, "hint": todo})
        return
    cut = ""
    if letter.raw_bytes is not None:
        cut = f", cut from {letter.raw_bytes:,}; SHA-256 {letter.raw_sha256}"
    raw = raw_of(letter)
    lines = (
        f"place     {at}",
        f"from      {letter.topic} {letter.partition}:{letter.offset}",
        f"error     {letter.error}",
        f"message   {letter.message}",
        f"to do     {todo}" + ("" if redriven else _then(letter, at)),
        f"redriven  {'yes' if redriven else 'no'}",
        f"raw       {len(raw):,} bytes{cut}",
        "",
        *text_or_hex(raw).split("\n"),
    )
    for line in lines:
        out.print(line, markup=False, soft_wrap=True)


def _then(letter: DeadLetter, at: Place) -> str:
    if letter.raw_sha256 is not None:
        return "; then send the original again, for only a part of it was kept"
    return f"; then, if these bytes are right, `stream-al dead-letters redrive {at}`"


@letters_app.command("redrive")
def letters_redrive(
    context: typer.Context,
    places: Annotated[
        list[str] | None, typer.Argument(metavar="[PLACE]...", help="Only these letters.")
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="error=CLASS, topic=TOPIC; all must hold."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say it, send nothing.")] = False,
    actor: ActorOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send letters to the topic that they came from, bytes unchanged, each exactly once.

    Without PLACE and --where: all that were not sent again yet.

    Example: `stream-al dead-letters redrive --where error=Quarantined --dry-run`
    """
    with opened(config or context.obj) as (settings, log):
        done = redrive(
            log,
            settings,
            places=[_place(place) for place in places or ()],
            wanted=wanted_where(settings, where or ()),
            actor=actor_or_default(actor),
            dry_run=dry_run,
        )
    if not dry_run:
        err.print(f"letters of {in_log(settings, 'dead_letters')}", markup=False)
    if as_json:
        print_json(
            {
                "dry_run": dry_run,
                "redriven": [str(place) for place in done.sent],
                "left": [{"place": str(place), "why": why} for place, why in done.left],
            }
        )
        return
    _tell(done, dry_run=dry_run)


def _tell(done: Redriven, *, dry_run: bool) -> None:
    for place in done.sent:
        out.print(str(place), markup=False)
    for place, why in done.left:
        err.print(f"{place} {why}", markup=False)
    verb = "would be sent" if dry_run else "sent"
    err.print(f"{len(done.sent):,} {verb} again, {len(done.left):,} left", markup=False)


def _place(text: str) -> Place:
    partition, colon, offset = text.partition(":")
    if not (colon and partition.isdecimal() and offset.isdecimal()):
        raise ConfigurationError(
            f"PLACE is {text!r}; write partition:offset, as `stream-al dead-letters` shows it"
        )
    return Place(int(partition), int(offset))


def text_or_hex(raw: bytes) -> str:
    r"""Return raw bytes as people read them: text when it is UTF-8, else lines of hex.

    Examples
    --------
    >>> text_or_hex(b'{"a": 1}')
    '{"a": 1}'
    >>> text_or_hex(b"\xff\x00free")
    '00000000  ff 00 66 72 65 65                                ..free'
    """
    try:
        return visible_lines(raw.decode())
    except UnicodeDecodeError:
        starts = range(0, len(raw), HEX_BYTES)
        return "\n".join(_hex_line(start, raw[start : start + HEX_BYTES]) for start in starts)


def _hex_line(start: int, chunk: bytes) -> str:
    shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in chunk)
    return f"{start:08x}  {chunk.hex(' '):<{HEX_BYTES * 3 - 1}}  {shown}"


def _age(ms: int) -> str:
    seconds = max(0, ms) // 1_000
    if seconds < 3_600:
        return f"{seconds // 60}m{seconds % 60:02}s"
    hours = seconds // 3_600
    return f"{hours}h{seconds % 3_600 // 60:02}m" if hours < 72 else f"{hours // 24}d"
