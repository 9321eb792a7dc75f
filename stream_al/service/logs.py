"""Log lines of the service: an event's name plus fields, on stderr, as logfmt or as JSON.

One line an event, written at once. structlog's formatter takes our own lines and those of the
libraries through the same chain, so that a reader parses every line alike.
"""

from __future__ import annotations

import logging
import math
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, get_args

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from stream_al.errors import ConfigurationError
from stream_al.escaping import visible, visible_json

LogFormat = Literal["logfmt", "json"]
FORMATS: tuple[LogFormat, ...] = get_args(LogFormat)
FORMAT_OPTION = "--log-format"
FORMAT_VARIABLE = "STREAM_AL_LOG_FORMAT"
VALUE_CHARACTERS_MAX = 8_192
"""Of one field: an error may quote a whole event."""

_LOGGER = logging.getLogger("stream_al")
_EXIT = logging.getLogger("stream_al.exit")


def log(event: str, **fields: object) -> None:
    """Write one line: the event's name, then `field=value` pairs."""
    text = logfmt({"event": event} | fields).removeprefix("event=")
    _LOGGER.info("%s", text, extra={"event": event, "fields": fields})


def log_exit(kind: str, message: str, *, code: int) -> None:
    """Write the line that says why this process ends: `kind: message`, in JSON an object."""
    fields = {"kind": kind, "message": message, "exit_code": code}
    _EXIT.critical("%s: %s", kind, message, extra={"event": "exit", "fields": fields})


def log_crash(error: BaseException) -> None:
    """Write the line of an error of ours that nobody foresaw, with its stack as one field."""
    fields = {"kind": "bug", "message": str(error), "exit_code": 1}
    _EXIT.critical("bug", extra={"event": "exit", "fields": fields}, exc_info=error)


def start_exit_lines(log_format: LogFormat) -> None:
    """Let `log_exit` write to stderr: people read `kind: message`, and with `json` programs do."""
    _EXIT.handlers = [_Stderr(_formatter(log_format) if log_format == "json" else _Plain())]
    _EXIT.propagate = False


def start_logging(*, level: str = "INFO", log_format: LogFormat | None = None) -> None:
    """Send log lines to stderr: ours, those of libraries, warnings, and threads that died.

    Parameters
    ----------
    log_format
        Default: what the command line or the environment says.
    """
    handler = _Stderr(_formatter(log_format or chosen_format(())))
    _LOGGER.handlers = [handler]
    _LOGGER.setLevel(level)
    _LOGGER.propagate = False
    logging.getLogger().handlers = [handler]
    logging.captureWarnings(capture=True)
    threading.excepthook = _log_dead_thread
    sys.unraisablehook = _log_unraisable


def chosen_format(
    arguments: Sequence[str], environment: Mapping[str, str] | None = None
) -> LogFormat:
    """Return the format that a command line says, else the environment, else logfmt.

    It is needed before the command line is read: a line about a wrong option has a format, too.

    Raises
    ------
    ConfigurationError
        When the environment names none of the formats. The command line's frame says it of its own.

    Examples
    --------
    >>> chosen_format(["run", "--log-format", "json"], {})
    'json'
    >>> chosen_format(["run", "--log-format=json", "--slot", "1"], {})
    'json'
    >>> chosen_format(["run"], {"STREAM_AL_LOG_FORMAT": "json"})
    'json'
    >>> chosen_format(["run"], {})
    'logfmt'
    """
    environment = os.environ if environment is None else environment
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    said = [
        value
        for option, value in zip(options, [*options[1:], ""], strict=False)
        if option == FORMAT_OPTION
    ] + [it.partition("=")[2] for it in options if it.startswith(FORMAT_OPTION + "=")]
    for known in FORMATS:
        if known in said[-1:]:
            return known
    given = environment.get(FORMAT_VARIABLE, FORMATS[0])
    for known in FORMATS:
        if known == given:
            return known
    raise ConfigurationError(f"{FORMAT_VARIABLE} is {given!r}; say {' or '.join(FORMATS)}")


def logfmt(fields: Mapping[str, object]) -> str:
    r"""Return `name=value` pairs that any logfmt parser reads back, and that no terminal obeys.

    A value is quoted, with the escapes of JSON, unless it is plain: a space, `=`, a quote, a
    backslash or a character that is not printed makes it quoted.

    Examples
    --------
    >>> print(logfmt({"event": "retention", "topic": "spam.events", "dropped": 3}))
    event=retention topic=spam.events dropped=3
    >>> print(logfmt({"why": 'no "a=b"', "at": None, "ok": True, "id": "p\x1b[2J\u202e\n"}))
    why="no \"a=b\"" at= ok=true id="p\u001b[2J\u202e\n"
    """
    return " ".join(f"{name}={_logfmt_value(value)}" for name, value in fields.items())


def _logfmt_value(value: object) -> str:
    plain = _scalar(value)
    if plain is None:
        return ""
    if isinstance(plain, bool):
        return "true" if plain else "false"
    text = str(plain)
    if text and text.isprintable() and not any(char in ' ="\\' for char in text):
        return text
    return visible_json(text)


def _scalar(value: object) -> str | int | float | bool | None:
    """Return what JSON has a word for; anything else as text, cut where it is very long."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    text = str(value)
    return text if len(text) <= VALUE_CHARACTERS_MAX else text[: VALUE_CHARACTERS_MAX - 1] + "…"


def _formatter(log_format: LogFormat) -> logging.Formatter:
    render: Processor = _render_logfmt
    if log_format == "json":
        render = structlog.processors.JSONRenderer()
    chain: list[Processor] = [structlog.processors.format_exc_info, _fields_of_record, render]
    return structlog.stdlib.ProcessorFormatter(processors=chain)


def _fields_of_record(_: WrappedLogger, __: str, said: EventDict) -> EventDict:
    """Put time, level and event first, then the fields; a library's line is `event=library`."""
    record: logging.LogRecord = said["_record"]
    foreign = {"logger": record.name, "message": said["event"].rstrip()}
    fields: dict[str, Any] = getattr(record, "fields", foreign)
    at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    more = {"exception": said["exception"]} if "exception" in said else {}
    return {
        "timestamp": at.replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "event": getattr(record, "event", "library"),
    } | {name: _scalar(value) for name, value in (fields | more).items()}


def _render_logfmt(_: WrappedLogger, __: str, said: EventDict) -> str:
    return logfmt(said)


class _Plain(logging.Formatter):
    """The message alone, in one line whatever is in it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return visible(record.getMessage())


class _Stderr(logging.Handler):
    """Writes to whatever stderr is at that moment; where nobody takes lines the work goes on."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line, at once."""
        stream = sys.stderr
        try:
            if stream is not None:
                stream.write(self.format(record) + "\n")
                stream.flush()
        except (OSError, ValueError):
            return  # a full disk, a reader that is gone, a closed file


def _log_dead_thread(ended: threading.ExceptHookArgs) -> None:
    name = ended.thread.name if ended.thread is not None else None
    _log_stack("thread_died", {"thread": name}, ended.exc_value)


def _log_unraisable(found: sys.UnraisableHookArgs) -> None:
    _log_stack("error_ignored", {"where": repr(found.object)}, found.exc_value)


def _log_stack(event: str, fields: dict[str, object], error: BaseException | None) -> None:
    said = fields | {"why": f"{type(error).__name__}: {error}"}
    _LOGGER.error("%s", event, extra={"event": event, "fields": said}, exc_info=error)
