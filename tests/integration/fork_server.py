"""Forks real processes that run one command each: a process that is killed needs no second import.

Reads one JSON object a line from stdin and answers with one a line. It has imported everything and
touched nothing: no log is open, no thread runs. What it forks is a process like any other; it has
the command line's own entry, its own files, and dies of SIGKILL.
"""

from __future__ import annotations

import json
import os
import pkgutil
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any

import stream_al
import stream_al_connectors
from stream_al.model import baseline
from stream_al.service import activate, annotate, cli, worker
from stream_al.service.main import run
from tests.integration import simulated
from tests.integration.stumbles import stumble

IMPORTED = (activate, annotate, baseline, cli, worker)


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    for line in sys.stdin:
        order = json.loads(line)
        if "import_all" in order:
            answer = _import_all()
        elif "poll" in order:
            answer = _status(order["poll"])
        else:
            answer = os.fork()
            if answer == 0:
                answers.close()
                _child(order)
        answers.write(json.dumps(answer) + "\n")


def _import_all() -> int:
    """Import all that a command may need: a child of another user can't read the interpreter."""
    known = len(sys.modules)
    for package in (stream_al, stream_al_connectors):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            with suppress(ImportError):  # of an extra
                import_module(module.name)
    for name in ("rich.progress", "rich.markdown", "encodings.idna"):
        with suppress(ImportError):
            import_module(name)
    return len(sys.modules) - known


def _status(pid: int) -> int | None:
    done, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if done else None


def _child(order: dict[str, Any]) -> None:
    code = 1
    try:
        _become(order)
        arguments = order["arguments"]
        helper: Callable[..., int] | None = getattr(simulated, arguments[0].lstrip("@"), None)
        if arguments[0].startswith("@") and helper is not None:
            code = helper(*arguments[1:])
        else:
            code = run(arguments)
    except SystemExit as error:
        code = int(error.code or 0)
    except BaseException:  # noqa: BLE001 - whatever it is, the child ends here and says it
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)


def _become(order: dict[str, Any]) -> None:
    os.chdir(order["folder"])
    os.environ.update(order["environment"])
    for target, path, flags in (
        (0, order["stdin"], os.O_RDONLY),
        (1, order["stdout"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        (2, order["stderr"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    ):
        descriptor = os.open(path, flags, 0o644)
        os.dup2(descriptor, target)
        os.close(descriptor)
    sys.stdin = os.fdopen(0, "r", closefd=False)
    if order.get("uid"):
        for name in ("LOGNAME", "USER", "LNAME", "USERNAME", "HOME"):
            os.environ.pop(name, None)
        os.setgroups([])
        os.setresgid(*(order["uid"],) * 3)
        os.setresuid(*(order["uid"],) * 3)
    if order["slow_s"]:
        stumble(order["slow_s"])
    if order["clock_shift_ms"]:
        real, shift_ns = time.time_ns, order["clock_shift_ms"] * 1_000_000
        time.time_ns = lambda: real() + shift_ns
    if order["file_bytes_max"] is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        limit = order["file_bytes_max"]
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


if __name__ == "__main__":
    main()
