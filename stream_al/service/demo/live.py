"""The live half of the demo: a feeder, the real worker as a process of its own, and people."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

from stream_al.config import Config
from stream_al.errors import Ambiguous
from stream_al.messages import Label
from stream_al.port import Log, Outgoing
from stream_al.private_files import append_to, write_whole
from stream_al.service.demo.arms import DELAY_EVENTS_MAX, people
from stream_al.service.demo.observer import Observer
from stream_al.testing import Example, Injected

TICK_S = 0.1
STUCK_S = 60.0
WORKER_LEAVES_S = 10.0
SHOWN_EVERY_S = 0.2


def write_configuration(folder: Path, share: float, bootstrap: str | None) -> Path:
    """Write the demo's configuration into `folder`; return its path.

    Parameters
    ----------
    bootstrap
        Brokers, separated by commas: topics of its own there, in place of a file.
    """
    log: dict[str, object] = {"path": "demo.db"}
    gate: dict[str, object] = {"budget": {"share": share}}
    app = "demo"
    if bootstrap is not None:
        app = f"demo-{secrets.token_hex(4)}"
        log = {"connector": "kafka", "bootstrap_servers": bootstrap.split(",")}
        secret = folder / "gate.secret"
        write_whole(secret, secrets.token_hex(32))
        gate["secret_file"] = secret.name
    body = {"app": app, "log": log, "gate": gate, "http": {"port": 0}}
    path = folder / "stream-al.yaml"
    write_whole(path, yaml.safe_dump(body, sort_keys=False))
    return path


def run_live(
    log: Log,
    config: Config,
    configuration: Path,
    examples: Sequence[Example],
    *,
    rate: float,
    show: Callable[[Observer], None],
) -> tuple[Observer, Injected]:
    """Send every example to a real worker and answer its queries; return what was seen.

    Raises
    ------
    Ambiguous
        When the worker ends or stands still before everything is done.
    """
    truth = {example.event.event_id: example.label for example in examples}
    observer = Observer(log, config, truth)
    annotators = people(examples, config.model.seed)
    worker = _start_worker(configuration)
    try:
        _await_ready(log, config, worker, configuration, lambda: show(observer))
        sent, answered = 0, 0
        started = moved = shown = time.monotonic()
        done = (-1, -1)
        while True:
            now_s = time.monotonic()
            target = min(len(examples), int((now_s - started) * rate) + 1)
            _send_events(log, config, examples[sent:target])
            sent = target
            for query in observer.look():
                annotators.ask(query, truth[query.event_id], sent)
            # After the last event time goes on for the people: as if more events came.
            late = sent + (DELAY_EVENTS_MAX if observer.events == len(examples) else 0)
            labels = annotators.due(late)
            _send_labels(log, config, labels)
            answered += len(labels)
            if now_s - shown > SHOWN_EVERY_S:
                shown = now_s
                show(observer)
            if (observer.events, observer.outcomes.total()) != done:
                done, moved = (observer.events, observer.outcomes.total()), now_s
            # Predictions may be seen before their queries, though they became visible together.
            all_asked = len(observer.queries) == observer.asked
            done_all = done == (len(examples), answered) and not annotators.outstanding_count
            if all_asked and done_all:
                break
            if worker.poll() is not None or now_s - moved > STUCK_S:
                raise _stuck(worker, configuration)
            time.sleep(TICK_S)
        observer.look()
        observer.sample()
        show(observer)
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait(WORKER_LEAVES_S)
    return observer, annotators.injected


def _start_worker(configuration: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-m", "stream_al", "run", "--config", str(configuration)]
    with os.fdopen(append_to(configuration.with_name("worker.log")), "ab") as messages:
        return subprocess.Popen(  # noqa: S603 - our own command, no shell
            command, stdin=subprocess.DEVNULL, stdout=messages, stderr=messages
        )


def _await_ready(
    log: Log,
    config: Config,
    worker: subprocess.Popen[bytes],
    configuration: Path,
    show: Callable[[], None],
) -> None:
    """Wait for the worker's first journal record: River takes a second or two to import."""
    deadline = time.monotonic() + STUCK_S
    while log.end(config.topic("journal"), 0) == 0:
        if worker.poll() is not None or time.monotonic() > deadline:
            raise _stuck(worker, configuration)
        show()
        time.sleep(TICK_S)


def _stuck(worker: subprocess.Popen[bytes], configuration: Path) -> Ambiguous:
    code = worker.poll()
    state = "stands still" if code is None else f"ended with exit code {code}"
    messages = configuration.with_name("worker.log")
    return Ambiguous(f"the demo's worker {state}; its messages are in {messages}")


def _send_events(log: Log, config: Config, examples: Sequence[Example]) -> None:
    if examples:
        log.append(
            config.topic("events"),
            [
                Outgoing(value=example.event.to_wire(), key=example.event.event_id.encode())
                for example in examples
            ],
        )


def _send_labels(log: Log, config: Config, labels: Sequence[Label]) -> None:
    if labels:
        log.append(
            config.topic("labels"),
            [Outgoing(value=label.to_wire(), key=label.event_id.encode()) for label in labels],
        )
