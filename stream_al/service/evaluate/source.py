"""Reads a labelled history: CSV, JSON lines or Parquet, gzipped or not, into rows of named values.

A file is read once, from its beginning, at most `limit` rows. What is wrong with one row (a line
that is no JSON object, a CSV row with too many or too few fields) is skipped, counted and named;
when more than one row in a hundred is wrong the file is refused, for then it is another format.
What is wrong with the whole file (no UTF-8, an open quote, a cut archive) is refused at once, with
its line. Values keep their types; in CSV every value is a text, and `columns` finds out more.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from math import isfinite
from pathlib import Path
from typing import IO, Any, Literal, get_args
from zlib import error as zlib_error

from stream_al.engine.paths import at, is_given, path_of
from stream_al.errors import ConfigurationError

FileFormat = Literal["csv", "jsonl", "parquet"]
Row = dict[str, Any]
FORMATS: tuple[FileFormat, ...] = get_args(FileFormat)
ROWS_MAX = 200_000
LINE_BYTES_MAX = 16_777_216
BAD_NAMED_MAX = 3
BAD_SHARE_MAX = 0.01
NESTING_MAX = 8
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none"})
"""Texts that stand for nothing in a CSV file, in any case."""
_SUFFIXES: dict[str, FileFormat] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
}
_DELIMITERS = ",;\t|"


@dataclass(slots=True)
class History:
    """The rows of a file.

    Attributes
    ----------
    rows
        Name → value; a missing value (empty, null, NaN, infinity) is not in its row.
    bad_count, bad
        Rows skipped, and the first of them as sentences with their line.
    more
        Whether the file has rows behind the last one that was taken.
    """

    file_format: FileFormat
    rows: list[Row] = field(default_factory=list)
    bad_count: int = 0
    bad: list[str] = field(default_factory=list)
    more: bool = False

    @property
    def names(self) -> list[str]:
        """The names of all fields that have a value anywhere, in the order of their first one."""
        return list({name: None for row in self.rows for name in row})


def format_of(path: Path) -> FileFormat:
    """Return the format that the name of a file says; a `.gz` at its end says nothing.

    Raises
    ------
    ConfigurationError
        When the suffix is not known.

    Examples
    --------
    >>> format_of(Path("posts.csv.gz")), format_of(Path("posts.ndjson"))
    ('csv', 'jsonl')
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    found = _SUFFIXES.get(suffixes[-1] if suffixes else "")
    if found is None:
        raise ConfigurationError(
            f"FILE is {str(path)!r}, whose name does not say what it is; "
            f"add --format {' or --format '.join(FORMATS)}"
        )
    return found


def read_history(
    path: Path, file_format: FileFormat, limit: int = ROWS_MAX, *, paths: Sequence[str] = ()
) -> History:
    """Return the first `limit` rows of a file.

    Parameters
    ----------
    paths
        Dotted paths that may lead into lists; other lists are values.

    Raises
    ------
    ConfigurationError
        When the file can't be read, or is not what it is said to be; names file, line and cure.
    """
    history = History(file_format)
    try:
        if file_format == "parquet":
            _take(history, _taken_apart(_parquet_rows(path), paths), limit)
        else:
            with _opened(path) as lines:
                read = _csv_rows if file_format == "csv" else _json_rows
                rows = read(path, lines)
                _take(history, _taken_apart(rows, paths), limit)
    except FileNotFoundError:
        raise ConfigurationError(
            f"FILE is {str(path)!r}, which does not exist; look at the name and the folder"
        ) from None
    except (gzip.BadGzipFile, EOFError, zlib_error) as error:
        raise ConfigurationError(
            f"FILE {str(path)!r} is no whole gzip archive ({error}); copy it again, or take `.gz` "
            "off its name when it is none"
        ) from None
    except OSError as error:
        raise ConfigurationError(
            f"FILE {str(path)!r} can't be read: {error.strerror or error}"
        ) from None
    _check_bad(path, history)
    return history


def _taken_apart(rows: Iterable[Row | str], paths: Sequence[str]) -> Iterator[Row | str]:
    """Yield rows with dotted names for what lies deeper, and what bad rows say."""
    ways = [(path, path_of(path)) for path in paths]
    for row in rows:
        if isinstance(row, str):
            yield row
            continue
        flat = flattened(row)
        for path, way in ways:
            found = at(row, way)
            if is_given(found) and not isinstance(found, dict) and not _missing(found):
                flat[path] = found
        yield flat


def _take(history: History, found: Iterable[Row | str], limit: int) -> None:
    for row in found:
        if isinstance(row, str):
            history.bad_count += 1
            if len(history.bad) < BAD_NAMED_MAX:
                history.bad.append(row)
        elif len(history.rows) >= limit:
            history.more = True
            return
        else:
            history.rows.append(row)


def _check_bad(path: Path, history: History) -> None:
    count, allowed = history.bad_count, max(1.0, BAD_SHARE_MAX * len(history.rows))
    if count > allowed or (count and not history.rows):
        raise ConfigurationError(
            f"FILE {str(path)!r} has {count:,} rows that can't be read as {history.file_format} "
            f"beside {len(history.rows):,} that can (allowed: {BAD_SHARE_MAX:.0%}); the first: "
            f"{history.bad[0]}. Repair them, or name the true format with --format"
        )
    if not history.rows:
        raise ConfigurationError(f"FILE {str(path)!r} has no rows; give a labelled history")


