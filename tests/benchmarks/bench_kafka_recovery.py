"""How long predictions stop after `kill -9`: the two cases of `make recovery` that have a bound.

In seconds of this machine, with everything on it: brokers, workers, sender and reader.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable

from tests.benchmarks.row import Row
from tests.chaos.recovery import BOUND_S, OF_ONE, OF_THREE, measure

REPEATS = 5


def recovery_rows() -> Iterable[Row]:
    """Seconds without a prediction in the worst partition, by kind of fault."""
    for cases, nodes in ((OF_ONE, 1), (OF_THREE, 3)):
        bounded = tuple(case for case in cases if case.name in BOUND_S)
        for name, found in measure(bounded, nodes=nodes, repeats=REPEATS):
            detail = f"{min(found):.1f} to {max(found):.1f} in {len(found)} times"
            title = f"kafka: {name}, s without a prediction"
            yield Row(title, statistics.median(found), BOUND_S[name], detail=detail)


ROWS = {"kafka-recovery": recovery_rows}
