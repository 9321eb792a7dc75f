"""The journal: everything that was learnt, closed and set, in one order.

One writer, the resolver. A record's *header* is every field except `features`, `meta` and `chain`;
`payload_hash` is the hash of the features, of a list of both where there is a `meta`. `chain`
covers the chain before it and the header, so a person's data can be blanked on request and the
chain still proves the rest.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    ValidationError,
    model_serializer,
)

from stream_al.errors import ConfigurationError
from stream_al.messages.base import SCHEMA_VERSION, Features, OwnMessage, Source
from stream_al.messages.inputs import Inputs
from stream_al.messages.label import LabelKind
from stream_al.messages.settings import Settings

CHAIN_START = "0" * 32
NO_QUERY = Source(partition=-1, offset=-1)
"""The place of no record: of what was never asked."""
FOREVER = 1 << 62
"""The bound of an event that a lineage never learns of."""
LineageStart = Literal["empty", "replay", "selected"]
ClosedReason = Literal["skipped", "unsure", "expired", "repeated"]


class Vote(OwnMessage):
    """One annotator's current vote on an event."""

    annotator: str
    label: str
    revision: int = 0


class Asked(OwnMessage):
    """The query that a record answers: what was predicted, and how likely it was to be asked."""

    query: Source
    label: str | None
    probabilities: dict[str, float]
    model_version: int
    propensity: float
    rate: float
    asked_at_ms: int
    segment: str | None = None


class Entry(OwnMessage):
    """Header fields of every journal record; `at_ms` is the resolver's clock when it decided."""

    schema_version: int = SCHEMA_VERSION
    at_ms: int
    chain: str = ""
    payload_hash: str | None = None


