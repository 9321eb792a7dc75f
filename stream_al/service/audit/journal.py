"""One pass over the journal: its chain, its settings, its lessons, and rows for the ledger."""

from __future__ import annotations

from typing import Any

from stream_al.config import Config
from stream_al.messages import StartEntry, Starts
from stream_al.port import Log
from stream_al.service.audit.chain import Chain
from stream_al.service.audit.ledger import Ledger
from stream_al.service.audit.lineages import LESSON_KINDS, Lineages
from stream_al.service.audit.reading import Bounds, Reader, unreadable
from stream_al.service.audit.report import Findings, Place
from stream_al.service.audit.rules import Rulebook
from stream_al.service.audit.strays import Unstrayed


class JournalCheck:
    """Reads the journal once, to the end that the bounds say.

    Attributes
    ----------
    rules
        The settings in force at every position.
    lineages
        Where models begin.
    starts
        Where the reading of inputs begins.
    """

    def __init__(
        self, log: Log, config: Config, bounds: Bounds, findings: Findings, ledger: Ledger
    ) -> None:
        self._reader = Reader(log, config.topic("journal"), 0, bounds.journal_end)
        self._findings = findings
        self._ledger = ledger
        self._chain = Chain(from_start=not self._reader.dropped)
        self.rules = Rulebook(config.settings())
        self.lineages = Lineages(log, config, self._reader, findings)
        self.starts = Starts()

    @property
    def whole(self) -> bool:
        """Whether the journal begins with its first record."""
        return not self._reader.dropped

    def run(self) -> None:
        """Check every record."""
        first = True
        if self._reader.dropped:
            place = Place(self._reader.topic, 0, self._reader.low)
            sentence = "records before this one are gone; the journal never expires: restore it"
            self._findings.add("chain", "begin", place, sentence)
            first = False
        for offset, body in Unstrayed(self._reader, self._chain, self._findings):
            place = Place(self._reader.topic, 0, offset)
            if body is None:
                self._chain.lose()
                self._findings.add("chain", "unreadable", place, "it is no JSON object")
                continue
            if first and body.get("kind") != "model":
                sentence = f"the journal begins with a {body.get('kind')} record, not with a model"
                self._findings.add("chain", "first", place, sentence)
            first = False
            for kind, sentence in self._chain.follow(body):
                self._findings.add("chain", kind, place, sentence)
            try:
                self._take(body, offset)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                self._findings.add("chain", "unreadable", place, unreadable(error))
            self._findings.checked["journal records"] += 1
        self._findings.checked["journal records redacted"] = self._chain.redacted_count

    def _take(self, body: dict[str, Any], offset: int) -> None:
        kind = body["kind"]
        if kind in LESSON_KINDS:
            self.lineages.lesson(body, offset, frozen=self.rules.now.frozen)
        match kind:
            case "label":
                self._ledger.label(body, offset)
                self._ledger.closer(body, offset)
            case "closed" | "retraction":
                self._ledger.closer(body, offset)
            case "control":
                if not self.rules.fold(body["patch"], offset):
                    self._findings.checked["control records that no reader can apply"] += 1
            case "model":
                self.lineages.model(body, offset)
            case "digest":
                self.lineages.digest(body, offset)
            case "start":
                self.starts.fold(StartEntry.model_validate(body))
            case _:
                pass  # votes, statistics and the like: nothing that topics alone could contradict
