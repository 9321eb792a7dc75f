"""No label lost: every label has one outcome, every query record one closing record."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from stream_al.config import Config
from stream_al.messages import CHAIN_START, ClosedEntry, ControlProposal, LabelEntry, chained
from tests.unit.labels_desk import DAY_MS, Desk

EVENTS = st.sampled_from(["a", "b", "c", "d"])
ANNOTATORS = st.sampled_from(["ann", "bob", "eve", None])
LABELS = st.sampled_from(["ok", "spam", "abuse", "fraud"])
KINDS = st.sampled_from(["label", "label", "label", "skip", "unsure", "retract"])
CONFIG = Config.model_validate(
    {"labels": {"classes": ["ok", "spam", "abuse"], "expire_after": "1d", "closed_max": 100}}
)


class NoLabelLost(RuleBasedStateMachine):
    """Queries, labels and time in any order; commits come when they come; owners change."""

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk(CONFIG, confirming=False)
        self.desk.commit()
        self.sent = 0

    @rule(event_id=EVENTS, partition=st.integers(0, 1), votes_wanted=st.integers(1, 3))
    def ask(self, event_id: str, partition: int, votes_wanted: int) -> None:
        self.desk.ask(event_id, partition=partition, votes_wanted=votes_wanted)

    @rule(
        event_id=EVENTS,
        annotator=ANNOTATORS,
        label=LABELS,
        kind=KINDS,
        revision=st.integers(0, 2),
        carries=st.booleans(),
        copies=st.integers(1, 2),
    )
    def say(
        self,
        event_id: str,
        annotator: str | None,
        label: str,
        kind: str,
        revision: int,
        carries: bool,
        copies: int,
    ) -> None:
        said: dict[str, Any] = {"annotator": annotator, "kind": kind, "revision": revision}
        if carries:
            said["features"] = {"n": 1.0}
        for _ in range(copies):
            self.sent += 1
            self.desk.say(event_id, label if kind == "label" else None, **said)

    @rule(event_id=EVENTS, label=st.sampled_from(["ok", "spam"]))
    def put_gold(self, event_id: str, label: str) -> None:
        proposal = ControlProposal(
            kind="gold", proposal_id=f"{event_id}{label}", actor="ops", event_id=event_id,
            label=label, features={"n": 1.0},
        )  # fmt: skip
        self.desk.journaled(
            self.desk.resolver.on_control(proposal, now_ms=self.desk.now_ms).records
        )

    @rule(days=st.sampled_from([0.1, 0.5, 1.0, 20.0]))
    def wait(self, days: float) -> None:
        self.desk.tick(int(days * DAY_MS))

    @rule()
    def commit(self) -> None:
        self.desk.commit()

    @rule()
    def take_over(self) -> None:
        rebuilt = self.desk.rebuilt()
        assert rebuilt.fingerprint() == self.desk.resolver.fingerprint()
        self.desk.resolver = rebuilt

    @rule(event_id=EVENTS, partition=st.integers(0, 1), votes_wanted=st.integers(1, 3))
    def take_over_with_news(self, event_id: str, partition: int, votes_wanted: int) -> None:
        before = self.desk.resolver.open_queries(1_000)
        self.desk.ask_unread(event_id, partition=partition, votes_wanted=votes_wanted)
        self.desk.take_over([partition, 1 - partition])
        after = self.desk.resolver.open_queries(1_000)
        said = [(one.place, one.votes, one.passed_by) for one in after]
        for one in before:
            if one.votes or one.passed_by:
                assert (one.place, one.votes, one.passed_by) in said, "what was said is not lost"

    @invariant()
    def every_label_has_one_outcome(self) -> None:
        assert [outcome.source.offset for outcome in self.desk.outcomes] == list(range(self.sent))

    @invariant()
    def applied_labels_are_the_label_records(self) -> None:
        applied = [
            (outcome.event_id, outcome.revision)
            for outcome in self.desk.outcomes
            if outcome.outcome == "applied"
        ]
        labels = [
            (record.event_id, record.revision)
            for record in self.records()
            if isinstance(record, LabelEntry)
        ]
        assert applied == labels

    @invariant()
    def every_query_record_is_closed_once_or_pending(self) -> None:
        closing = Counter(
            (record.closes.partition, record.closes.offset)
            for record in self.records()
            if isinstance(record, LabelEntry | ClosedEntry) and record.closes is not None
        )
        asked = Counter(
            (query.source.partition, query.source.offset) for query, _, _ in self.desk.asked
        )
        pending = Counter(
            (opened.query.source.partition, opened.query.source.offset)
            for opened in self.desk.resolver.open_queries(1_000)
        )
        assert closing + pending == asked

    @invariant()
    def the_chain_holds(self) -> None:
        chain = CHAIN_START
        for record in self.records():
            assert chained(record, chain).chain == record.chain
            chain = record.chain

    @invariant()
    def the_oldest_is_the_oldest(self) -> None:
        opened = self.desk.resolver.open_queries(1_000)
        for partition in (0, 1):
            offsets = [one.place.offset for one in opened if one.place.partition == partition]
            oldest = self.desk.resolver.oldest_pending(partition)
            assert (oldest.offset if oldest else None) == min(offsets, default=None)

    def records(self) -> list[Any]:
        return [*self.desk.journal.values(), *self.desk.unconfirmed]


TestNoLabelLost = NoLabelLost.TestCase
TestNoLabelLost.settings = settings(
    max_examples=120,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
