"""`init` writes a configuration, `check` reads it and names every problem, `run` is the worker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated, Literal

import typer

from stream_al.config import Config
from stream_al.errors import ConfigurationError, InDoubt
from stream_al.port import Log
from stream_al.private_files import create
from stream_al.service.answers import last_record
from stream_al.service.beginning import Begins, beginning, nothing_said
from stream_al.service.clock import SystemClock
from stream_al.service.commands.common import (
    ConfigOption,
    JsonOption,
    configured,
    err,
    log_problem,
    out,
    print_json,
)
from stream_al.service.exits import Exits
from stream_al.service.groups import resolver_group, scorer_group
from stream_al.service.listening import address_of, host_problems
from stream_al.service.logs import start_logging
from stream_al.service.mapping import Fit, inputs_at_hand
from stream_al.service.settings import DEFAULT_FILE, gate_secret, load
from stream_al.service.snapshotting import snapshot_problems, state_folder
from stream_al.service.starting import check_slot, check_topics
from stream_al.service.strategies import gate_problems, load_plugins, ready_to_decide
from stream_al.service.view import JournalView, differences, journal_view, sentences
from stream_al_connectors.opening import log_path, open_log

Found = tuple[list[str], list[str]]
"""Problems and notes."""

TEMPLATE = """\
# stream_al. Every key is optional; what stands here is the default, unless it is commented out.

app: stream-al                  # prefix of topics and groups
log:
  connector: sqlite             # one file, no broker
  # path: stream-al.db          # default: <app>.db; relative paths count from this file's folder
  # connector: kafka            # then `stream-al topics create`, and a gate.secret_file
  # bootstrap_servers: [kafka-1:9092]
  # transport: kafka-python     # or fast: less CPU an event; pip install 'stream-al[fast]'
  # security: {protocol: SASL_SSL, mechanism: SCRAM-SHA-512, username: me, password_file: password}
  durability: full              # survives a power cut; normal: a kill only, and is faster
  retention: 30d                # older records go; never one still needed, never the journal
topics:
  partitions: 4                 # of events: the unit of scale; the budget is split over them

# Your own JSON, by dotted paths. Leave it out and events are {"event_id": …, "features": {…}}.
# events:
#   event_id: post.id
#   at_ms: post.created_ms
#   segment: post.language
#   version: post.edited_at     # each edit is an event of its own, <id>@<version>
#   features: {text: post.body, followers: post.author.followers}
#   types: {title: text}        # `text` and `vector` are known; any other string is a category
#   on_bad_number: drop_feature # or dead_letter

labels:
  # event_id: task.id           # own field names; label, annotator, kind, revision, at_ms too
  # classes: [ok, spam, abuse]  # a closed set; left out, classes are learnt as they come
  votes: 1                      # how many people must label a query
  votes_max: 3                  # how many at most, when they disagree
  gold_share: 0.05              # gold questions for each query, once `seed --gold` gave some
  expire_after: 7d              # an open query closes after this long
  revise_within: 30d            # a label may be corrected for this long
model:
  preset: linear                # linear | committee | river | tree | forest
  # factory: my_package.models:build
  seed: 1
gate:
  uncertainty: margin           # margin | least_confidence | entropy | disagreement
  random_share: 0.2             # of the budget: measures the model; the rest teaches it
  budget:
    share: 0.05                 # queries per event
    # per_hour: 200             # labels an hour, over all partitions
    # open: 1000                # pending queries, over all partitions
snapshots:                      # so that a start does not fold the whole journal; a cache
  # directory: snapshots        # default: <log path>.snapshots
  every_records: 1000           # journal records; 0 writes none
  keep: 3
  # key_file: snapshots.key     # signs them; or STREAM_AL_SNAPSHOTS__KEY
http: {host: 127.0.0.1, port: 8321}   # of slot 0; slot n takes port + n
# plugins: [my_strategies]      # modules that register an uncertainty of your own
"""


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    app.command()(init)
    app.command()(check)
    app.command()(run)


def init(
    file: Annotated[Path, typer.Argument(help="Where to write it.")] = Path(DEFAULT_FILE),
    *,
    force: Annotated[bool, typer.Option(help="Overwrite a file that is there.")] = False,
) -> None:
    """Write a commented configuration.

    Example: `stream-al init`
    """
    try:
        if force:
            file.unlink(missing_ok=True)
        with os.fdopen(create(file), "w", encoding="utf-8") as opened_file:
            opened_file.write(TEMPLATE)
    except FileExistsError:
        raise ConfigurationError(
            f"FILE is {str(file)!r}, which exists; name another, or overwrite it with --force"
        ) from None
    err.print(f"wrote {file}; next: edit it, then `stream-al check`")


def check(
    sample: Annotated[
        Path | None, typer.Option(help="Lines of your own events, to try `events:` on.")
    ] = None,
    sample_labels: Annotated[
        Path | None, typer.Option(help="Lines of your own labels, to try `labels:` on.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read the configuration, open the log, name every problem at once.

    Example: `stream-al check --sample posts.jsonl`
    """
    from stream_al.model import check_model  # noqa: PLC0415 - River takes a second to import

    loaded = load(config)
    settings = loaded.config
    load_plugins(settings)
    said = check_model(settings)
    problems = [line for line in said if not line.startswith("warning: ")]
    notes = [line for line in said if line.startswith("warning: ")]
    problems += snapshot_problems(settings)
    problems += [] if problems else gate_problems(settings)
    problems += host_problems(settings.http)
    on_kafka = settings.log.connector == "kafka"
    if on_kafka:
        found, seen = _look_at_brokers(settings)
        problems += found
        notes += seen
    if (on_kafka and not problems) or Path(log_path(settings)).exists():
        found, differing = _look_at_log(settings)
        problems += found
        notes += differing
    elif not on_kafka and (problem := log_problem(loaded, create=True)) is not None:
        problems.append(problem)
    elif not on_kafka:
        notes.append(f"log.path: {log_path(settings)} is made by the first `send` or `run`")
    for found, seen in _try_samples(settings, sample, sample_labels):
        problems += found
        notes += seen
    if as_json:
        print_json({"problems": problems, "notes": notes})
    else:
        for note in notes:
            out.print(f"note     {note}", markup=False)
    if problems:
        raise ConfigurationError(*problems)
    if not as_json:
        place = ", ".join(settings.log.bootstrap_servers) if on_kafka else log_path(settings)
        out.print(f"ok       {settings.app}: {place}, {settings.topics.partitions} "
                  f"partitions, model {settings.model.factory or settings.model.preset}",
                  markup=False)  # fmt: skip


