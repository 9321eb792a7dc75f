"""Looks at the brokers before a worker needs them: what is missing, by name, with what mends it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from kafka import KafkaAdminClient, TopicPartition
from kafka.errors import KafkaError

from stream_al.config import Config
from stream_al_connectors.kafka.deadline import Deadline
from stream_al_connectors.kafka.doubts import guarded, missing_codecs
from stream_al_connectors.kafka.settings import TRANSACTION_TIMEOUT_MS, Clients
from stream_al_connectors.kafka.topics import (
    Found,
    alter,
    broker_configs,
    create,
    differences,
    found_topics,
    hidden_topics,
    wanted_topics,
)
from stream_al_connectors.opening import topics_of

METADATA_BYTES = 4_096
LOOK_S = 60.0
RIGHTS = {
    "events": ("READ",),
    "predictions": ("READ", "WRITE"),
    "queries": ("READ", "WRITE"),
    "labels": ("READ",),
    "outcomes": ("READ", "WRITE"),
    "journal": ("READ", "WRITE"),
    "controls": ("READ",),
    "statistics": ("READ", "WRITE"),
    "dead_letters": ("WRITE",),
}
"""What a worker does with each topic; commands for people need more: see docs/OPERATIONS.md."""


def problems_of(config: Config, groups: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Return what keeps a worker from running on these brokers, and what could not be looked at.

    Parameters
    ----------
    groups
        The consumer groups of the workers.

    Raises
    ------
    ConfigurationError, Ambiguous
        When the brokers can't be reached, or refuse.
    """
    clients = Clients.of(config)
    deadline = Deadline(LOOK_S)
    try:
        with guarded(deadline, "looking at the brokers"):
            admin = clients.admin()
            try:
                return _look(config, clients, admin, groups)
            finally:
                admin.close()
    finally:
        deadline.close()


def codec_notes(config: Config) -> Iterator[str]:
    """Yield what producers may compress by that can't be read here."""
    if config.log.transport == "fast":
        return  # librdkafka brings its own
    for name, package in missing_codecs().items():
        yield (
            f"records that are compressed with {name} can't be read here: a package is missing, "
            f"pip install '{package}'"
        )


def create_topics(config: Config, *, change: bool) -> tuple[list[str], list[str]]:
    """Make the topics that are missing; return what was done, and what still differs.

    Parameters
    ----------
    change
        Also set the settings of topics that are there.
    """
    clients = Clients.of(config)
    deadline = Deadline(LOOK_S)
    try:
        with guarded(deadline, "creating topics"):
            admin = clients.admin()
            try:
                return _create(config, clients, admin, change=change)
            finally:
                admin.close()
    finally:
        deadline.close()


def _create(
    config: Config, clients: Clients, admin: KafkaAdminClient, *, change: bool
) -> tuple[list[str], list[str]]:
    brokers = len(admin.describe_cluster()["brokers"])
    wanted = wanted_topics(config, clients, brokers)
    done = list(create(admin, wanted, found_topics(admin, list(wanted)), brokers))
    found = found_topics(admin, list(wanted))
    left: list[str] = []
    for name, topic in found.items():
        differing = list(differences(name, wanted[name], topic, brokers))
        settings = dict(it.config for it in differing if it.config is not None)
        if change and settings:
            alter(admin, name, settings)
            done.extend(f"changed   {name}: {key} = {value}" for key, value in settings.items())
        left.extend(it.sentence for it in differing if it.config is None or not change)
    return done, left


def _look(
    config: Config, clients: Clients, admin: KafkaAdminClient, groups: tuple[str, ...]
) -> tuple[list[str], list[str]]:
    brokers = len(admin.describe_cluster()["brokers"])
    wanted = wanted_topics(config, clients, brokers)
    found = found_topics(admin, list(wanted))
    hidden = hidden_topics(admin, list(wanted))
    problems = [
        f"{name}: there is no such topic; `stream-al topics create` makes it"
        for name in wanted
        if name not in found and name not in hidden
    ]
    notes = []
    for name, topic in found.items():
        problems += [it.sentence for it in differences(name, wanted[name], topic, brokers)]
    unseen = [name for name, topic in found.items() if topic.configs is None]
    if unseen:
        notes.append(
            f"settings of {', '.join(unseen)} could not be looked at: allow DESCRIBE_CONFIGS on "
            "them to have them checked"
        )
    problems += _missing_rights(config, clients, found, hidden, groups)
    limits = broker_configs(admin)
    problems += _broker_limits(config, limits)
    if not limits:
        notes.append("the brokers' limits could not be looked at: allow DESCRIBE_CONFIGS on them")
    return problems, notes


