"""Reading a labelled history: every kind of bad file is a sentence with its place and a cure."""

from __future__ import annotations

import gzip
import json
from importlib import import_module
from pathlib import Path

import pytest

from stream_al.errors import ConfigurationError
from stream_al.service.evaluate import format_of, labelled, read_history
from stream_al.service.evaluate.source import LINE_BYTES_MAX, History


def _read(folder: Path, name: str, content: bytes | str, **options: int) -> History:
    path = folder / name
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return read_history(path, format_of(path), **options)


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_csv_is_read_with_its_delimiter_mark_and_quotes(tmp_path: Path, name: str) -> None:
    """A byte order mark, semicolons, quoted newlines, blank lines and missing values."""
    text = '\ufeffbody;n;y\n"free; now\nor never";1;spam\n\nhi;NaN;ham\n'

    assert _read(tmp_path, name, text).rows == [
        {"body": "free; now\nor never", "n": "1", "y": "spam"},
        {"body": "hi", "y": "ham"},
    ]


def test_json_lines_are_flattened_and_lose_what_is_missing(tmp_path: Path) -> None:
    """Deeper fields get dotted names; null, NaN and empty texts are no values."""
    line = '{"post": {"body": "hi", "at": null}, "n": NaN, "e": " ", "v": [1, 2], "y": true}\n'

    assert _read(tmp_path, "a.jsonl", line + "\n").rows == [
        {"post.body": "hi", "v": [1, 2], "y": True}
    ]


def test_a_bad_row_in_a_hundred_is_skipped_and_named(tmp_path: Path) -> None:
    """Two bad lines among two hundred are counted, each with its line; the rest is taken."""
    lines = [json.dumps({"n": n}) for n in range(200)]
    lines[3], lines[7] = "{broken", '"\\ud800"'
    history = _read(tmp_path, "a.jsonl", "\n".join([*lines, *lines[10:20]]))

    assert (len(history.rows), history.bad_count) == (208, 2)
    assert history.bad[0].startswith("line 4 is no JSON")
    assert history.bad[1] == "line 8 holds half a surrogate pair"


def test_more_bad_rows_are_another_format(tmp_path: Path) -> None:
    """Three ragged rows among a hundred refuse the file, and the first one is named."""
    rows = ["a,y", *(["1,2"] * 97), "1", "1,2,3", "1"]

    with pytest.raises(ConfigurationError, match=r"3 rows.*line 99 has 1 fields, the header 2"):
        _read(tmp_path, "a.csv", "\n".join(rows))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"a,y\ncaf\xe9,1\n", "line 2 is not UTF-8 .byte 0xe9 at 3.*iconv"),
        ("a.jsonl", b'{"a": 1}\n\xff\xfe\n', "line 2 is not UTF-8"),
        ("a.csv", 'a,y\n"open,1\n', "line 2 is no CSV: .*quote"),
        ("a.csv", "a,a,y\n1,2,3\n", "line 1, the header, has 'a' twice"),
        ("a.csv", "a,,y\n1,2,3\n", "a field without a name"),
        ("a.csv", "", "has no rows"),
        ("a.csv", "a,y\n", "has no rows"),
        ("a.jsonl", '[{"a": 1}]', "one JSON array.*jq"),
        ("a.jsonl", "a,y\n1,2\n", "2 rows that can't be read as jsonl"),
        ("a.jsonl", "[" * 100_000 + "\n" + "1\n" * 9, "allowed: 1%|JSON array"),
        ("a.csv", b"a" * (LINE_BYTES_MAX + 1), "longer than"),
        ("a.parquet", b"PAR1 not really", "Parquet"),
    ],
)
def test_a_bad_file_is_a_sentence(
    tmp_path: Path, name: str, content: bytes | str, said: str
) -> None:
    """It names the file, the line where there is one, and what to do."""
    with pytest.raises(ConfigurationError, match=said) as refused:
        _read(tmp_path, name, content)

    assert name in str(refused.value)


