"""One partition of events: predictions, queries, propensities, spend, versions and gate state.

Everything is read once, in step, by offset of the event.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

from stream_al.config import Config
from stream_al.messages import Start
from stream_al.port import Record
from stream_al.service.audit.once import END, ExactlyOnce, Output, letters, outputs
from stream_al.service.audit.reading import Bounds, Reader, decoded, unreadable
from stream_al.service.audit.report import Findings, Place
from stream_al.service.audit.rules import Rulebook, Rules
from stream_al.service.audit.spend import ROUNDING_UNITS, UNIT, Spend

RATE_SEEN_MIN = 1e-6
"""At and above this rate every event has some propensity: a random share of 1 % suffices for it."""
SUM_TOLERANCE = 1e-9
"""Probabilities are divided by their sum; what is left is rounding."""
REASONS = frozenset({"cold_start", "random", "uncertain", "disagreement", "rule"})
SAME_IN_QUERY = (
    "event_id",
    "label",
    "probabilities",
    "uncertainty",
    "propensity",
    "rate",
    "model_version",
    "reason",
    "segment",
)
GATE_FORMATS = ("g1:", "g2:")


class PartitionCheck:
    """Checks one events partition and its outputs.

    Attributes
    ----------
    _rules, _rules_until
        The settings of the version met last, and the first version that has others.
    _version
        `model_version` of the last prediction; it never decreases.
    _sent
        Query records of events below the committed position.
    _renewed
        Where the gate began again, as the journal says.
    earlier_queries
        Query records of another life of the topic.
    _count
        Predictions met.
    _met_prediction, _met_query
        Whether one was met: what is missing before the first may have been dropped.
    """

    def __init__(
        self,
        config: Config,
        bounds: Bounds,
        findings: Findings,
        rulebook: Rulebook | None,
        first_version: int,
        readers: dict[str, Reader],
        start: Start,
    ) -> None:
        self._config = config
        self._bounds = bounds
        self._findings = findings
        self._rulebook = rulebook
        self._readers = readers
        self._predictions = readers["predictions"]
        self._queries_reader = readers["queries"]
        self._partition = readers["events"].partition
        self._committed = bounds.committed["events", self._partition]
        whole = not self._predictions.dropped and not any(start.outputs.values())
        self._spend = Spend(from_start=whole)
        self._renewed = deque(sorted(start.renewed))
        self.earlier_queries = 0
        self._rules: Rules | None = None
        self._rules_until = -1
        self._version = first_version
        self._sent = self._count = 0
        self._met_prediction = self._met_query = False
        path = config.events.event_id or "event_id"
        self._id_path = path.split(".")
        self._queries: Iterator[Output] = iter(())
        self._query = Output(END, -1, {})

    def run(self, queries: Iterator[Output]) -> None:
        """Check everything in step."""
        self._queries = queries
        self._next_query()
        events, dead = self._readers["events"], self._readers["dead_letters"]
        once = ExactlyOnce(
            self._findings,
            "I1",
            "prediction",
            events,
            self._predictions,
            dead,
            self._bounds.committed_after["events", self._partition],
        )
        found = outputs(self._predictions, self._findings, "I1", "prediction")
        # An event without its prediction leaves a hole in the sums: they begin anew behind it.
        letters_found = letters(dead, self._findings, "I1", events.topic)
        once.run(found, letters_found, self._matched, missing=self._spend.restart)
        self._findings.checked["predictions"] += self._count
        while self._query.source < END:
            self._unasked()
        self._check_gate()

    # ------------------------------------------------------------------ one prediction

    def _matched(self, event: Record | None, output: Output) -> None:
        body = output.body
        while self._renewed and output.source >= self._renewed[0]:
            self._renewed.popleft()
            self._spend.restart()
        try:
            problem = self._problem(event, body)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            problem = ("I1", "unreadable", unreadable(error))
        if problem is not None:
            self._report(output, *problem)
        self._count += 1
        while self._query.source < output.source:
            self._unasked()
        if self._query.source == output.source:
            self._compare_query(output)
            self._met_query = True
            self._next_query()
        elif body.get("queried"):
            self._unsent(output)
        self._met_prediction = True

    def _report(self, output: Output, invariant: str, kind: str, sentence: str) -> None:
        reader = self._predictions
        place = Place(reader.topic, reader.partition, output.offset)
        self._findings.add(invariant, kind, place, sentence)

    def _problem(self, event: Record | None, body: dict[str, Any]) -> tuple[str, str, str] | None:
        """Return (invariant, kind, sentence) of the first thing that is wrong."""
        version = body["model_version"]
        problem = None
        if version != self._version:
            if self._version < version <= self._bounds.journal_end:
                self._version = version
            else:
                problem = self._wrong_version(version)
        decided = self._decided(body, self._version)
        problem = problem or decided
        if problem is not None:
            return problem
        probabilities = body["probabilities"]
        if probabilities:
            label, shares = body["label"], probabilities.values()
            if probabilities.get(label) != max(shares):
                return ("I1", "label", f"its label {label!r} is not the most probable class")
            if not -SUM_TOLERANCE < sum(shares) - 1.0 < SUM_TOLERANCE:
                return ("I1", "probabilities", f"its probabilities sum to {sum(shares)!r}, not 1")
        elif body["label"] is not None:
            return ("I1", "label", "it has a label but no probabilities")
        if event is not None and not self._names(event, body["event_id"]):
            return ("I1", "event", f"its event_id {body['event_id']!r} is not that of its source")
        return None

    def _wrong_version(self, version: Any) -> tuple[str, str, str]:
        end = self._bounds.journal_end
        if version > end:
            sentence = f"its model_version {version} is beyond the journal, which ends at {end}"
            return ("I7", "ahead", sentence)
        sentence = f"its model_version {version} is below {self._version}, reached before it"
        return ("I7", "back", sentence)

    def _names(self, event: Record, event_id: str) -> bool:
        """Whether the event's own bytes name `event_id`; decoded only where they don't plainly."""
        if b'"%s"' % event_id.encode() in event.value:
            return True
        found: Any = decoded(event.value)
        for part in self._id_path:
            if isinstance(found, dict):
                found = found.get(part)
            elif isinstance(found, list) and part.isdigit() and int(part) < len(found):
                found = found[int(part)]
        return event_id == (str(found) if isinstance(found, int) else found)

    # ------------------------------------------------------------------ what the gate did

    def _decided(self, body: dict[str, Any], version: int) -> tuple[str, str, str] | None:
        """Check what the gate did; after a wrong number the sums begin anew behind it."""
        propensity, rate, queried = body["propensity"], body["rate"], body["queried"]
        units = propensity * UNIT
        if version >= self._rules_until or (self._rules and version < self._rules.since):
            self._rules = None
        if self._rules is None and self._rulebook is not None:
            self._rules, self._rules_until = self._rulebook.at(version)
        rules = self._rules
        if (
            rules is not None
            and not queried
            and rate == rules.rate
            and body["mode"] == rules.mode == "normal"
            and body["reason"] is None
            and 0 < units <= UNIT
            and units == int(units)
            and rate
        ):  # as nearly all are; what follows comes to the same
            if rules.limited:
                return self._spent(rules, int(units), rate, asked=False)
            share = rules.share_units
            broken = self._spend.add(int(units), share, share, asked=False, burst=rules.burst)
            return None if broken is None else (broken[0], "spend", broken[1])
        asked = queried or body.get("would_query") is True
        problem = _impossible(body, units, asked=asked)
        if problem is None and rules is not None:
            problem = _against(rules, body, asked=asked)
        if problem is not None:
            self._spend.restart()
            return problem
        return None if rules is None else self._spent(rules, int(units), rate, asked=asked)

    def _spent(
        self, rules: Rules, units: int, rate: float, *, asked: bool
    ) -> tuple[str, str, str] | None:
        if not units and rate < RATE_SEEN_MIN:
            return None  # not allowed to ask: outside the frame
        if rules.limited:
            middle = round(rate * UNIT)
            low, high = max(0, middle - ROUNDING_UNITS), middle + ROUNDING_UNITS
        else:
            low = high = rules.share_units
        broken = self._spend.add(units, low, high, asked=asked, burst=rules.burst)
        return None if broken is None else (broken[0], "spend", broken[1])

    # ------------------------------------------------------------------ queries

    def _next_query(self) -> None:
        self._query = next(self._queries, Output(END, -1, {}))
        if self._query.source < self._committed:
            self._sent += 1

    def _query_place(self) -> Place:
        reader = self._queries_reader
        return Place(reader.topic, reader.partition, self._query.offset)

    def _unasked(self) -> None:
        """Judge the query at hand, which no prediction belongs to, and go on to the next."""
        source = self._query.source
        if source >= self._committed:
            if source >= self._bounds.committed_after["events", self._partition]:
                sentence = f"it is of offset {source}, beyond the position committed with it"
                self._findings.add("I6", "uncommitted", self._query_place(), sentence)
        elif self._predictions.dropped and not self._met_prediction:
            self._findings.unchecked["queries whose prediction retention may have dropped"] += 1
        else:
            sentence = f"no prediction of offset {source} belongs to this query"
            self._findings.add("I6", "unasked", self._query_place(), sentence)
        self._met_query = True
        self._next_query()

    def _compare_query(self, output: Output) -> None:
        asked, said = self._query.body, output.body
        self._findings.checked["queries"] += 1
        if not said.get("queried"):
            sentence = f"its prediction, of offset {output.source}, says that it was not queried"
            self._findings.add("I6", "unasked", self._query_place(), sentence)
            return
        for name in SAME_IN_QUERY:
            if asked.get(name) != said.get(name):
                sentence = f"its {name} is {asked.get(name)!r}, its prediction's {said.get(name)!r}"
                self._findings.add("I6", "differs", self._query_place(), sentence)
                return
        query_id = blake2b(
            str(asked["event_id"]).encode("utf-8", "surrogatepass"), digest_size=12
        ).hexdigest()
        if asked.get("query_id") != query_id:
            sentence = f"its query_id is {asked.get('query_id')!r}, its event's is {query_id!r}"
            self._findings.add("I6", "query_id", self._query_place(), sentence)

    def _unsent(self, output: Output) -> None:
        if output.source >= self._committed:
            return  # its query may lie beyond the end that was taken
        if self._queries_reader.dropped and not self._met_query:
            self._findings.unchecked["predictions whose query retention may have dropped"] += 1
            return
        self._report(output, "I6", "unsent", "it says that it was queried, but there is no query")

    # ------------------------------------------------------------------ the gate's state

    def _check_gate(self) -> None:
        """Compare what was committed with the position: the gate's version and its queries."""
        text = self._bounds.gates.get(self._partition, "")
        if not text.startswith(GATE_FORMATS):
            return
        place = Place(self._readers["events"].topic, self._partition, self._committed)
        numbers = text[len(GATE_FORMATS[0]) :].split(",", 2)
        if len(numbers) < 3 or not (numbers[0].isdigit() and numbers[1].isdigit()):
            sentence = "the gate state that was committed here can't be read"
            self._findings.add("I6", "gate", place, sentence)
            return
        seen, sent = int(numbers[0]), int(numbers[1])
        if seen > self._bounds.journal_end:
            sentence = f"the gate saw journal position {seen}, beyond the journal's end"
            self._findings.add("I7", "ahead", place, sentence)
        if self._queries_reader.dropped:
            self._findings.unchecked["gate states: queries at the beginning were dropped"] += 1
        elif sent != self._sent + self.earlier_queries:
            sentence = (
                f"the gate state committed here counts {sent:,} queries, "
                f"the queries topic has {self._sent + self.earlier_queries:,}"
            )
            self._findings.add("I6", "gate", place, sentence)
        self._findings.checked["gate states"] += 1


