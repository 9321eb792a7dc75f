"""Processes of an evaluation are started whole, whoever hears Ctrl-C meanwhile."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress

from stream_al.service.evaluate.pool import _interrupts_held


def test_ctrl_c_that_another_thread_hears_waits_too() -> None:
    """C14: a progress bar or a numeric library has threads, and the system gives it to any."""
    done, reached, interrupted = threading.Event(), False, True
    other = threading.Thread(target=done.wait)
    other.start()
    before = signal.getsignal(signal.SIGINT)
    try:
        with suppress(KeyboardInterrupt):
            with _interrupts_held():
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.2)
                reached = True
            interrupted = False
    finally:
        done.set()
        other.join()

    assert (reached, interrupted) == (True, True)
    assert signal.getsignal(signal.SIGINT) is before
    assert signal.pthread_sigmask(signal.SIG_BLOCK, set()) == set()
