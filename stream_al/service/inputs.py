"""The partitions of inputs as `answered` looks at them, and what lies beside a label's position.

Beside the position of an events partition lies its gate (`attempts`). Beside that of a labels
partition, and of the journal, lies `r1`: a worker wrote it; and where labels were made again, from
which outcomes and dead letters on answers count: `r1:120,7`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from stream_al.config import Config
from stream_al.messages import Start
from stream_al.port import Log, Position
from stream_al.service.answered import Input
from stream_al.service.groups import resolver_group, scorer_group

WRITTEN = "r1"
_GATE_OR_MARK = re.compile(r"[ga]\d+:")
_NOTE = re.compile(rf"{WRITTEN}:(\d+),(\d+)")


def events_input(config: Config, partition: int, start: Start) -> Input:
    """Return a partition of events; counting begins at `start`."""
    return Input(
        name="events",
        group=scorer_group(config),
        topic=config.topic("events"),
        partition=partition,
        answers=config.topic("predictions"),
        answers_name="predictions",
        dead_letters=config.topic("dead_letters"),
        start_of=lambda _: start,
        is_ours=lambda found: _GATE_OR_MARK.match(found.metadata) is not None,
    )


def labels_input(log: Log, config: Config, partition: int, start: Start | None = None) -> Input:
    """Return a partition of labels; without a `start` its note says from where answers count.

    Positions of before 0.2 have nothing beside them, and neither has the journal's then.
    """
    group = resolver_group(config)
    marked = log.committed(group, config.topic("journal"), 0)
    marks = marked is not None and marked.metadata.startswith(WRITTEN)
    start_of: Callable[[Position | None], Start] = lambda found: (  # noqa: E731 - one of two
        noted(found) if start is None else start
    )
    return Input(
        name="labels",
        group=group,
        topic=config.topic("labels"),
        partition=partition,
        answers=config.topic("outcomes"),
        answers_name="outcomes",
        dead_letters=config.topic("dead_letters"),
        start_of=start_of,
        is_ours=lambda found: not marks or found.metadata.startswith(WRITTEN),
    )


def note_of(start: Start) -> str:
    """Return what is committed beside a label's position.

    Examples
    --------
    >>> note_of(Start()), note_of(Start(0, {"outcomes": 120, "dead_letters": 7}))
    ('r1', 'r1:120,7')
    """
    since = [start.outputs.get(name, 0) for name in ("outcomes", "dead_letters")]
    return f"{WRITTEN}:{since[0]},{since[1]}" if any(since) else WRITTEN


def noted(found: Position | None) -> Start:
    """Return what `note_of` wrote.

    Examples
    --------
    >>> noted(Position(3, "r1:120,7")).outputs
    {'outcomes': 120, 'dead_letters': 7}
    >>> noted(Position(3, "r1")).outputs, noted(None).outputs
    ({}, {})
    """
    match = _NOTE.fullmatch(found.metadata) if found is not None else None
    if match is None:
        return Start()
    return Start(0, {"outcomes": int(match[1]), "dead_letters": int(match[2])})
