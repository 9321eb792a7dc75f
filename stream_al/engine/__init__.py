"""Engine: model, gate and quality joined; what is embedded, and what every worker runs."""

from stream_al.engine.core import Engine
from stream_al.engine.decision import Decision
from stream_al.engine.label_reading import LabelReader
from stream_al.engine.paths import utf8
from stream_al.engine.reading import EventReader, parse

__all__ = ["Decision", "Engine", "EventReader", "LabelReader", "parse", "utf8"]
