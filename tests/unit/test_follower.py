"""A model that follows the journal: slices, exact positions, replays beside it, digests."""

from __future__ import annotations

import pytest

from stream_al.config import Config
from stream_al.engine import Engine
from stream_al.errors import Diverged
from stream_al.messages import (
    CHAIN_START,
    DigestEntry,
    JournalRecord,
    ModelEntry,
    SeedEntry,
    chained,
    read_journal_record,
)
from stream_al.port import Outgoing
from stream_al.service.clock import SystemClock
from stream_al.service.environment import environment
from stream_al.service.follower import DIGEST_EVERY, Comparison, Follower, stop_when_diverged
from stream_al_connectors import MemoryLog

CONFIG = Config.model_validate({"log": {"connector": "memory"}})
JOURNAL = CONFIG.topic("journal")


class StepClock(SystemClock):
    """A clock on which every look costs 1 ms."""

    def __init__(self) -> None:
        self.looks = 0

    def monotonic_s(self) -> float:
        self.looks += 1
        return self.looks / 1_000


def lineage(**more: object) -> ModelEntry:
    body = {"at_ms": 0, "model_id": "m", "config_hash": CONFIG.model_hash(), "preset": "linear"}
    return ModelEntry.model_validate(body | {"actor": "ops", "reason": ""} | more)


def seed(number: int) -> SeedEntry:
    said = ("spam", "free money now"), ("ham", "see you at lunch")
    label, text = said[number % 2]
    features = {"text": f"{text} {number}"}
    return SeedEntry(at_ms=0, event_id=f"e-{number}", label=label, features=features)


def following(*entries: JournalRecord, **how: object) -> tuple[MemoryLog, Follower]:
    log = MemoryLog(topics={JOURNAL: 1})
    append(log, *entries)
    engine = Engine(CONFIG, secret=b"")
    return log, Follower(log, CONFIG, engine, clock=StepClock(), **how)  # type: ignore[arg-type]


def append(log: MemoryLog, *entries: JournalRecord) -> None:
    """Append records that continue the journal's chain."""
    last = log.read(JOURNAL, 0, max(0, log.end(JOURNAL, 0) - 1), limit=1)
    chain = read_journal_record(last[0].value).chain if last else CHAIN_START
    for entry in entries:
        linked = chained(entry, chain)
        log.append(JOURNAL, [Outgoing(linked.to_wire())])
        chain = linked.chain


def to_end(follower: Follower) -> None:
    while follower.follow():
        pass


def test_a_slice_ends_in_time() -> None:
    """A bulk of lessons is folded in slices, so that events come in between."""
    _, follower = following(lineage(), *(seed(n) for n in range(100)))

    assert follower.follow()
    assert 5 < follower.engine.version < 40
    assert not follower.at_end
    to_end(follower)
    assert follower.engine.version == 101


def test_follow_to_stops_at_the_position() -> None:
    """A model can be brought to any position that ever was, and to none behind the end."""
    _, follower = following(lineage(), *(seed(n) for n in range(50)))

    assert follower.follow_to(17)
    assert (follower.engine.version, follower.engine.model.learnt_count) == (17, 16)
    assert not follower.follow_to(52)
    assert follower.engine.version == 51


def test_a_replay_is_folded_beside_the_model_in_use() -> None:
    """Until the replay is ready the old model predicts at its own version; then they swap."""
    log, follower = following(lineage(), *(seed(n) for n in range(60)))
    to_end(follower)
    old = follower.engine.model
    append(log, lineage(start="replay", without=("e-3",), model_id="n"), seed(60))

    follower.follow()

    assert follower.engine.model is old
    assert follower.engine.version == 61
    to_end(follower)
    assert follower.engine.model is not old
    assert (follower.engine.version, follower.engine.model.learnt_count) == (63, 60)


def test_left_out_events_stay_left_out_while_the_lineage_lasts() -> None:
    """A second lesson of a left out event is not learnt either, before and after a restart."""
    log, follower = following(
        lineage(), seed(0), seed(1), lineage(start="replay", without=("e-0",)), seed(0), seed(3)
    )
    to_end(follower)

    assert follower.engine.model.learnt_count == 2
    again = Follower(log, CONFIG, Engine(CONFIG, secret=b""), clock=StepClock())
    to_end(again)
    assert again.engine.model.digest() == follower.engine.model.digest()


