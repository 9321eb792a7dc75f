"""Operators propose, the resolver journals: append a proposal, wait until it is in force."""

from __future__ import annotations

import time
from dataclasses import dataclass

from stream_al.config import Config
from stream_al.engine import parse
from stream_al.errors import ConfigurationError, InvalidInput, NotAllowed, NotTaken
from stream_al.messages import (
    ControlEntry,
    ControlProposal,
    DeadLetter,
    ModelEntry,
    read_journal_record,
)
from stream_al.port import Log, Outgoing
from stream_al.service.view import records
from stream_al_connectors.opening import in_log

IN_FORCE_WAIT_S = 3.0
IN_FORCE_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Answer:
    """What a resolver made of a proposal; neither while none took it.

    Attributes
    ----------
    position
        The journal position from which it is in force.
    refused
        Why it is not, and never will be.
    """

    position: int | None = None
    refused: str | None = None


class Proposed:
    """One proposal on its way: appended, then looked for in the journal and among dead letters."""

    def __init__(self, log: Log, config: Config, proposal: ControlProposal) -> None:
        self._log = log
        self._config = config
        self._proposal_id = proposal.proposal_id
        self._journal_from = log.end(config.topic("journal"), 0)
        self._letters = config.topic("dead_letters")
        # Who may not see that topic learns only whether it is in force.
        self._seen = log.partition_count(self._letters) > 0
        self._letters_from = log.end(self._letters, 0) if self._seen else 0
        ((_, self._offset),) = propose(log, config, [proposal])

    def answer(self) -> Answer | None:
        """Return what became of it; None while no resolver took it."""
        for record in records(self._log, self._config.topic("journal"), 0, self._journal_from):
            try:
                entry = read_journal_record(record.value)
            except ConfigurationError:
                continue  # a stray, or of a newer version: who folds the journal judges it
            match entry:
                case ControlEntry() | ModelEntry() if entry.proposal_id == self._proposal_id:
                    return Answer(position=record.offset + 1)
        return self._refusal() if self._seen else None

    def _refusal(self) -> Answer | None:
        controls = self._config.topic("controls")
        try:
            found = list(records(self._log, self._letters, 0, self._letters_from))
        except NotAllowed:  # a topic that this user may see
            self._seen = False
            return None
        for record in found:
            try:
                letter = parse(DeadLetter, record.value)
            except InvalidInput:
                continue
            if (letter.topic, letter.offset) == (controls, self._offset):
                return Answer(refused=letter.message)
        return None


def in_force_from(answer: Answer, config: Config) -> int:
    """Return the journal position from which a proposal is in force.

    Raises
    ------
    ConfigurationError
        When a resolver refused it.
    NotTaken
        When no resolver took it in time.
    """
    if answer.refused is not None:
        raise ConfigurationError(f"the resolver refused it: {answer.refused}")
    if answer.position is None:
        raise NotTaken(
            "not in force: no resolver took it in time; it stays proposed in "
            f"{in_log(config, 'controls')}, and comes into force when `stream-al run` runs there"
        )
    return answer.position


def propose(log: Log, config: Config, proposals: list[ControlProposal]) -> list[tuple[int, int]]:
    """Append proposals to the controls topic, in one step; return the place of each."""
    return log.append(
        config.topic("controls"), [Outgoing(value=proposal.to_wire()) for proposal in proposals]
    )


def propose_and_wait(log: Log, config: Config, proposal: ControlProposal) -> Answer:
    """Append `proposal`; return what a resolver made of it within `IN_FORCE_WAIT_S`.

    What none took by then stays proposed, and comes into force when one runs.
    """
    proposed = Proposed(log, config, proposal)
    deadline = time.monotonic() + IN_FORCE_WAIT_S
    while time.monotonic() < deadline:
        answer = proposed.answer()
        if answer is not None:
            return answer
        time.sleep(IN_FORCE_POLL_S)
    return Answer()
