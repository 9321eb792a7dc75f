"""Messages that engine and resolver make have every field set; what people sent is as it was."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from stream_al import ActiveLearner, Config, Event, Label
from stream_al.engine import EventReader
from stream_al.errors import InvalidInput
from stream_al.messages import (
    ControlProposal,
    LabelEntry,
    Message,
    Outcome,
    Prediction,
    Query,
    Source,
    read_journal_record,
)
from stream_al.messages.base import OwnMessage
from stream_al.port import Record
from stream_al.service.dead import dead_letter
from tests.unit.labels_desk import Desk


def _scored(mode: str | None = None) -> list[Message]:
    learner = ActiveLearner(Config.model_validate({"gate": {"budget": {"share": 1.0}}}))
    if mode is not None:
        learner.control({"modes": {mode: True}}, actor="ops", reason="")
    made: list[Message] = []
    for number in range(6):
        event = Event(event_id=f"e-{number}", features={"text": "free money", "n": number})
        decision = learner.score(event, now_ms=number)
        made += [decision.prediction, *([decision.query] if decision.query else [])]
        said = Label(event_id=event.event_id, label=("ok", "spam")[number % 2], annotator="ann")
        made.append(learner.label(said, now_ms=number))
    made += learner.queries()
    return made


def _journaled() -> list[Message]:
    desk = Desk()
    for event_id in ("a", "b", "c"):
        desk.ask(event_id, votes_wanted=2 if event_id == "b" else 1)
    desk.say("a", "spam")
    desk.say("a", "ok", revision=1)
    desk.say("a", None, kind="retract", revision=2)
    desk.say("b", "spam")
    desk.say("c", None, kind="skip")
    desk.say("v", "ok", features={"n": 1})
    for kind in ("seed", "gold"):
        seed: dict[str, Any] = {"event_id": "s", "label": "ok", "features": {"n": 1}}
        proposal = ControlProposal.model_validate(
            {"kind": kind, "proposal_id": kind, "actor": "ops"} | seed
        )
        desk.journaled(desk.resolver.on_control(proposal, now_ms=desk.now_ms).records)
    desk.tick(desk.config.labels.expire_after)
    kinds = {record.kind for record in desk.journal.values()}
    assert kinds >= {"model", "control", "label", "vote", "retraction", "closed", "volunteered"}
    return [*desk.journal.values(), *desk.outcomes]


def _unconfirmed() -> list[Message]:
    desk = Desk(confirming=False)
    desk.ask("a")
    return [*desk.say("a", "spam").records, desk.outcomes[0], *desk.unconfirmed]


def _letter() -> list[Message]:
    record = Record(partition=0, offset=1, timestamp_ms=0, key=None, value=b"{")
    error = InvalidInput("BrokenJson", "not a JSON object")
    return [dead_letter("t.events", record, error, raw_max=100)]


MADE = {
    "scored": _scored,
    "shadow": lambda: _scored("shadow"),
    "paused": lambda: _scored("paused"),
    "decided": _unconfirmed,
    "set aside": _letter,
}


@pytest.mark.parametrize("make", MADE.values(), ids=MADE)
def test_a_message_that_we_make_has_every_field_set(make: Any) -> None:
    """E: `model_dump(exclude_unset=True)` has all of it, nested messages too, and reads back."""
    made = make()
    assert made
    for message in made:
        dumped = message.model_dump(exclude_unset=True)
        assert dumped == message.model_dump()
        assert type(message).model_validate(dumped) == message
        written = message.model_dump_json(exclude_unset=True).encode()
        assert written == message.to_wire()
        kept = pickle.loads(pickle.dumps(message))
        assert kept.model_dump(exclude_unset=True) == dumped
        if isinstance(message, Prediction | Query | Outcome):
            assert set(dumped) == set(type(message).model_fields)


def test_records_of_the_journal_read_back_without_what_is_unset() -> None:
    """E: the kind is a default, and without it nobody can read a record."""
    for message in _journaled():
        if not isinstance(message, Outcome):
            assert message.model_fields_set
            read_journal_record(message.model_dump_json(exclude_unset=True).encode())
    for message in _unconfirmed():
        if isinstance(message, LabelEntry):
            written = message.model_dump_json(exclude_unset=True).encode()
            assert read_journal_record(written) == message


def test_a_copy_changes_the_fields_of_no_other_message() -> None:
    """E: what is set is kept once for a class; a copy with other values has its own."""
    source = Source(partition=0, offset=1)
    copied = source.model_copy(update={"offset": 2})
    copied.__pydantic_fields_set__.clear()
    assert Source(partition=0, offset=3).model_dump(exclude_unset=True) == {
        "partition": 0, "offset": 3,
    }  # fmt: skip
    assert Source.of_valid({"partition": 0, "offset": 1}).model_fields_set == {
        "partition", "offset",
    }  # fmt: skip


def test_what_people_make_or_send_is_as_they_left_it() -> None:
    """E: an event or a label has set what it was given; a native event as read has all of it."""
    label = Label(event_id="a", label="spam", annotator="ann")
    assert set(label.model_dump(exclude_unset=True)) == {"event_id", "label", "annotator"}
    event = Event(event_id="a", features={})
    assert set(event.model_dump(exclude_unset=True)) == {"event_id", "features"}
    read = EventReader(Config().events).read(b'{"event_id": "a", "features": {"n": 1}}')
    assert Event.model_validate(read.model_dump(exclude_unset=True)) == read


def _kinds(of: type[Message]) -> set[type[Message]]:
    return {of}.union(*map(_kinds, of.__subclasses__()))


def test_every_kind_of_message_says_who_makes_it() -> None:
    """E: people make events and labels; every other kind is ours, also one that comes later."""
    theirs = {kind for kind in _kinds(Message) if not issubclass(kind, OwnMessage)}
    assert theirs == {Message, Event, Label}
