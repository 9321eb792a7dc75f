"""What a worker does when a signal comes, at places that no signal from outside can choose.

SIGUSR1: the next event takes longer than the group waits for a poll, while the client's own thread
goes on. SIGUSR2: the process dies inside its next transaction, everything sent and nothing
committed; SIGRTMIN: the same in the next transaction of the resolver.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from stream_al.engine import Engine
from stream_al_connectors.kafka.member import KafkaMember

SLOW = signal.SIGUSR1
DIE = signal.SIGUSR2
DIE_AS_RESOLVER = signal.SIGRTMIN


def stumble(slow_s: float) -> None:
    """Do so in this process from now on; an event takes `slow_s`."""
    due: set[int] = set()
    for number in (SLOW, DIE, DIE_AS_RESOLVER):
        signal.signal(number, lambda came, _: due.add(came))
    score, new_writer = Engine.score, KafkaMember._new_writer

    def slow_score(self: Engine, *event: Any, **how: Any) -> Any:
        if SLOW in due:
            due.discard(SLOW)
            time.sleep(slow_s)
        return score(self, *event, **how)

    def mortal_writer(self: KafkaMember) -> Any:
        writer: Any = new_writer(self)
        commit = writer.commit

        def deadly_commit() -> None:
            if DIE in due or (DIE_AS_RESOLVER in due and self._elects):
                writer._producer.flush()
                os.kill(os.getpid(), signal.SIGKILL)
            commit()

        writer.commit = deadly_commit
        return writer

    Engine.score = slow_score  # type: ignore[method-assign]
    KafkaMember._new_writer = mortal_writer  # type: ignore[method-assign]
