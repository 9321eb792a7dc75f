"""`make bench`: speed and memory, as ratios against a baseline in the same run.

Absolute times say little on a shared machine; every row is a ratio of medians of paired runs, with
the bound that the project holds itself to. Exit code 3 when a bound is broken, or rows could not be
measured.
"""

from __future__ import annotations

import argparse
import sys

from tests.benchmarks import (
    bench_audit,
    bench_core,
    bench_journal,
    bench_kafka,
    bench_kafka_fast,
    bench_kafka_live,
    bench_kafka_recovery,
    bench_snapshots,
    bench_what_if,
)
from tests.benchmarks.row import NotMeasured

ROWS = (
    bench_core.ROWS
    | bench_audit.ROWS
    | bench_journal.ROWS
    | bench_snapshots.ROWS
    | bench_what_if.ROWS
    | bench_kafka.ROWS
    | bench_kafka_live.ROWS
    | bench_kafka_recovery.ROWS
    | bench_kafka_fast.ROWS
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    known = f"some of {', '.join(ROWS)}, or what some begin with, as `kafka`"
    parser.add_argument("only", nargs="*", help=known)
    only = parser.parse_args().only
    if lost := [word for word in only if not any(name.startswith(word) for name in ROWS)]:
        parser.error(f"no rows begin with {', '.join(lost)}; there are {', '.join(ROWS)}")
    broken = 0
    for name in ROWS:
        if not only or name.startswith(tuple(only)):
            broken += _show(name)
    return 3 if broken else 0


def _show(name: str) -> int:
    """Measure and print some rows; return how many broke their bound."""
    broken = 0
    try:
        for row in ROWS[name]():
            broken += not row.kept
            sign, mark = ("≥" if row.at_least else "≤"), ("ok" if row.kept else "BROKEN")
            bound = f"{sign} {row.bound:<6g} {mark:<7}"
            print(f"{row.name:<62} {row.value:8.2f}  {bound} {row.detail}", flush=True)
    except NotMeasured as why:
        print(f"{name}: NOT MEASURED: {why}", flush=True)
        broken += 1
    return broken


if __name__ == "__main__":
    sys.exit(main())
