"""What every front end for annotators does: send a label, wait for its outcome."""

from __future__ import annotations

import time

from stream_al.config import Config
from stream_al.engine import parse
from stream_al.messages import Label, Outcome
from stream_al.port import Log, Outgoing

OUTCOME_WAIT_S = 3.0
OUTCOME_POLL_S = 0.03


def append_label(log: Log, config: Config, label: Label) -> tuple[int, int]:
    """Append a label; return its partition and offset in the labels topic."""
    outgoing = Outgoing(value=label.to_wire(), key=label.event_id.encode())
    return log.append(config.topic("labels"), [outgoing])[0]


def await_outcome(log: Log, config: Config, place: tuple[int, int]) -> Outcome | None:
    """Wait a little for the outcome of the label at `place`; None when no worker took it."""
    partition, offset = place
    topic = config.topic("outcomes")
    position = max(log.begin(topic, partition), log.end(topic, partition) - 1_000)
    deadline = time.monotonic() + OUTCOME_WAIT_S
    while time.monotonic() < deadline:
        for record in log.read(topic, partition, position, limit=1_000):
            position = record.offset + 1
            outcome = parse(Outcome, record.value)
            if outcome.source.offset == offset and outcome.source.partition == partition:
                return outcome
        time.sleep(OUTCOME_POLL_S)
    return None
