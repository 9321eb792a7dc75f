"""Quality: prequential scores, and estimates over all events with honest intervals.

A fold over the journal, sans-IO. The gate records the propensity of every query, so the labels that
teach the model are also a fair sample of the stream.
"""

from stream_al.quality.intervals import (
    Interval,
    hajek,
    hajek_interval,
    ratio,
    ratio_interval,
    sequence_half_width,
    wilson_at_effective_size,
)
from stream_al.quality.quality import Quality, weight_of
from stream_al.quality.summary import (
    LABELS_MIN,
    ClassQuality,
    Prequential,
    QualitySummary,
    kappa,
)

__all__ = [
    "LABELS_MIN",
    "ClassQuality",
    "Interval",
    "Prequential",
    "Quality",
    "QualitySummary",
    "hajek",
    "hajek_interval",
    "kappa",
    "ratio",
    "ratio_interval",
    "sequence_half_width",
    "weight_of",
    "wilson_at_effective_size",
]
