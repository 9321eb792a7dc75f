"""Votes, expiry, repeated queries, rebuilding, the chain, and what the resolver shows."""

from __future__ import annotations

import copy
import pickle

import pytest

from stream_al.config import Config
from stream_al.errors import Fenced
from stream_al.labels import Settled, Tied, Undecided, Verdict, decide_votes
from stream_al.labels.resolver import EXPIRED_PER_TICK_MAX
from stream_al.messages import (
    CHAIN_START,
    ClosedEntry,
    Label,
    LabelEntry,
    SeedEntry,
    Source,
    VoteEntry,
    chained,
)
from tests.unit.labels_desk import START_MS, Desk, query

NINE_THOUSAND_MS = 253_370_764_800_000


def config(**labels: object) -> Config:
    return Config.model_validate({"labels": labels})


# ---------------------------------------------------------------------- votes


@pytest.mark.parametrize(
    ("labels", "wanted", "votes_max", "verdict"),
    [
        ("a", 1, 1, Settled("a")),
        ("a", 2, 3, Undecided(2)),
        ("aa", 2, 3, Settled("a")),
        ("ab", 2, 3, Undecided(3)),
        ("ab", 2, 2, Tied()),
        ("aba", 3, 3, Settled("a")),
        ("abc", 3, 3, Tied()),
        ("abc", 3, 5, Undecided(4)),
        ("abac", 4, 4, Settled("a")),
        ("aab", 3, 5, Settled("a")),
        ("aabb", 4, 5, Undecided(5)),
        ("ab", 2, 1, Tied()),
    ],
)
def test_votes(labels: str, wanted: int, votes_max: int, verdict: Verdict) -> None:
    """A majority settles, disagreement asks one more, a tie at the end stays one."""
    assert decide_votes(list(labels), wanted, votes_max) == verdict


def test_disagreement_raises_the_votes_wanted() -> None:
    """Two votes that differ want a third, which decides; the record holds all three."""
    desk = Desk()
    desk.ask("e", votes_wanted=2)
    desk.say("e", "spam", annotator="ann")
    (raised,) = desk.say("e", "ok", annotator="bob").records

    assert isinstance(raised, VoteEntry)
    assert raised.votes_wanted == 3
    (opened,) = desk.resolver.open_queries(10)
    assert (opened.votes_wanted, len(opened.votes)) == (3, 2)

    last = desk.say("e", "ok", annotator="eve")

    assert last.outcome.outcome == "applied"
    (entry,) = last.records
    assert isinstance(entry, LabelEntry)
    assert entry.label == "ok"
    assert [vote.annotator for vote in entry.votes] == ["ann", "bob", "eve"]


def test_the_last_vote_may_be_outvoted() -> None:
    """The vote that completes a majority against itself is applied, and the reason says so."""
    desk = Desk()
    desk.ask("e", votes_wanted=3)
    desk.say("e", "spam", annotator="ann")
    desk.say("e", "spam", annotator="bob")

    last = desk.say("e", "ok", annotator="eve")

    assert (last.outcome.outcome, last.outcome.reason) == ("applied", "the votes say spam")


def test_a_tie_closes_as_unsure() -> None:
    """Three votes for three labels, and no more to be had: closed, every vote journaled."""
    desk = Desk()
    desk.ask("e", votes_wanted=2)
    desk.say("e", "spam", annotator="ann")
    desk.say("e", "ok", annotator="bob")

    last = desk.say("e", "abuse", annotator="eve")

    vote, closed = last.records
    assert last.outcome.outcome == "counted"
    assert (vote.kind, closed.kind) == ("vote", "closed")
    assert isinstance(closed, ClosedEntry)
    assert (closed.reason, closed.closes) == ("unsure", desk.asked[0][0].source)
    assert desk.resolver.pending_count == 0


def test_a_retracted_vote_does_not_count() -> None:
    """After a retraction the query wants that vote again."""
    desk = Desk()
    desk.ask("e", votes_wanted=2)
    desk.say("e", "spam", annotator="ann")
    desk.say("e", None, kind="retract", annotator="ann")

    assert desk.say("e", "spam", annotator="bob").outcome.outcome == "counted"
    assert desk.say("e", "spam", annotator="ann").outcome.outcome == "applied"


