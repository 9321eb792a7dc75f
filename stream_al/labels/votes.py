"""Several annotators on one query: whose votes there are, and when they settle it.

`decide_votes` is the whole rule and pure; a `Ballot` only remembers, and changes only by folding
`vote` records of the journal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from stream_al.messages import LabelKind, Vote, VoteEntry


@dataclass(frozen=True, slots=True)
class Settled:
    """The votes agree on `label`."""

    label: str


@dataclass(frozen=True, slots=True)
class Undecided:
    """More votes are needed: `wanted` in all."""

    wanted: int


@dataclass(frozen=True, slots=True)
class Tied:
    """The last vote is in and the most voted labels are level."""


Verdict = Settled | Undecided | Tied


def decide_votes(labels: Sequence[str], wanted: int, votes_max: int) -> Verdict:
    """Return what the votes on one query come to.

    More than half of the wanted votes settle it. Votes that disagree raise `wanted` by one, up to
    `votes_max`; there the most voted label wins, and a tie stays one.

    Parameters
    ----------
    labels
        The label of every annotator's current vote, in any order.
    wanted
        Votes wanted so far, at least 1. Raising it costs more labels and makes fewer mistakes.
    votes_max
        Where raising ends; a query that wanted more from the start keeps its own number.

    Examples
    --------
    >>> decide_votes(["spam"], 1, 3)
    Settled(label='spam')
    >>> decide_votes(["spam"], 2, 3)
    Undecided(wanted=2)
    >>> decide_votes(["spam", "ok"], 2, 3)
    Undecided(wanted=3)
    >>> decide_votes(["spam", "ok", "spam"], 3, 3)
    Settled(label='spam')
    >>> decide_votes(["spam", "ok", "abuse"], 3, 3)
    Tied()
    """
    count = len(labels)
    if count < wanted:
        return Undecided(wanted)
    ranked = Counter(labels).most_common(2)
    label, most = ranked[0]
    if 2 * most > count:
        return Settled(label)
    if count < votes_max:
        return Undecided(count + 1)
    return Tied() if ranked[1][1] == most else Settled(label)


@dataclass(frozen=True, slots=True)
class Voice:
    """What one annotator said last about a pending query; `label` is None for a skip or unsure."""

    kind: LabelKind
    label: str | None
    revision: int


class Ballot:
    """What annotators said about one pending query.

    Bounded: votes by `votes_max` (a query is settled or tied there), skips by `skips_max`.

    Attributes
    ----------
    wanted
        Votes wanted, once disagreement raised it; None before.
    voices
        Annotator → what they said last; a retracted vote is gone.
    """

    __slots__ = ("voices", "wanted")

    def __init__(self) -> None:
        self.wanted: int | None = None
        self.voices: dict[str, Voice] = {}

    def take(self, entry: VoteEntry) -> None:
        """Fold a `vote` record."""
        if entry.vote_kind == "retract":
            self.voices.pop(entry.annotator, None)
        else:
            voice = Voice(entry.vote_kind, entry.label, entry.revision)
            self.voices[entry.annotator] = voice
        if entry.votes_wanted is not None:
            self.wanted = entry.votes_wanted

    def votes(self, *, without: str | None = None) -> tuple[Vote, ...]:
        """Return the current votes, oldest first, but for those of the annotator `without`."""
        return tuple(
            Vote(annotator=annotator, label=voice.label, revision=voice.revision)
            for annotator, voice in self.voices.items()
            if voice.label is not None and annotator != without
        )

    def passed_by(self) -> tuple[str, ...]:
        """Return the annotators who skipped or were unsure."""
        return tuple(name for name, voice in self.voices.items() if voice.label is None)
