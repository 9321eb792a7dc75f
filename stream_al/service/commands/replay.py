"""The journal again: fold it, verify with it, learn it again without a label, blank a person."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stream_al.config import Config
from stream_al.errors import ConfigurationError, Diverged
from stream_al.messages import ControlProposal, Selected
from stream_al.port import Log
from stream_al.service.clock import SystemClock
from stream_al.service.commands.common import (
    ActorOption,
    ConfigOption,
    JsonOption,
    ReasonOption,
    actor_or_default,
    err,
    opened,
    out,
    print_json,
    progress,
)
from stream_al.service.commands.selecting import (
    dropped_classes,
    refuse_unlearnable,
    selected_by,
    selection_lines,
)
from stream_al.service.mapping import inputs_at_hand
from stream_al.service.proposals import in_force_from
from stream_al.service.starting import RESOLVER_READS
from stream_al.service.strategies import load_plugins
from stream_al_connectors.opening import in_log

VIOLATION = 3
journal_app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    app.command()(replay)
    app.add_typer(journal_app, name="journal", help="Blank what the journal holds of a person.")


def replay(
    verify: Annotated[
        bool, typer.Option("--verify", help="Make every stored prediction again, bit for bit.")
    ] = False,
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="EVENT_ID",
            help="Leave out what this event taught, but for a correction of it; repeatable.",
        ),
    ] = None,
    without_file: Annotated[
        Path | None, typer.Option(help="A file with one EVENT_ID a line to leave out.")
    ] = None,
    for_ever: Annotated[
        bool,
        typer.Option("--for-ever", help="Leave these events out with corrections, also later."),
    ] = False,
    corrected: Annotated[
        bool,
        typer.Option("--corrected", help="Learn the final label of each event only."),
    ] = False,
    without_annotator: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Leave out whatever they say; repeatable."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Leave out what was learnt before: 2026-11-30T08:00Z."),
    ] = None,
    without_class: Annotated[
        list[str] | None,
        typer.Option(metavar="CLASS", help="Leave out lessons of a class; repeatable."),
    ] = None,
    rename_class: Annotated[
        list[str] | None,
        typer.Option(metavar="OLD=NEW", help="Learn a class under another name; repeatable."),
    ] = None,
    anew: Annotated[
        bool,
        typer.Option("--anew", help="Learn again what earlier replays left out, not a redaction."),
    ] = False,
    learn_frozen: Annotated[
        bool, typer.Option("--learn-frozen", help="Learn what came while learning was frozen.")
    ] = False,
    activate: Annotated[
        bool, typer.Option("--activate", help="Put the result in force, in every worker.")
    ] = False,
    from_snapshot: Annotated[
        bool, typer.Option("--from-snapshot", help="Begin with the newest valid snapshot.")
    ] = False,
    reason: ReasonOption = "",
    actor: ActorOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fold the journal again, from nothing: the same model, or one that never saw a label.

    Annotators and classes stay left out, and classes renamed, in the replays after it too, and in
    what is learnt later; `--anew` takes that back. `stream-al model` shows it.

    Example: `stream-al replay --verify`, `stream-al replay --corrected --activate`,
    `stream-al replay --without-annotator bob --rename-class Spam=spam`
    """
    left_out = (*(without or ()), *_lines(without_file))
    selected = selected_by(
        corrections=bool(left_out) and not for_ever,
        corrected=corrected,
        anew=anew,
        since=since,
        without_annotators=without_annotator or (),
        without_classes=without_class or (),
        renamed=rename_class or (),
    )
    again = bool(left_out) or selected is not None or learn_frozen or activate
    if verify and again:
        raise ConfigurationError(
            "--verify: it checks the lineage in force; run it without --without, --learn-frozen "
            "and --activate, and without the options that leave out"
        )
    needs = ("events", "predictions", "journal") if verify else RESOLVER_READS if activate else ()
    with opened(config, needs=needs) as (settings, log):
        load_plugins(settings)
        if again:
            found = _again(log, settings, left_out, selected, learn_frozen=learn_frozen,
                           activate=activate, actor=actor_or_default(actor),
                           reason=reason)  # fmt: skip
        else:
            found = _fold_checked(log, settings, verify=verify, from_snapshot=from_snapshot)
    if as_json:
        print_json(found)
    else:
        for line in _sentences(found):
            out.print(line, markup=False, soft_wrap=True)
    if not found.get("sound", True):
        raise typer.Exit(VIOLATION)