def test_an_older_revision_does_not_replace_a_vote() -> None:
    """Labels may overtake each other on the way: the highest revision counts."""
    desk = Desk()
    desk.ask("e", votes_wanted=2)
    desk.say("e", "spam", revision=2)

    assert desk.say("e", "ok", revision=1).outcome.outcome == "duplicate"
    assert desk.say("e", None, kind="retract", revision=1).outcome.outcome == "duplicate"


def test_a_skip_in_a_higher_revision_withdraws_a_vote() -> None:
    """Who voted and skips later is counted as no vote."""
    desk = Desk()
    desk.ask("e", votes_wanted=2)
    desk.say("e", "spam")

    assert desk.say("e", None, kind="skip", revision=1).outcome.outcome == "skipped"
    (opened,) = desk.resolver.open_queries(1)
    assert (opened.votes, opened.passed_by) == ((), ("ann",))


# ---------------------------------------------------------------------- expiry


def test_expiry_is_first_in_first_out() -> None:
    """Queries expire `expire_after` after their record time, the oldest first."""
    desk = Desk(config(expire_after="1h"))
    for event_id in ("a", "b", "c"):
        desk.ask(event_id)
        desk.now_ms += 60_000

    assert desk.tick(3_600_000 - 180_000 - 1) == []
    assert [record.event_id for record in desk.tick(1 + 60_000)] == ["a", "b"]
    assert desk.resolver.pending_count == 1


@pytest.mark.parametrize("wild_ms", [-5, 0, NINE_THOUSAND_MS])
def test_a_wild_timestamp_neither_expires_at_once_nor_never(wild_ms: int) -> None:
    """Record times of 1970 and 9999 are clipped to what the resolver knows."""
    desk = Desk(config(expire_after="1h"))
    desk.ask("e", at_ms=wild_ms)

    assert desk.tick(3_599_999) == []
    assert [record.kind for record in desk.tick(1)] == ["closed"]


def test_time_that_goes_back_keeps_the_order() -> None:
    """A later query of a partition never counts as asked before an earlier one."""
    desk = Desk(config(expire_after="1h"))
    desk.now_ms += 10_000
    desk.ask("a")
    desk.ask("b", at_ms=START_MS)

    assert desk.resolver.open_query("b").asked_ms == START_MS + 10_000


def test_a_tick_is_bounded() -> None:
    """A flood of expired queries is closed in several calls, over all partitions."""
    desk = Desk(config(expire_after="1h"))
    for index in range(EXPIRED_PER_TICK_MAX + 5):
        desk.ask(f"e{index}", partition=index % 2)

    assert len(desk.tick(3_600_000)) == EXPIRED_PER_TICK_MAX
    assert len(desk.tick()) == 5
    assert desk.tick() == []


# ---------------------------------------------------------------------- query records


@pytest.mark.parametrize("closing", [False, True], ids=["pending", "closed"])
def test_a_repeated_query_is_closed_at_once(closing: bool) -> None:
    """A second record of an event's query is closed as repeated, and the first goes on alone."""
    desk = Desk()
    desk.ask("e")
    if closing:
        desk.say("e")
    second = desk.ask("e", partition=1)
    record = desk.journal[max(desk.journal)]

    assert isinstance(record, ClosedEntry)
    assert (record.reason, record.query) == ("repeated", second)
    assert record.closes == desk.asked[1][0].source
    assert desk.resolver.pending_by_partition() == {0: 0 if closing else 1}
    assert desk.say("e").outcome.outcome == ("duplicate" if closing else "applied")


def test_a_query_record_is_seen_once() -> None:
    """A query record that is read again changes nothing."""
    desk = Desk()
    place = desk.ask("e")
    before = desk.resolver.fingerprint()

    records = desk.resolver.add_query(
        desk.asked[0][0], place=place, timestamp_ms=desk.now_ms, now_ms=desk.now_ms
    )

    assert records == []
    assert desk.resolver.fingerprint() == before


