"""Any bytes at all through reader and guard: an event, or a sentence for people."""

from __future__ import annotations

import json
from contextlib import suppress

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stream_al.config import Config, EventsSection
from stream_al.engine import EventReader, parse
from stream_al.errors import InvalidInput
from stream_al.messages import Label
from stream_al.model import Model

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
EVENTS = st.fixed_dictionaries(
    {"event_id": JSON, "features": st.dictionaries(st.text(max_size=8), JSON, max_size=4) | JSON},
    optional={"at_ms": JSON, "segment": JSON, "meta": JSON, "label": JSON, "kind": JSON},
)
MAPPED = EventsSection(
    event_id="event_id", at_ms="at_ms", segment="segment", meta="meta.0.a",
    features={"a": "features.a", "b": "features.0", "text": "features.text"},
)  # fmt: skip
READERS = [EventReader(EventsSection()), EventReader(MAPPED)]
MODEL = Model(Config())


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=60) | EVENTS.map(lambda body: json.dumps(body).encode()))
@example(b'{"event_id": "a", "features": {"n": 1' + b"0" * 5_000 + b"}}")
@example(b'{"event_id": 1' + b"0" * 5_000 + b', "features": {}}')
@example(b'{"event_id": "a", "features": {}, "at_ms": 1e308}')
@example(b'{"event_id": "a", "features": {}, "at_ms": true}')
@example(b'{"event_id": "a", "features": {"\\u0000": "\\u0000"}, "meta": [NaN]}')
def test_no_bytes_break_the_reader(value: bytes) -> None:
    """Whatever the bytes: an event that can go over the wire, or InvalidInput; nothing else."""
    for reader in READERS:
        with suppress(InvalidInput):
            event = reader.read(value)
            cleaned = event.model_copy(update={"features": MODEL.clean(event.features)})
            assert json.loads(cleaned.to_wire())["event_id"] == event.event_id
    with suppress(InvalidInput):
        assert parse(Label, value).event_id