class Grown(Entry):
    """A record that has fields which older versions did not write.

    One that is not set is not written: hashes and bytes of older records stay what they were.
    """

    LATER: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def _without_unset(self, written: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = written(self)
        for name in self.LATER:
            if fields.get(name, 0) is None:
                del fields[name]
        return fields


class LabelEntry(Grown):
    """A final label of a query. `overturns` is the journal position of the label it replaces.

    `blank`: the features were blanked before this record was made, so it never taught anybody.
    """

    LATER = frozenset({"blank"})

    kind: Literal["label"] = "label"
    event_id: str
    revision: int
    label: str
    features: Features | None
    asked: Asked
    votes: tuple[Vote, ...]
    weight: float = 1.0
    latency_ms: int
    closes: Source | None = None
    overturns: int | None = None
    replaced_label: str | None = None
    blank: bool | None = None


class VoteEntry(Entry):
    """A vote, skip, unsure or retracted vote on a pending query, or a conflict on a closed one.

    `votes_wanted` is set when this vote raised it. `truth` is the known label when this answers a
    gold question; then there is no query, and `query` is `NO_QUERY`.
    """

    kind: Literal["vote"] = "vote"
    event_id: str
    vote_kind: LabelKind
    annotator: str
    revision: int
    label: str | None = None
    query: Source
    votes_wanted: int | None = None
    truth: str | None = None


class ClosedEntry(Entry):
    """A query that ended without a label; `closes` is the source of that query *record*."""

    kind: Literal["closed"] = "closed"
    event_id: str
    reason: ClosedReason
    query: Source
    closes: Source


class RetractionEntry(Entry):
    """A closed label taken back: the estimates forget it at once, the model's lesson stays."""

    kind: Literal["retraction"] = "retraction"
    event_id: str
    revision: int
    annotator: str
    retracts: int
    label: str
    asked: Asked


class ControlEntry(Grown):
    """A change of the run-time settings, by whom and why; `proposal_id` is the operator's.

    One with `inputs` says which mapping is in force from here on, and has an empty patch.
    """

    LATER = frozenset({"inputs"})

    kind: Literal["control"] = "control"
    actor: str
    reason: str
    patch: dict[str, Any]
    proposal_id: str | None = None
    inputs: Inputs | None = None


class SeedEntry(Entry):
    """Labelled history: it teaches and estimates nothing."""

    kind: Literal["seed"] = "seed"
    event_id: str
    label: str
    features: Features | None = None


class GoldEntry(Grown):
    """An event of a known label, to see how good annotators are: it teaches and estimates nothing.

    Annotators answer it as any query; their answers are `vote` records with a `truth`. `segment`
    and `meta` are shown to them, as those of any query are.
    """

    LATER = frozenset({"segment", "meta"})

    kind: Literal["gold"] = "gold"
    event_id: str
    label: str
    features: Features | None = None
    segment: str | None = None
    meta: Any = None


class VolunteeredEntry(Entry):
    """A label that nobody asked for, with its features: it teaches and estimates nothing."""

    kind: Literal["volunteered"] = "volunteered"
    event_id: str
    revision: int
    annotator: str
    label: str
    features: Features | None


class NumberStatistics(OwnMessage):
    """What is known of one numeric feature: sample mean, sd, and knots once they are frozen."""

    mean: float
    sd: float
    knots: tuple[float, ...] = ()


class StatisticsEntry(Entry):
    """Merged unsupervised statistics: an input of the fold. `send_every` paces the scorers."""

    kind: Literal["statistics"] = "statistics"
    event_count: int
    numbers: dict[str, NumberStatistics]
    send_every: int


class ModelEntry(Grown):
    """A new lineage: which model, from what start. The journal's first record is one.

    Attributes
    ----------
    start
        `empty`: a model that knows nothing. `replay`: one that learns again what the journal holds
        before this record, as the rest says. `selected` is the same, and more is said than versions
        before 0.2.0 understand: they stop.
    lessons_from
        Journal position of the first record whose lesson counts.
    without, without_to
        Events whose lessons are left out; for each the position below which, -1 for all of them.
        Below it the correction of a label still counts. None: all, for all.
    thawed_to
        Lessons that were journaled while learning was frozen count below this position.
    corrected
        Of the lessons before this record only each event's final label counts.
    since_ms
        Lessons from before this time are left out.
    without_annotators, without_classes, renamed
        Whose labels and which classes are left out, and class → its new name; while it lasts.
    inputs
        What of the configuration decides predictions from here on; None where that stays.
    """

    LATER = frozenset(
        {
            *("without_to", "corrected", "since_ms", "without_annotators", "without_classes"),
            *("renamed", "inputs"),
        }
    )

    kind: Literal["model"] = "model"
    model_id: str
    config_hash: str
    preset: str
    start: LineageStart = "empty"
    lessons_from: int = 0
    without: tuple[str, ...] = ()
    thawed_to: int = 0
    actor: str
    reason: str
    proposal_id: str | None = None
    without_to: tuple[int, ...] | None = None
    corrected: bool | None = None
    since_ms: int | None = None
    without_annotators: tuple[str, ...] | None = None
    without_classes: tuple[str, ...] | None = None
    renamed: dict[str, str] | None = None
    inputs: Inputs | None = None

    def bounds(self) -> dict[str, int]:
        """Return event in `without` → the position below which its lessons are left out."""
        to = self.without_to or (-1,) * len(self.without)
        return {
            event_id: FOREVER if bound < 0 else bound
            for event_id, bound in zip(self.without, to, strict=True)
        }


class StartEntry(Entry):
    """Where the reading of an input begins, other than at its first record; for all who count.

    Attributes
    ----------
    topic
        `events` or `labels`.
    starts
        For each partition the first offset that is read; None where nothing changed.
    outputs
        Short name of an output topic → for each partition the end that it had. Answers below it are
        of another life of the input topic. Nothing where what was answered before still counts.
    """

    kind: Literal["start"] = "start"
    topic: Literal["events", "labels"] = "events"
    starts: tuple[int | None, ...]
    outputs: dict[str, tuple[int, ...]] = {}
    actor: str
    reason: str


class DigestEntry(Entry):
    """The model's digest on fixed probes at `position`, how much it learnt, and where."""

    kind: Literal["digest"] = "digest"
    position: int
    model_id: str
    digest: str
    learnt_count: int
    environment: str


JournalRecord = Annotated[
    LabelEntry
    | VoteEntry
    | ClosedEntry
    | RetractionEntry
    | ControlEntry
    | SeedEntry
    | VolunteeredEntry
    | StatisticsEntry
    | ModelEntry
    | DigestEntry
    | GoldEntry
    | StartEntry,
    Field(discriminator="kind"),
]
_ADAPTER: TypeAdapter[JournalRecord] = TypeAdapter(JournalRecord)
_validated = _ADAPTER.validator.validate_json  # without what the adapter does for other options


def read_journal_record(value: bytes) -> JournalRecord:
    """Parse one journal record.

    Raises
    ------
    ConfigurationError
        When it is unreadable or of an unknown kind: the reader is older than the journal and must
        stop, for skipping a lesson would make it another model.

    Examples
    --------
    >>> read_journal_record(b'{"kind": "seed", "at_ms": 0, "event_id": "a", "label": "ok"}').label
    'ok'
    """
    try:
        record: JournalRecord = _validated(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ConfigurationError(
            f"the journal holds a record that this version can't read ({first['msg']}); "
            "it was written by a newer one: upgrade this worker"
        ) from None
    return record


class NumberSums(OwnMessage):
    """Count, mean and M2 (sum of squared deviations) of one number since the last proposal."""

    count: int = Field(ge=0)
    mean: float
    m2: float = Field(ge=0)
    sample: tuple[float, ...] = ()


class StatisticsProposal(OwnMessage):
    """What a scorer's events added since its last proposal."""

    partition: int
    event_count: int = Field(ge=0)
    numbers: dict[str, NumberSums]


def initial_patch(settings: Settings) -> dict[str, Any]:
    """Return the whole of `settings` as the patch of a control record."""
    return settings.model_dump(mode="json")
