"""Standard streams as this process was given them: closed, full, or not UTF-8.

A closed one gets its number back, so that no file of ours takes it. Writing to stdout fails by an
error that names it; what nobody hears on stderr changes nothing; a character that an encoding has
not is escaped as JSON does it, so that JSON stays JSON.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
from contextlib import suppress
from typing import Any, TextIO

ESCAPES = "stream_al.escapes"
_CLOSED = ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_WRONLY))
"""Descriptor → how the place holder of a closed one is opened: its use is an error."""


def hold_closed() -> None:
    """Give the numbers of closed streams to place holders, also for the process that comes next."""
    for descriptor, flags in _CLOSED:
        try:
            os.fstat(descriptor)
        except OSError:
            held = os.open(os.devnull, flags)  # the lowest free number, which is this one
            os.set_inheritable(held, True)


def prepare() -> None:
    """Put streams that say what fails in place of Python's own."""
    codecs.register_error(ESCAPES, _escaped)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - a descriptor
    sys.stdout = _text(sys.stdout, _Named(1, "w", closefd=False))
    sys.stderr = _text(sys.stderr, _Unheard(2, "w", closefd=False))


def flush_stdout() -> None:
    """Write what is held back; what can't be written is left, so that the end needs not try."""
    try:
        sys.stdout.flush()
    except OSError:
        leave_stdout()
        raise


def leave_stdout() -> None:
    """Write nothing more to stdout."""
    with suppress(OSError):
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - to the end


def write_json(text: str) -> None:
    """Write a line of JSON to stdout: UTF-8, or ASCII where stdout is something else."""
    if codecs.lookup(sys.stdout.encoding or "utf-8").name != "utf-8":
        codecs.register_error(ESCAPES, _escaped)
        text = text.encode("ascii", ESCAPES).decode("ascii")
    sys.stdout.write(text + "\n")


class _Named(io.FileIO):
    """A stdout whose errors say that it was stdout."""

    def write(self, data: Any) -> int | None:  # type: ignore[override]
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OSError(error.errno, error.strerror, "stdout") from None


class _Unheard(io.FileIO):
    """A stderr that may be closed or full."""

    def write(self, data: Any) -> int | None:  # type: ignore[override]
        try:
            return super().write(data)
        except OSError:
            return len(data)


def _text(like: TextIO | None, raw: io.FileIO) -> TextIO:
    settings: dict[str, Any] = {"encoding": "utf-8"}
    if like is not None:
        settings = {
            "encoding": like.encoding,
            "line_buffering": getattr(like, "line_buffering", True),
            "write_through": getattr(like, "write_through", False),
        }
    return io.TextIOWrapper(io.BufferedWriter(raw), errors=ESCAPES, **settings)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    r"""Return characters that an encoding has not as JSON writes them.

    Examples
    --------
    >>> codecs.register_error(ESCAPES, _escaped)
    >>> "ä 😀".encode("ascii", ESCAPES)
    b'\\u00e4 \\ud83d\\ude00'
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    pairs = (units[at : at + 2].hex() for at in range(0, len(units), 2))
    return "".join(f"\\u{pair}" for pair in pairs), error.end
