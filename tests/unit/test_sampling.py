"""Samples of people's files: problems once, paths that lead nowhere, features that went missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stream_al.config import Config, EventsSection
from stream_al.engine import EventReader
from stream_al.service import repeats
from stream_al.service.looking import refused
from stream_al.service.repeats import Repeats
from stream_al.service.sampling import EventSample, gone
from stream_al.service.try_sample import try_events, try_labels

POSTS = {"event_id": "post.id", "segment": "post.lang",
         "features": {"text": "post.content.body", "n": "post.likes"}}  # fmt: skip


def config(**sections: Any) -> Config:
    return Config.model_validate(sections)


def post(number: int, **more: Any) -> dict[str, Any]:
    post = {"id": number, "lang": "en", "content": {"body": "hi"}, "likes": 3}
    return {"post": post | more}


def lines(folder: Path, *bodies: Any) -> Path:
    path = folder / "sample.jsonl"
    path.write_bytes(
        b"".join((b if isinstance(b, bytes) else json.dumps(b).encode()) + b"\n" for b in bodies)
    )
    return path


# ---------------------------------------------------------------------- check --sample


def test_a_path_that_no_line_has_is_a_problem_with_its_neighbour(tmp_path: Path) -> None:
    """E: feature and segment; `did you mean` the path that the lines have."""
    wrong = POSTS | {
        "segment": "post.lnag",
        "features": {"text": "post.contnet.body", "n": "likes"},
    }
    sample = lines(tmp_path, *(post(number) for number in range(200)))

    problems, _ = try_events(sample, config(events=wrong))

    body = "`post.content.body`"
    assert problems == [
        "events.segment: `post.lnag`: in 0 of 200 lines; did you mean `post.lang`?",
        f"events.features.text: `post.contnet.body`: in 0 of 200 lines; did you mean {body}?",
        "events.features.n: `likes`: in 0 of 200 lines; did you mean `post.likes`?",
    ]
    assert try_events(sample, config(events=POSTS))[0] == []


def test_a_path_that_some_lines_have_is_no_problem(tmp_path: Path) -> None:
    """E: a feature may be optional; its count is in the note."""
    sample = lines(tmp_path, post(1, likes=None), post(2), post(3, content={}))

    problems, notes = try_events(sample, config(events=POSTS))

    assert problems == []
    assert "features: text (2), n (2)" in notes[-1]


def test_equal_problems_are_one(tmp_path: Path) -> None:
    """E: with how often, and the first line; what differs in its values only is equal."""
    odd = [post([number]) for number in range(30)] + [{"post": {}}] * 5 + [b"{", post("ok")]

    problems, _ = try_events(lines(tmp_path, *odd), config(events=POSTS))

    first, second, third = problems
    assert "30 of 37 lines, first line 1: WrongType: `post.id` (events.event_id) is [0]" in first
    assert "5 of 37 lines, first line 31: MissingField" in second
    assert "line 36: BrokenJson" in third


def test_events_of_another_form_are_told_where_to_say_so(tmp_path: Path) -> None:
    """E: no mapping, and no native event: the paths that there are."""
    problems, _ = try_events(lines(tmp_path, post(1), post(2)), config())

    assert problems[-1].startswith("no line is a native event")
    assert "`post.id`, `post.lang`, `post.content.body`" in problems[-1]


def test_what_is_left_out_unread_or_edited_is_noted(tmp_path: Path) -> None:
    """B5, B8: each with its count, and the setting that helps."""
    body = {"event_id": "a", "at_ms": "soon", "features": {"emb": [1, 2], "who": {"x": 1}, "n": 1}}
    edited = body | {"features": {"n": 2}, "at_ms": 1}

    _, notes = try_events(
        lines(tmp_path, body, edited, edited), config(events={"types": {"m": "text"}})
    )

    said = "\n".join(notes)
    assert "events.at_ms: not readable in 1 of 3 lines" in said
    assert "feature `emb`: left out in 1 of 3 lines" in said
    assert "feature `who`: left out in 1 of 3 lines" in said
    assert "1 of 3 lines have an id that came before with other features" in said
    assert "`events.version`" in said
    assert "events.types.m: no line has such a feature" in said


def test_samples_of_labels_are_tried_too(tmp_path: Path) -> None:
    """E, B4: paths, classes outside of a closed set, and labels without a name."""
    section = {"event_id": "task.id", "label": "answer.choise", "classes": ["ok", True]}
    odd = {"task": {"id": 1}, "answer": {"choice": True}, "annotator": 7}

    problems, _ = try_labels(lines(tmp_path, odd, odd), config(labels=section))
    assert (
        "labels.label: `answer.choise`: in 0 of 2 lines; did you mean `answer.choice`?" in problems
    )

    fixed = config(labels=section | {"label": "answer.choice"})
    assert try_labels(lines(tmp_path, odd), fixed)[0] == []
    spaced = lines(tmp_path, odd | {"answer": {"choice": " ok\n"}})
    assert try_labels(spaced, fixed)[0] == []
    problems, notes = try_labels(
        lines(tmp_path, odd | {"answer": {"choice": "maybe"}, "annotator": None}), fixed
    )
    assert [one.split(": ", 1)[1] for one in problems] == [
        "1 labels 'maybe': not one of labels.classes", "1 of 1 labels name no annotator: invalid",
    ]  # fmt: skip
    assert "classes: maybe (1)" in notes[-1]


@pytest.mark.parametrize("what", ["missing", "empty", "array"])
def test_a_sample_that_has_no_lines_is_a_problem(tmp_path: Path, what: str) -> None:
    """E: named, never a traceback."""
    path = tmp_path / "s"
    if what != "missing":
        path.write_bytes(b"[{}]" if what == "array" else b"\n\n")

    problems, notes = try_events(path, config())

    assert len(problems) == 1
    assert problems[0].startswith("--sample")
    assert notes == []


# ---------------------------------------------------------------------- what a file is


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"\x1f\x8b\x08\x00", "gunzip -c f | stream-al send -"),
        (b"\x28\xb5\x2f\xfd\x04", "zstd -dc f | stream-al send -"),
        (b"PK\x03\x04", "unzip -p f | stream-al send -"),
        (b"PAR1\x15", "Parquet"),
        ('{"a": 1}'.encode("utf-16"), "iconv -f UTF-16LE -t UTF-8 f"),
        ('{"a": 1}'.encode("utf-16-be"), "iconv -f UTF-16BE -t UTF-8 f"),
        ('{"a": 1}'.encode("utf-16-le"), "iconv -f UTF-16LE -t UTF-8 f"),
        (b'[{"event_id": 1},', "jq -c '.[]' f | stream-al send -"),
        (b"\xef\xbb\xbf[", "jq -c '.[]'"),
        (b" \n[\n  {", "jq -c '.[]'"),
        (b'{\n  "event_id": 1,', "jq -c . f"),
    ],
)
def test_a_file_of_another_form_is_refused_with_the_command(head: bytes, said: str) -> None:
    """E: archives, UTF-16 with and without a mark, arrays, objects over lines."""
    why = refused(head, "f", "stream-al send -", {})

    assert why is not None
    assert said in why
    assert " f" not in (refused(head, "-", "stream-al send -", {}) or "").split(":", 1)[-1]


def test_the_command_works_for_a_name_with_spaces() -> None:
    """E: what is named can be typed as it stands."""
    why = refused(b"\x1f\x8b\x08\x00", "my posts;.gz", "stream-al send -", {})

    assert why is not None
    assert why.endswith(": gunzip -c 'my posts;.gz' | stream-al send -")


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\n",
        b"{",
        b'{"a": 1}',
        b"\xef\xbb\xbf{}",
        b"hello",
        b"\x00\xff",
        b"{\n{",
        b"7",
        b"\xff\xfe\x00 no text in any encoding\n{",
        b"\xfe\xff{}\n",
    ],
)
def test_lines_are_taken_as_they_are(head: bytes) -> None:
    """E: also lines that become dead letters: bytes unchanged."""
    assert refused(head, "f", "x", {}) is None


def test_records_that_are_arrays_are_taken_when_a_path_reads_them() -> None:
    """E: `events.event_id: 0.id` reads the first entry of a record."""
    assert refused(b'[{"id": 1}]', "f", "x", {"events.event_id": "0.id"}) is None
    assert refused(b"[", "f", "x", {"events.event_id": "0.id"}) is not None


# ---------------------------------------------------------------------- edits and what went missing


def events(*features: dict[str, Any], event_id: str = "a") -> list[bytes]:
    return [json.dumps({"event_id": event_id, "features": one}).encode() for one in features]


def repeated(*values: bytes) -> int:
    found, reader = Repeats(EventsSection()), EventReader(EventsSection())
    for value in values:
        found.note(reader.read(value), value)
    return found.changed


def test_an_id_that_comes_again_with_other_features_is_counted() -> None:
    """B8: not one that comes again the same, in whatever order, or with another time."""
    first, *others = events({"t": "x", "n": 1}, {"n": 1, "t": "x"}, {"t": "y", "n": 1})

    assert repeated(first, first, others[0]) == 0
    assert repeated(first, first.replace(b"}}", b'}, "at_ms": 5}')) == 0
    assert repeated(first, others[1]) == 1
    assert repeated(first, others[1], first) == 2
    assert repeated(first, *events({"t": "y"}, event_id="b")) == 0
    nan = b'{"event_id": "a", "features": {"n": NaN}%s}'
    assert repeated(nan % b"", nan % b', "at_ms": 1') == 0


def test_what_is_remembered_of_ids_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """B8: two halves, by the bytes of their records."""
    monkeypatch.setattr(repeats, "REMEMBERED_BYTES_MAX", 10_000)
    found, reader = Repeats(EventsSection()), EventReader(EventsSection())
    for number in range(1_000):
        value = events({"n": number}, event_id=str(number))[0]
        found.note(reader.read(value), value)

    assert len(found._young) + len(found._old) < 100
    value = events({"n": -1}, event_id="999")[0]
    found.note(reader.read(value), value)
    assert found.changed == 1


def sample(have: int, lack: int, section: Config) -> EventSample:
    found = EventSample(section)
    for number in range(have + lack):
        features = {"text": "x"} | ({"n": 1} if number < have else {})
        found.take(events(features, event_id=str(number))[0], number)
    return found


def test_features_that_went_missing_are_named() -> None:
    """E: by what there was before; by the configuration alone when nothing is older."""
    native = config()
    found = gone(sample(0, 50, native), sample(40, 10, native), [])
    assert found == [{"feature": "n", "share": 0.0, "share_before": 0.8, "events": 50}]
    assert gone(sample(30, 20, native), sample(40, 10, native), []) == []
    assert gone(sample(0, 5, native), sample(40, 10, native), []) == []
    assert gone(sample(0, 5, native), sample(0, 0, native), ["n"])[0]["share_before"] is None
    assert gone(sample(0, 0, native), sample(40, 10, native), ["n"]) == []
