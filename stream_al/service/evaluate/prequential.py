"""The loop of every measurement in memory: score an event, then give the labels that are due.

An event is scored with the prediction made before anything was learnt from it. A delay of d events
means: the label of event i is given after event i + d was scored, before event i + d + 1 is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from stream_al.learner import ActiveLearner
from stream_al.messages import Label, Prediction
from stream_al.testing import Example

EVENT_MS = 100
"""Time between two events: it decides nothing but when hours pass and queries expire."""


class Step(NamedTuple):
    """What a learner did at one event."""

    prediction: Prediction
    labels: tuple[Label, ...]
    moved: bool
    """Whether the journal grew: labels or statistics, so the next prediction may differ."""


def follow(learner: ActiveLearner, examples: Sequence[Example], delay: int) -> Iterator[Step]:
    """Give every event to `learner`, and its label when the delay is over.

    After the last event all labels under way come in: they change no prediction any more.
    """
    due: deque[tuple[int, Label]] = deque()
    last = len(examples) - 1
    for index, example in enumerate(examples):
        now_ms = index * EVENT_MS
        before = learner.engine.version
        decision = learner.score(example.event, now_ms=now_ms)
        if decision.query is not None:
            event_id = example.event.event_id
            due.append(
                (index + delay, Label(event_id=event_id, label=example.label, annotator="a"))
            )
        given = []
        while due and (due[0][0] <= index or index == last):
            label = due.popleft()[1]
            outcome = learner.label(label, now_ms=now_ms).outcome
            assert outcome == "applied", f"label of {label.event_id} is {outcome}, not applied"
            given.append(label)
        yield Step(decision.prediction, tuple(given), learner.engine.version > before)