def _try_samples(config: Config, events: Path | None, labels: Path | None) -> Iterator[Found]:
    from stream_al.service.try_sample import try_events, try_labels  # noqa: PLC0415 - River

    if events is not None:
        yield try_events(events, config)
    if labels is not None:
        yield try_labels(labels, config)


def _look_at_brokers(config: Config) -> tuple[list[str], list[str]]:
    """Return what is missing on Kafka: topics, rights, settings, the secret; and notes."""
    from stream_al_connectors.kafka.checking import (  # noqa: PLC0415 - slow to import
        codec_notes,
        problems_of,
    )

    problems: list[str] = []
    notes: list[str] = []
    try:
        problems, notes = problems_of(config, (scorer_group(config), resolver_group(config)))
        gate_secret(config, beside=Path(log_path(config)), create=False)
    except ConfigurationError as error:
        problems += error.problems
    return problems, [*notes, *codec_notes(config)]


def _look_at_log(config: Config) -> tuple[list[str], list[str]]:
    """Return problems of the log, and where the journal's settings differ from the file's."""
    try:
        log = open_log(config, create=False)
    except ConfigurationError as error:
        return list(error.problems), []
    except InDoubt as error:
        if config.log.connector == "kafka":
            raise
        return [f"log.path: {error}"], []
    try:
        view = journal_view(log, config)
        different = differences(config.settings(), view.settings)
        notes = [] if view.lineage is None else sentences(different)
        return _mapping_problems(view, config) + list(_unreadable(log, config)), notes
    finally:
        log.close()


def _unreadable(log: Log, config: Config) -> Iterator[str]:
    """Yield why the newest events or labels can't be read, when they can't: a missing codec."""
    for name in ("events", "labels"):
        topic = config.topic(name)
        for partition in range(log.partition_count(topic)):
            try:
                last_record(log, topic, partition)
            except ConfigurationError as error:
                yield from (f"{topic}: {problem}" for problem in error.problems)
                break


def _mapping_problems(view: JournalView, config: Config) -> list[str]:
    """Return why a worker of this configuration would end at once."""
    in_force = None if view.inputs is None else view.inputs[2]
    try:
        Fit(config, inputs_at_hand(config)).check(view.lineage, in_force)
    except ConfigurationError as error:
        return list(error.problems)
    return []


def run(
    role: Annotated[
        Literal["all", "scorer", "resolver"], typer.Option(help="Which loops run here.")
    ] = "all",
    slot: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="This worker's name: who has it already is fenced [default: 0, unless on Kafka a "
            "worker has it].",
        ),
    ] = None,
    begin: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="latest|TIME",
            help="On the app's first start: begin with events that come from now on, or since a "
            "time as 2026-11-30T00:00Z. Recorded; later starts go on where they were.",
        ),
    ] = None,
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="End when everything is read.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Run the worker: predict, ask, learn. SIGTERM ends it after the batch.

    A second process on the same log simply helps.

    Example: `stream-al run --until-idle`, `stream-al run --from latest`
    """
    from stream_al.service.worker import Worker, serve  # noqa: PLC0415 - imports River

    start_logging()
    settings = configured(config, create=True)
    ready_to_decide(settings)
    address_of(settings.http, slot or 0)
    folder = state_folder(settings)
    exits = Exits(None if folder is None else folder / f"exits-{slot or 0}.json")
    with (
        exits.noted(),
        closing(open_log(settings, create=True, tell=exits.end)) as log,
    ):
        check_topics(log, settings, role)
        secret = gate_secret(settings, beside=Path(log_path(settings)))
        clock = SystemClock()
        # On Kafka the slot is the identity, so that a restarted worker gets its partitions back.
        kafka = settings.log.connector == "kafka"
        if kafka and slot is None:
            check_slot(log, settings, role, clock=clock)
        name = f"{slot or 0}" if kafka else f"worker-{slot or 0}-{os.getpid()}"
        begins: Begins = nothing_said
        if begin is not None:
            begins = beginning(log, settings, begin, role=role, now_ms=clock.now_ms())
        worker = Worker(
            log, settings, role=role, secret=secret, name=name, clock=clock, begins=begins
        )
        worker.counters.exits = exits.counts
        serve(worker, settings, slot=slot or 0, until_idle=until_idle)
