"""`stream-al demo`: everything at once, on real messages, without a broker or an account."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from stream_al.private_files import make_folder
from stream_al.service.commands.common import err, print_json

if TYPE_CHECKING:
    from stream_al.service.demo.observer import Observer
    from stream_al.service.report import Run
    from stream_al.testing import Example

FOLDER = Path(".demo")
SAID_EVERY_S = 2.0
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
) -> None:
    """Watch it work: real SMS messages, a real worker and log, simulated people; then a report.

    The last line on stdout is JSON with the figures. With `--log kafka` the same on a broker.

    Example: `stream-al demo --no-live`
    """
    from stream_al.service.demo.arms import ARMS, SEEDS, run_arm  # noqa: PLC0415 - imports River
    from stream_al.service.demo.live import run_live, write_configuration  # noqa: PLC0415
    from stream_al.service.demo.outcome import figures_of, last_line, write_report  # noqa: PLC0415
    from stream_al.service.settings import load_config  # noqa: PLC0415
    from stream_al_connectors.opening import open_log  # noqa: PLC0415

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
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        futures: Futures = {
            (arm, seed): pool.submit(run_arm, examples, arm, seed, share)
            for seed in SEEDS
            for arm in ARMS
        }
        log = open_log(config, create=True)
        try:
            with _shown(live=live, share=share, total=len(examples), futures=futures) as show:
                observer, injected = run_live(
                    log, config, configuration, examples, rate=rate, show=show
                )
                runs = {key: future.result() for key, future in futures.items()}
        finally:
            log.close()
    figures = figures_of(observer, injected, runs, data=data, share=share)
    write_report(figures, report)
    err.print(f"report: {report}", markup=False)
    line: dict[str, Any] = last_line(
        observer, figures, share=share, partitions=config.topics.partitions
    )
    print_json(line | {"report": str(report), "seconds": round(time.monotonic() - started, 1)})


def _examples(events: int | None) -> tuple[str, list[Example]]:
    from stream_al.testing import fetch_sms, load_phishing, load_sms  # noqa: PLC0415

    folder = fetch_sms(FOLDER, lambda said: err.print(said, markup=False))
    examples = load_phishing() if folder is None else load_sms(folder)
    kind = "web pages (the SMS messages can't be had)" if folder is None else "real SMS messages"
    examples = examples[:events]
    return f"{len(examples):,} {kind}", examples


@contextmanager
def _shown(*, live: bool, share: float, total: int, futures: Futures) -> Iterator[Any]:
    """Give the function that shows an observer: a live panel, or a line every two seconds."""
    from stream_al.service.demo.screen import line, panel  # noqa: PLC0415

    def arms_done() -> int:
        return sum(future.done() for future in futures.values())

    if live and sys.stderr.isatty():
        from rich.live import Live  # noqa: PLC0415

        with Live(console=err, refresh_per_second=5) as screen:

            def redraw(observer: Observer) -> None:
                screen.update(
                    panel(observer, share, total, arms=arms_done(), arms_total=len(futures))
                )

            yield redraw
        return
    said = 0.0

    def say(observer: Observer) -> None:
        nonlocal said
        if time.monotonic() - said >= SAID_EVERY_S or observer.events == total:
            said = time.monotonic()
            err.print(line(observer, share, total), markup=False)

    yield say