def test_a_volunteered_event_can_still_be_asked_about() -> None:
    """A label that came before any query does not close the query that comes later."""
    desk = Desk()
    desk.say("e", "spam", features={"n": 1.0})
    desk.ask("e")

    assert desk.resolver.pending_count == 1
    assert desk.say("e", "ok").outcome.outcome == "applied"


def test_a_repeat_that_was_not_journaled_is_closed_by_the_next_owner() -> None:
    """What a crash lost between seeing and journaling is decided again."""
    desk = Desk()
    desk.ask("e")
    after = desk.rebuilt()
    records = after.add_query(
        query("e", 300),
        place=Source(partition=0, offset=90),
        timestamp_ms=START_MS,
        now_ms=START_MS,
    )

    assert [record.kind for record in records] == ["closed"]


@pytest.mark.parametrize("read_first", [0, 1])
def test_a_vote_survives_an_owner_who_meets_the_other_record_first(read_first: int) -> None:
    """An event was asked about twice, and voted on: the record with the vote is the one that stays.

    The second record becomes visible while nobody owns the journal, so the next owner may read it
    before the first one.
    """
    desk = Desk(Config.model_validate({"labels": {"votes": 2}}))
    voted = desk.ask("e", partition=1, votes_wanted=2)
    desk.say("e", "spam", annotator="ann")
    other = desk.ask_unread("e", partition=0, votes_wanted=2)

    records = desk.take_over([read_first, 1 - read_first])

    [record] = records
    assert isinstance(record, ClosedEntry)
    assert (record.reason, record.query) == ("repeated", other)
    [opened] = desk.resolver.open_queries(10)
    assert (opened.place, [vote.annotator for vote in opened.votes]) == (voted, ["ann"])
    assert desk.say("e", "spam", annotator="bob").outcome.outcome == "applied"


def test_a_vote_on_a_record_that_the_log_dropped_holds_nothing_back() -> None:
    """A query record that retention took before it was closed does not keep its event unasked."""
    desk = Desk(Config.model_validate({"labels": {"votes": 2}}))
    dropped = desk.ask("e", partition=1, votes_wanted=2)
    desk.say("e", "spam", annotator="ann")
    other = desk.ask_unread("e", partition=0, votes_wanted=2)
    desk.asked = [one for one in desk.asked if one[1] != dropped]

    assert desk.take_over([0, 1], begins={1: dropped.offset + 1}) == []

    [opened] = desk.resolver.open_queries(10)
    assert (opened.place, opened.votes) == (other, ())


# ---------------------------------------------------------------------- looking


def test_queries_come_back_as_they_were_asked() -> None:
    """Packing loses nothing: numbers, probabilities, texts, surrogates, meta."""
    desk = Desk()
    desk.ask("a", features={"text": "\ud800 x", "v": [1.5, 2.0], "b": True}, meta=None)
    desk.ask("b", label=None, probabilities={}, segment=None, reason="cold_start")

    asked = {one.query.event_id: one.query for one in desk.resolver.open_queries(10)}

    assert asked == {one.event_id: one for one, _, _ in desk.asked}


def test_most_urgent_first() -> None:
    """Open queries come by priority, and the older one first where that is equal."""
    desk = Desk()
    for event_id, priority in (("a", 0.5), ("b", 0.9), ("c", 0.5)):
        desk.ask(event_id, priority=priority)
        desk.now_ms += 1

    assert [one.query.event_id for one in desk.resolver.open_queries(10)] == ["b", "a", "c"]
    assert [one.query.event_id for one in desk.resolver.open_queries(1)] == ["b"]


def test_oldest_pending_is_what_may_be_committed() -> None:
    """The oldest open query of a partition moves on when it is closed, from front or middle."""
    desk = Desk()
    places = [desk.ask(event_id) for event_id in "abc"]
    resolver = desk.resolver

    desk.say("b")
    assert resolver.oldest_pending(0).offset == places[0].offset
    desk.say("a")
    assert resolver.oldest_pending(0).offset == places[2].offset
    assert resolver.pending_by_partition() == {0: 1}
    desk.say("c")
    assert resolver.oldest_pending(0) is None
    assert resolver.queries_end[0] == places[2].offset + 1
    assert resolver.oldest_pending(3) is None


# ---------------------------------------------------------------------- folding


