"""Labels as tools send them: numbers, booleans, times in any unit, own field names."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stream_al.config import LabelsSection
from stream_al.engine import LabelReader
from stream_al.errors import InvalidInput
from stream_al.messages import Label

TOOL = LabelsSection(
    event_id="task.id",
    label="answer.choice",
    annotator="who.name",
    kind="verdict",
    revision="rev",
    at_ms="done",
)


def read(body: Any, section: LabelsSection | None = None) -> Label:
    reader = LabelReader(section or LabelsSection())
    return reader.read(json.dumps(body).encode())


def native(**fields: Any) -> dict[str, Any]:
    return {"event_id": "p", "label": "spam", "annotator": "a"} | fields


@pytest.mark.parametrize(
    ("given", "text"),
    [(True, "true"), (False, "false"), (1, "1"), (0, "0"), (7.0, "7"), (-0.0, "0"), (1e3, "1000"),
     (2**70, str(2**70)), (["spam"], "spam"), ([1], "1")],
)  # fmt: skip
def test_a_class_may_be_a_number_or_a_boolean(given: Any, text: str) -> None:
    """B4: its decimal, or as JSON writes it."""
    assert read(native(label=given)).label == text
    assert read({"task": {"id": 1}, "answer": {"choice": given}}, TOOL).label == text


@pytest.mark.parametrize("given", [0.5, "", [], ["a", "b"], {}, None, 1e300])
def test_what_is_no_class_is_refused_by_name(given: Any) -> None:
    """B4: a dead letter names the field, and its path where there is one."""
    for body, section, place in (
        (native(label=given), None, "`label`"),
        ({"task": {"id": 1}, "answer": {"choice": given}}, TOOL, "`answer.choice` (labels.label)"),
    ):
        with pytest.raises(InvalidInput) as caught:
            read(body, section)
        assert caught.value.error == "WrongType"
        assert str(caught.value).startswith(place)


def test_ids_and_names_may_be_whole_numbers() -> None:
    """B4: as for events."""
    found = read({"event_id": 4711, "label": "spam", "annotator": 7})

    assert (found.event_id, found.annotator) == ("4711", "7")
    assert read(native(event_id=7.0)).event_id == "7"
    assert read(native(annotator=None)).annotator is None


@pytest.mark.parametrize(
    ("given", "ms"),
    [("2026-11-30T11:00:00Z", 1796036400000), (1796036400, 1796036400000),
     (1796036400000.75, 1796036400000), ("1796036400000", 1796036400000), (None, None)],
)  # fmt: skip
def test_a_time_is_read_in_every_unit(given: Any, ms: int | None) -> None:
    """B4: ISO text and a fraction too."""
    assert read(native(at_ms=given)).at_ms == ms


@pytest.mark.parametrize("name", ["at_ms", "source", "lead_time_ms"])
@pytest.mark.parametrize("given", [["x"], {"y": 1}])
def test_information_that_can_not_be_read_is_null_and_counted(name: str, given: Any) -> None:
    """B4: it never costs the label its outcome."""
    reader = LabelReader(LabelsSection())

    found = reader.read(json.dumps(native(**{name: given})).encode())

    assert getattr(found, name) is None
    assert reader.unreadable[name] == reader.unreadable.total() == 1


def test_null_is_what_is_left_out() -> None:
    """B4: some tools write every field."""
    found = read(native(kind=None, revision=None, source=None, features=None))

    assert (found.kind, found.revision) == ("label", 0)


def test_own_field_names_are_read() -> None:
    """B4: `labels:` is a mapping like `events:`; what has no path keeps its native name."""
    body = {
        "task": {"id": 9}, "answer": {"choice": "ok"}, "who": {"name": "ann"}, "rev": 2,
        "done": "2026-11-30T11:00:00Z", "lead_time_ms": 5, "label": "a headline",
    }  # fmt: skip

    found = read(body, TOOL)

    assert found == Label(event_id="9", label="ok", annotator="ann", revision=2,
                          at_ms=1796036400000, lead_time_ms=5)  # fmt: skip
    assert read({"task": {"id": 9}, "verdict": "skip", "who": {"name": "ann"}}, TOOL).kind == "skip"


def test_native_labels_are_read_beside_mapped_ones() -> None:
    """B4: `stream-al label` and `annotate` write them."""
    assert read(native(), TOOL) == Label(event_id="p", label="spam", annotator="a")
    only = LabelsSection(label="choice")
    assert read(native(), only).label == "spam"
    assert read(native(choice="ok"), only).label == "ok"


@pytest.mark.parametrize(
    ("body", "error", "said"),
    [
        ({"answer": {"choice": "x"}}, "MissingField", "`task.id` (labels.event_id) is missing"),
        ({"task": {"id": 1}, "label": "x"}, "WrongType", "`answer.choice` (labels.label)"),
        ({"task": {"id": True}, "answer": {"choice": "x"}}, "WrongType", "`task.id`"),
        ({"label": "x"}, "MissingField", "`event_id` is missing"),
        ({"event_id": "p", "label": "x", "kind": "accept"}, "WrongType", "`kind` is 'accept'"),
        (["x"], "BrokenJson", "no JSON object"),
        (7, "BrokenJson", "no JSON object"),
    ],
)
def test_errors_name_the_path(body: Any, error: str, said: str) -> None:
    """B4: and the setting that it stands in."""
    with pytest.raises(InvalidInput) as caught:
        read(body, TOOL)

    assert caught.value.error == error
    assert said in str(caught.value)


def test_the_id_is_found_in_labels_that_are_refused() -> None:
    """B4: what `send` keys by."""
    reader = LabelReader(TOOL)

    assert reader.event_id(b'{"task": {"id": 7}}') == "7"
    assert reader.event_id(b'{"event_id": "p"}') == "p"
    assert reader.event_id(b'{"event_id": ""}') is None
    assert reader.event_id(b"x") is None


def test_classes_may_be_numbers_or_booleans() -> None:
    """B4: YAML's `[true, false]` and `[0, 1]` are the texts that labels come as."""
    assert LabelsSection.model_validate({"classes": [True, False]}).classes == ("true", "false")
    assert LabelsSection.model_validate({"classes": [0, 1.0]}).classes == ("0", "1")
    with pytest.raises(ValueError, match="two different"):
        LabelsSection.model_validate({"classes": [1, "1"]})
