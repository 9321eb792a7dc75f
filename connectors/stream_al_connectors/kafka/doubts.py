"""What an error of the client means to us: which are ours to mend, and which end the process.

A fenced producer shows itself in several disguises, and an unknown failure inside a transaction
leaves it unknown what was committed. Whoever can't tell stops: a restart begins from what is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import Enum, auto

from kafka import codec, errors

from stream_al.errors import (
    Ambiguous,
    ConfigurationError,
    Fenced,
    Gone,
    NotAllowed,
    StreamAlError,
)
from stream_al_connectors.kafka.client_log import (
    bootstrap_servers,
    last_lines,
    throttled,
    unreached,
    unreached_node,
    why_refused,
)
from stream_al_connectors.kafka.deadline import Deadline

BOOTSTRAP_S = 10.0
"""How long a client looks for a first broker."""

SAID_S = BOOTSTRAP_S + 2.0
"""What the client said in this time is why it found none."""

PACKAGES = {"lz4": "lz4", "snappy": "python-snappy", "zstd": "zstandard"}
"""Codec → the package that reads it; all come with ours, unless somebody left them out."""

THROTTLED_S = 60.0
"""Throttling so long ago may be why something took too long."""

_FENCED_IN_DISGUISE = "BUMPING_PRODUCER_EPOCH"


class Doubt(Enum):
    """What a failure means to us."""

    FENCED = auto()  # another process with the same slot took over
    GIVEN_UP = auto()  # the transaction is not ours any more: fenced, or it took too long
    MOVED = auto()  # the group deals out anew: this transaction does not count
    GONE = auto()  # the records at the position to read were dropped
    REFUSED = auto()  # a right is missing
    TOO_OLD = auto()  # the brokers lack what transactions need
    TOO_LARGE = auto()  # a topic takes smaller records
    NO_TOPIC = auto()
    NO_CODEC = auto()  # records are compressed in a way that can't be read here
    SETTING = auto()  # the client does not take what is configured
    UNKNOWN = auto()  # and so is what became of what was tried


_KINDS: dict[Doubt, tuple[type[Exception], ...]] = {
    Doubt.FENCED: (
        errors.ProducerFencedError,
        errors.FencedInstanceIdError,
    ),
    Doubt.GIVEN_UP: (errors.InvalidProducerEpochError,),
    Doubt.MOVED: (
        errors.CommitFailedError,
        errors.IllegalGenerationError,
        errors.RebalanceInProgressError,
        errors.UnknownMemberIdError,
    ),
    Doubt.GONE: (errors.OffsetOutOfRangeError, errors.LogTruncationError),
    Doubt.TOO_OLD: (errors.UnsupportedVersionError, errors.KafkaConfigurationError),
    Doubt.TOO_LARGE: (errors.MessageSizeTooLargeError,),
    Doubt.NO_TOPIC: (errors.UnknownTopicOrPartitionError,),
    Doubt.NO_CODEC: (errors.UnsupportedCodecError,),
}
"""Of kafka-python's errors; those of a missing right are known by the end of their names."""

_REMEDIES = {
    Doubt.REFUSED: "the broker refuses; `stream-al check` names the rights that are missing",
    Doubt.TOO_OLD: "the brokers do not speak what transactions need; Kafka 2.5 or later does",
    Doubt.TOO_LARGE: "a topic takes smaller records than are sent; `stream-al check` names it, or "
    "the record is larger than workers take (events.bytes_max): send less",
    Doubt.SETTING: "a setting is refused; mend it in the section `log` of the configuration",
    Doubt.NO_TOPIC: "there is no such topic or partition; run `stream-al topics create`",
}
"""What people have to do before a restart helps."""


