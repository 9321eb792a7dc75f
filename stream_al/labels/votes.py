"""Several annotators on one query: whose votes there are, and when they settle it.

`decide_votes` is the whole rule and pure: heads are counted until an annotator is known
(`annotators`), then beliefs are compared; a `Ballot` only remembers, and changes only by folding
`vote` records of the journal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stream_al.messages import LabelKind, Source, Vote, VoteEntry


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

SETTLED_BELIEF = 0.98
"""Belief at which votes settle a query, also before all that were wanted are in. Raising it costs
more votes and makes fewer mistakes."""
SETTLING_VOTES_MIN = 2
"""Fewer votes settle by belief never: an annotator whom nobody checks would stay believed."""
LEVEL = 1e-9
"""Beliefs that differ by less are level."""


def decide_votes(
    labels: Sequence[str],
    wanted: int,
    votes_max: int,
    belief: Mapping[str, float] | None = None,
) -> Verdict:
    """Return what the votes on one query come to.

    More than half of the wanted votes settle it. Votes that disagree raise `wanted` by one, up to
    `votes_max`; there the most voted label wins, and a tie stays one.

    With a belief, two votes or more settle as soon as one label is believed enough; a majority
    settles only if it is also what is believed; and in the end the most believed label wins.

    Parameters
    ----------
    labels
        The label of every annotator's current vote, in any order.
    wanted
        Votes wanted so far, at least 1. Raising it costs more labels and makes fewer mistakes.
    votes_max
        Where raising ends; a query that wanted more from the start keeps its own number.
    belief
        Posterior of each voted label; None as long as no annotator is known: heads are counted.

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
    >>> decide_votes(["spam", "ok", "ok"], 3, 3, {"spam": 0.9, "ok": 0.1})
    Settled(label='spam')
    """
    count = len(labels)
    ranked = Counter(labels).most_common(2)
    believed = ranked if belief is None or count < SETTLING_VOTES_MIN else _by_belief(belief)
    if believed is not ranked and believed[0][1] >= SETTLED_BELIEF:
        return Settled(believed[0][0])
    if count < wanted:
        return Undecided(wanted)
    label, most = ranked[0]
    if 2 * most > count and label == believed[0][0]:
        return Settled(label)
    if count < votes_max:
        return Undecided(count + 1)
    level = len(believed) > 1 and believed[0][1] - believed[1][1] < LEVEL
    return Tied() if level else Settled(believed[0][0])


def _by_belief(belief: Mapping[str, float]) -> list[tuple[str, float]]:
    """Return the two most believed labels."""
    return sorted(belief.items(), key=lambda one: (-one[1], one[0]))[:2]


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
    place
        Of the query record in the queries topic.
    wanted
        Votes wanted, once disagreement raised it; None before.
    voices
        Annotator → what they said last; a retracted vote is gone.
    """

    __slots__ = ("place", "voices", "wanted")

    def __init__(self, place: Source) -> None:
        self.place = place
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
