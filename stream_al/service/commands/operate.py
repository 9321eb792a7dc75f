"""What operators do: see the state, turn the budget, pause, seed, start another model."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from stream_al.config import Config
from stream_al.engine import EventReader
from stream_al.engine.paths import MISSING, at, decoded, path_of, quoted
from stream_al.errors import ConfigurationError, InvalidInput
from stream_al.labels import GOLD_MAX
from stream_al.labels.proposals import control_problem
from stream_al.messages import ControlProposal, Event, Label, text_of
from stream_al.port import Log
from stream_al.service.clock import SystemClock
from stream_al.service.commands.common import (
    ActorOption,
    ConfigOption,
    JsonOption,
    ReasonOption,
    actor_or_default,
    err,
    new_proposal_id,
    now_ms,
    number_or_off,
    opened,
    out,
    print_json,
)
from stream_al.service.commands.selecting import kept_line, lineage_line
from stream_al.service.mapping import check_inputs, inputs_at_hand, own_inputs
from stream_al.service.proposals import Answer, in_force_from, propose, propose_and_wait
from stream_al.service.starting import RESOLVER_READS
from stream_al.service.status import read_status, render_status
from stream_al.service.strategies import load_plugins
from stream_al.service.view import JournalView, journal_view
from stream_al_connectors.opening import in_log

SEED_BATCH = 500

budget_app = typer.Typer(
    invoke_without_command=True,
    pretty_exceptions_enable=False,
)
model_app = typer.Typer(
    invoke_without_command=True,
    pretty_exceptions_enable=False,
)

MODES: dict[str, tuple[dict[str, bool], str]] = {
    "pause": ({"paused": True}, "Ask nobody anything; go on predicting and learning."),
    "shadow": ({"shadow": True}, "Decide on paper only: `would_query` instead of queries."),
    "freeze": ({"frozen": True}, "Take labels and estimate, but do not learn from them."),
    "resume": (
        {"paused": False, "shadow": False, "frozen": False},
        "Lift pause, shadow and freeze.",
    ),
}


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    app.command()(status)
    app.add_typer(budget_app, name="budget")
    for name, (patch, text) in MODES.items():
        app.command(name, help=f"{text}\n\nExample: `stream-al {name} --reason incident`")(
            _mode_command(patch)
        )
    app.command()(seed)
    app.add_typer(model_app, name="model")


def status(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Positions and lag, spend against budget, pending, latency, quality with intervals.

    Example: `stream-al status`
    """
    with opened(config, needs=(*RESOLVER_READS, "events")) as (settings, log):
        found = read_status(log, settings, now_ms=now_ms())
    if as_json:
        print_json(found)
    else:
        render_status(found, out)


