"""What an older version wrote of a time or a segment is the same prediction in another form."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stream_al import ActiveLearner, Config
from stream_al.config import EventsSection
from stream_al.replay.verify import Reading, reproduce


def _problem(event: dict[str, Any], **written: Any) -> str | None:
    """Return what `replay --verify` says of a prediction in which `written` stands."""
    value = json.dumps({"event_id": "a", "features": {"n": 1}} | event).encode()
    learner = ActiveLearner(Config())
    fields = learner.score_json(value, now_ms=0).fields
    version = fields["model_version"]
    stored = json.dumps(fields | written, separators=(",", ":")).encode()
    assert learner.engine.version == version
    return reproduce(learner.engine, Reading(EventsSection()), stored, value, 0)


@pytest.mark.parametrize(
    ("event", "written"),
    [
        ({"at_ms": 1796036400}, {"at_ms": 1796036400}),
        ({"at_ms": 1796036400.7}, {"at_ms": 1796036400}),
        ({"at_ms": 1796036400000000}, {"at_ms": 1796036400000000}),
        ({"segment": True}, {"segment": "True"}),
        ({"at_ms": 1796036400000}, {}),
    ],
)
def test_the_same_in_another_form_is_equal(event: dict[str, Any], written: dict[str, Any]) -> None:
    """Upgrades: versions before 0.2 wrote times in their own unit, and booleans as Python does."""
    assert _problem(event, **written) is None


@pytest.mark.parametrize(
    ("event", "written", "said"),
    [
        ({"at_ms": 1796036400}, {"at_ms": 1796036402}, "at_ms is 1796036402"),
        ({"at_ms": 1796036400000}, {"at_ms": None}, "at_ms is None"),
        ({"segment": True}, {"segment": "False"}, "segment is 'False'"),
    ],
)
def test_another_time_differs(event: dict[str, Any], written: dict[str, Any], said: str) -> None:
    """Upgrades: only the form is forgiven."""
    assert said in str(_problem(event, **written))