def _fold_checked(log: Log, config: Config, *, verify: bool, from_snapshot: bool) -> dict[str, Any]:
    """Fold; where `verify` asked for it, a journal that broke its chain is what was looked for."""
    try:
        return _fold(log, config, verify=verify, from_snapshot=from_snapshot)
    except Diverged as broken:
        if not verify:
            raise
        return {"sound": False, "broken": str(broken)}


def _fold(log: Log, config: Config, *, verify: bool, from_snapshot: bool) -> dict[str, Any]:
    from stream_al.service.replaying import fold  # noqa: PLC0415 - imports River
    from stream_al.service.snapshotting import load_newest  # noqa: PLC0415

    with progress("folding") as moved:
        found = fold(
            log,
            config,
            clock=SystemClock(),
            verify=verify,
            restore=lambda engine: load_newest(log, config, engine) if from_snapshot else None,
            progress=moved,
        )
    engine, said = found.engine, found.reproduction
    digests = [each for each in found.comparisons if each.comparable]
    redacted = sum(each.redacted for each in found.comparisons)
    return {
        "position": engine.version,
        "model_id": engine.lineage and engine.lineage.model_id,
        "learnt": engine.model.learnt_count,
        "failed": engine.model.failed_count,
        "digest": engine.model.digest(),
        "digests": {
            "compared": len(digests),
            "equal": sum(each.equal for each in digests),
            "elsewhere": len(found.comparisons) - len(digests) - redacted,
            "redacted": redacted,
            "different": [each.journaled.position for each in digests if not each.equal][:10],
        },
        "predictions": said
        and {
            "compared": said.compared,
            "equal": said.equal,
            "event_gone": said.missing,
            "redacted": said.redacted,
            "elsewhere": said.elsewhere,
            "different": [
                {"source": source.model_dump(), "problem": text} for source, text in said.different
            ],
        },
        "sound": found.sound,
    }


def _again(
    log: Log,
    config: Config,
    without: tuple[str, ...],
    selected: Selected | None,
    *,
    learn_frozen: bool,
    activate: bool,
    actor: str,
    reason: str,
) -> dict[str, Any]:
    from stream_al.service.activate import lineage_proposal  # noqa: PLC0415 - imports River
    from stream_al.service.replaying import lineage_in_force, refold  # noqa: PLC0415

    refuse_unlearnable(config, selected)
    other = lineage_in_force(log, config).entry.config_hash != config.model_hash()
    plain = selected is None or selected == Selected(corrections=True)
    proposal = lineage_proposal(
        config,
        actor=actor,
        reason=reason,
        start="replay" if plain else "selected",
        without=without,
        learn_frozen=learn_frozen,
        selected=selected,
        inputs=inputs_at_hand(config) if other else None,
    )
    with progress("learning again") as moved:
        again = refold(log, config, proposal, progress=moved)
    found: dict[str, Any] = {
        "position": again.position,
        "learnt": again.model.learnt_count,
        "left_out": again.left_out_count,
        "left_out_why": dict(again.left_out),
        "corrections_kept": again.corrections_kept_count,
        "renamed": again.renamed_count,
        "dropped": dropped_classes(again, config),
        "digest": again.model.digest(),
        "in_force_from": _activated(log, config, proposal) if activate else None,
    }
    return found


