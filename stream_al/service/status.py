"""`stream-al status`: one picture of a deployment, from its log alone."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from stream_al.config import Config
from stream_al.gate import unpack_state
from stream_al.labels import EVIDENCE_MIN, AnnotatorView, Resolver, class_name
from stream_al.messages import Starts, initial_patch
from stream_al.port import Log, Owner, Position
from stream_al.quality import LABELS_MIN, wilson_at_effective_size
from stream_al.service.attempts import parse
from stream_al.service.desk import READ_MAX
from stream_al.service.gold import alike
from stream_al.service.groups import lag, next_offset, resolver_group, scorer_group
from stream_al.service.rebuild import rebuild
from stream_al.service.seen import features_lines, features_seen
from stream_al.service.view import differences, journal_view, sentences

STALLED_S = 30.0
RESOLVER_ACTOR = "resolver"
ANNOTATORS_SHOWN_MAX = 20
CLASSES_SHOWN_MAX = 30
CLASS_ANNOTATORS_SHOWN = 3


def read_status(log: Log, config: Config, *, now_ms: int) -> dict[str, Any]:
    """Return the state as one JSON-ready document."""
    view = journal_view(log, config)
    resolver = rebuild(log, config, now_ms=now_ms)
    partitions = _partitions(log, config, view.starts, now_ms)
    events = sum(row["position"] - max(row["begin"], row["start"]) for row in partitions)
    asked = sum(row["queries"] for row in partitions)
    scored = sum(row["position"] - row["start"] for row in partitions)
    oldest = [resolver.oldest_pending(row["partition"]) for row in partitions]
    latencies = sorted(view.latencies_ms)
    control = view.last_control
    return {
        "app": config.app,
        "lineage": view.lineage and view.lineage.model_dump(mode="json", exclude={"chain"}),
        "journal_position": view.position,
        "journal_records": dict(view.kinds),
        "events": partitions,
        "events_scored": scored,
        "events_kept": events,
        "lag": sum(row["lag"] for row in partitions),
        "labels_lag": _lag(log, config, "labels"),
        "resolver": _resolver_rows(log, config, now_ms),
        "settings": initial_patch(view.settings),
        "differs_from_configuration": differences(config.settings(), view.settings),
        "queries": asked,
        "query_rate": asked / scored if scored else None,
        "pending": resolver.pending_count,
        "oldest_pending_s": max(
            (max(0, now_ms - found.asked_ms) / 1_000 for found in oldest if found), default=None
        ),
        "verification_latency_ms": {
            "p50": latencies[len(latencies) // 2],
            "p90": latencies[len(latencies) * 9 // 10],
        } if latencies else None,
        "quality": asdict(view.quality),
        "features": features_seen(log, config),
        **_people(resolver),
        "last_control": control and {"position": control[0]}
        | control[1].model_dump(mode="json", include={"actor", "reason", "patch", "at_ms"}),
    }  # fmt: skip


def _people(resolver: Resolver) -> dict[str, Any]:
    """Return who labelled how well; agreement is Krippendorff's alpha."""
    return {
        "annotators": [_annotator(view) for view in resolver.annotators()],
        "annotators_alpha": resolver.agreement(),
        "classes": [asdict(view) for view in resolver.classes()],
        "gold": _gold(resolver),
    }


def _gold(resolver: Resolver) -> dict[str, int]:
    """Return how many gold questions there are, and how many would stand out among the queries."""
    questions = resolver.gold_questions("")
    queries = resolver.open_queries(READ_MAX)
    held = len(questions) - len(alike(questions, queries)) if queries else 0
    return {"questions": len(questions), "standing_out": held}


def _annotator(view: AnnotatorView) -> dict[str, Any]:
    """Return one annotator's row; an error rate needs some evidence."""
    row = asdict(view)
    if view.error_rate is None or view.evidence < EVIDENCE_MIN:
        return row | {"error_rate": None}
    low, high, _ = wilson_at_effective_size(view.error_rate, 0.0, kish_size=view.evidence)
    return row | {"error_rate": {"value": view.error_rate, "low": low, "high": high}}


