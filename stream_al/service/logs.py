"""Log lines of the service: an event name plus fields, on stderr."""

from __future__ import annotations

import logging
import sys

_LOGGER = logging.getLogger("stream_al")


def start_logging(*, level: str = "INFO") -> None:
    """Send the project's log lines to stderr, one line each."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    _LOGGER.handlers = [handler]
    _LOGGER.setLevel(level)
    _LOGGER.propagate = False


def log(event: str, **fields: object) -> None:
    """Write one line: the event's name, then `field=value` pairs."""
    _LOGGER.info("%s %s", event, " ".join(f"{name}={value}" for name, value in fields.items()))
