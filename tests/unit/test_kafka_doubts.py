"""Each error of the client has a class that says whether a restart helps; both are pinned here."""

from __future__ import annotations

import pytest
from kafka import errors

from stream_al.config import Config, LogSection
from stream_al.errors import ConfigurationError, InDoubt
from stream_al_connectors.kafka import client_log
from stream_al_connectors.kafka.doubts import ClientError, Doubt, doubt, translated
from stream_al_connectors.kafka.fast import FastTransport

CLASSES: tuple[tuple[Exception, str, int], ...] = (
    (errors.ProducerFencedError(), "fenced", 1),
    (errors.InvalidProducerEpochError(), "fenced", 1),
    (errors.FencedInstanceIdError(), "fenced", 1),
    (errors.KafkaError("Invalid transition attempted from state BUMPING_PRODUCER_EPOCH"),
     "fenced", 1),
    (errors.KafkaTimeoutError("Unable to bootstrap from h:1"), "ambiguous", 1),
    (errors.KafkaTimeoutError("no answer"), "ambiguous", 1),
    (errors.KafkaConnectionError("reset"), "ambiguous", 1),
    (errors.OutOfOrderSequenceNumberError(), "ambiguous", 1),
    (errors.OffsetOutOfRangeError(), "gone", 2),
    (errors.LogTruncationError({}), "gone", 2),
    (errors.TopicAuthorizationFailedError(), "config", 2),
    (errors.GroupAuthorizationFailedError(), "config", 2),
    (errors.TransactionalIdAuthorizationFailedError(), "config", 2),
    (errors.UnknownTopicOrPartitionError(), "config", 2),
    (errors.IncompatibleBrokerVersion("InitProducerId"), "config", 2),
    (errors.KafkaConfigurationError("Idempotent producer requires broker >= 0.11"), "config", 2),
    (errors.MessageSizeTooLargeError(), "config", 2),
    (errors.UnsupportedCodecError("Libraries for lz4 compression codec not found"), "config", 2),
)  # fmt: skip


@pytest.mark.parametrize(("error", "kind", "code"), CLASSES, ids=lambda it: f"{it!r:.40}")
def test_an_error_has_its_class(error: Exception, kind: str, code: int) -> None:
    """The first word of the line, the exit code, and what was tried."""
    found = doubt(error, "committing")

    told = (found.kind, found.exit_code) if isinstance(found, InDoubt) else ("config", 2)

    assert isinstance(found, InDoubt | ConfigurationError)
    assert told == (kind, code)
    assert str(found)


@pytest.mark.parametrize(
    "error",
    [
        errors.CommitFailedError("left"),
        errors.IllegalGenerationError(),
        errors.RebalanceInProgressError(),
        errors.UnknownMemberIdError(),
    ],
    ids=lambda it: type(it).__name__,
)
def test_a_group_that_moved_on_is_no_doubt(error: Exception) -> None:
    """The transaction does not count, and the member goes on from what is committed."""
    assert ClientError.of(error).doubt is Doubt.MOVED
    assert ClientError.of(errors.ProducerFencedError()).doubt is not Doubt.MOVED


def test_a_setting_that_librdkafka_refuses_is_ours_to_mend() -> None:
    """It says so when a client is made, in words that name the setting."""
    security = {"protocol": "SSL", "ciphers": "no-such-cipher"}
    config = Config.model_validate(
        {"log": {"connector": "kafka", "bootstrap_servers": ["127.0.0.1:1"], "security": security}}
    )

    told = r"section `log`.*ssl\.cipher\.suites"
    with pytest.raises(ConfigurationError, match=told), translated("connecting"):
        FastTransport(config, 1 << 20).reader()


@pytest.mark.parametrize("let_in", [False, True])
def test_brokers_that_hang_up_refuse_only_who_was_never_let_in(
    monkeypatch: pytest.MonkeyPatch, *, let_in: bool
) -> None:
    """A broker that dies hangs up on all clients of a worker at once: no setting is wrong then."""
    monkeypatch.setattr(client_log._CLIENT_LOG, "let_in", let_in)
    line = (
        "<KafkaConnection node_id=1 broker_version=(4, 3) (disconnected)>: Connection lost: "
        "KafkaConnectionError: socket disconnected"
    )

    assert (client_log.refused([line] * client_log.HUNG_UP_TIMES, LogSection()) is None) == let_in