def test_a_cut_or_false_archive_is_said(tmp_path: Path) -> None:
    """Half a gzip file, and a text with a gzip's name."""
    whole = gzip.compress(b"a,y\n" + b"1,2\n" * 5_000)
    for content in (whole[: len(whole) // 2], b"a,y\n1,2\n"):
        path = tmp_path / "a.csv.gz"
        path.write_bytes(content)
        with pytest.raises(ConfigurationError, match="no whole gzip archive"):
            read_history(path, "csv")


def test_a_missing_file_a_folder_and_a_strange_name_are_said(tmp_path: Path) -> None:
    """Each says what is wrong with FILE."""
    with pytest.raises(ConfigurationError, match="does not exist"):
        read_history(tmp_path / "none.csv", "csv")
    with pytest.raises(ConfigurationError, match="can't be read: Is a directory"):
        read_history(tmp_path, "csv")
    with pytest.raises(ConfigurationError, match="--format csv or --format jsonl"):
        format_of(tmp_path / "posts.xlsx")


def test_the_limit_is_kept_and_said(tmp_path: Path) -> None:
    """Only the first rows are taken, and the history knows that there are more."""
    cut = _read(tmp_path, "a.csv", "y\n1\n2\n3\n", limit=2)
    whole = _read(tmp_path, "a.csv", "y\n1\n2\n3\n", limit=3)

    assert ([row["y"] for row in cut.rows], cut.more) == (["1", "2"], True)
    assert whole.more is False


def test_parquet_is_read_with_its_types(tmp_path: Path) -> None:
    """Numbers, texts and nulls come as they were written."""
    rows = import_module("pyarrow").table(
        {"body": ["hi", None], "n": [1.5, float("nan")], "y": [0, 1]}
    )
    import_module("pyarrow.parquet").write_table(rows, tmp_path / "a.parquet")

    assert read_history(tmp_path / "a.parquet", "parquet").rows == [
        {"body": "hi", "n": 1.5, "y": 0},
        {"y": 1},
    ]


# ---------------------------------------------------------------------- fields


def _history(rows: list[dict[str, object]], file_format: str = "csv") -> History:
    return History(file_format, rows=rows)  # type: ignore[arg-type]


def _rows(count: int = 60) -> list[dict[str, object]]:
    return [
        {
            "n": str(i * 0.5),
            "flag": ("true", "False")[i % 2],
            "country": ("se", "dk", "no")[i % 3],
            "body": f"message number {i}",
            "short": ("ok", "x" * 70)[i == 9],
            "id": f"id-{i}",
            "y": ("ham", "spam")[i % 2],
        }
        for i in range(count)
    ]


def test_fields_are_taken_for_what_they_look_like() -> None:
    """Numbers, booleans, categories, texts by difference or by length; identifiers stay out."""
    data = labelled(_history(_rows()), "y")

    assert {column.name: column.kind for column in data.columns} == {
        "n": "number",
        "flag": "boolean",
        "country": "category",
        "body": "text",
        "short": "text",
        "id": "identifier",
    }
    assert data.types == {"country": "category", "body": "text", "short": "text"}
    assert data.examples[1].event.features == {
        "n": 0.5,
        "flag": False,
        "country": "dk",
        "body": "message number 1",
        "short": "ok",
    }


def test_who_names_a_field_wants_it() -> None:
    """`--text` makes a text of anything; `--features` takes an identifier; only they are used."""
    data = labelled(_history(_rows()), "y", text=["country"], features=["id", "n"])

    assert data.types == {"country": "text", "id": "category"}
    assert set(data.examples[0].event.features) == {"country", "id", "n"}


def test_typed_values_keep_their_types() -> None:
    """In JSON a digit in quotes is a category, and lists of one length are a vector."""
    rows = [
        {"n": i, "code": str(i % 3), "v": [i, 1], "w": [0] * (i % 2), "y": i % 2} for i in range(40)
    ]
    data = labelled(_history(rows, "jsonl"), "y")

    assert data.types == {"code": "category", "v": "vector"}
    assert [(c.name, c.kind) for c in data.columns if not c.used] == [("w", "mixed")]
    assert data.classes == {"0": 20, "1": 20}


def test_classes_are_spelt_as_the_engine_learns_them() -> None:
    """B6: another spelling of the truth would make every right prediction of it wrong."""
    spellings = ["caf\u00e9", "cafe\u0301", " caf\u00e9\u200b", "o\x1b[31mk"]
    rows = [{"n": n, "y": spellings[n % 4]} for n in range(80)]

    assert labelled(_history(rows, "jsonl"), "y").classes == {"caf\u00e9": 60, "o[31mk": 20}


def test_rows_without_a_label_are_skipped_and_counted() -> None:
    """They are not a class of their own."""
    rows = _rows()
    for row in rows[:7]:
        del row["y"]
    data = labelled(_history(rows), "y")

    assert (len(data.examples), data.unlabelled) == (53, 7)


@pytest.mark.parametrize(
    ("label", "options", "said"),
    [
        ("yy", {}, "--label: no row has a value in 'yy'; did you mean 'y'"),
        ("zzz", {}, "the fields are n, flag"),
        ("y", {"text": ["bodi"]}, "--text: .*did you mean 'body'"),
        ("y", {"features": ["y"]}, "--features: 'y' is the label"),
        ("id", {}, "60 different values|over 100|nothing"),
        ("n", {}, "different values"),
    ],
)
def test_a_wrong_field_is_a_sentence(label: str, options: dict[str, list[str]], said: str) -> None:
    """The nearest field is named; a number or an id is no class."""
    with pytest.raises(ConfigurationError, match=said):
        labelled(_history(_rows(240)), label, **options)


def test_one_class_or_few_rows_can_teach_nothing() -> None:
    """Both are said before anything is run."""
    with pytest.raises(ConfigurationError, match="one class only, 'ham', in 60 of 60"):
        labelled(_history([row | {"y": "ham"} for row in _rows()]), "y")
    with pytest.raises(ConfigurationError, match="there in 10 rows"):
        labelled(_history(_rows(10)), "y")


def test_a_label_alone_leaves_nothing_to_learn_from() -> None:
    """A file with identifiers and labels only is refused."""
    rows = [{"id": row["id"], "y": row["y"]} for row in _rows()]
    with pytest.raises(ConfigurationError, match="no field beside --label 'y'"):
        labelled(_history(rows), "y")
