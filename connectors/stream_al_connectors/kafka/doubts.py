"""What an error of the client means to us: which are ours to mend, and which end the process.

A fenced producer shows itself in several disguises, and an unknown failure inside a transaction
leaves it unknown what was committed. Whoever can't tell stops: a restart begins from what is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kafka import errors

from stream_al.errors import Ambiguous, ConfigurationError, Fenced, Gone, StreamAlError
from stream_al_connectors.kafka.deadline import Deadline

_FENCED = (
    errors.ProducerFencedError,
    errors.InvalidProducerEpochError,
    errors.FencedInstanceIdError,
)
_FENCED_IN_DISGUISE = "BUMPING_PRODUCER_EPOCH"
_MOVED = (
    errors.CommitFailedError,
    errors.IllegalGenerationError,
    errors.RebalanceInProgressError,
    errors.UnknownMemberIdError,
)


def moved(error: Exception) -> bool:
    """Return whether `error` says that the group moved on while a transaction was made."""
    return isinstance(error, _MOVED)


def doubt(error: Exception, what: str) -> StreamAlError:
    """Return the error of ours for one of the client's.

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
    name = type(error).__name__
    told = f"{name}: {error}" if str(error) else name
    if isinstance(error, _FENCED) or _FENCED_IN_DISGUISE in str(error):
        return Fenced(
            f"{what}: another process with the same slot took over; "
            f"give every worker a --slot of its own ({name})"
        )
    if moved(error):
        return Fenced(f"{what}: the group goes on without this worker ({name})")
    if isinstance(error, errors.OffsetOutOfRangeError):
        return Gone(f"{what}: the records at the position to read are not there ({told})")
    if name.endswith("AuthorizationFailedError"):
        return ConfigurationError(
            f"{what}: the broker refuses ({told}); `stream-al check` names the rights that miss"
        )
    if isinstance(error, errors.UnknownTopicOrPartitionError):
        return ConfigurationError(
            f"{what}: there is no such topic or partition; run `stream-al topics create` ({told})"
        )
    return Ambiguous(f"{what}: {told}; what became of it is unknown, restart this worker")


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Raise ours for whatever the client raises."""
    try:
        yield
    except errors.KafkaError as error:
        raise doubt(error, what) from error


@contextmanager
def guarded(deadline: Deadline, what: str) -> Iterator[None]:
    """End the process when the block hangs, and raise ours for whatever the client raises."""
    with deadline.guard(what), translated(what):
        yield
