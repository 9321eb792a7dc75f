"""Log lines of the service: an event name plus fields, on stderr."""

from __future__ import annotations

import logging
import sys

from stream_al.escaping import visible

_LOGGER = logging.getLogger("stream_al")


class _Formatter(logging.Formatter):
    """One line a record, whatever its fields hold."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the library's name
        return visible(super().formatMessage(record))


def start_logging(*, level: str = "INFO") -> None:
    """Send the project's log lines to stderr, one line each."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter("%(asctime)s %(levelname)s %(message)s"))
    _LOGGER.handlers = [handler]
    _LOGGER.setLevel(level)
    _LOGGER.propagate = False


def log(event: str, **fields: object) -> None:
    """Write one line: the event's name, then `field=value` pairs."""
    _LOGGER.info("%s %s", event, " ".join(f"{name}={value}" for name, value in fields.items()))
