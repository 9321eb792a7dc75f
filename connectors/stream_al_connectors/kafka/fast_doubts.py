"""What an error of librdkafka means to us: see `doubts.py`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import KafkaError, KafkaException

from stream_al_connectors.kafka.doubts import ClientError, Doubt

_DOUBTS = {
    KafkaError._FENCED: Doubt.FENCED,
    KafkaError.PRODUCER_FENCED: Doubt.FENCED,
    KafkaError.INVALID_PRODUCER_EPOCH: Doubt.GIVEN_UP,
    KafkaError.FENCED_INSTANCE_ID: Doubt.FENCED,
    KafkaError.ILLEGAL_GENERATION: Doubt.MOVED,
    KafkaError.UNKNOWN_MEMBER_ID: Doubt.MOVED,
    KafkaError.REBALANCE_IN_PROGRESS: Doubt.MOVED,
    KafkaError._AUTO_OFFSET_RESET: Doubt.GONE,
    KafkaError.OFFSET_OUT_OF_RANGE: Doubt.GONE,
    KafkaError.TOPIC_AUTHORIZATION_FAILED: Doubt.REFUSED,
    KafkaError.GROUP_AUTHORIZATION_FAILED: Doubt.REFUSED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: Doubt.REFUSED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: Doubt.REFUSED,
    KafkaError._UNSUPPORTED_FEATURE: Doubt.TOO_OLD,
    KafkaError.UNSUPPORTED_VERSION: Doubt.TOO_OLD,
    KafkaError.MSG_SIZE_TOO_LARGE: Doubt.TOO_LARGE,
    KafkaError.UNKNOWN_TOPIC_OR_PART: Doubt.NO_TOPIC,
    KafkaError._UNKNOWN_TOPIC: Doubt.NO_TOPIC,
    KafkaError._BAD_COMPRESSION: Doubt.NO_CODEC,
    KafkaError._NOT_IMPLEMENTED: Doubt.NO_CODEC,
    KafkaError._INVALID_ARG: Doubt.SETTING,
}

_LOST = (Doubt.FENCED, Doubt.GIVEN_UP)
_IN_WORDS = {KafkaError(code).str(): it for code, it in _DOUBTS.items() if it in _LOST}


def error_of(error: KafkaError, topic: str | None = None) -> ClientError:
    """Return our error for one of the client's.

    Of one that it does not survive it may tell the reason in words only.

    Parameters
    ----------
    topic
        What was read when it came.

    Examples
    --------
    >>> error_of(KafkaError(KafkaError.ILLEGAL_GENERATION)).doubt
    <Doubt.MOVED: 3>
    >>> fenced = KafkaError(KafkaError.FENCED_INSTANCE_ID).str()
    >>> error_of(KafkaError(KafkaError._FATAL, f"Fatal error: {fenced}")).doubt
    <Doubt.FENCED: 1>
    """
    found = _DOUBTS.get(error.code(), Doubt.UNKNOWN)
    if error.code() == KafkaError._FATAL:
        found = next((it for text, it in _IN_WORDS.items() if text in error.str()), found)
    refused = error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
    topics = (topic,) if refused and topic is not None else ()
    return ClientError(found, error.name(), error.str(), topics)


@contextmanager
def raised() -> Iterator[None]:
    """Raise a `ClientError` for whatever the client raises."""
    try:
        yield
    except KafkaException as error:
        raise error_of(error.args[0]) from error
