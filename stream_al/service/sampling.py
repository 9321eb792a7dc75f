"""A sample of records, read as the configuration says: what it has, what the paths do not find.

`check --sample` asks it about lines of a file, `status` about records of the log. Pure but for
counting; everything kept is bounded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any

from stream_al.config import Config
from stream_al.engine import EventReader
from stream_al.engine.paths import at, decoded, is_given, path_of
from stream_al.errors import InvalidInput
from stream_al.messages import Event
from stream_al.service.grouping import Problems
from stream_al.service.looking import paths_of
from stream_al.service.repeats import Repeats

NAMES_MAX = 4_096
PATHS_MAX = 2_000
PATH_DEPTH_MAX = 8
LIKE_ENOUGH = 0.6
PATHS_SHOWN = 12
SHARE_BEFORE_MIN = 0.2
EVENTS_MIN = 20
"""Below so many events nothing is said of a share that fell."""


class Paths:
    """The dotted paths that records have, and those that the configuration looks for.

    Attributes
    ----------
    count
        Records looked at.
    present
        Dotted path → records in which it leads to something; at most `PATHS_MAX`.
    """

    def __init__(self, config: Config, topic: str) -> None:
        self._wanted = paths_of(config, topic)
        self._given: Counter[str] = Counter()
        self.count = 0
        self.present: Counter[str] = Counter()

    def look(self, value: bytes) -> None:
        """Take in a record; one that is no JSON has no paths."""
        self.count += 1
        try:
            body = decoded(value)
        except InvalidInput:
            return
        for setting, path in self._wanted.items():
            self._given[setting] += is_given(at(body, path_of(path)))
        for path in dict.fromkeys(_paths_in(body)):
            if path in self.present or len(self.present) < PATHS_MAX:
                self.present[path] += 1

    def unfound(self) -> list[str]:
        """Return a sentence for each configured path that leads to nothing in every record."""
        return [
            f"{setting}: `{path}`: in 0 of {self.count} lines; {self._advice(path)}"
            for setting, path in self._wanted.items()
            if self.count and not self._given[setting]
        ]

    def _advice(self, path: str) -> str:
        close = get_close_matches(path, list(self.present), n=1, cutoff=LIKE_ENOUGH)
        if close:
            return f"did you mean `{close[0]}`?"
        return f"the lines have {self.shown()}" if self.present else "no line is a JSON object"

    def shown(self) -> str:
        """Return the most frequent paths, for people."""
        found = ", ".join(f"`{name}`" for name, _ in self.present.most_common(PATHS_SHOWN))
        return found + (" …" if len(self.present) > PATHS_SHOWN else "")


class EventSample:
    """Events of a sample.

    Attributes
    ----------
    count
        Records given, those that can't be read among them.
    present
        Feature → events that have it.
    paths
        What the records have.
    repeats
        Ids that came again with other features.
    problems
        Records that can't be read.
    """

    def __init__(self, config: Config) -> None:
        self._native = config.events.native
        self._reader = EventReader(config.events)
        self.count = 0
        self.present: Counter[str] = Counter()
        self.paths = Paths(config, "events")
        self.repeats = Repeats(config.events)
        self.problems = Problems()

    def take(self, value: bytes, place: int) -> Event | None:
        """Take in a record; return the event, None when it can't be read."""
        self.count += 1
        self.paths.look(value)
        try:
            event = self._reader.read(value)
        except InvalidInput as error:
            self.problems.note(place, error)
            return None
        for name, found in event.features.items():
            if found is not None and (name in self.present or len(self.present) < NAMES_MAX):
                self.present[name] += 1
        self.repeats.note(event, value)
        return event

    @property
    def read_count(self) -> int:
        """How many records could be read."""
        return self.count - self.problems.count

    def advice_on_form(self) -> str | None:
        """Return what to do when no record is a native event and no mapping is configured."""
        if not self._native or self.read_count or not self.paths.present:
            return None
        return (
            'no line is a native event ({"event_id": …, "features": {…}}); say in `events:` where '
            f"id and features are: the lines have {self.paths.shown()}"
        )

    def unread(self) -> list[str]:
        """Return a sentence for each kind of information that could not be read."""
        return [
            f"events.{name}: not readable in {count} of {self.count} lines; it is left out there"
            for name, count in self._reader.unreadable.items()
            if count
        ]


def _paths_in(body: Any, prefix: str = "", depth: int = PATH_DEPTH_MAX) -> Iterator[str]:
    """Yield the dotted paths of all that lies in `body`.

    Examples
    --------
    >>> list(_paths_in({"post": {"id": 1, "parts": [{"body": "x"}], "gone": None}}))
    ['post.id', 'post.parts', 'post.parts.0.body']
    """
    if isinstance(body, dict) and depth:
        for name, value in body.items():
            yield from _paths_in(value, f"{prefix}.{name}" if prefix else str(name), depth - 1)
        return
    if prefix and is_given(body):
        yield prefix
    if isinstance(body, list) and body and depth and isinstance(body[0], dict):
        yield from _paths_in(body[0], f"{prefix}.0" if prefix else "0", depth - 1)


def gone(
    recent: EventSample, earlier: EventSample, configured: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the features that recent events lack: all of them, or half of what was there earlier.

    Parameters
    ----------
    recent, earlier
        Samples of the newest events, and of the oldest that are kept.
    configured
        Features that have a path; any other is known by the earlier events.
    """
    new, old = recent.read_count, earlier.read_count
    found = []
    for name in dict.fromkeys([*configured, *earlier.present]) if new else ():
        has = recent.present[name] / new
        had = earlier.present[name] / old if old else None
        never = name in configured and not has
        enough = had is not None and had >= SHARE_BEFORE_MIN and min(new, old) >= EVENTS_MIN
        if never or (enough and had is not None and has < had / 2):
            found.append({"feature": name, "share": has, "share_before": had, "events": new})
    return found