def busy_desk() -> Desk:
    """Return a desk where everything that the journal knows has happened."""
    desk = Desk(config(expire_after="1h", votes_max=3))
    for index in range(60):
        desk.ask(f"e{index}", partition=index % 3, votes_wanted=1 + index % 3)
        desk.now_ms += 30_000
        for step, annotator in enumerate(("ann", "bob", "eve")):
            target = f"e{max(0, index - 7 * step)}"
            kind = ("label", "label", "skip", "unsure", "retract")[(index + step) % 5]
            label = ("spam", "ok", "abuse")[(index * step) % 3] if kind == "label" else None
            desk.say(target, label, kind=kind, annotator=annotator, revision=(index + step) % 2)
        if index % 9 == 0:
            desk.ask(f"e{index // 2}", partition=1)
            desk.say(f"new-{index}", "ok", features={"n": float(index)})
        desk.tick()
    return desk


def test_a_rebuild_gives_the_same_state() -> None:
    """Folding journal and queries elsewhere gives the same queries, votes, closings, settings."""
    desk = busy_desk()

    rebuilt = desk.rebuilt()

    kinds = {record.kind for record in desk.journal.values()}
    assert kinds >= {"label", "vote", "closed", "retraction", "volunteered", "control", "model"}
    assert rebuilt.fingerprint() == desk.resolver.fingerprint()
    assert rebuilt.open_queries(100) == desk.resolver.open_queries(100)
    assert rebuilt.position == desk.resolver.position
    assert rebuilt.start(now_ms=desk.now_ms) == []


def test_the_chain_holds() -> None:
    """Every record's hash continues the one before it, through the wire."""
    desk = busy_desk()

    chain = CHAIN_START
    for record in desk.journal.values():
        assert chained(record, chain).chain == record.chain
        chain = record.chain
    assert chain == desk.resolver.chain


def test_blanked_features_leave_the_chain_whole() -> None:
    """An overturned label whose first features were blanked chains with their hash."""
    desk = Desk()
    desk.ask("e")
    desk.say("e")
    position = max(desk.journal)
    desk.journal[position] = desk.journal[position].model_copy(update={"features": None})

    (entry,) = desk.say("e", "ok", revision=1).records

    assert isinstance(entry, LabelEntry)
    assert entry.features is None
    assert entry.payload_hash == desk.journal[position].payload_hash


def test_every_query_record_closes_exactly_once() -> None:
    """Closing records name each closed query record once, whatever happened in between."""
    desk = busy_desk()
    closing = [
        (record.closes.partition, record.closes.offset)
        for record in desk.journal.values()
        if isinstance(record, LabelEntry | ClosedEntry) and record.closes is not None
    ]

    assert len(closing) == len(set(closing))
    assert len(closing) + desk.resolver.pending_count == len(desk.asked)


def test_a_foreign_record_stops_the_resolver() -> None:
    """A record in the journal that was not decided here is of another owner, who took over."""
    desk = Desk()
    foreign = chained(SeedEntry(at_ms=0, event_id="x", label="ok", features={}), CHAIN_START)

    with pytest.raises(Fenced, match="not ours"):
        desk.resolver.confirm(foreign, 99)


def test_dump_and_restore_go_on_alike() -> None:
    """A resolver that was pickled and brought back decides the same."""
    desk = busy_desk()
    other = desk.new_resolver()
    other.restore(pickle.loads(pickle.dumps(desk.resolver.dump())))
    label = Label(event_id="e59", label="ok", annotator="zoe")
    source = Source(partition=0, offset=0)

    resolution = other.on_label(label, source=source, now_ms=desk.now_ms)

    assert resolution == desk.resolver.on_label(label, source=source, now_ms=desk.now_ms)
    assert other.fingerprint() == desk.resolver.fingerprint()


def test_deciding_does_not_change_what_was_dumped() -> None:
    """A copy of the dump is a state of its own."""
    desk = Desk()
    desk.ask("e")
    kept = copy.deepcopy(desk.resolver.dump())
    desk.say("e")
    other = desk.new_resolver()
    other.restore(kept)

    assert (other.pending_count, desk.resolver.pending_count) == (1, 0)