def _impossible(body: dict[str, Any], units: float, *, asked: bool) -> tuple[str, str, str] | None:
    """Return what no gate does under any settings."""
    reason = body["reason"]
    sentence = None
    if not 0 <= units <= UNIT or units != int(units):
        kind, sentence = "range", f"its propensity {body['propensity']!r} is none of a gate's"
    elif asked != (reason is not None) or (asked and reason not in REASONS):
        kind, sentence = "reason", f"its reason is {reason!r}, asked: {asked}"
    elif asked and not units:
        kind, sentence = "asked", "it was asked about, with a propensity of 0"
    return None if sentence is None else ("propensity", kind, sentence)


def _against(rules: Rules, body: dict[str, Any], *, asked: bool) -> tuple[str, str, str] | None:
    """Return what contradicts the settings in force."""
    rate, mode, propensity = body["rate"], body["mode"], body["propensity"]
    if mode != rules.mode:
        return ("I4", "mode", f"its mode is {mode!r}; {rules.mode!r} was in force")
    if rate > rules.rate or (rate != rules.rate and not rules.limited):
        return ("I4", "rate", f"its rate is {rate!r}; the settings in force give {rules.rate!r}")
    if (propensity > 0) != (rate > 0) and not _vanished(rules, rate, propensity):
        return ("propensity", "zero", f"its propensity is {propensity!r} at a rate of {rate!r}")
    if body["queried"] and mode == "shadow":
        return ("I4", "shadow", "it was queried in shadow mode, which asks on paper only")
    if asked:
        cold = len(body["probabilities"]) < 2
        reason = body["reason"]
        fits = reason in {"random", "rule", rules.chosen}
        if (reason == "cold_start") != cold or not (cold or fits):
            return ("propensity", "reason", f"its reason {reason!r} does not fit")
    return None


def _vanished(rules: Rules, rate: float, propensity: float) -> bool:
    """Whether a rate or a propensity is 0 for being too small to be written."""
    return rate < RATE_SEEN_MIN if propensity == 0 else rules.rate_may_vanish
