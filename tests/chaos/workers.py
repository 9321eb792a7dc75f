"""Processes under a supervisor, as an operator runs them: whoever ends is started again."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from stream_al.service.starting import Role
from tests.integration.conftest import Deployment, Ended, Process

POLL_INTERVAL_S = 15.0
SLOW_S = 19.0
"""How long a slow step takes: the group gives away what its worker owns."""
RESIDENT_MIB_MAX = 400
"""What a worker may hold at any time of a run (I9)."""
_PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / (1 << 20)
_LOOK_S = 0.1


class Workers:
    """One worker a slot, a sender and people; nobody may end for what a restart does not help.

    Parameters
    ----------
    roles
        Of each slot.

    Attributes
    ----------
    ends
        Class of error, or exit code → how many workers ended so.
    resident_mib
        The most that one worker held.
    """

    def __init__(
        self, deployment: Deployment, *, roles: Sequence[Role], rate: int, truth_file: str
    ) -> None:
        self.deployment = deployment
        self._roles = roles
        self._rate = rate
        self._truth_file = truth_file
        self.running: dict[int, Process] = {}
        self.ends: Counter[str] = Counter()
        self.resident_mib = 0.0
        self.sender = self._send()
        self.people = self._answer()
        for slot in range(len(roles)):
            self.start(slot)

    def __getitem__(self, slot: int) -> Process:
        return self.running[slot]

    @property
    def slots(self) -> tuple[int, ...]:
        return tuple(self.running)

    @property
    def scorers(self) -> tuple[int, ...]:
        """The slots whose workers score."""
        return tuple(slot for slot in self.running if self._roles[slot] != "resolver")

    def start(self, slot: int, *, clock_shift_ms: int = 0) -> None:
        """Start the worker of a slot."""
        self.running[slot] = self.deployment.start(
            *("run", "--slot", slot, "--role", self._roles[slot]),
            clock_shift_ms=clock_shift_ms,
            slow_s=SLOW_S,
        )

    def mend(self) -> None:
        """Start what ended."""
        for slot, process in self.running.items():
            if process.poll() is not None:
                self.note(process.wait())
                self.start(slot)
            self._weigh(process.pid)
        if self.sender.poll() is not None:
            self.sender = self._send()
        if self.people.poll() is not None:
            self.people = self._answer()

    def note(self, ended: Ended) -> None:
        """Count why a worker ended."""
        assert ended.code in (0, 1, -signal.SIGKILL), ended
        assert "Traceback" not in ended.err, ended.err[-3_000:]
        lines = ended.err.strip().splitlines()
        self.ends[lines[-1].split(":")[0] if ended.code == 1 else str(ended.code)] += 1

    def settle(self, seconds: float) -> None:
        """Let them work for a while."""
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            self.mend()
            time.sleep(_LOOK_S)

    def end(self) -> None:
        """End everybody in peace, and then read everything to its end."""
        self.mend()
        self.sender.kill()
        self.people.kill()
        for process in self.running.values():
            self.note(process.terminate())
        ended = self.deployment.start("run", "--until-idle").wait(300)
        assert ended.code == 0, ended.err[-3_000:]
        assert self.resident_mib < RESIDENT_MIB_MAX, f"I9: a worker held {self.resident_mib} MiB"

    def _weigh(self, pid: int) -> None:
        with suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            self.resident_mib = max(self.resident_mib, pages * _PAGE_MIB)

    def _send(self) -> Process:
        return self.deployment.start("send", "stream.jsonl", "--rate", self._rate)

    def _answer(self) -> Process:
        return self.deployment.start("@people", 7, self._truth_file)
