"""`mapping`: how events are read, as the journal has it in force, and how to change that."""

from __future__ import annotations

from typing import Any

import typer

from stream_al.config import Config
from stream_al.inputs import described, differing, of_the_model
from stream_al.messages import Inputs
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
)
from stream_al.service.mapping import inputs_at_hand
from stream_al.service.proposals import in_force_from
from stream_al.service.starting import RESOLVER_READS
from stream_al.service.view import JournalView, journal_view
from stream_al_connectors.opening import in_log

mapping_app = typer.Typer(invoke_without_command=True, pretty_exceptions_enable=False)


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    app.add_typer(mapping_app, name="mapping")


@mapping_app.callback()
def mapping(
    context: typer.Context, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Show how events are read, as the journal has it in force; `activate` changes it.

    Example: `stream-al mapping`, `stream-al mapping activate --reason "the body moved"`
    """
    context.obj = config
    if context.invoked_subcommand is not None:
        return
    with opened(config) as (settings, log):
        view = journal_view(log, settings)
        own = inputs_at_hand(settings)
    found = _found(view, own)
    if as_json:
        print_json(found)
    else:
        for line in _sentences(found):
            out.print(line, soft_wrap=True)


def _found(view: JournalView, own: Inputs) -> dict[str, Any]:
    if view.inputs is None:
        return {"since": None, "actor": None, "events": None, "classes": None, "differs": []}
    position, actor, inputs = view.inputs
    return {
        "since": position,
        "actor": actor,
        "events": inputs.events,
        "classes": inputs.classes,
        "keys": sorted(inputs.digests),
        "differs": [
            {
                "key": key,
                "how": described(key, inputs, own),
                "command": "model activate" if of_the_model(key) else "mapping activate",
            }
            for key in differing(inputs, own)
        ],
    }


def _sentences(found: dict[str, Any]) -> list[str]:
    """Return what was found, as people read it.

    Examples
    --------
    >>> _sentences({"since": None})
    ['the journal names no mapping yet: the next resolver that starts records its own']
    """
    if found["since"] is None:
        return ["the journal names no mapping yet: the next resolver that starts records its own"]
    lines = [f"in force since journal position {found['since']:,}, by {found['actor']}"]
    events: dict[str, Any] = found["events"]
    for name, value in events.items():
        if isinstance(value, dict):
            lines += [f"  events.{name}.{key}: {below}" for key, below in value.items()]
        else:
            lines.append(f"  events.{name}: {value}")
    if "event_id" not in events:
        lines.append("  events are native messages: event_id, features")
    if found["classes"] is not None:
        lines.append(f"  labels.classes: {', '.join(found['classes'])}")
    if not found["differs"]:
        return [*lines, "the configuration says the same"]
    lines += [f"differs: {one['how']}" for one in found["differs"]]
    commands = sorted({one["command"] for one in found["differs"]})
    command = "model activate --replay" if "model activate" in commands else commands[0]
    return [*lines, f"`stream-al {command}` puts the configuration in force"]


@mapping_app.command("activate")
def mapping_activate(
    context: typer.Context,
    reason: ReasonOption = "",
    actor: ActorOption = None,
    config: ConfigOption = None,
) -> None:
    """Put the configured mapping, guard and secret in force; the model stays as it is.

    Workers of another configuration end with exit code 2. What was predicted before is verified by
    the mapping of its time (`stream-al replay --verify`).

    Example: `stream-al mapping activate --reason "the body moved"`
    """
    from stream_al.service.activate import activate, mapping_proposal  # noqa: PLC0415 - River

    with opened(config or context.obj, needs=RESOLVER_READS) as (settings, log):
        view = journal_view(log, settings)
        own = inputs_at_hand(settings)
        if not _changes(view, own, settings):
            err.print("nothing to do: the journal has this configuration in force")
            return
        proposal = mapping_proposal(settings, own, actor=actor_or_default(actor), reason=reason)
        answer = activate(log, settings, proposal, clock=SystemClock())
        position, where = in_force_from(answer, settings), in_log(settings, "journal")
    err.print(
        f"in force from journal position {position} of {where}; restart workers of the other one"
    )


def _changes(view: JournalView, own: Inputs, config: Config) -> bool:
    """Return whether there is anything to put in force.

    Raises
    ------
    ConfigurationError
        When it takes another model.
    """
    from stream_al.service.groups import check_lineage  # noqa: PLC0415 - with its user

    in_force = None if view.inputs is None else view.inputs[2]
    check_lineage(view.lineage, config, in_force)
    return in_force is None or bool(differing(in_force, own))
