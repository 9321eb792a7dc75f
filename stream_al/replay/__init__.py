"""What can be asked of a recorded stream: fold it again, in another way."""

from stream_al.replay.caveats import caveats_of
from stream_al.replay.recorded import Closing, Recorded
from stream_al.replay.refold import Refold
from stream_al.replay.self_check import SelfChecked
from stream_al.replay.support import Amount, Estimates
from stream_al.replay.verify import Reading, Reproduction, reproduce
from stream_al.replay.what_if import REPEATS_MAX, Spent, WhatIf, WhatIfReport, WouldAsk

__all__ = [
    "REPEATS_MAX",
    "Amount",
    "Closing",
    "Estimates",
    "Reading",
    "Recorded",
    "Refold",
    "Reproduction",
    "SelfChecked",
    "Spent",
    "WhatIf",
    "WhatIfReport",
    "WouldAsk",
    "caveats_of",
    "reproduce",
]
