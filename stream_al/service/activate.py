"""`model activate`: starts the configured model, also when no worker of this configuration may run.

A worker of another configuration journals the proposal and then ends. Where none runs, this process
becomes the resolver for as long as that takes.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

from stream_al.config import Config
from stream_al.messages import ControlProposal
from stream_al.model import Model
from stream_al.port import Log
from stream_al.service.counters import Counters
from stream_al.service.proposals import journaled, propose
from stream_al.service.resolver import ResolverLoop

ACTIVATE_WAIT_S = 10.0
POLL_S = 0.05


def activate(
    log: Log, config: Config, *, actor: str, reason: str, now_ms: Callable[[], int]
) -> int | None:
    """Propose the configured model; return the journal position from which it is in force.

    None when neither a running resolver nor this process could journal it in time.
    """
    start = log.end(config.topic("journal"), 0)
    proposal = ControlProposal(
        kind="model",
        proposal_id=uuid.uuid4().hex,
        actor=actor,
        reason=reason,
        config_hash=config.model_hash(),
        preset=config.model.factory or config.model.preset,
    )
    propose(log, config, [proposal])
    resolver = ResolverLoop(
        log,
        config,
        name="activate",
        counters=Counters(),
        clean=Model(config).clean,
        now_ms=now_ms,
        any_lineage=True,
    )
    deadline = time.monotonic() + ACTIVATE_WAIT_S
    try:
        while time.monotonic() < deadline:
            resolver.step(timeout_s=POLL_S)
            position = journaled(log, config, proposal.proposal_id, start)
            if position is not None:
                return position
    finally:
        resolver.leave()
    return None
