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
    "event_id": SCALARS | st.just(2.0**53) | st.text(min_size=500, max_size=530),
    "features": VALUES | st.dictionaries(st.text(max_size=4), VALUES, max_size=4),
    "at_ms": VALUES
    | st.sampled_from([3.0, 10**30, 1796036400, 1796036400.5, 1796036400000000, 10**18])
    | st.sampled_from(["2026-11-30T12:00Z", "1796036400", "2026-11-30 12:00:00 UTC", "-5e8"]),
    "segment": VALUES,
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
        b'{"event_id": "a", "features": {},}',
        b'{"event_id": "a", "features": {}} x',
        b'{"event_id": "a", "features": {"n": %s1%s}}' % (b"[" * 3_000, b"]" * 3_000),
        b'["a"]',
        b"",
    ],
)
def test_odd_bytes_are_the_same_to_both(value: bytes) -> None:
    """Doubled names, long and tiny numbers, halves of characters, depth."""
    assert _said(value, careful=False) == _said(value, careful=True)


MAPPED = EventReader(
    EventsSection(
        event_id="post.id",
        at_ms="post.at",
        segment="post.lang",
        features={"text": "post.body", "tags": "post.tags"},
    )
)
TIMES = [
    (1796036400000, 1796036400000),
    (1796036400, 1796036400000),
    (1796036400.5, 1796036400500),
    (1796036400000000, 1796036400000),
    (1796036400000000000, 1796036400000),
    (" 1796036400 ", 1796036400000),
    ("2026-11-30T12:00:00+01:00", 1796036400000),
    ("2026-11-30T11:00:00", 1796036400000),
    ("2026-11-30 11:00:00.000999 UTC", 1796036400000),
    ("20261130T110000Z", 1796036400000),
    ("2026-11-30", 1795996800000),
    (17, 17),
    (-1, -1),
]
NO_TIMES = ["yesterday", "", "2026-13-01", True, [1796036400], {"$date": 1}, 10**30, "9" * 300]


def _native(**fields: object) -> bytes:
    return json.dumps({"event_id": "a", "features": {"n": 1}} | fields).encode()


@pytest.mark.parametrize(("given", "ms"), TIMES)
def test_a_time_is_read_in_every_unit(given: object, ms: int) -> None:
    """B5: ISO 8601 and epoch seconds, ms, µs and ns are told apart, natively and by a path."""
    mapped = json.dumps({"post": {"id": "a", "at": given}}).encode()

    assert READER.read(_native(at_ms=given)).at_ms == ms
    assert MAPPED.read(mapped).at_ms == ms


@pytest.mark.parametrize("given", NO_TIMES)
def test_a_time_that_is_none_is_null_and_counted(given: object) -> None:
    """B5: it never costs the event its prediction."""
    for reader, value in (
        (EventReader(EventsSection()), _native(at_ms=given)),
        (EventReader(EventsSection()), _native(at_ms=given, segment=1)),
        (EventReader(MAPPED._section), json.dumps({"post": {"id": 1, "at": given}}).encode()),
    ):
        assert reader.read(value).at_ms is None
        assert reader.unreadable == {"at_ms": 1, "segment": 0}


def test_a_segment_is_a_text_or_null() -> None:
    """B5: a number is its decimal, a boolean as JSON writes it; anything else is counted."""
    reader = EventReader(EventsSection())

    found = [reader.read(_native(segment=one)).segment for one in (7, 7.0, True, None, ["en"], {})]

    assert found == ["7", "7", "true", None, None, None]
    assert reader.unreadable["segment"] == 2


@pytest.mark.parametrize(
    ("given", "event_id"), [(7, "7"), (7.0, "7"), (1e3, "1000"), (-0.0, "0"), (2**70, str(2**70))]
)
def test_a_whole_number_is_an_id(given: float, event_id: str) -> None:
    """B4, B5: natively and by a path, so that labels and events meet."""
    mapped = json.dumps({"post": {"id": given}}).encode()

    assert READER.read(_native(event_id=given)).event_id == event_id
    assert MAPPED.read(mapped).event_id == event_id


@pytest.mark.parametrize("given", [True, 7.5, 1e300, [7], {}])
def test_what_says_no_id_is_refused(given: object) -> None:
    """B5: a guessed id would be another event's."""
    mapped = json.dumps({"post": {"id": given}}).encode()

    for reader, value in ((READER, _native(event_id=given)), (MAPPED, mapped)):
        with pytest.raises(InvalidInput) as caught:
            reader.read(value)
        assert caught.value.error == "WrongType"


def test_a_mark_of_byte_order_is_passed_over() -> None:
    """B5: what editors of Windows put before the first line."""
    mapped = b'\xef\xbb\xbf{"post": {"id": "a"}}'

    assert READER.read(b"\xef\xbb\xbf" + _native()).event_id == "a"
    assert MAPPED.read(mapped).event_id == "a"


def test_missing_features_are_counted() -> None:
    """E: each configured feature from 0, missing and null alike."""
    reader = EventReader(MAPPED._section)
    assert reader.missing == {"text": 0, "tags": 0}

    for post in ({"body": "x"}, {"body": None, "tags": []}, {}):
        reader.read(json.dumps({"post": {"id": 1} | post}).encode())

    assert reader.missing == {"text": 2, "tags": 2}


VERSIONED = EventsSection(event_id="id", version="edited", features={"text": "body"})


@pytest.mark.parametrize(
    ("edited", "event_id"),
    [("v2", "p@v2"), (3, "p@3"), (3.0, "p@3"), (1.5, "p@1.5"), (True, "p@true"), (None, "p"),
     ("", "p"), ([1], "p")],
)  # fmt: skip
def test_a_version_is_a_part_of_the_id(edited: object, event_id: str) -> None:
    """B8: `<id>@<version>`, and the id alone where none can be read."""
    reader = EventReader(VERSIONED)

    found = reader.read(json.dumps({"id": "p", "edited": edited, "body": "x"}).encode())

    assert found.event_id == event_id
    assert reader.unreadable["version"] == (edited == [1])


def test_native_events_have_versions_and_paths_too() -> None:
    """B8: a path without `features` changes what the native event says."""
    section = EventsSection(version="meta.rev", segment="meta.lang", at_ms="meta.at", meta="meta.m")
    value = _native(meta={"rev": 2, "lang": "de", "at": "2026-11-30", "m": [1]})

    found = EventReader(section).read(value)

    assert (found.event_id, found.segment, found.at_ms) == ("a@2", "de", 1795996800000)
    assert found.meta == [1]


def test_a_version_too_long_is_refused() -> None:
    """B8: an id keeps its bound."""
    with pytest.raises(InvalidInput, match="512 are allowed"):
        EventReader(VERSIONED).read(json.dumps({"id": "p", "edited": "v" * 512}).encode())
