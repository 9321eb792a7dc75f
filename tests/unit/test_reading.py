"""The quick way to read an event says what the careful way says, or leaves it to that."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_al.config import EventsSection
from stream_al.engine import EventReader, parse
from stream_al.errors import InvalidInput
from stream_al.messages import Event

READER = EventReader(EventsSection())
NUMBERS = st.integers() | st.floats(allow_nan=True)
SCALARS = st.none() | st.booleans() | NUMBERS | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner)
)
FIELDS = {
    "event_id": SCALARS | st.text(min_size=500, max_size=530),
    "features": VALUES | st.dictionaries(st.text(max_size=4), VALUES, max_size=4),
    "at_ms": SCALARS | st.just(3.0) | st.just(10**30),
    "segment": SCALARS,
    "meta": VALUES,
    "more": VALUES,
}


def _said(value: bytes, careful: bool) -> tuple[object, ...]:
    try:
        event = parse(Event, value) if careful else READER.read(value)
    except InvalidInput as error:
        return error.error, str(error)
    fields = dict(event)
    return tuple((name, repr(fields[name])) for name in sorted(fields))  # NaN, and 1 is not 1.0


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)  # a table is made first
@given(st.fixed_dictionaries({}, optional=FIELDS))
def test_both_ways_say_the_same(body: dict[str, object]) -> None:
    """Of anything that json.dumps makes, NaN and numbers of any length among it."""
    value = json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")

    assert _said(value, careful=False) == _said(value, careful=True)


@pytest.mark.parametrize(
    "value",
    [
        b'{"event_id": "a", "features": {"n": 1}, "event_id": "b"}',
        b'{"event_id": "a", "features": {"n": 1, "n": 2}}',
        b'{"event_id": "a", "features": {"n": 9007199254740993, "m": 1e308, "k": 1e309}}',
        b'{"event_id": "a", "features": {"n": %s}}' % (b"9" * 5_000),
        b'{"event_id": "a", "features": {"n": -0, "m": -0.0, "k": 0.1e-400}}',
        b'{"event_id": "\\ud83d\\ude00", "features": {"text": "\\ud800"}}',
        b'{"event_id": "a", "features": {}, "at_ms": 1.5}',
        b'\xef\xbb\xbf{"event_id": "a", "features": {}}',
        b'{"event_id": "a", "features": {},}',
        b'{"event_id": "a", "features": {}} x',
        b'{"event_id": "a", "features": {"n": %s1%s}}' % (b"[" * 3_000, b"]" * 3_000),
        b'["a"]',
        b"",
    ],
)
def test_odd_bytes_are_the_same_to_both(value: bytes) -> None:
    """Doubled names, long and tiny numbers, halves of characters, depth, a mark of byte order."""
    assert _said(value, careful=False) == _said(value, careful=True)
