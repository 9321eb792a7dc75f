"""`make quality`: how good the engine is on real streams, written into docs/QUALITY.md.

The tables between the marks in the page are replaced, its words are left alone. Raw results go to
`build/quality.json`, from which `--tables-only` makes the tables again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from multiprocessing import get_context
from pathlib import Path

from tests.benchmarks.quality_page import SHARES, with_tables
from tests.benchmarks.quality_runs import DATA, Arm, Cell, run

CHECKOUT = Path(__file__).parents[2]
PAGE = CHECKOUT / "docs" / "QUALITY.md"
RAW = CHECKOUT / "build" / "quality.json"

DELAYS = (0, 1_000)
ARMS: tuple[Arm, ...] = ("gate", "random")
SEEDS = {"sms": 6, "elec2": 3}
RECIPE_SEEDS = 3
TEXT_SEEDS = 6
SMS_ESTIMATE_SEEDS = 100
ELEC2_ESTIMATE_SEEDS = 60


def plan() -> list[Cell]:
    """Return every cell once, the slow ones first; one through the worker is not run again."""
    found: dict[Cell, Cell] = {}
    for cell in (*_main(), *_estimates(), *_recipes()):
        found.setdefault(replace(cell, through="memory"), cell)
    return sorted(found.values(), key=lambda cell: (cell.through != "worker", -cell.share))


def _main() -> Iterator[Cell]:
    """Yield the main table: seed 1 through the worker, the other seeds in memory."""
    for stream, preset, delay in product(SEEDS, ("linear", "river"), DELAYS):
        yield Cell(stream, preset, "all", 1.0, delay, 1, "worker")
        for arm, share in product(ARMS, SHARES):
            yield Cell(stream, preset, arm, share, delay, 1, "worker")
            for seed in range(2, SEEDS[stream] + 1):
                yield Cell(stream, preset, arm, share, delay, seed)


def _estimates() -> Iterator[Cell]:
    """Yield many seeds: how far estimates are from the truth, how often intervals hold it."""
    for seed in range(1, SMS_ESTIMATE_SEEDS + 1):
        for arm, share in product(ARMS, SHARES):
            yield Cell("sms", "linear", arm, share, 0, seed)
        yield Cell("sms", "linear", "gate", 0.05, 1_000, seed)
    for seed, arm, share in product(range(1, ELEC2_ESTIMATE_SEEDS + 1), ARMS, (0.01, 0.05)):
        yield Cell("elec2[:10000]", "linear", arm, share, 0, seed)


def _recipes() -> Iterator[Cell]:
    """Yield what ALGORITHMS.md §3 and PRESETS.md §3 ran, as far as their streams are at hand."""
    baselines = (
        ("elec2[:15000]", "river", 0.1),
        ("elec2[:15000]", "tree", None),
        ("weather[:12000]", "river", 0.1),
        ("sms", "river", None),
    )
    texts = tuple(product(("sms", "youtube", "obfuscated"), ("river", "linear"), (None,)))
    for seeds, models in ((RECIPE_SEEDS, baselines), (TEXT_SEEDS, texts)):
        for (stream, preset, rate), delay in product(models, DELAYS):
            yield Cell(stream, preset, "all", 1.0, delay, 1, learning_rate=rate)
            for arm, share, seed in product(ARMS, SHARES, range(1, seeds + 1)):
                yield Cell(stream, preset, arm, share, delay, seed, learning_rate=rate)


def main() -> int:
    """Run everything and write the page; 1 when the data are not there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument("--tables-only", action="store_true", help=f"from {RAW.name}, run nothing")
    given = parser.parse_args()
    if not given.tables_only:
        if not (DATA / "elec2.csv.gz").is_file():
            print(
                "quality: skipped, the data are not there; "
                "put elec2, sms_spam, youtube_spam and weather into ../shared/data",
                file=sys.stderr,
            )
            return 1
        _run_all(given.jobs)
    results = json.loads(RAW.read_text(encoding="utf-8"))
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")
    print(f"{PAGE.relative_to(CHECKOUT)}: tables of {len(results):,} runs")
    return 0


def _run_all(jobs: int) -> None:
    cells, started, results = plan(), time.monotonic(), []
    with get_context("spawn").Pool(jobs) as pool:
        for result in pool.imap_unordered(run, cells):
            results.append(result)
            if len(results) % 25 == 0 or len(results) == len(cells):
                minutes = (time.monotonic() - started) / 60
                print(f"{len(results):,} of {len(cells):,} runs, {minutes:.1f} min", flush=True)
    RAW.parent.mkdir(exist_ok=True)
    RAW.write_text(json.dumps(results), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