class ClientError(Exception):
    """A failure of a client, whichever it is.

    Attributes
    ----------
    doubt
        What it means.
    name
        What the client calls it.
    told
        Its name, and what the client said more.
    topics
        Which ones are refused, of a right that is missing to read or write topics.
    """

    def __init__(self, doubt: Doubt, name: str, said: str = "", topics: Iterable[str] = ()) -> None:
        self.doubt = doubt
        self.name = name
        self.told = f"{name}: {said}" if said else name
        self.topics = frozenset(topics)
        super().__init__(self.told)

    @classmethod
    def of(cls, error: Exception) -> ClientError:
        """Return kafka-python's error as one of these.

        Examples
        --------
        >>> ClientError.of(errors.CommitFailedError()).doubt
        <Doubt.MOVED: 3>
        """
        name = type(error).__name__
        refused = isinstance(error, errors.TopicAuthorizationFailedError) and error.args
        topics = error.args[0] if refused and isinstance(error.args[0], set) else ()
        return cls(_doubt_of(error, name), name, str(error), topics)

    def ours(self, what: str) -> StreamAlError:
        """Return the error of ours that says what this means for `what` was tried.

        Examples
        --------
        >>> ClientError(Doubt.MOVED, "IllegalGeneration").ours("commit")
        Fenced('commit: the group goes on without this worker (IllegalGeneration)')
        """
        match self.doubt:
            case Doubt.FENCED:
                return Fenced(
                    f"{what}: another process with the same slot took over; "
                    f"give every worker a --slot of its own ({self.name})"
                )
            case Doubt.GIVEN_UP:
                return Fenced(
                    f"{what}: it took longer than the brokers wait for a transaction, or another "
                    f"process with the same slot took over; nothing of it counts ({self.name})"
                    f"{throttled(THROTTLED_S)}"
                )
            case Doubt.MOVED:
                return Fenced(f"{what}: the group goes on without this worker ({self.name})")
            case Doubt.GONE:
                return Gone(
                    f"{what}: the records at the position to read are not there ({self.told}): "
                    "retention dropped them, brokers lost them, or the topic was deleted and made "
                    "again; start again, and see what `stream-al positions` says"
                )
            case Doubt.UNKNOWN:
                return _unknown(what, self.told)
            case _:
                kind = NotAllowed if self.topics else ConfigurationError
                return kind(f"{what}: {self._remedy()}")

    def _remedy(self) -> str:
        if self.doubt is Doubt.NO_CODEC:
            return _compressed(self.told)
        return f"{_REMEDIES[self.doubt]} ({self.told})"


def missing_codecs() -> dict[str, str]:
    """Return codec → the package that reads it, of those that can't be read here."""
    has = {"lz4": codec.has_lz4, "snappy": codec.has_snappy, "zstd": codec.has_zstd}
    return {name: PACKAGES[name] for name, found in has.items() if not found()}


def _compressed(told: str) -> str:
    """Return what to do about records that can't be read.

    Examples
    --------
    >>> _compressed("UnsupportedCodecError: Libraries for lz4 compression codec not found")
    "records are compressed with lz4, and the package that reads it is missing: pip install 'lz4'"
    """
    for name, package in PACKAGES.items():
        if name in told:
            return (
                f"records are compressed with {name}, and the package that reads it is missing: "
                f"pip install '{package}'"
            )
    return f"records are compressed in a way that this client does not read ({told})"


class OutOfRange(ClientError):
    """A place is read at an offset where there is nothing.

    Attributes
    ----------
    place, offset
        Where.
    """

    def __init__(self, place: tuple[str, int], offset: int) -> None:
        super().__init__(Doubt.GONE, "OffsetOutOfRange", f"offset {offset} of {place}")
        self.place = place
        self.offset = offset


def _doubt_of(error: Exception, name: str) -> Doubt:
    if _FENCED_IN_DISGUISE in str(error):
        return Doubt.FENCED
    if name.endswith("AuthorizationFailedError"):
        return Doubt.REFUSED
    return next((it for it, kinds in _KINDS.items() if isinstance(error, kinds)), Doubt.UNKNOWN)


def doubt(error: Exception, what: str) -> StreamAlError:
    """Return the error of ours for one of kafka-python's.

    Parameters
    ----------
    what
        What was tried, for the sentence.

    Examples
    --------
    >>> doubt(errors.ProducerFencedError(), "commit")  # doctest: +ELLIPSIS
    Fenced('commit: another process with the same slot took over; give every worker a --slot ...')
    >>> type(doubt(errors.KafkaTimeoutError(), "commit")).__name__
    'Ambiguous'
    """
    return ClientError.of(error).ours(what)


def _unknown(what: str, told: str) -> StreamAlError:
    if "Unable to bootstrap" not in told:
        node = unreached_node(last_lines(SAID_S)) if "Connection" in told else None
        if node is not None:
            return Ambiguous(
                f"{what}: {bootstrap_servers()} (log.bootstrap_servers) answers, but {node}; it is "
                "down, or advertised.listeners of that broker names a place for other machines"
            )
        return Ambiguous(
            f"{what}: {told}; what became of it is unknown, restart this worker"
            f"{throttled(THROTTLED_S)}"
        )
    servers = told.partition("bootstrap from ")[2]
    wrong = why_refused(SAID_S)
    if wrong is not None:
        return ConfigurationError(f"{wrong} (log.bootstrap_servers is {servers})")
    return Ambiguous(
        f"{what}: no broker at {servers}: {unreached(last_lines(SAID_S))}; see "
        "log.bootstrap_servers, and whether the brokers run"
    )


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Raise ours for whatever a client raises."""
    try:
        yield
    except errors.KafkaError as error:
        raise doubt(error, what) from error
    except ClientError as error:
        raise error.ours(what) from error


@contextmanager
def guarded(deadline: Deadline, what: str) -> Iterator[None]:
    """End the process when the block hangs, and raise ours for whatever the client raises."""
    with deadline.guard(what), translated(what):
        yield