def _partitions(log: Log, config: Config, starts: Starts, now_ms: int) -> list[dict[str, Any]]:
    topic, group = config.topic("events"), scorer_group(config)
    rows = []
    for owner in log.owners(group, topic):
        partition = owner.partition
        begin, done = log.begin(topic, partition), log.committed(group, topic, partition)
        start = starts.of("events", partition).first
        position = done.offset if done else max(begin, start)
        row = {
            "begin": begin,
            "start": start,
            "position": position,
            "end": log.end(topic, partition),
            "queries": _sent(partition, done),
        }
        rows.append(_owner(owner, now_ms, lag=lag(log, topic, partition, position)) | row)
    return rows


def _sent(partition: int, done: Position | None) -> int:
    """Return how many queries a partition's gate has sent, by the state beside its position."""
    packed = parse(done.metadata)[0] if done else ""
    return unpack_state(partition, packed).sent if packed else 0


def _resolver_rows(log: Log, config: Config, now_ms: int) -> list[dict[str, Any]]:
    """Return the journal's owner; its lag is what waits to be decided."""
    owners = log.owners(resolver_group(config), config.topic("journal"))
    waiting = sum(_lag(log, config, name) for name in ("labels", "controls", "statistics"))
    return [_owner(owner, now_ms, lag=waiting) for owner in owners]


def _owner(owner: Owner, now_ms: int, *, lag: int) -> dict[str, Any]:
    """Return one owner's row; it stands still when work waits and nothing was committed lately."""
    committed = owner.committed_at_ms
    last_s = None if committed is None else max(0, now_ms - committed) / 1_000
    waits = owner.member is not None and lag > 0
    return {
        "partition": owner.partition,
        "owner": owner.member,
        "process": owner.process,
        "epoch": owner.epoch,
        "lag": lag,
        "last_commit_s": last_s,
        "stalled": waits and last_s is not None and last_s > STALLED_S,
    }


def _lag(log: Log, config: Config, name: str) -> int:
    topic, group = config.topic(name), resolver_group(config)
    return sum(
        lag(log, topic, partition, next_offset(log, group, topic, partition))
        for partition in range(log.partition_count(topic))
    )


def render_status(found: dict[str, Any], console: Console) -> None:
    """Show the document of `read_status` to a person."""
    lineage = found["lineage"]
    model = f"{lineage['preset']} ({lineage['model_id']})" if lineage else "none yet"
    console.print(f"{found['app']}: model {model}, journal {found['journal_position']:,} records",
                  markup=False)  # fmt: skip
    table = Table(box=None, pad_edge=False)
    for heading in ("events partition", "owner", "position", "lag", "last commit"):
        table.add_column(heading, justify="left" if heading == "owner" else "right")
    for row in found["events"]:
        table.add_row(
            str(row["partition"]), _who(row), f"{row['position']:,}", f"{row['lag']:,}", _when(row)
        )
    for row in found["resolver"]:
        lag = f"{row['lag']:,}"
        table.add_row("resolver", _who(row), f"{found['journal_position']:,}", lag, _when(row))
    console.print(table)
    for line in _lines(found):
        console.print(line, markup=False, soft_wrap=True)
    if found["classes"]:
        _render_classes(found["classes"], console)
    if found["annotators"]:
        _render_annotators(found, console)


def _render_annotators(found: dict[str, Any], console: Console) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("annotator", "labels", "like the final", "conflicts", "gold right", "error"):
        left = heading == "annotator"
        table.add_column(heading, justify="left" if left else "right", overflow="fold")
    for row in found["annotators"][:ANNOTATORS_SHOWN_MAX]:
        error = row["error_rate"]
        table.add_row(
            row["annotator"],
            f"{row['labels']:,}",
            _of(row["agreed"], row["compared"]),
            f"{row['conflicts']:,}",
            _of(row["gold_right"], row["gold_answered"]),
            f"{error['value']:.1%} ({error['low']:.1%} to {error['high']:.1%})" if error else "–",
        )
    console.print(table)
    more = len(found["annotators"]) - ANNOTATORS_SHOWN_MAX
    if more > 0:
        console.print(f"and {more:,} more: --json has them all")
    if found["annotators_alpha"] is not None:
        console.print(f"agreement between annotators: alpha {found['annotators_alpha']:.2f}")


