"""The fast transport with model and gate, against Quix Streams that only passes JSON on.

Both exactly once and over librdkafka. Quix Streams is a tool of this benchmark: it lives in an
environment of its own, made on first use.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from tests.benchmarks.kafka_app import EVENTS, ROOT, App, broker, cpu_s, per_event, spread
from tests.benchmarks.row import NotMeasured, Row

PAIRS = 5

QUIX = ROOT / "build" / "quix"
PINNED = Path(__file__).with_name("quix.txt")


def fast_rows() -> Iterable[Row]:
    """Events per CPU second: this worker on the fast transport ÷ Quix Streams without a model."""
    if find_spec("confluent_kafka") is None:
        raise NotMeasured("the extra `fast` is not installed: pip install 'stream-al[fast]'")
    python = _quix()
    ratios, ours, theirs = [], [], []
    with broker() as place:
        source = App(place, "quix")
        target = source.config.topic("predictions")
        events = {"events": source.config.topic("events")}
        app = App(place, "fast", log={"transport": "fast"}, topics=events).taught()
        script, folder = str(Path(__file__).with_name("quix_loop.py")), str(place.folder)
        quix = [str(python), script, place.address, events["events"], target, folder]
        for _ in range(PAIRS):
            start_s = app.run_cpu_s()
            source.fill()
            theirs.append(cpu_s([*quix, str(EVENTS)]) - cpu_s([*quix, "0"]))
            ours.append(app.run_cpu_s() - start_s)
            ratios.append(theirs[-1] / ours[-1])
    detail = f"{per_event(ours)} to {per_event(theirs)}; {spread(ratios)}"
    name = "kafka: fast transport ÷ Quix Streams, events per CPU second"
    yield Row(name, statistics.median(ratios), 1.2, True, detail)


def _quix() -> Path:
    """Return the Python that has Quix Streams as pinned.

    Raises
    ------
    NotMeasured
        When it can't be installed.
    """
    python, done = QUIX / "bin" / "python", QUIX / PINNED.name
    if done.exists() and done.read_bytes() == PINNED.read_bytes():
        return python
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(PINNED)]
    try:
        subprocess.run([sys.executable, "-m", "venv", str(QUIX)], check=True)
        subprocess.run([str(python), *install], check=True)
    except subprocess.CalledProcessError as error:
        raise NotMeasured(
            f"Quix Streams can't be installed into {QUIX.relative_to(ROOT)} (code "
            f"{error.returncode}); put what {PINNED.relative_to(ROOT)} lists there, and run again"
        ) from None
    done.write_bytes(PINNED.read_bytes())
    return python


ROWS = {"kafka-fast": fast_rows}
