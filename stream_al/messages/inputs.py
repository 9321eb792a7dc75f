"""What of a worker's configuration decides predictions and queries, as the journal has it.

One digest a key, so that a worker that differs can say in what; and the mapping itself, so that old
events can be read again as they were.
"""

from __future__ import annotations

from typing import Any

from stream_al.messages.base import OwnMessage

SECRET_KEY = "gate.secret"  # noqa: S105 - the name of a key, not a secret


class Inputs(OwnMessage):
    """One configuration, as far as it decides predictions and queries.

    Attributes
    ----------
    digests
        Key → digest of its value. A key that is missing has its default; the secret's is a slow
        hash, and missing where whoever wrote this did not know the secret.
    events
        The `events` section, without what has its default.
    classes
        The closed set of classes, if there is one.
    """

    digests: dict[str, str]
    events: dict[str, Any] = {}
    classes: tuple[str, ...] | None = None

    def after(self, before: Inputs | None) -> Inputs:
        """Return these with the secret of `before`, where this one's is not known.

        Examples
        --------
        >>> before = Inputs(digests={"gate.secret": "a", "model.seed": "b"})
        >>> Inputs(digests={}).after(before).digests
        {'gate.secret': 'a'}
        """
        known = None if before is None else before.digests.get(SECRET_KEY)
        if known is None or SECRET_KEY in self.digests:
            return self
        return self.model_copy(update={"digests": self.digests | {SECRET_KEY: known}})
