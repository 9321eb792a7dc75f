"""`evaluate` reads a history as the configuration's `events:` reads events."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stream_al.config import Config
from stream_al.errors import ConfigurationError
from stream_al.model import Model
from stream_al.service.evaluate import (
    Labelled,
    as_configured,
    format_of,
    labelled,
    paths_for,
    read_history,
)

MAPPED = {
    "event_id": "post.id",
    "features": {"text": "post.parts.0.body", "n": "post.likes", "tags": "post.tags"},
}


def read(folder: Path, content: str, name: str = "h.jsonl", **events: Any) -> Labelled:
    """Return what `evaluate` makes of a file under this `events:` section, label `y`."""
    config = Config.model_validate({"events": events})
    path = folder / name
    path.write_text(content)
    paths = list(config.events.features.values())
    history = read_history(path, format_of(path), paths=paths)
    found = paths_for(config.events, history)
    if not found:
        return labelled(history, "y", types=config.events.types)
    return as_configured(history, "y", found, config.events, Model(config).clean)


def posts(count: int = 30, **more: Any) -> str:
    return "".join(
        json.dumps(
            {"post": {"id": n, "parts": [{"body": f"hi {n}"}], "likes": n, "tags": ["a", "b"]},
             "y": n % 2 == 0} | more
        ) + "\n"
        for n in range(count)
    )  # fmt: skip


def test_features_are_those_of_the_mapping(tmp_path: Path) -> None:
    """E: by paths into lists too, with their names, kinds and classes as in production."""
    found = read(tmp_path, posts(), **MAPPED)

    assert found.examples[3].event.features == {"text": "hi 3", "n": 3, "tags": ["a", "b"]}
    assert {one.name: one.kind for one in found.columns} == {
        "text": "text", "n": "number", "tags": "category",
    }  # fmt: skip
    assert found.types == {"text": "text", "tags": "category"}
    assert found.classes == {"true": 15, "false": 15}


def test_the_label_is_no_feature(tmp_path: Path) -> None:
    """E: also where the mapping names its field."""
    section = {"event_id": "post.id", "features": {"text": "post.parts.0.body", "label": "y"}}

    assert [one.name for one in read(tmp_path, posts(), **section).columns] == ["text"]


def test_types_of_the_configuration_are_taken(tmp_path: Path) -> None:
    """E: in a mapping, and for fields of that name without one."""
    title = {"event_id": "post.id", "features": {"title": "post.parts.0.body"}}
    assert read(tmp_path, posts(), **title).types == {"title": "category"}
    assert read(tmp_path, posts(), **title, types={"title": "text"}).types == {"title": "text"}
    csv = "title,y\n" + "".join(f"word{n % 3},{n % 2}\n" for n in range(30))
    assert read(tmp_path, csv, "h.csv").types == {"title": "category"}
    assert read(tmp_path, csv, "h.csv", types={"title": "text"}).types == {"title": "text"}


def test_native_events_with_a_label_are_read_as_those(tmp_path: Path) -> None:
    """E: what `seed` takes; the event's id and time are no features."""
    lines = "".join(
        json.dumps({"event_id": f"e{n}", "at_ms": n, "features": {"text": f"hi {n}"}, "y": n % 2})
        + "\n"
        for n in range(30)
    )

    assert [one.name for one in read(tmp_path, lines).columns] == ["text"]


def test_columns_of_a_table_are_paths_too(tmp_path: Path) -> None:
    """E: numbers and booleans of a CSV are read as such."""
    csv = "id,body,likes,y\n" + "".join(f"{n},hi you {n},{n},{n % 2}\n" for n in range(30))
    section = {"event_id": "id", "features": {"text": "body", "n": "likes"}}

    found = read(tmp_path, csv, "h.csv", **section)

    assert found.examples[4].event.features == {"text": "hi you 4", "n": 4.0}


def test_a_path_that_no_row_has_is_named_when_others_are_there(tmp_path: Path) -> None:
    """E: with its neighbour; a file that fits nowhere is read by its looks."""
    wrong = MAPPED | {"features": {"text": "post.parts.0.body", "n": "post.liks"}}
    with pytest.raises(ConfigurationError, match=r"did you mean 'post\.likes'"):
        read(tmp_path, posts(), **wrong)

    other = "".join(json.dumps({"kind": "ab"[n % 2], "y": n % 2}) + "\n" for n in range(30))
    assert [one.name for one in read(tmp_path, other, **MAPPED).columns] == ["kind"]


def test_rows_that_production_sets_aside_are_left_out_and_said(tmp_path: Path) -> None:
    """E: as dead letters are."""
    long = {"event_id": "post.id", "features": {"kind": "post.kind"}}
    odd = [{"post": {"id": n, "kind": "x" * (300 if n < 3 else 3)}, "y": n % 2} for n in range(30)]

    found = read(tmp_path, "".join(json.dumps(one) + "\n" for one in odd), **long)

    assert len(found.examples) == 27
    assert "3 of 30 lines, first line 1: FeatureTooLarge" in found.set_aside[0]


def test_a_set_of_strings_is_a_feature_without_a_mapping(tmp_path: Path) -> None:
    """B5: as in events."""
    lines = "".join(json.dumps({"tags": ["a", "b"], "y": n % 2}) + "\n" for n in range(30))

    found = read(tmp_path, lines)

    assert found.types == {"tags": "category"}
    assert found.examples[0].event.features == {"tags": ["a", "b"]}
