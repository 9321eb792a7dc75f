"""Simulated annotators: what they inject is what they say."""

from __future__ import annotations

from typing import Any

import pytest

from stream_al.errors import ConfigurationError
from stream_al.messages import Label, Query, Source, query_id_of
from stream_al.testing import SimulatedAnnotators

NEVER = 10**9


def _query(number: int, votes_wanted: int = 1) -> Query:
    event_id = f"e-{number}"
    return Query(
        query_id=query_id_of(event_id),
        event_id=event_id,
        source=Source(partition=0, offset=number),
        features={},
        label="ham",
        probabilities={"ham": 0.6, "spam": 0.4},
        uncertainty=0.8,
        propensity=0.5,
        rate=0.1,
        model_version=1,
        reason="uncertain",
        priority=0.8,
        votes_wanted=votes_wanted,
        asked_at_ms=0,
        expires_at_ms=1,
    )


def _people(**changed: Any) -> SimulatedAnnotators:
    given: dict[str, Any] = {"classes": ("ham", "spam"), "delay_events": (0, 50)}
    return SimulatedAnnotators(changed.pop("seed", 7), **(given | changed))


def _answered(people: SimulatedAnnotators, count: int = 2_000) -> list[Label]:
    for number in range(count):
        people.ask(_query(number), "spam", at_event=number)
    return people.due(NEVER)


def test_without_faults_every_query_gets_its_true_label() -> None:
    """One query, one label, of its class, by somebody."""
    people = _people()
    labels = _answered(people, 100)

    assert {label.event_id for label in labels} == {f"e-{n}" for n in range(100)}
    assert len(labels) == 100
    assert {label.label for label in labels} == {"spam"}
    assert {label.annotator for label in labels} == {"a0", "a1", "a2"}


def test_labels_come_within_their_delay_and_once() -> None:
    """Nothing is due before the delay begins, all is when it ends, and `due` returns it once."""
    people = _people(delay_events=(3, 5))
    people.ask(_query(1), "spam", at_event=10)

    assert people.due(12) == []
    assert people.outstanding_count == 1
    assert len(people.due(15)) == 1
    assert people.due(NEVER) == []


def test_the_same_seed_gives_the_same_labels() -> None:
    """Chance is the seed's."""
    faults = {"noise": 0.1, "loss": 0.1, "duplicates": 0.1, "conflicts": 0.1}

    assert _answered(_people(**faults)) == _answered(_people(**faults))
    assert _answered(_people(**faults)) != _answered(_people(seed=8, **faults))


def test_noise_is_counted_and_near_its_share() -> None:
    """A tenth of the labels is wrong; the counter knows each."""
    people = _people(noise=0.1)
    wrong = sum(label.label == "ham" for label in _answered(people))

    assert wrong == people.injected.wrong
    assert 140 < wrong < 260


def test_lost_labels_never_come() -> None:
    """What was lost is missing in `due` and in the counter of labels."""
    people = _people(loss=0.25)
    labels = _answered(people)

    assert len(labels) == people.injected.labels == 2_000 - people.injected.lost
    assert 400 < people.injected.lost < 600


def test_duplicates_repeat_the_same_label_later() -> None:
    """The second label equals the first."""
    people = _people(duplicates=1.0)
    labels = _answered(people, 50)

    assert people.injected.duplicates == 50
    assert len(labels) == 100
    assert len(set(labels_of(labels))) == 50


def labels_of(labels: list[Label]) -> list[tuple[str, str | None, str | None]]:
    return [(label.event_id, label.label, label.annotator) for label in labels]


def test_a_conflict_is_another_person_with_another_class_and_not_before() -> None:
    """The first label stands first, the contradiction comes from somebody else."""
    people = _people(conflicts=1.0, delay_events=(2, 9))
    people.ask(_query(1), "spam", at_event=0)
    first, second = people.due(NEVER)

    assert (first.label, second.label) == ("spam", "ham")
    assert first.annotator != second.annotator


def test_a_query_for_three_votes_goes_to_three_people() -> None:
    """Nobody votes twice; where there are fewer people each votes once."""
    people = _people(annotators=5)
    people.ask(_query(1, votes_wanted=3), "spam", at_event=0)
    assert len({label.annotator for label in people.due(NEVER)}) == 3

    few = _people(annotators=2)
    few.ask(_query(1, votes_wanted=3), "spam", at_event=0)
    assert len(few.due(NEVER)) == 2


def test_injected_is_a_copy() -> None:
    """What a caller does to the counters changes nothing inside."""
    people = _people()
    people.injected.labels = 99

    assert people.injected.labels == 0


def test_every_wrong_argument_is_named_at_once() -> None:
    """One error lists all problems."""
    with pytest.raises(ConfigurationError) as caught:
        _people(noise=2, loss=-1, delay_events=(5, 1), classes=("ham",), annotators=0)

    assert len(caught.value.problems) == 5