def _render_classes(classes: list[dict[str, Any]], console: Console) -> None:
    """Show the classes; those that look like another one first, for they may be a mistake."""
    table = Table(box=None, pad_edge=False)
    for heading in ("class", "labels", "seeds", "first", "last", "from", "meant"):
        right = heading in {"labels", "seeds"}
        table.add_column(heading, justify="right" if right else "left", overflow="fold")
    ordered = sorted(classes, key=lambda row: (row["like"] is None, -row["labels"], row["name"]))
    for row in ordered[:CLASSES_SHOWN_MAX]:
        table.add_row(
            _class_shown(row["name"]),
            f"{row['labels']:,}",
            f"{row['seeds']:,}",
            _day(row["first_at_ms"]),
            _day(row["last_at_ms"]),
            ", ".join(row["annotators"][:CLASS_ANNOTATORS_SHOWN]) or "–",
            "" if row["like"] is None else f"{_class_shown(row['like'])}?",
        )
    console.print(table)
    if len(classes) > CLASSES_SHOWN_MAX:
        console.print(f"and {len(classes) - CLASSES_SHOWN_MAX:,} more: --json has them all")


def _class_shown(name: str) -> str:
    """Return a name as it is read; one of an older journal that ends in a space is quoted."""
    return name if name == class_name(name) else repr(name)


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M")


def _of(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,}" if whole else "–"


def _who(row: dict[str, Any]) -> str:
    if row["owner"] is None:
        return "free"
    if row["stalled"]:
        return f"{row['owner']}, stalled? end process {row['process']}"
    return str(row["owner"])


def _when(row: dict[str, Any]) -> str:
    seconds = row["last_commit_s"]
    return "–" if seconds is None else f"{seconds:,.0f} s ago"


def _lines(found: dict[str, Any]) -> list[str]:
    budget = found["settings"]["gate"]["budget"]
    limits = ", ".join(f"{name} {value}" for name, value in budget.items() if value is not None)
    rate = f"{found['query_rate']:.2%}" if found["query_rate"] is not None else "–"
    spent = f"{found['queries']:,} of {found['events_scored']:,} events ({rate})"
    lines = [f"asked    {spent}; budget {limits}"]
    if any(row["start"] for row in found["events"]):
        begun = ", ".join(f"{row['partition']}:{row['start']}" for row in found["events"])
        lines.append(f"begins   at {begun} (partition:offset), as recorded; counted from there")
    modes = [name for name, on in found["settings"]["modes"].items() if on]
    if modes:
        lines.append(f"mode     {', '.join(modes)}")
    oldest = found["oldest_pending_s"]
    lines.append(f"pending  {found['pending']:,}" + (f", oldest {oldest:,.0f} s" if oldest else ""))
    latency = found["verification_latency_ms"]
    if latency:
        lines.append(
            f"latency  p50 {latency['p50'] / 1e3:,.1f} s, p90 {latency['p90'] / 1e3:,.1f} s"
        )
    lines += _quality_lines(found["quality"])
    lines += features_lines(found["features"])
    if found["gold"]["standing_out"]:
        lines.append(
            f"gold     {found['gold']['standing_out']:,} of {found['gold']['questions']:,} are not "
            "put: they lack a field of every open query, or have one that none has; "
            "`stream-al seed FILE --gold` again with the same fields, segment and meta as events"
        )
    lines += [f"differs  {said}" for said in sentences(found["differs_from_configuration"])]
    control = found["last_control"]
    if control and control["actor"] != RESOLVER_ACTOR:
        lines.append(f"control  {control['patch']} by {control['actor']}: {control['reason']}")
    return lines


def _quality_lines(quality: dict[str, Any]) -> list[str]:
    prequential, accuracy = quality["prequential"], quality["accuracy"]
    lines = []
    if accuracy is None and prequential["count"]:
        lines.append(f"accuracy too few labels to say ({prequential['count']} of {LABELS_MIN})")
    elif accuracy:
        lines.append(
            f"accuracy {accuracy['value']:.1%} of all events "
            f"({accuracy['low']:.1%} to {accuracy['high']:.1%}), from {accuracy['labels']} labels"
        )
    if prequential["count"]:
        lines.append(
            f"asked    accuracy {prequential['accuracy']:.1%} on what was asked, "
            f"kappa {prequential['kappa']:.2f} (hard cases: lower than over all events)"
        )
    return lines
