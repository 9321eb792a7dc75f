"""`stream-al demo`: everything at once, on real messages, without a broker or an account."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import closing, contextmanager
from multiprocessing import get_context
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from stream_al.config import Config
from stream_al.private_files import make_folder
from stream_al.service.commands.common import JsonOption, err, out, print_json
from stream_al_connectors.opening import open_log

if TYPE_CHECKING:
    from stream_al.service.demo.observer import Observer
    from stream_al.service.report import Run
    from stream_al.testing import Example, Injected

FOLDER = Path(".demo")
SAID_EVERY_S = 2.0
ARMS_SHOWN_EVERY_S = 0.2
Futures = dict[tuple[str, int], "Future[Run]"]


def register(app: typer.Typer) -> None:
    """Add this command to `app`."""
    app.command()(demo)


def demo(
    *,
    live: Annotated[bool, typer.Option(help="Redraw the terminal; --no-live prints lines.")] = True,
    share: Annotated[
        float, typer.Option(min=0.001, max=1.0, help="The budget: queries per event.")
    ] = 0.05,
    rate: Annotated[float, typer.Option(min=1, help="Events sent a second.")] = 250.0,
    events: Annotated[int | None, typer.Option(min=100, help="Only the first so many.")] = None,
    report: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("report.html"),
    connector: Annotated[
        Literal["sqlite", "kafka"], typer.Option("--log", help="The log it runs on.")
    ] = "sqlite",
    bootstrap: Annotated[
        str, typer.Option(help="Of Kafka: where brokers are; see `stream-al broker`.")
    ] = "127.0.0.1:9092",
    as_json: JsonOption = False,
) -> None:
    """Watch it work: real SMS messages, a real worker and log, simulated people; then a report.

    It ends with three lines: what came out, how this gate compares with random queries, and where
    the report is. With `--log kafka` the same on a broker.

    Example: `stream-al demo --no-live`
    """
    from stream_al.service.demo.live import write_configuration  # noqa: PLC0415
    from stream_al.service.demo.outcome import (  # noqa: PLC0415
        document,
        figures_of,
        three_lines,
        write_report,
    )
    from stream_al.service.settings import load_config  # noqa: PLC0415

    started = time.monotonic()
    data, examples = _examples(events)
    folder = FOLDER / "run"
    make_folder(FOLDER)
    shutil.rmtree(folder, ignore_errors=True)
    make_folder(folder)
    on_kafka = connector == "kafka"
    configuration = write_configuration(folder, share, bootstrap if on_kafka else None)
    config = load_config(configuration, {})
    if on_kafka:
        from stream_al_connectors.kafka.checking import create_topics  # noqa: PLC0415

        create_topics(config, change=False)
    with _arms(examples, share) as (futures, counted):
        with _shown(live=live, share=share, total=len(examples), futures=futures,
                    counted=counted) as show:  # fmt: skip
            observer, injected = _live(config, configuration, examples, rate, show)
            while not all(future.done() for future in futures.values()):
                show(observer)
                time.sleep(ARMS_SHOWN_EVERY_S)
            show(observer)
        runs = {key: future.result() for key, future in futures.items()}
    figures = figures_of(observer, injected, runs, data=data, share=share)
    write_report(figures, report)
    if as_json:
        described: dict[str, Any] = document(
            observer, figures, share=share, partitions=config.topics.partitions
        )
        seconds = round(time.monotonic() - started, 1)
        print_json(described | {"report": str(report), "seconds": seconds})
        return
    for line in three_lines(observer, figures, share=share, report=report):
        out.print(line, markup=False)


@contextmanager
def _arms(examples: Sequence[Example], share: float) -> Iterator[tuple[Futures, Synchronized[int]]]:
    """Start every arm in a process beside; give what becomes of them, and what counts events.

    When the block fails they end: nobody waits for what is lost.
    """
    from stream_al.service.demo.arms import (  # noqa: PLC0415 - imports River
        ARMS,
        SEEDS,
        STOP,
        count_into,
        run_arm,
    )

    context = get_context("spawn")
    counted = context.Value("q", 0)
    with ProcessPoolExecutor(
        1, mp_context=context, initializer=count_into, initargs=(counted,)
    ) as pool:
        futures: Futures = {
            (arm, seed): pool.submit(run_arm, examples, arm, seed, share)
            for seed in SEEDS
            for arm in ARMS
        }
        try:
            yield futures, counted
        except BaseException:
            counted.value = STOP
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _live(
    config: Config,
    configuration: Path,
    examples: Sequence[Example],
    rate: float,
    show: Callable[[Observer], None],
) -> tuple[Observer, Injected]:
    """Make the live run."""
    from stream_al.service.demo.live import run_live  # noqa: PLC0415

    with closing(open_log(config, create=True)) as log:
        return run_live(log, config, configuration, examples, rate=rate, show=show)


def _examples(events: int | None) -> tuple[str, list[Example]]:
    from stream_al.testing import fetch_sms, load_phishing, load_sms  # noqa: PLC0415

    folder = fetch_sms(FOLDER, lambda said: err.print(said, markup=False))
    examples = load_phishing() if folder is None else load_sms(folder)
    kind = "web pages (the SMS messages can't be had)" if folder is None else "real SMS messages"
    examples = examples[:events]
    return f"{len(examples):,} {kind}", examples


@contextmanager
def _shown(
    *, live: bool, share: float, total: int, futures: Futures, counted: Synchronized[int]
) -> Iterator[Callable[[Observer], None]]:
    """Give the function that shows an observer: a live panel, or a line every two seconds."""
    from stream_al.service.demo.screen import Progress, line, panel  # noqa: PLC0415

    began_s = time.monotonic()

    def progress() -> Progress:
        runs = sum(future.done() for future in futures.values())
        elapsed_s = time.monotonic() - began_s
        return Progress(share, total, runs, len(futures), counted.value, elapsed_s)

    if live and sys.stderr.isatty():
        from rich.live import Live  # noqa: PLC0415

        with Live(console=err, refresh_per_second=5) as screen:
            yield lambda observer: screen.update(panel(observer, progress()))
        return
    said = float("-inf")

    def say(observer: Observer) -> None:
        nonlocal said
        if time.monotonic() - said >= SAID_EVERY_S:
            said = time.monotonic()
            err.print(line(observer, progress()), markup=False)

    yield say