def _activated(log: Log, config: Config, proposal: ControlProposal) -> int:
    from stream_al.service.activate import activate  # noqa: PLC0415 - imports River

    position = in_force_from(activate(log, config, proposal, clock=SystemClock()), config)
    where = in_log(config, "journal")
    err.print(f"in force from journal position {position} of {where}", markup=False)
    return position


def _sentences(found: dict[str, Any]) -> list[str]:
    """Return what came out, as people read it."""
    if "broken" in found:
        return [found["broken"]]
    lines = [
        (
            f"folded to journal position {found['position']:,}: {found['learnt']:,} lessons "
            f"learnt, digest {found['digest']}"
        )
    ]
    if "left_out" in found:
        lines += selection_lines(found)
        position = found["in_force_from"]
        if position is None:
            lines.append("nothing was changed; --activate puts it in force")
        else:
            lines.append(f"in force from journal position {position:,}, in every worker")
        return lines
    digests = found["digests"]
    lines.append(
        f"digests {digests['equal']} of {digests['compared']} equal"
        + (f", {digests['elsewhere']} of other environments" if digests["elsewhere"] else "")
    )
    lines += [f"  the digest at position {each:,} differs" for each in digests["different"]]
    said = found["predictions"]
    if said is not None:
        lines.append(
            f"predictions {said['equal']:,} of {said['compared']:,} made again bit for bit"
            + (f", {said['event_gone']:,} whose event is gone" if said["event_gone"] else "")
            + (
                f", {said['elsewhere']:,} of other model configurations were not tried"
                if said["elsewhere"]
                else ""
            )
        )
        for each in said["different"]:
            place = each["source"]
            lines.append(
                f"  events partition {place['partition']} offset {place['offset']}: "
                f"{each['problem']}"
            )
    return [*lines, *_redacted(digests["redacted"], 0 if said is None else said["redacted"])]


def _redacted(digests: int, predictions: int) -> list[str]:
    """Say what a redaction made incomparable, and why that is no damage.

    Examples
    --------
    >>> _redacted(0, 0)
    []
    >>> _redacted(1, 0)[0][:33]
    "1 digest can't be compared: what "
    """
    counts = [(predictions, "prediction"), (digests, "digest")]
    named = [f"{count:,} {name}{'s'[: count > 1]}" for count, name in counts if count]
    if not named:
        return []
    why = "what they were made of was blanked since, by `stream-al journal redact`"
    return [f"{' and '.join(named)} can't be compared: {why}"]


def _lines(file: Path | None) -> list[str]:
    if file is None:
        return []
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"--without-file: {str(file)!r}: {error}; name a file with one EVENT_ID a line"
        ) from None
    return [line.strip() for line in text.splitlines() if line.strip()]


@journal_app.command("redact")
def redact(
    event_ids: Annotated[list[str], typer.Argument(metavar="EVENT_ID...")],
    reason: ReasonOption = "",
    actor: ActorOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Blank the features that the journal holds of an event, and start a model without them.

    The chain of hashes still proves all other records. Events, queries and dead letters of the
    same person lie in topics of their own, which expire.

    Example: `stream-al journal redact p-17 --reason "request of the author"`
    """
    from stream_al.service.redact import redact_events  # noqa: PLC0415 - imports River

    with opened(config) as (settings, log):
        load_plugins(settings)
        found = redact_events(
            log,
            settings,
            tuple(event_ids),
            actor=actor_or_default(actor),
            reason=reason or "redacted",
            clock=SystemClock(),
        )
    err.print(f"wrote to {in_log(settings, 'journal')}", markup=False)
    if as_json:
        print_json(found)
        return
    out.print(
        f"blanked {found['blanked']:,} records of {len(event_ids)} events in the journal; a model "
        f"without them is in force from position {found['in_force_from']:,}; "
        f"{found['snapshots_removed']} snapshots that knew them are gone",
        markup=False,
        soft_wrap=True,
    )