def _missing_rights(
    config: Config,
    clients: Clients,
    found: Mapping[str, Found],
    hidden: set[str],
    groups: tuple[str, ...],
) -> Iterator[str]:
    user = config.log.security.username or "<user>"
    grant = f"kafka-acls --bootstrap-server … --add --allow-principal User:{user}"
    for short, operations in RIGHTS.items():
        name = config.topic(short)
        allowed = found[name].operations if name in found else None
        for operation in operations:
            if name in hidden or (allowed is not None and operation not in allowed):
                yield (
                    f"{name}: {operation} on the topic is not allowed; "
                    f"{grant} --operation {operation.title()} --topic {name}"
                )
    for group in groups:
        prefix = group.rpartition(".")[0] + "."
        refusal = _refusal(_ask_group, clients, group)
        if refusal is not None:
            yield (
                f"group {group}: READ is not allowed ({refusal}); {grant} --operation Read "
                f"--group {prefix} --resource-pattern-type prefixed"
            )
        refusal = _refusal(_ask_transactions, clients, f"{group}-check")
        if refusal is not None:
            yield (
                f"transactional ids that begin with {group}: WRITE is not allowed ({refusal}); "
                f"{grant} --operation Write --transactional-id {prefix} "
                "--resource-pattern-type prefixed"
            )


def _refusal(ask: Callable[[Clients, str], None], clients: Clients, name: str) -> str | None:
    """Return the name of the refusal, when brokers refuse what `ask` asks."""
    try:
        ask(clients, name)
    except KafkaError as error:
        refusal = type(error).__name__
        if refusal.endswith("AuthorizationFailedError"):
            return refusal
        raise
    return None


def _ask_group(clients: Clients, group: str) -> None:
    """Ask for a committed offset, which needs what a member needs."""
    topic = next(iter(topics_of(clients.config)))
    consumer = clients.consumer(group_id=group)
    try:
        consumer.committed(TopicPartition(topic, 0))
    finally:
        consumer.close(autocommit=False)


def _ask_transactions(clients: Clients, identity: str) -> None:
    """Begin as a producer that nobody else is."""
    producer = clients.producer(transactional_id=identity)
    try:
        producer.init_transactions()
    finally:
        producer.close(timeout=1.0, null_logger=True)


def _broker_limits(config: Config, limits: Mapping[str, str]) -> Iterator[str]:
    def number(key: str, default: int) -> int:
        return int(limits.get(key, default))

    metadata = number("offset.metadata.max.bytes", METADATA_BYTES)
    if metadata < METADATA_BYTES:
        yield (
            f"the brokers' offset.metadata.max.bytes is {metadata:,}, needs {METADATA_BYTES:,} "
            "(the gate's state is committed there); raise it in server.properties"
        )
    session = config.log.session_timeout
    low = number("group.min.session.timeout.ms", session)
    high = number("group.max.session.timeout.ms", session)
    if not low <= session <= high:
        yield (
            f"log.session_timeout is {session:,} ms, the brokers allow {low:,} to {high:,} "
            "(group.min.session.timeout.ms, group.max.session.timeout.ms); set it between them"
        )
    longest = number("transaction.max.timeout.ms", TRANSACTION_TIMEOUT_MS)
    if longest < TRANSACTION_TIMEOUT_MS:
        yield (
            f"the brokers' transaction.max.timeout.ms is {longest:,}, needs "
            f"{TRANSACTION_TIMEOUT_MS:,}; raise it in server.properties"
        )
