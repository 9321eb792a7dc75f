"""What the resolver keeps in memory is bounded, by name, whatever comes in."""

from __future__ import annotations

from stream_al.config import Config
from tests.unit.labels_desk import DAY_MS, Desk, bytes_per_pending


def config(**labels: object) -> Config:
    return Config.model_validate({"labels": labels})


def test_bytes_per_pending_query() -> None:
    """A pending query takes at most 400 bytes beyond its features."""
    assert bytes_per_pending() <= 400


def test_closed_queries_are_forgotten_oldest_first() -> None:
    """The table of closed queries is bounded by `closed_max`; what it forgot is unknown."""
    desk = Desk(config(closed_max=100))
    for index in range(150):
        desk.ask(f"e{index}")
        desk.say(f"e{index}")

    assert desk.resolver.closed_count == 100
    assert desk.say("e49").outcome.outcome == "unknown"
    assert desk.say("e50").outcome.outcome == "duplicate"


def test_closed_queries_are_forgotten_by_age() -> None:
    """A closing that comes `revise_within` later forgets."""
    desk = Desk()
    desk.ask("a")
    desk.say("a")
    desk.now_ms += 30 * DAY_MS + 1
    desk.ask("b")
    desk.say("b")

    assert desk.resolver.closed_count == 1


def test_a_flood_of_closings_from_the_middle_leaves_no_shells() -> None:
    """While one old query stays open, those that are closed behind it leave no memory behind."""
    desk = Desk()
    desk.ask("old")
    for index in range(1_000):
        desk.ask(f"e{index}")
        desk.say(f"e{index}")
    line = desk.resolver._state.pending._lines[0]

    assert line.open_count == 1
    assert len(line.queue) <= 66
    assert desk.resolver.oldest_pending(0).offset == 0


def test_voices_on_a_closed_query_are_bounded() -> None:
    """Conflicts by many annotators are all heard, and a bounded number is remembered."""
    desk = Desk()
    desk.ask("e")
    desk.say("e", "spam")
    for index in range(100):
        said = desk.say("e", "ok", annotator=f"annotator-{index}")
        assert said.outcome.outcome == "conflict"

    assert len(desk.resolver._state.closed.get("e").voices) == 32
