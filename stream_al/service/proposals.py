"""Operators propose, the resolver journals: append a proposal, wait until it is in force."""

from __future__ import annotations

import time

from stream_al.config import Config
from stream_al.messages import ControlEntry, ControlProposal, ModelEntry
from stream_al.port import Log, Outgoing
from stream_al.service.view import journal

IN_FORCE_WAIT_S = 3.0
IN_FORCE_POLL_S = 0.02


def propose(log: Log, config: Config, proposals: list[ControlProposal]) -> None:
    """Append proposals to the controls topic, in one step."""
    log.append(
        config.topic("controls"), [Outgoing(value=proposal.to_wire()) for proposal in proposals]
    )


def propose_and_wait(log: Log, config: Config, proposal: ControlProposal) -> int | None:
    """Append `proposal`; return the journal position from which it is in force.

    None when no resolver took it within `IN_FORCE_WAIT_S`: it is recorded, and comes into force
    when one runs.
    """
    start = log.end(config.topic("journal"), 0)
    propose(log, config, [proposal])
    deadline = time.monotonic() + IN_FORCE_WAIT_S
    while time.monotonic() < deadline:
        position = journaled(log, config, proposal.proposal_id, start)
        if position is not None:
            return position
        time.sleep(IN_FORCE_POLL_S)
    return None


def journaled(log: Log, config: Config, proposal_id: str, start: int) -> int | None:
    """Return the position after the journal record of a proposal, looked for from `start` on."""
    for offset, entry in journal(log, config, start):
        if isinstance(entry, ControlEntry | ModelEntry) and entry.proposal_id == proposal_id:
            return offset + 1
    return None
