"""The audit as a whole: take the bounds, read the journal, then every partition, then compare."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from stream_al.config import Config
from stream_al.messages import Start
from stream_al.port import Log, Record
from stream_al.service.audit.journal import JournalCheck
from stream_al.service.audit.ledger import Ledger
from stream_al.service.audit.once import ExactlyOnce, Output, letters, outputs
from stream_al.service.audit.partition import PartitionCheck
from stream_al.service.audit.reading import Bounds, Reader, take_bounds
from stream_al.service.audit.report import Findings, Report


def audit(
    log: Log, config: Config, *, progress: Callable[[int, int], None] = lambda *_: None
) -> Report:
    """Check the invariants of docs/GUARANTEES.md from topics alone, while workers may run.

    Parameters
    ----------
    log
        Any log; nothing is written to it.
    config
        Names of topics and groups, and the settings before the first control record.
    progress
        Is told how many partitions of inputs are done, and of how many.

    Returns
    -------
    Report
        Clean, or with the first offending records of each kind and their totals.
    """
    return _Audit(log, config).run(progress)


_CHECKS = ("events", "labels")
_EARLIEST = Start()
QUERY_FIELDS = frozenset(
    {"query_id", "event_id", "source", "features", "label", "probabilities", "uncertainty"}
    | {"propensity", "rate", "model_version", "reason", "priority", "votes_wanted"}
    | {"asked_at_ms", "expires_at_ms"}
)


class _Audit:
    def __init__(self, log: Log, config: Config) -> None:
        self._log = log
        self._config = config
        self._bounds: Bounds = take_bounds(log, config)
        self._findings = Findings()
        self._ledger = Ledger(log, config, self._bounds, self._findings)

    def run(self, progress: Callable[[int, int], None]) -> Report:
        inputs = sorted(place for place in self._bounds.committed if place[0] in _CHECKS)
        try:
            journal = JournalCheck(
                self._log, self._config, self._bounds, self._findings, self._ledger
            )
            journal.run()
            for done, (name, partition) in enumerate(inputs, 1):
                progress(done, 1 + len(inputs))  # the journal was the first
                if name == "events":
                    self._events(journal, partition)
                else:
                    self._labels(partition, journal.starts.of("labels", partition))
            self._ledger.check_queries()
            self._ledger.check_labels()
        finally:
            self._ledger.close()
        return self._findings.report()

    def _reader(self, name: str, partition: int, start: Start = _EARLIEST) -> Reader:
        """Return a reader of an output up to the end that was taken."""
        end, since = self._bounds.ends.get((name, partition), 0), start.outputs.get(name, 0)
        return Reader(self._log, self._config.topic(name), partition, end, since)

    def _inputs(self, name: str, partition: int, start: Start) -> Reader:
        end = self._bounds.committed[name, partition]
        return Reader(self._log, self._config.topic(name), partition, end, start.first)

    def _events(self, journal: JournalCheck, partition: int) -> None:
        start = journal.starts.of("events", partition)
        readers = {
            "predictions": self._reader("predictions", partition, start),
            "queries": self._reader("queries", partition),  # whatever life: the journal names them
            "dead_letters": self._reader("dead_letters", partition, start),
            "events": self._inputs("events", partition, start),
        }
        known = journal.whole and journal.lineages.known
        first_version = journal.lineages.first + 1 if known else 0
        check = PartitionCheck(
            self._config,
            self._bounds,
            self._findings,
            journal.rules if journal.whole else None,
            first_version,
            readers,
            start,
        )
        check.run(self._queries(readers["queries"], partition, check, start))
        self._ledger.queries_low[partition] = readers["queries"].low

    def _queries(
        self, reader: Reader, partition: int, check: PartitionCheck, start: Start
    ) -> Iterator[Output]:
        since = start.outputs.get("queries", 0)

        def noted(body: dict[str, Any], offset: int) -> None:
            self._ledger.query(body, partition, offset)
            check.earlier_queries += offset < since

        return outputs(
            reader, self._findings, "I6", "query", noted=noted, since=since, fields=QUERY_FIELDS
        )

    def _labels(self, partition: int, start: Start) -> None:
        inputs = self._inputs("labels", partition, start)
        answers = self._reader("outcomes", partition, start)
        dead = self._reader("dead_letters", partition, start)
        once = ExactlyOnce(
            self._findings,
            "I2",
            "outcome",
            inputs,
            answers,
            dead,
            self._bounds.committed_after["labels", partition],
        )

        def matched(_: Record | None, output: Output) -> None:
            self._findings.checked["outcomes"] += 1
            body = output.body
            if body.get("outcome") == "applied" and {"event_id", "revision"} <= body.keys():
                self._ledger.applied(body, partition, output.offset)

        once.run(
            outputs(answers, self._findings, "I2", "outcome"),
            letters(dead, self._findings, "I2", inputs.topic),
            matched,
            missing=lambda: None,
        )
        self._ledger.outcomes_dropped |= answers.dropped or answers.since > 0
