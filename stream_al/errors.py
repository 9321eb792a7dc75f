"""The exception tree. Expected trouble is an outcome; these are misuse, doubt and bad input.

::

    StreamAlError
    ├── ConfigurationError      wrong usage or configuration: exit 2, a restart won't help
    │   └── NotAllowed          a topic that this user may not read
    ├── InvalidInput            one record can't be used: dead letter, the stream goes on
    └── InDoubt                 exit 1, restart it; the first word of the line is `kind`
        ├── Fenced              another owner took over
        │   └── Rewound         of one transaction: the member goes on from what is committed
        ├── Gone                data that we need is not there any more: exit 2, as above
        ├── Ambiguous           a step whose result is unknown
        │   └── Stalled         a read that stands still below its end
        ├── Diverged            the same journal gave another model here
        └── NotTaken            a proposal that no resolver took in time: it stays proposed
"""

from __future__ import annotations


class StreamAlError(Exception):
    """Base of all errors of this project."""


class ConfigurationError(StreamAlError):
    """One or more wrong settings; each problem names the field, the value and what to do."""

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class NotAllowed(ConfigurationError):
    """A topic is there that this user may not read."""


INPUT_ERRORS = (
    *("BrokenJson", "MissingField", "WrongType", "TooLarge", "TooDeep", "InvalidProposal"),
    *("TooManyFeatures", "FeatureTooLarge", "WrongFeatureType", "NonFiniteFeature"),
    *("LoneSurrogate", "Quarantined"),
)
"""Classes of input that can't be used; dead letters are counted by them."""


class InvalidInput(StreamAlError):
    """A record that can't be used.

    `error` is a name of `INPUT_ERRORS` (the error class of a dead letter); the message is a
    sentence that names the field, the value and what to do.
    """

    def __init__(self, error: str, message: str) -> None:
        self.error = error
        super().__init__(message)


class InDoubt(StreamAlError):
    """The process can't know its state and must stop.

    Attributes
    ----------
    kind
        The first word of the line that says it.
    exit_code
        1 where a restart may help, 2 where it won't.
    """

    kind = "ambiguous"
    exit_code = 1


class Fenced(InDoubt):
    """Another owner took over; what we did since then must not count."""

    kind = "fenced"


class Rewound(Fenced):
    """A transaction that did not count, since the membership moved while it was made.

    The member itself goes on: its next `poll` takes every partition away and gives those that it
    owns again, so a loop loads them from what is committed. Who can't go on so stops as fenced.
    """


class Gone(InDoubt):
    """Records or a file that a committed position needs are not there, now or after a restart."""

    kind = "gone"
    exit_code = 2


class Ambiguous(InDoubt):
    """A step failed in a way that leaves its result unknown."""

    kind = "ambiguous"


class Stalled(Ambiguous):
    """A client that fetches nothing more, and does not say why."""

    kind = "stalled"


class Diverged(InDoubt):
    """The same journal was folded into another model than the one that is on record."""

    kind = "diverged"


class NotTaken(InDoubt):
    """A proposal that no resolver took in time; it comes into force when one runs."""

    kind = "proposed"
