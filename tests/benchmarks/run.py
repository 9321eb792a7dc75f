"""`make bench`: speed and memory, as ratios against a baseline in the same run.

Absolute times say little on a shared machine; every row is a ratio of medians of paired runs, with
the bound that the project holds itself to. Exit code 3 when a bound is broken.
"""

from __future__ import annotations

import argparse
import sys

from tests.benchmarks import (
    bench_audit,
    bench_core,
    bench_journal,
    bench_snapshots,
    bench_what_if,
)

ROWS = (
    bench_core.ROWS
    | bench_audit.ROWS
    | bench_journal.ROWS
    | bench_snapshots.ROWS
    | bench_what_if.ROWS
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", help=f"some of {', '.join(ROWS)}")
    only = parser.parse_args().only
    broken = 0
    for name in only or ROWS:
        for row in ROWS[name]():
            broken += not row.kept
            sign, mark = ("≥" if row.at_least else "≤"), ("ok" if row.kept else "BROKEN")
            bound = f"{sign} {row.bound:<6g} {mark:<7}"
            print(f"{row.name:<62} {row.value:8.2f}  {bound} {row.detail}", flush=True)
    return 3 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
