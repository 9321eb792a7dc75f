"""Whether stored predictions can be made again, bit for bit, from (model_version, event).

What the gate added (propensity, rate, whether it asked) is taken from the record: `what-if` plays
the gate again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from stream_al.config import EventsSection
from stream_al.engine import Engine, EventReader
from stream_al.engine.decision import prediction_fields, prediction_wire
from stream_al.errors import InvalidInput
from stream_al.gate import Choice
from stream_al.messages import Prediction, ShadowPrediction, Source, time_ms
from stream_al.model.guard import Guard

NAMED_MAX = 10
SECOND_MS = 1_000


@dataclass(slots=True)
class Reproduction:
    """What came of making predictions again.

    Attributes
    ----------
    compared, equal
        Predictions made again, and those among them that came out as the same bytes.
    missing
        Predictions whose event the log does not hold any more.
    redacted
        Predictions of a model that learnt what was blanked since: they can't be made again.
    elsewhere
        Predictions of models of another configuration than the one that verifies.
    different
        The first `NAMED_MAX` events that came out otherwise, each with a sentence.
    """

    compared: int = 0
    equal: int = 0
    missing: int = 0
    redacted: int = 0
    elsewhere: int = 0
    different: list[tuple[Source, str]] = field(default_factory=list)

    def note(self, source: Source, problem: str | None) -> None:
        """Count one comparison; `problem` is None when both are the same bytes."""
        self.compared += 1
        if problem is None:
            self.equal += 1
        elif len(self.different) < NAMED_MAX:
            self.different.append((source, problem))


class Reading:
    """How events are read and guarded by one `events` section."""

    def __init__(self, section: EventsSection) -> None:
        self.reader = EventReader(section)
        self.guard = Guard(section)


def reproduce(
    engine: Engine, reading: Reading, stored: bytes, event: bytes, timestamp_ms: int
) -> str | None:
    """Make a stored prediction again; return what differs, None when it is the same bytes.

    Parameters
    ----------
    engine
        At the version that the prediction names.
    reading
        How events were read at that time.
    stored, event
        The bytes of the prediction and of its event.
    timestamp_ms
        Record time of the event.
    """
    try:
        shadow = b'"would_query"' in stored
        said = (ShadowPrediction if shadow else Prediction).model_validate_json(stored)
        read = reading.reader.read(event)
        probabilities, uncertainty = engine.predict(reading.guard.clean(read.features))
    except (ValidationError, InvalidInput) as error:
        return f"it can't be made again: {str(error).splitlines()[0]}"
    if said.model_version != engine.version:
        return f"it names model version {said.model_version}, no worker ever was at that position"
    asked = said.would_query if isinstance(said, ShadowPrediction) else said.queried
    made = prediction_fields(
        read,
        said.source.model_dump(),
        timestamp_ms,
        probabilities,
        uncertainty,
        Choice(asked, said.propensity, said.rate, False),
        said.rate,
        said.mode,
        said.reason,
        said.model_version,
    )
    _as_it_was_written(made, said)
    if prediction_wire(made) == stored:
        return None
    for name in ("event_id", "label", "probabilities", "uncertainty", "segment", "at_ms"):
        before, now = getattr(said, name), made[name]
        if before != now:
            return f"{name} is {before!r} in the record and {now!r} when made again"
    return "its bytes differ, its fields do not"


def _as_it_was_written(made: dict[str, Any], said: Prediction) -> None:
    """Take time and segment as recorded where they say the same in another form.

    They are information. Versions before 0.2 wrote a time as it came, in seconds or nanoseconds
    too, a boolean segment as Python does, and refused what is null now.
    """
    before, now = time_ms(said.at_ms), made["at_ms"]
    if said.at_ms != now and before is not None and abs(before - now) < SECOND_MS:
        made["at_ms"] = said.at_ms
    if said.segment in {"True", "False"} and said.segment.lower() == made["segment"]:
        made["segment"] = said.segment
