"""Streaming online active learning: predict every event, ask people about a few, learn at once.

Names load on first use, so that a command which only appends a record need not import River.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stream_al.config import Config
    from stream_al.engine import Decision, Engine
    from stream_al.errors import (
        Ambiguous,
        ConfigurationError,
        Fenced,
        Gone,
        InDoubt,
        InvalidInput,
        StreamAlError,
    )
    from stream_al.gate import register_uncertainty
    from stream_al.learner import ActiveLearner
    from stream_al.messages import OFF, Event, Label, Outcome, Prediction, Query

_HOMES = {
    "OFF": "messages",
    "ActiveLearner": "learner",
    "Ambiguous": "errors",
    "Config": "config",
    "ConfigurationError": "errors",
    "Decision": "engine",
    "Engine": "engine",
    "Event": "messages",
    "Fenced": "errors",
    "Gone": "errors",
    "InDoubt": "errors",
    "InvalidInput": "errors",
    "Label": "messages",
    "Outcome": "messages",
    "Prediction": "messages",
    "Query": "messages",
    "StreamAlError": "errors",
    "register_uncertainty": "gate",
}

__all__ = [
    "OFF",
    "ActiveLearner",
    "Ambiguous",
    "Config",
    "ConfigurationError",
    "Decision",
    "Engine",
    "Event",
    "Fenced",
    "Gone",
    "InDoubt",
    "InvalidInput",
    "Label",
    "Outcome",
    "Prediction",
    "Query",
    "StreamAlError",
    "register_uncertainty",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version("stream-al")
    if name not in _HOMES:
        message = f"module 'stream_al' has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(f"stream_al.{_HOMES[name]}"), name)
