"""The gate: probabilities → uncertainty → propensity → asked or not, under a hard budget.

Sans-IO: time comes in as record time, chance as a secret and a state that is committed with the
position. One `Gate` for each events partition, one `Allowance` for each change of the settings.
"""

from stream_al.gate.allowance import UNIT, Allowance
from stream_al.gate.gate import REMEMBERED_MAX, Choice, Gate, threshold, threshold_key
from stream_al.gate.packing import PACKED_CHARACTERS_MAX, unpack_state
from stream_al.gate.uncertainty import (
    Measure,
    entropy,
    known_uncertainties,
    least_confidence,
    margin,
    register_uncertainty,
    uncertainty_measure,
)

__all__ = [
    "PACKED_CHARACTERS_MAX",
    "REMEMBERED_MAX",
    "UNIT",
    "Allowance",
    "Choice",
    "Gate",
    "Measure",
    "entropy",
    "known_uncertainties",
    "least_confidence",
    "margin",
    "register_uncertainty",
    "threshold",
    "threshold_key",
    "uncertainty_measure",
    "unpack_state",
]
