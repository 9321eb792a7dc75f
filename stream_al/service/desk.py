"""An annotator's desk: the next query that nobody else here sees and nobody has answered.

A query is claimed while it is on screen, and a claim dies with its process. Claims are seen on this
machine only (on Kafka: by the same user), so a desk elsewhere may show the same query.
Open queries are read in bulk and then followed by the tails of journal and labels, so that a key
costs no refold. Gold questions come in between and need no claim: everybody answers each of them.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from stream_al.config import Config
from stream_al.engine import LabelReader
from stream_al.errors import InvalidInput
from stream_al.labels import GoldQuestion, OpenQuery
from stream_al.messages import ClosedEntry, LabelEntry
from stream_al.port import Log
from stream_al.service.gold import alike, disguised, gold_before
from stream_al.service.rebuild import rebuild
from stream_al.service.view import journal, records

READ_MAX = 200
READ_EVERY_S = 10.0
IDLE_READ_EVERY_S = 0.4
FIRST_READ_S = -1e9


class Desk:
    """Open queries for one annotator.

    Attributes
    ----------
    answered
        Events that this person answered in this session.
    classes
        Classes known, in the order met.
    """

    def __init__(self, log: Log, config: Config, annotator: str) -> None:
        self._log = log
        self._config = config
        self._annotator = annotator
        self._reader = LabelReader(config.labels)
        self._queue: deque[OpenQuery] = deque()
        self._read_s = FIRST_READ_S
        self._position = 0
        self._labels_read: dict[int, int] = {}
        # Answered or closed by anybody since the session began.
        self._done: set[str] = set()
        # Gold questions that this person has not answered, and the queries that one came before.
        self._gold: list[GoldQuestion] = []
        self._golden: set[str] = set()
        self.answered: set[str] = set()
        self.classes: list[str] = list(config.labels.classes or ())

    @contextmanager
    def next(self) -> Iterator[OpenQuery | None]:
        """Give the next query, claimed while the block runs; None when there is none."""
        age_s = time.monotonic() - self._read_s
        if age_s > (READ_EVERY_S if self._queue else IDLE_READ_EVERY_S):
            self._read()
        while self._queue:
            opened = self._queue.popleft()
            event_id = opened.query.event_id
            if event_id in self.answered:
                continue
            gold = self._gold_before(opened)
            if gold is not None:
                yield gold
                return
            claim = self._log.claim(f"query/{event_id}")
            if claim is None:
                continue
            with claim:
                # Only now: who had the claim before may just have answered.
                self._follow()
                if event_id not in self._done:
                    yield opened
                    return
        yield None

    def _gold_before(self, opened: OpenQuery) -> OpenQuery | None:
        """Return a gold question to put first; the query stays in front."""
        event_id = opened.query.event_id
        if event_id in self._golden or event_id in self._done:
            return None
        gold = gold_before(
            event_id,
            self._annotator,
            self._gold,
            share=self._config.labels.gold_share,
            answered=self.answered,
        )
        if gold is None:
            return None
        self._golden.add(event_id)
        like = self._queue[-1] if self._queue else opened
        self._queue.appendleft(opened)
        return disguised(gold, like)

    def _read(self) -> None:
        """Read what is open now, most urgent first."""
        self._follow()
        self._read_s = time.monotonic()
        resolver = rebuild(self._log, self._config, now_ms=time.time_ns() // 1_000_000)
        self._queue = deque(
            opened
            for opened in resolver.open_queries(READ_MAX)
            if self._annotator not in {vote.annotator for vote in opened.votes}
            and self._annotator not in opened.passed_by
        )
        self._gold = alike(resolver.gold_questions(self._annotator), self._queue)
        self._follow()

    def _follow(self) -> None:
        """Take note of what was closed, answered and named since the last time."""
        for position, entry in journal(self._log, self._config, self._position):
            self._position = position + 1
            if isinstance(entry, LabelEntry | ClosedEntry):
                self._done.add(entry.event_id)
            label = getattr(entry, "label", None)
            if self._config.labels.classes is None and label and label not in self.classes:
                self.classes.append(label)
        topic = self._config.topic("labels")
        for partition in range(self._log.partition_count(topic)):
            start = self._labels_read.get(partition, self._log.end(topic, partition))
            self._labels_read[partition] = start
            for record in records(self._log, topic, partition, start):
                self._labels_read[partition] = record.offset + 1
                try:
                    said = self._reader.read(record.value)
                except InvalidInput:
                    continue
                if said.kind == "label" and self._config.labels.votes == 1:
                    self._done.add(said.event_id)