# ---------------------------------------------------------------------- bytes to lines


def _opened(path: Path) -> IO[bytes]:
    if path.suffix.lower() == ".gz":
        return io.BufferedReader(gzip.open(path, "rb"))
    return path.open("rb")


def _lines(path: Path, raw: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    number = 0
    while line := raw.readline(LINE_BYTES_MAX + 1):
        number += 1
        if len(line) > LINE_BYTES_MAX:
            raise ConfigurationError(
                f"FILE {str(path)!r} line {number} is longer than {LINE_BYTES_MAX:,} bytes; "
                "is it a text file with one row a line?"
            )
        yield number, line


def _decoded(path: Path, number: int, line: bytes) -> str:
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"FILE {str(path)!r} line {number} is not UTF-8 (byte 0x{line[error.start]:02x} at "
            f"{error.start}); convert it: iconv -f LATIN1 -t UTF-8, or what it was written in"
        ) from None


# ---------------------------------------------------------------------- CSV


def delimiter_of(header: str) -> str:
    r"""Return what separates the fields of a CSV header: comma, semicolon, tab or bar.

    Examples
    --------
    >>> delimiter_of("a;b;c\n"), delimiter_of("text\n")
    (';', ',')
    """
    return max(_DELIMITERS, key=header.count)


def _csv_rows(path: Path, raw: IO[bytes]) -> Iterator[Row | str]:
    lines = (_decoded(path, number, line) for number, line in _lines(path, raw))
    first = next(lines, None)
    if first is None:
        return
    csv.field_size_limit(LINE_BYTES_MAX)
    reader = csv.reader(_put_back(first, lines), delimiter=delimiter_of(first), strict=True)
    try:
        header = [name.strip() for name in next(reader)]
        _check_header(path, header)
        for values in reader:
            if len(values) == len(header):
                yield {
                    name: text
                    for name, value in zip(header, values, strict=True)
                    if (text := value.strip()).casefold() not in MISSING
                }
            elif values:
                yield (f"line {reader.line_num} has {len(values)} fields, the header {len(header)}")
    except csv.Error as error:
        raise ConfigurationError(
            f"FILE {str(path)!r} line {reader.line_num} is no CSV: {error}; look for a quote that "
            "is not closed or not doubled"
        ) from None


def _put_back(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _check_header(path: Path, header: list[str]) -> None:
    twice = sorted({name for name in header if header.count(name) > 1})
    if "" in header or twice:
        what = f"{twice[0]!r} twice" if twice and twice[0] else "a field without a name"
        raise ConfigurationError(
            f"FILE {str(path)!r} line 1, the header, has {what}; give every field a name of its own"
        )


# ---------------------------------------------------------------------- JSON lines, Parquet


def _json_rows(path: Path, raw: IO[bytes]) -> Iterator[Row | str]:
    for number, line in _lines(path, raw):
        text = _decoded(path, number, line).strip()
        if not text:
            continue
        if number == 1 and text.startswith("["):
            raise ConfigurationError(
                f"FILE {str(path)!r} begins with `[`: one JSON array; write one object a line, "
                "for instance with: jq -c '.[]'"
            )
        yield _json_row(text, number)


def _json_row(text: str, number: int) -> Row | str:
    try:
        row = json.loads(text)
        if "\\u" in text:
            json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return f"line {number} holds half a surrogate pair"
    except (ValueError, RecursionError) as error:
        return f"line {number} is no JSON: {error}"
    if not isinstance(row, dict):
        return f"line {number} is no JSON object but {type(row).__name__}"
    return row


def flattened(row: Row) -> Row:
    """Return a row with dotted names for what lies deeper, without missing values.

    Examples
    --------
    >>> flattened({"post": {"id": 1, "body": "hi"}, "y": None, "n": float("nan")})
    {'post.id': 1, 'post.body': 'hi'}
    """
    flat: Row = {}
    _flatten(row, "", flat, NESTING_MAX)
    return flat


def _flatten(row: Row, prefix: str, flat: Row, depth: int) -> None:
    for name, value in row.items():
        if isinstance(value, dict):
            if depth:
                _flatten(value, f"{prefix}{name}.", flat, depth - 1)
        elif not _missing(value):
            flat[prefix + name] = value


def _missing(value: Any) -> bool:
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, float) and not isfinite(value))


def _parquet_rows(path: Path) -> Iterator[Row | str]:
    try:
        parquet = import_module("pyarrow.parquet")
    except ModuleNotFoundError:
        raise ConfigurationError(
            f"FILE is {str(path)!r}: Parquet needs pyarrow; install stream-al[parquet], or write "
            "the file as CSV"
        ) from None
    try:
        with parquet.ParquetFile(path) as opened:
            for batch in opened.iter_batches(batch_size=4_096):
                yield from batch.to_pylist()
    except ValueError as error:  # pyarrow's errors of content are ValueErrors
        raise ConfigurationError(f"FILE {str(path)!r} is no Parquet file: {error}") from None
