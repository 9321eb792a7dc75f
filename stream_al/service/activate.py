"""`model activate`, `mapping activate`: also when no worker of this configuration may run.

A worker of another configuration journals the proposal and then ends. Where none runs, this process
becomes the resolver for as long as that takes.
"""

from __future__ import annotations

import uuid

from stream_al.config import Config
from stream_al.messages import ControlProposal, Inputs, LineageStart, Selected
from stream_al.model import Model
from stream_al.port import Log
from stream_al.service.clock import Clock
from stream_al.service.counters import Counters
from stream_al.service.proposals import Answer, Proposed
from stream_al.service.resolver import ResolverLoop

ACTIVATE_WAIT_S = 10.0
POLL_S = 0.05


def lineage_proposal(
    config: Config,
    *,
    actor: str,
    reason: str,
    start: LineageStart = "empty",
    without: tuple[str, ...] = (),
    learn_frozen: bool = False,
    selected: Selected | None = None,
    inputs: Inputs | None = None,
) -> ControlProposal:
    """Return the proposal of a new lineage of the configured model.

    `inputs`: the mapping that is put in force with it; None to leave that as it is.
    """
    return ControlProposal(
        kind="model",
        proposal_id=uuid.uuid4().hex,
        actor=actor,
        reason=reason,
        config_hash=config.model_hash(),
        preset=config.model.factory or config.model.preset,
        start=start,
        without=without,
        learn_frozen=learn_frozen,
        selected=selected,
        inputs=inputs,
    )


def mapping_proposal(config: Config, inputs: Inputs, *, actor: str, reason: str) -> ControlProposal:
    """Return the proposal of the configured mapping."""
    return ControlProposal(
        kind="mapping",
        proposal_id=uuid.uuid4().hex,
        actor=actor,
        reason=reason,
        config_hash=config.model_hash(),
        inputs=inputs,
    )


def activate(log: Log, config: Config, proposal: ControlProposal, *, clock: Clock) -> Answer:
    """Propose a lineage or mapping; return what became of it.

    Neither in force nor refused when no running resolver, nor this process, journaled it in time.
    """
    proposed = Proposed(log, config, proposal)
    resolver = ResolverLoop(
        log,
        config,
        name="activate",
        counters=Counters(),
        clean=Model(config).clean,
        clock=clock,
        any_lineage=True,
    )
    deadline = clock.monotonic_s() + ACTIVATE_WAIT_S
    try:
        while clock.monotonic_s() < deadline:
            resolver.step(timeout_s=POLL_S)
            answer = proposed.answer()
            if answer is not None:
                return answer
    finally:
        resolver.leave()
    return Answer()
