"""Simulated annotators: late, sometimes wrong, sometimes twice, in conflict, or never.

Time is the index of the event at which something happens, so that a run is repeatable at any speed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from heapq import heappop, heappush
from random import Random

from stream_al.errors import ConfigurationError
from stream_al.messages import Label, Query


@dataclass(slots=True)
class Injected:
    """What the annotators did so far; `labels` counts every label that was or will be due."""

    queries: int = 0
    labels: int = 0
    wrong: int = 0
    lost: int = 0
    duplicates: int = 0
    conflicts: int = 0


class SimulatedAnnotators:
    """People who answer queries, with all that people do.

    Parameters
    ----------
    seed
        The same seed and the same calls give the same labels.
    classes
        From which a wrong label is drawn.
    delay_events
        Fewest and most events between a query and its label, both included.
    noise
        Share of labels that are wrong.
    loss
        Share of votes that never come.
    duplicates
        Share of labels that come a second time, later and the same.
    conflicts
        Share of labels that another annotator contradicts later; needs two annotators.
    annotators
        How many people there are, `a0`, `a1`, …; a query for n votes goes to n of them.

    Raises
    ------
    ConfigurationError
        With every wrong argument at once.

    Examples
    --------
    >>> people = SimulatedAnnotators(1, classes=("ham", "spam"), delay_events=(0, 50))
    >>> people.due(10_000), people.outstanding_count
    ([], 0)
    """

    def __init__(
        self,
        seed: int,
        *,
        classes: Sequence[str],
        delay_events: tuple[int, int] = (0, 0),
        noise: float = 0.0,
        loss: float = 0.0,
        duplicates: float = 0.0,
        conflicts: float = 0.0,
        annotators: int = 3,
    ) -> None:
        shares = {"noise": noise, "loss": loss, "duplicates": duplicates, "conflicts": conflicts}
        problems = [
            f"{name}={share!r}: give a share in [0, 1]"
            for name, share in shares.items()
            if not 0 <= share <= 1
        ]
        if not 0 <= delay_events[0] <= delay_events[1]:
            problems.append(f"delay_events={delay_events!r}: give fewest and most, both ≥ 0")
        if len(set(classes)) < 2:
            problems.append(f"classes={tuple(classes)!r}: name two or more different classes")
        if annotators < (2 if conflicts else 1):
            problems.append(f"annotators={annotators}: raise it; a conflict needs two people")
        if problems:
            raise ConfigurationError(*problems)
        self._rng = Random(seed)
        self._classes = tuple(classes)
        self._delay = delay_events
        self._shares = shares
        self._names = tuple(f"a{number}" for number in range(annotators))
        self._heap: list[tuple[int, int, Label]] = []
        """(due event, order of scheduling, label): unique, so labels are never compared."""
        self._scheduled_count = 0
        self._injected = Injected()

    @property
    def injected(self) -> Injected:
        """A copy of what was injected so far."""
        return Injected(**asdict(self._injected))

    @property
    def outstanding_count(self) -> int:
        """Labels that are still to come."""
        return len(self._heap)

    def ask(self, query: Query, truth: str, at_event: int) -> None:
        """Give a query to as many people as it wants votes; their labels come from `due`."""
        self._injected.queries += 1
        voters = self._rng.sample(self._names, min(query.votes_wanted, len(self._names)))
        for annotator in voters:
            self._vote(query.event_id, annotator, truth, at_event)

    def due(self, at_event: int) -> list[Label]:
        """Return, once, the labels that are due at or before the event `at_event`."""
        labels = []
        while self._heap and self._heap[0][0] <= at_event:
            labels.append(heappop(self._heap)[2])
        return labels

    def _vote(self, event_id: str, annotator: str, truth: str, at_event: int) -> None:
        if self._happens("loss"):
            self._injected.lost += 1
            return
        name = truth
        if self._happens("noise"):
            name = self._another_class(truth)
            self._injected.wrong += 1
        label = Label(event_id=event_id, label=name, annotator=annotator)
        due_at = self._schedule(label, at_event)
        if self._happens("duplicates"):
            self._injected.duplicates += 1
            self._schedule(label, due_at)
        if self._happens("conflicts"):
            self._injected.conflicts += 1
            others = [other for other in self._names if other != annotator]
            changed = {"annotator": self._rng.choice(others), "label": self._another_class(name)}
            self._schedule(label.model_copy(update=changed), due_at)

    def _schedule(self, label: Label, at_event: int) -> int:
        due_at = at_event + self._rng.randint(*self._delay)
        heappush(self._heap, (due_at, self._scheduled_count, label))
        self._scheduled_count += 1
        self._injected.labels += 1
        return due_at

    def _happens(self, name: str) -> bool:
        return self._rng.random() < self._shares[name]

    def _another_class(self, name: str) -> str:
        return self._rng.choice([other for other in self._classes if other != name])