@budget_app.callback()
def budget(
    context: typer.Context, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Show the labelling budget, or turn it with `set` while workers run.

    Example: `stream-al budget`, `stream-al budget set --share 0.02 --reason "night shift"`
    """
    context.obj = config
    if context.invoked_subcommand is not None:
        return
    with opened(config) as (settings, log):
        view = journal_view(log, settings)
    _show_budget(settings, view, as_json=as_json)


def _show_budget(config: Config, view: JournalView, *, as_json: bool) -> None:
    in_force, configured = view.settings.gate.budget, config.gate.budget
    if as_json:
        print_json(in_force.model_dump(mode="json"))
        return
    for name in type(in_force).model_fields:
        value, file = getattr(in_force, name), getattr(configured, name)
        differs = "" if value == file else f"   (the configuration says {file})"
        out.print(f"{name:<9} {'off' if value is None else value}{differs}", markup=False)
    if view.last_budget is not None:
        position, control = view.last_budget
        why = f": {control.reason}" if control.reason else ""
        out.print(f"last set at journal position {position} by {control.actor}{why}", markup=False)


@budget_app.command("set")
def budget_set(
    context: typer.Context,
    share: Annotated[float | None, typer.Option(help="Queries per event, 0 to 1.")] = None,
    per_hour: Annotated[
        str | None, typer.Option(help="Labels an hour over all partitions, or `off`.")
    ] = None,
    open_max: Annotated[
        str | None, typer.Option("--open", help="Pending queries over all partitions, or `off`.")
    ] = None,
    from_config: Annotated[
        bool,
        typer.Option("--from-config", help="Take the whole gate section of the file."),
    ] = False,
    reason: ReasonOption = "",
    actor: ActorOption = None,
    config: ConfigOption = None,
) -> None:
    """Turn the budget; in force in every worker within a second, recorded with actor and reason.

    Example: `stream-al budget set --share 0.02 --reason "night shift"`
    """
    with opened(config or context.obj) as (settings, log):
        gate: dict[str, Any] = {}
        if from_config:
            gate = settings.settings().gate.model_dump(mode="json")
        patch: dict[str, Any] = gate.setdefault("budget", {})
        if share is not None:
            patch["share"] = share
        if per_hour is not None:
            patch["per_hour"] = number_or_off("--per-hour", per_hour, float)
        if open_max is not None:
            patch["open"] = number_or_off("--open", open_max, int)
        if not patch:
            raise ConfigurationError(
                "budget set: nothing to set; give --share, --per-hour, --open or --from-config"
            )
        _control(log, settings, {"gate": gate}, actor=actor, reason=reason)


def _mode_command(patch: dict[str, bool]) -> Any:
    def command(
        reason: ReasonOption = "", actor: ActorOption = None, config: ConfigOption = None
    ) -> None:
        with opened(config) as (settings, log):
            _control(log, settings, {"modes": patch}, actor=actor, reason=reason)

    return command


def _control(
    log: Log, config: Config, patch: dict[str, Any], *, actor: str | None, reason: str
) -> None:
    in_force = journal_view(log, config).settings
    problem = control_problem(in_force, patch, None)
    if problem is not None:
        raise ConfigurationError(problem)
    proposal = ControlProposal(
        proposal_id=new_proposal_id(),
        actor=actor_or_default(actor),
        reason=reason,
        patch=patch,
    )
    _tell(propose_and_wait(log, config, proposal), config)


def _tell(answer: Answer, config: Config) -> None:
    position = in_force_from(answer, config)
    where = in_log(config, "journal")
    err.print(f"in force from journal position {position} of {where}", markup=False)


def seed(
    file: Annotated[Path, typer.Argument(help="Lines of your events, each with its label.")],
    label: Annotated[str, typer.Option(help="Name of the field that holds the label.")] = "label",
    gold: Annotated[
        bool, typer.Option("--gold", help="Known answers to check annotators with; teach nothing.")
    ] = False,
    actor: ActorOption = None,
    config: ConfigOption = None,
) -> None:
    """Teach labelled history: it teaches, it estimates nothing; twice the same teaches once.

    Lines are events as in the configuration (or native ones) with one field more, the label. With
    `--gold` they become questions that `annotate` mixes in, to see how good annotators are: with
    the same features, segment and meta as your events, for none is put that would stand out.

    Example: `stream-al seed history.jsonl --label verdict`, `stream-al seed checked.jsonl --gold`
    """
    who = actor_or_default(actor)
    with opened(config) as (settings, log):
        in_force = journal_view(log, settings).inputs
        check_inputs(in_force and in_force[2], own_inputs(settings))
        proposals = _seeds(file, settings, label, who, kind="gold" if gold else "seed")
        for start in range(0, len(proposals), SEED_BATCH):
            propose(log, settings, proposals[start : start + SEED_BATCH])
    what = "gold questions" if gold else "labelled examples"
    where = in_log(settings, "controls")
    err.print(
        f"proposed {len(proposals):,} {what} to {where}; a running resolver journals them",
        markup=False,
    )


def _seeds(
    file: Path, config: Config, field: str, actor: str, *, kind: Literal["seed", "gold"]
) -> list[ControlProposal]:
    reader, path = EventReader(config.events), path_of(field)
    found: list[ControlProposal] = []
    problems: list[str] = []
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise ConfigurationError(f"FILE is {str(file)!r}: {error.strerror}") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            event = reader.read(line)
            body = decoded(line)
            label = body[field] if isinstance(body, dict) and field in body else at(body, path)
            found.append(_seed(event, label, field, actor, kind))
        except InvalidInput as error:
            problems.append(f"{file}, line {number}: {error}")
    if problems:
        raise ConfigurationError(*problems[:20], "nothing was taught; correct these lines first")
    if kind == "gold" and len(found) > GOLD_MAX:
        raise ConfigurationError(
            f"FILE has {len(found):,} gold questions, {GOLD_MAX:,} are kept; give fewer"
        )
    return found


def _seed(
    event: Event, label: Any, field: str, actor: str, kind: Literal["seed", "gold"]
) -> ControlProposal:
    if label is MISSING:
        raise InvalidInput("MissingField", f"`{field}` is missing; it must be the label")
    label = text_of(label)
    if not isinstance(label, str) or not label:
        raise InvalidInput(
            "WrongType",
            f"`{field}` is {quoted(label)}; it must be the label: a text that is not empty, a "
            "whole number, true or false",
        )
    teaches = Label(event_id=event.event_id, label=label, features=event.features)
    return ControlProposal(
        kind=kind,
        proposal_id=hashlib.blake2b(teaches.to_wire(), digest_size=16).hexdigest(),
        actor=actor,
        event_id=event.event_id,
        label=label,
        features=event.features,
        segment=event.segment if kind == "gold" else None,
        meta=event.meta if kind == "gold" else None,
    )


@model_app.callback()
def model(context: typer.Context, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show the model in force and since when; `activate` starts another.

    Example: `stream-al model`, `stream-al model activate --reason "committee"`
    """
    context.obj = config
    if context.invoked_subcommand is not None:
        return
    with opened(config) as (settings, log):
        lineage = journal_view(log, settings).lineage
    if as_json:
        print_json(lineage.model_dump(mode="json") if lineage else None)
    elif lineage is None:
        out.print("no model yet: the first worker starts one")
    else:
        same = lineage.config_hash == settings.model_hash()
        out.print(
            f"{lineage.preset}  id {lineage.model_id}  configuration {lineage.config_hash}"
            f"{' (this one)' if same else f' (yours is {settings.model_hash()})'}",
            soft_wrap=True,
        )
        out.print(f"started {lineage.start} by {lineage.actor}: {lineage.reason}", soft_wrap=True)
        line = lineage_line(lineage)
        if line is not None:
            out.print(line, soft_wrap=True)


@model_app.command("activate")
def model_activate(
    context: typer.Context,
    reason: ReasonOption = "",
    replay: Annotated[
        bool, typer.Option("--replay", help="Let it learn first what the one in force learnt.")
    ] = False,
    actor: ActorOption = None,
    config: ConfigOption = None,
) -> None:
    """Start the configured model and mapping; workers of another one end with exit code 2.

    Example: `stream-al model activate --replay --reason "committee measured better"`
    """
    from stream_al.service.activate import activate, lineage_proposal  # noqa: PLC0415 - River
    from stream_al.service.replaying import lessons_before  # noqa: PLC0415

    with opened(config or context.obj, needs=RESOLVER_READS) as (settings, log):
        load_plugins(settings)
        proposal = lineage_proposal(
            settings,
            actor=actor_or_default(actor),
            reason=reason,
            start="replay" if replay else "empty",
            inputs=inputs_at_hand(settings),
        )
        answer = activate(log, settings, proposal, clock=SystemClock())
        _tell(answer, settings)
        if replay and answer.position is not None:
            again = lessons_before(log, settings, answer.position - 1)
            err.print(kept_line(again, settings))
