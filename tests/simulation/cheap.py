"""A model that costs microseconds: it counts, and that is enough to be wrong in every way."""

from __future__ import annotations

from typing import Any

from stream_al_connectors.faults import Crash


class Majority:
    """Counts classes for each value of `kind`; `poison` raises, `deadly` ends the process."""

    def __init__(self) -> None:
        self.counts: dict[str, dict[str, float]] = {}

    def predict_proba_one(self, x: dict[str, Any]) -> dict[str, float]:
        if "deadly" in x:
            raise Crash("this event kills its process")
        if "poison" in x:
            raise ValueError("poison")
        total = self.counts.get("", {})
        own = self.counts.get(str(x.get("kind")), {})
        return {name: count + 5.0 * own.get(name, 0.0) for name, count in total.items()}

    def learn_one(self, x: dict[str, Any], y: str) -> None:
        if "poison" in x or "deadly" in x:
            raise ValueError("poison")
        for key in ("", str(x.get("kind"))):
            row = self.counts.setdefault(key, {})
            row[y] = 0.97 * row.get(y, 0.5) + 1.0


def majority() -> Majority:
    """Return the model; the factory of the scenarios."""
    return Majority()