def test_a_digest_that_differs_stops_the_worker() -> None:
    """Same lineage, position and environment, another digest: in doubt, and no word goes on."""
    log, follower = following(lineage(), *(seed(n) for n in range(DIGEST_EVERY + 5)))
    to_end(follower)
    own = follower.newest_digest
    assert own is not None
    assert own.position == DIGEST_EVERY + 1
    said = DigestEntry(
        at_ms=0, position=own.position, model_id="m", digest=own.digest,
        learnt_count=own.learnt_count, environment=environment(),
    )  # fmt: skip
    append(log, said)
    to_end(follower)
    append(log, said.model_copy(update={"digest": "0" * 32, "environment": "another machine"}))
    to_end(follower)  # reported, not enforced
    append(log, said.model_copy(update={"digest": "0" * 32}))

    with pytest.raises(Diverged, match=rf"at journal position {own.position} has digest"):
        to_end(follower)


def test_comparisons_can_be_gathered() -> None:
    """Who verifies judges for itself: nothing is raised."""
    found: list[Comparison] = []
    log, follower = following(
        lineage(), *(seed(n) for n in range(DIGEST_EVERY)), on_compared=found.append
    )
    append(log, DigestEntry(at_ms=0, position=DIGEST_EVERY + 1, model_id="m", digest="0" * 32,
                            learnt_count=1, environment=environment()))  # fmt: skip
    to_end(follower)

    assert [(each.equal, each.comparable) for each in found] == [(False, True)]


def test_a_blanked_lesson_makes_digests_incomparable() -> None:
    """A1: nothing is raised and none is put on record until a lineage leaves the event out."""
    blank = chained(seed(0), "").model_copy(update={"features": None})
    compared: list[Comparison] = []
    log, follower = following(
        lineage(), blank, *(seed(n) for n in range(1, DIGEST_EVERY)), on_compared=compared.append
    )
    append(log, DigestEntry(at_ms=0, position=DIGEST_EVERY + 1, model_id="m", digest="0" * 32,
                            learnt_count=DIGEST_EVERY, environment=environment()))  # fmt: skip
    to_end(follower)
    (found,) = compared

    assert (found.redacted, found.comparable, found.equal) == (True, False, False)
    stop_when_diverged(found)
    assert follower.newest_digest is None

    append(log, lineage(start="replay", without=("e-0",), model_id="n"))
    append(log, *(seed(n) for n in range(DIGEST_EVERY)))
    to_end(follower)
    assert follower.engine.model.blanked_count == 0
    assert follower.newest_digest is not None


def test_a_selection_holds_while_its_lineage_lasts() -> None:
    """B9: later lessons of a class that is left out or renamed, before and after a restart."""
    log, follower = following(
        lineage(), seed(0), seed(1),
        lineage(start="selected", model_id="n", without_classes=("ham",), renamed={"spam": "bad"}),
    )  # fmt: skip
    append(log, seed(2), seed(3))
    to_end(follower)
    again = Follower(log, CONFIG, Engine(CONFIG, secret=b""), clock=StepClock())
    to_end(again)
    resumed = Engine(CONFIG, secret=b"")
    resumed.load_journal(follower.engine.dump_journal())
    resumed.apply(seed(5), resumed.version)

    assert follower.engine.model.classes == again.engine.model.classes == ("bad",)
    assert follower.engine.model.digest() == again.engine.model.digest()
    assert resumed.model.learnt_count == follower.engine.model.learnt_count == 2


def test_an_unset_field_is_in_no_byte_of_an_older_record() -> None:
    """What 0.1.0 wrote keeps its bytes and its place in the chain."""
    written = lineage().to_wire()

    assert b"inputs" not in written
    assert b"corrected" not in written
    assert b'"start":"replay"' in lineage(start="replay", without=("e-0",)).to_wire()
