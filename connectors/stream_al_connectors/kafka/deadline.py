"""A deadline for calls that may wait for ever: past it the process ends, since nobody knows more.

kafka-python loses a transactional request when its coordinator's broker is away at the wrong
moment, and then `commit_transaction` never returns though the cluster is well. No time-out of the
client covers that. So a thread looks at the clock, says what hung in one line, and ends the process
with exit code 1; what starts it again finds everything as it was committed.

A client in C can keep that thread from running, too: some calls of librdkafka wait with the lock
of the interpreter. Then a timer outside of it ends the process, and shows the stack instead.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from stream_al.escaping import visible

LOOK_EVERY_S = 0.2
STILL_S = 30.0
"""On top of the deadline: so long the interpreter may stand still."""


def end_process(line: str) -> None:
    """Write `line` and end the process at once, whatever its threads are doing."""
    try:
        logger = logging.getLogger("stream_al.exit")
        if logger.hasHandlers():  # a command's, which writes such lines in the format of its log
            kind, _, message = line.partition(": ")
            fields = {"kind": kind, "message": message, "exit_code": 1}
            logger.critical("%s", line, extra={"event": "exit", "fields": fields})
        else:
            sys.stderr.write(visible(line) + "\n")
            sys.stderr.flush()
    finally:
        os._exit(1)


class Deadline:
    """Watches one thread's calls.

    Parameters
    ----------
    seconds
        What a guarded call may take when it does not say otherwise.
    expire
        What to do with the line of a call that took longer.

    Examples
    --------
    >>> deadline = Deadline(30.0)
    >>> with deadline.guard("commit of 'spam.events'"):
    ...     pass
    >>> deadline.close()
    """

    def __init__(self, seconds: float, *, expire: Callable[[str], None] = end_process) -> None:
        self._seconds = seconds
        self._expire = expire
        self._guarded: tuple[str, float, float] | None = None  # what, began, until
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="deadline", daemon=True)
        self._thread.start()

    @contextmanager
    def guard(self, what: str, seconds: float | None = None) -> Iterator[None]:
        """End the process when the block takes longer; blocks may lie within each other."""
        outer = self._guarded
        now = time.monotonic()
        until = now + (self._seconds if seconds is None else seconds)
        # Of two deadlines the earlier one counts, and the line says whose it is.
        self._guarded = outer if outer is not None and outer[2] < until else (what, now, until)
        try:
            yield
        finally:
            self._guarded = outer

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        self._thread.join()

    def _watch(self) -> None:
        try:
            self._look()
        finally:
            faulthandler.cancel_dump_traceback_later()

    def _look(self) -> None:
        while not self._closed.wait(LOOK_EVERY_S):
            # One timer a process: of several deadlines the last to look sets it anew.
            faulthandler.dump_traceback_later(self._seconds + STILL_S, exit=True, file=2)
            guarded = self._guarded
            if guarded is None:
                continue
            what, began, until = guarded
            now = time.monotonic()
            if now > until:
                self._expire(
                    f"deadline: {what} has not ended after {now - began:.1f} s; "
                    "restart this worker, and look at the brokers when it happens again"
                )
                return
