"""Where the reading of inputs begins, as a fold over the journal's `start` records."""

from __future__ import annotations

from typing import NamedTuple

from stream_al.messages.journal import StartEntry

RENEWED_MAX = 1_000
"""Places of a partition where its state began again, the newest."""


class Start(NamedTuple):
    """Where the reading of one partition of an input begins.

    Attributes
    ----------
    first
        The first offset that counts.
    outputs
        Short name of an output topic → its first record that answers these inputs.
    renewed
        Later offsets at which what is kept beside a position began again.
    """

    first: int = 0
    outputs: dict[str, int] = {}
    renewed: tuple[int, ...] = ()


class Starts:
    """The starts of every partition of `events` and `labels`; those not named begin at 0.

    Examples
    --------
    >>> starts = Starts()
    >>> starts.fold(StartEntry(at_ms=0, starts=(7, None), actor="ops", reason="--from latest",
    ...                        outputs={"predictions": (3, 0)}))
    >>> starts.of("events", 0), starts.of("events", 1).first
    (Start(first=7, outputs={'predictions': 3}, renewed=()), 0)
    """

    def __init__(self, begun: dict[tuple[str, int], Start] | None = None) -> None:
        self.begun: dict[tuple[str, int], Start] = dict(begun or {})

    def of(self, topic: str, partition: int) -> Start:
        """Return where a partition of `events` or `labels` begins."""
        return self.begun.get((topic, partition), Start())

    def fold(self, entry: StartEntry) -> None:
        """Take in one record of the journal."""
        for partition, first in enumerate(entry.starts):
            if first is None:
                continue
            place = entry.topic, partition
            if entry.outputs:
                ends = {name: of[partition] for name, of in entry.outputs.items()}
                self.begun[place] = Start(first, ends)
            else:
                known = self.of(*place)
                renewed = (*known.renewed, first)[-RENEWED_MAX:]
                self.begun[place] = known._replace(renewed=renewed)
