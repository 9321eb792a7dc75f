"""The model as the engine sees it: guarded, open to new classes, normalised, and never raising.

Everything here is part of the fold over the journal: the same records make the same state and the
same digest in every process on the same image. A record that can't be learnt fails everywhere in
the same way and is counted.
"""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from stream_al.config import Config, EventsSection
from stream_al.errors import ConfigurationError
from stream_al.messages import (
    CLASS_CHARACTERS_MAX,
    CLASSES_MAX,
    LabelEntry,
    NumberStatistics,
    SeedEntry,
    VolunteeredEntry,
)
from stream_al.model.build import TakesStatistics, Votes, build_learner
from stream_al.model.guard import Guard

DUMP_FORMAT = 1
PROBES_MAX = 8
LESSON_FEATURES_MAX = 100_000
_PROBE_CHARACTERS = 500
_PROBES: tuple[dict[str, Any], ...] = (
    {},
    {"text": "you have won a free prize, call now! https://example.org/x"},
    {"text": "see you at home tonight, ok?"},
    {"text": "ｆｒ33 m.o.n.e.y 🎁 @you"},
    {"n": 1.5, "ok": True, "kind": "a"},
)


class Model:
    """One classifier, whichever the configuration names.

    Parameters
    ----------
    config
        Its `model`, `events` and `labels` sections decide.

    Attributes
    ----------
    classes
        Known so far, in the order first learnt; at most 256.
    wants_statistics
        Whether the journal's statistics of numbers make a difference.
    learnt_count, failed_count
        Labels learnt, and records that could not be.
    blanked_count
        Lessons whose features were blanked in the journal since: this model lacks what an earlier
        one learnt, so neither their digests nor their predictions can be compared.
    prediction_failed_count
        Predictions that the learner could not make; they were uniform. No part of the fold.
    _recent
        The last 8 features learnt, texts cut: probes of the digest.

    Examples
    --------
    >>> model = Model(Config())
    >>> model.predict({"text": "free money"})
    {}
    >>> model.learn({"text": "free money"}, "spam"), model.learn({"text": "see you"}, "ham")
    (True, True)
    >>> max(model.predict({"text": "money for free"}).items(), key=lambda item: item[1])[0]
    'spam'
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._guard = Guard(config.events)
        # Of the journal's features, which passed the guard above: settings that may change while a
        # lineage lives must not change what it learns.
        self._lessons = Guard(
            EventsSection(types=config.events.types, features_max=LESSON_FEATURES_MAX), strict=True
        )
        self._learner: Any = build_learner(config)
        self._allowed = config.labels.classes
        self.clean = self._guard.clean
        self.left_out = self._guard.left_out
        self.classes: tuple[str, ...] = ()
        self.wants_statistics = isinstance(self._learner, TakesStatistics)
        self._votes = isinstance(self._learner, Votes)
        self.learnt_count = 0
        self.failed_count = 0
        self.blanked_count = 0
        self.prediction_failed_count = 0
        self._recent: deque[dict[str, Any]] = deque(maxlen=PROBES_MAX)

    def predict(self, features: dict[str, Any]) -> dict[str, float]:
        """Return class → probability for cleaned features; {} while no class is known.

        The probabilities are finite, ≥ 0 and sum to 1 over all known classes. When the learner
        raises or says nothing that is finite, they are uniform.
        """
        if len(self.classes) < 2:
            return dict.fromkeys(self.classes, 1.0)
        try:
            said = self._learner.predict_proba_one(features)
            if type(said) is not dict:
                said = dict(said)
        except Exception:  # noqa: BLE001 - any River model, any error: the event gets an answer
            said = {}
        return self._normalised(said)

    @property
    def has_members(self) -> bool:
        """Whether the learner is a committee whose members can disagree."""
        return self._votes

    def predict_with_disagreement(self, features: dict[str, Any]) -> tuple[dict[str, float], float]:
        """Return the prediction, and how much the model's members disagree, in [0, 1].

        Without members it is 1 minus the margin between the two most likely classes.
        """
        if len(self.classes) < 2:
            return self.predict(features), 1.0
        if not self._votes:
            probabilities = self.predict(features)
            first, second = sorted(probabilities.values())[:-3:-1]
            return probabilities, 1.0 - (first - second)
        try:
            said, disagreement = self._learner.vote(features)
        except Exception:  # noqa: BLE001 - as in `predict`
            return self._normalised({}), 1.0
        return self._normalised(said), disagreement

    def take(self, lesson: LabelEntry | SeedEntry | VolunteeredEntry, label: str) -> None:
        """Learn a record of the journal as `label`; one without a payload teaches nothing."""
        if lesson.features is not None:
            self.learn(lesson.features, label)
        elif lesson.payload_hash is not None and not getattr(lesson, "blank", None):
            self.blanked_count += 1

    def learn(self, features: dict[str, Any], label: str) -> bool:
        """Learn one label; False when this record failed, which is counted and goes on."""
        if not self._learnable(label):
            self.failed_count += 1
            return False
        try:
            cleaned = self._lessons.clean(features)
            self._learner.learn_one(cleaned, label)
        except Exception:  # noqa: BLE001 - the guard, or any River model with any error
            self.failed_count += 1
            return False
        if label not in self.classes:
            self.classes = (*self.classes, label)
        self._recent.append(_probe(cleaned))
        self.learnt_count += 1
        return True

    def set_statistics(self, numbers: Mapping[str, NumberStatistics]) -> None:
        """Take the journal's statistics of numbers; no effect where they are not wanted."""
        if self.wants_statistics:
            self._learner.set_statistics(numbers)

    def digest(self) -> str:
        """Return a hash of the predictions on fixed probes and on the last features learnt."""
        hashed = blake2b(digest_size=16)
        hashed.update(repr((self.classes, self.learnt_count, self.failed_count)).encode())
        failed_count = self.prediction_failed_count
        for probe in (*_PROBES, *self._recent):
            for probability in self.predict(probe).values():
                hashed.update(probability.hex().encode() + b" ")
        self.prediction_failed_count = failed_count
        return hashed.hexdigest()

    def dump(self) -> bytes:
        """Return the whole state; trusted input of `load` only (it is a pickle)."""
        return pickle.dumps(
            {
                "format": DUMP_FORMAT,
                "model_hash": self._config.model_hash(),
                "learner": self._learner,
                "classes": self.classes,
                "learnt_count": self.learnt_count,
                "failed_count": self.failed_count,
                "blanked_count": self.blanked_count,
                "recent": list(self._recent),
            }
        )

    @classmethod
    def load(cls, config: Config, data: bytes) -> Model:
        """Return the model that `dump` wrote; never call it on bytes from a stranger.

        Raises
        ------
        ConfigurationError
            When it was written by another version, or for another model.
        """
        parts = pickle.loads(data)  # noqa: S301 - documented: own, trusted bytes only
        if parts["format"] != DUMP_FORMAT or parts["model_hash"] != config.model_hash():
            raise ConfigurationError(
                "the dumped model is of another version or of another `model` configuration; "
                "fold the journal again instead"
            )
        model = cls(config)
        model._learner = parts["learner"]
        model.classes = parts["classes"]
        model.learnt_count = parts["learnt_count"]
        model.failed_count = parts["failed_count"]
        model.blanked_count = parts.get("blanked_count", 0)  # before 0.2.0 nobody counted them
        model._recent.extend(parts["recent"])
        return model

    def _learnable(self, label: str) -> bool:
        if label in self.classes:
            return True
        if self._allowed is not None and label not in self._allowed:
            return False
        return 0 < len(label) <= CLASS_CHARACTERS_MAX and len(self.classes) < CLASSES_MAX

    def _normalised(self, said: Mapping[Any, float]) -> dict[str, float]:
        """Return probabilities of all known classes: the one place where they are normalised."""
        if len(self.classes) == 2:
            # The same as below, for what is most common: half of its cost.
            first, second = self.classes
            one, other = float(said.get(first, 0.0)), float(said.get(second, 0.0))
            total = one + other
            if one >= 0.0 and other >= 0.0 and 0.0 < total < float("inf"):
                return {first: one / total, second: other / total}
        shares = [float(said.get(name, 0.0)) for name in self.classes]
        total = 0.0
        for share in shares:
            if not share >= 0.0:
                total = 0.0
                break
            total += share
        if not 0.0 < total < float("inf"):
            self.prediction_failed_count += 1
            return dict.fromkeys(self.classes, 1.0 / len(self.classes))
        return {name: share / total for name, share in zip(self.classes, shares, strict=True)}


def _probe(features: dict[str, Any]) -> dict[str, Any]:
    """Return features small enough to keep: the beginning of each text.

    Examples
    --------
    >>> len(_probe({"text": "a" * 9000})["text"])
    500
    """
    return {
        name: value[:_PROBE_CHARACTERS] if isinstance(value, str) else value
        for name, value in features.items()
    }
