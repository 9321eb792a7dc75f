"""The configuration: frozen, closed, cross-checked; what each field does and why its default is so.

Pure: no file, no environment. `stream_al.service.settings` reads those and calls `Config`.
"""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import Any, Literal, Self

from pydantic import (
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from stream_al.errors import ConfigurationError
from stream_al.log_settings import (
    DAY_MS,
    SECURITY_SECRETS,
    LogSection,
    Names,
    SecuritySection,
)
from stream_al.messages import (
    WRITTEN,
    DurationMs,
    ExpiryMs,
    GateSettings,
    Section,
    Settings,
    text_of,
)
from stream_al.problems import problems_of

__all__ = [
    "DAY_MS",
    "LABEL_PATHS",
    "SECURITY_SECRETS",
    "TOPIC_NAMES",
    "Config",
    "EventsSection",
    "GateSection",
    "HttpSection",
    "LabelsSection",
    "LogSection",
    "ModelSection",
    "PredictionsSection",
    "SecuritySection",
    "SnapshotsSection",
    "TopicsSection",
]

TOPIC_NAMES = (
    "events",
    "predictions",
    "queries",
    "labels",
    "outcomes",
    "journal",
    "controls",
    "statistics",
    "dead_letters",
)
EVENT_PATHS = ("event_id", "at_ms", "segment", "meta", "version")
"""Settings of `events` that are paths into people's JSON, beside those of its features."""
LABEL_PATHS = ("event_id", "label", "annotator", "kind", "revision", "at_ms")
"""Settings of `labels` that are paths into a labelling tool's JSON."""


class TopicsSection(Section):
    """Names of topics (default `<app>.<name>`) and the number of partitions of events."""

    partitions: int = Field(default=4, ge=1, le=256)
    events: str | None = None
    predictions: str | None = None
    queries: str | None = None
    labels: str | None = None
    outcomes: str | None = None
    journal: str | None = None
    controls: str | None = None
    statistics: str | None = None
    dead_letters: str | None = None


class EventsSection(Section):
    """How the user's own JSON becomes an event.

    Attributes
    ----------
    event_id, at_ms, segment, meta
        Dotted paths; a number in a path is an index into a list. Without `event_id` and `features`
        an event is read as the native message.
    version
        Dotted path to what changes with each edit of an event, `post.edited_at`: the engine's id is
        `<id>@<version>` then, so that a label teaches the version that was shown. Without it an id
        that comes again is the same event, whatever its features.
    features
        Name of a feature → dotted path of its value. A missing path is a missing feature.
    types
        Name of a feature → `text`, `vector`, `category`. `text` and `vector` are of these types
        without being told; any other string is a category, a boolean or number is what it is.
    on_bad_number
        NaN and infinity: `drop_feature` goes on without it, `dead_letter` refuses the event.
    bytes_max
        Larger records are dead letters.
    features_max
        Events with more features are dead letters: a bound on what one event can cost.
    """

    event_id: str | None = None
    at_ms: str | None = None
    segment: str | None = None
    meta: str | None = None
    version: str | None = None
    features: dict[str, str] = {}
    types: dict[str, Literal["text", "vector", "category"]] = {}
    on_bad_number: Literal["drop_feature", "dead_letter"] = "drop_feature"
    bytes_max: int = Field(default=262_144, ge=1_024, le=16_777_216)
    features_max: int = Field(default=2_048, ge=1, le=100_000)

    @property
    def native(self) -> bool:
        """Whether events come as the native message."""
        return not (self.event_id or self.features)

    @model_validator(mode="after")
    def _id_and_features_together(self) -> Self:
        if bool(self.event_id) != bool(self.features):
            msg = "set both `event_id` and `features` (paths into your JSON), or neither"
            raise ValueError(msg)
        return self


class PredictionsSection(Section):
    """How predictions are written.

    `pack: poll` writes an array of those of a partition and poll as one record: on Kafka about half
    the CPU an event. Readers of the topic must take arrays; this project's do.
    """

    pack: Literal["none", "poll"] = "none"


class LabelsSection(Section):
    """What labels are expected: see the table of label and state in docs/ARCHITECTURE.md.

    Attributes
    ----------
    event_id, label, annotator, kind, revision, at_ms
        Dotted paths into the JSON of a labelling tool, as in `events`; left out, the native names.
        A record in which none of them leads anywhere is read as the native label.
    classes
        A closed set; numbers and booleans stand for their texts. Left out, classes come with
        labels.
    gold_share
        How many gold questions `annotate` mixes in, for each query, while there are any. Raising it
        knows sooner how good people are, and costs their time.
    """

    event_id: str | None = None
    label: str | None = None
    annotator: str | None = None
    kind: str | None = None
    revision: str | None = None
    at_ms: str | None = None
    classes: Names | None = None
    votes: int = Field(default=1, ge=1, le=25)
    votes_max: int = Field(default=3, ge=1, le=25)
    skips_max: int = Field(default=2, ge=1, le=25)
    expire_after: ExpiryMs = 7 * DAY_MS
    revise_within: DurationMs = 30 * DAY_MS
    closed_max: int = Field(default=100_000, ge=100, le=10_000_000)
    gold_share: float = Field(default=0.05, ge=0.0, le=0.5, allow_inf_nan=False)

    @field_validator("classes", mode="before")
    @classmethod
    def _as_texts(cls, classes: Any) -> Any:
        return [text_of(one) for one in classes] if isinstance(classes, list | tuple) else classes

    @field_validator("classes")
    @classmethod
    def _distinct(cls, classes: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if classes is not None and (len(set(classes)) < len(classes) or len(classes) < 2):
            msg = "name at least two different classes, or leave it out for an open set"
            raise ValueError(msg)
        return classes

    @model_validator(mode="after")
    def _votes_fit(self) -> Self:
        if self.votes_max < self.votes:
            msg = f"votes_max ({self.votes_max}) must not be below votes ({self.votes})"
            raise ValueError(msg)
        return self


class ModelSection(Section):
    """Which model: a preset, or `factory: package.module:function` for anything River-like.

    `parameters` go to the preset's constructor as they are; `seed` makes chance repeatable.
    """

    preset: Literal["linear", "committee", "river", "tree", "forest"] = "linear"
    factory: str | None = None
    seed: int = 1
    parameters: dict[str, Any] = {}


class GateSection(GateSettings):
    """The gate's settings, with where its secret is."""

    secret_file: str | None = None


class SnapshotsSection(Section):
    """What spares a start the whole journal: folds of it, kept in a folder. A cache.

    Attributes
    ----------
    directory
        Where; `<log path>.snapshots` beside a log in a file when left out.
    every_records
        One after so many journal records; 0 writes none. Raising it makes a start fold more.
    keep
        How many stay; the older ones serve when the newest one does not fit.
    key_file
        A file with the key of their HMAC, at least 16 random characters; or the environment's
        STREAM_AL_SNAPSHOTS__KEY. Without a key only own files that nobody else may write are read.
    """

    directory: str | None = None
    every_records: int = Field(default=1_000, ge=0)
    keep: int = Field(default=3, ge=1, le=1_000)
    key_file: str | None = None


class HttpSection(Section):
    """Where `/metrics`, `/healthz` and `/readyz` answer; port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = Field(default=8321, ge=0, le=65_535)


class Config(Section):
    """Everything a worker needs to know; the empty configuration works.

    Raises
    ------
    ConfigurationError
        With every problem at once: field, value, what to do.
    """

    app: str = Field(default="stream-al", pattern=r"^[A-Za-z0-9._-]{1,100}$")
    log: LogSection = LogSection()
    topics: TopicsSection = TopicsSection()
    events: EventsSection = EventsSection()
    predictions: PredictionsSection = PredictionsSection()
    labels: LabelsSection = LabelsSection()
    model: ModelSection = ModelSection()
    gate: GateSection = GateSection()
    snapshots: SnapshotsSection = SnapshotsSection()
    http: HttpSection = HttpSection()
    plugins: Names = ()
    """Modules that register strategies of your own, by `register_uncertainty`."""

    @model_validator(mode="after")
    def _topics_differ(self) -> Self:
        full = [self.topic(name) for name in TOPIC_NAMES]
        twice = sorted({name for name in full if full.count(name) > 1})
        if twice:
            msg = f"topics: {', '.join(twice)} is named more than once; give each its own name"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _open_covers_partitions(self) -> Self:
        open_max = self.gate.budget.open
        if open_max is not None and 0 < open_max < self.topics.partitions:
            msg = (
                f"gate.budget.open is {open_max}, below topics.partitions "
                f"({self.topics.partitions}): some would never ask; raise it"
            )
            raise ValueError(msg)
        return self

    @model_validator(mode="wrap")
    @classmethod
    def _told(
        cls, given: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo
    ) -> Self:
        """Tell what is wrong by an error of ours; who read a file gives where it stands."""
        try:
            return handler(given)
        except ValidationError as error:
            cure = (info.context or {}).get(WRITTEN)
            raise ConfigurationError(*problems_of(error, cls, cure)) from None

    def topic(self, name: str) -> str:
        """Return the full name of one of `TOPIC_NAMES`."""
        own: str | None = getattr(self.topics, name)
        return own or f"{self.app}.{name.replace('_', '-')}"

    def settings(self) -> Settings:
        """Return the run-time settings that this configuration starts with."""
        gate = GateSettings.model_validate(self.gate.model_dump(exclude={"secret_file"}))
        return Settings(gate=gate, partitions=self.topics.partitions, votes=self.labels.votes)

    def model_hash(self) -> str:
        """Return the hash of all that makes two models differ: model, types, classes."""
        described = {
            "model": self.model.model_dump(mode="json"),
            "types": self.events.types,
            "classes": self.labels.classes,
        }
        text = json.dumps(described, sort_keys=True)
        return blake2b(text.encode(), digest_size=8).hexdigest()
