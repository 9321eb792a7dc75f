"""`stream-al broker`: a real Kafka on this machine without Docker or Java, to try things out."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path
from typing import Annotated, Literal

import typer
import yaml
from rich.text import Text

from stream_al.service.commands.common import JsonOption, err, print_json

FOLDER = ".stream-al-broker"
LINE_MAX = 4096
"""A path is not broken into lines."""


def register(app: typer.Typer) -> None:
    """Add this command to `app`."""
    app.command()(broker)


def broker(
    nodes: Annotated[int, typer.Option(help="1, or 3 that replicate.")] = 1,
    port: Annotated[int, typer.Option(min=1, max=65_500, help="Of the first node.")] = 9092,
    folder: Annotated[
        Path, typer.Option("--dir", help="Data, logs, passwords; goes on with what is there.")
    ] = Path(FOLDER),
    security: Annotated[
        Literal["plaintext", "scram", "ssl"], typer.Option(help="Passwords, or certificates.")
    ] = "plaintext",
    as_json: JsonOption = False,
) -> None:
    """Run a real Kafka broker here until Ctrl-C. Its topics are kept in `--dir`.

    Needs the extra `broker`; the first start fetches the broker's jars, 42 MB.

    Example: `stream-al broker --port 9092`
    """
    from stream_al_connectors.kafka.broker import Cluster  # noqa: PLC0415 - an extra's imports

    cluster = Cluster(folder, nodes=nodes, port=port, security=security)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    err.print(f"starting {nodes} node(s) …")
    try:
        cluster.start()
        servers, section = cluster.bootstrap_servers, cluster.security_section()
        if as_json:
            print_json({"bootstrap_servers": servers, "dir": str(folder), "security": section})
        else:
            print(",".join(servers))
        sys.stdout.flush()
        log = {"connector": "kafka", "bootstrap_servers": servers, "security": section}
        err.print("# for stream-al.yaml; Ctrl-C stops the broker", markup=False)
        err.print(Text(yaml.safe_dump({"log": log}, sort_keys=False, width=LINE_MAX)))
        stopped.wait()
    finally:
        cluster.close()
