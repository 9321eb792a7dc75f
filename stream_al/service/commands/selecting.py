"""Which lessons a replay learns again: the options as a proposal, and what came of it in words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from stream_al.config import Config
from stream_al.errors import ConfigurationError
from stream_al.messages import ModelEntry, Selected

if TYPE_CHECKING:
    from stream_al.replay import Refold

_WHY = {
    "event": "of events that are left out",
    "superseded": "superseded by a correction",
    "retracted": "retracted",
    "annotator": "of annotators that are left out",
    "class": "of classes that are left out",
    "since": "from before the time",
}
NAMED_MAX = 10


def selected_by(
    *,
    corrections: bool,
    corrected: bool,
    anew: bool,
    since: str | None,
    without_annotators: Sequence[str],
    without_classes: Sequence[str],
    renamed: Sequence[str],
) -> Selected | None:
    """Return what the options select; None when they say nothing.

    Raises
    ------
    ConfigurationError
        When one of them can't be understood.
    """
    found = Selected(
        corrections=corrections,
        corrected=corrected,
        anew=anew,
        since_ms=None if since is None else time_ms(since),
        without_annotators=tuple(without_annotators),
        without_classes=tuple(without_classes),
        renamed=dict(_pair(one) for one in renamed),
    )
    return None if found == Selected() else found


def time_ms(text: str) -> int:
    """Return a time in ISO 8601 as ms since 1970; without a zone it is UTC.

    Examples
    --------
    >>> time_ms("1970-01-02"), time_ms("1970-01-01T01:00:00+01:00")
    (86400000, 0)
    """
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ConfigurationError(
            f"--since is {text!r}: no time; write it as 2026-11-30 or 2026-11-30T08:00Z"
        ) from None
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return int(time.timestamp() * 1_000)


def _pair(text: str) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not (old and equals and new) or old == new:
        raise ConfigurationError(
            f"--rename-class is {text!r}: write OLD=NEW, two names that differ: Spam=spam"
        )
    return old, new


def refuse_unlearnable(config: Config, selected: Selected | None) -> None:
    """Refuse a new name that the closed set of classes does not have.

    Raises
    ------
    ConfigurationError
        Naming both.
    """
    classes = config.labels.classes
    for old, new in (selected.renamed if selected else {}).items():
        if classes is not None and new not in classes:
            raise ConfigurationError(
                f"--rename-class is '{old}={new}': {new!r} is not one of labels.classes "
                f"({', '.join(classes)})"
            )


def dropped_classes(again: Refold, config: Config) -> dict[str, int]:
    """Return class → lessons that the model can't learn, for it is not in the closed set."""
    classes = config.labels.classes
    if classes is None:
        return {}
    return {name: count for name, count in again.taught.most_common() if name not in classes}


def kept_line(again: Refold, config: Config) -> str:
    """Return how many of the lessons before fit the classes of now, for people."""
    total, dropped = again.taught.total(), dropped_classes(again, config)
    lost = sum(dropped.values())
    line = f"{total - lost:,} of {total:,} lessons are kept"
    return f"{line}; {_dropped(dropped)}" if lost else line


def _dropped(dropped: dict[str, int]) -> str:
    named = ", ".join(f"{name!r} ({count:,})" for name, count in list(dropped.items())[:NAMED_MAX])
    more = len(dropped) - NAMED_MAX
    return (
        f"{sum(dropped.values()):,} are dropped, their class is not in labels.classes: {named}"
        f"{f' and {more} more' if more > 0 else ''}"
    )


def selection_lines(found: dict[str, Any]) -> list[str]:
    """Return what a replay left out and renamed, as people read it.

    Examples
    --------
    >>> found = {"left_out": 3, "left_out_why": {"superseded": 2, "retracted": 1}, "dropped": {},
    ...          "corrections_kept": 0, "renamed": 1}
    >>> for line in selection_lines(found):
    ...     print(line)
    left out 3 lessons: 2 superseded by a correction, 1 retracted
    learnt 1 lesson under a new name
    """
    whys = ", ".join(
        f"{count:,} {_WHY[why]}" for why, count in found["left_out_why"].items() if count
    )
    lines = [f"left out {found['left_out']:,} lessons{f': {whys}' if whys else ''}"]
    if kept := found["corrections_kept"]:
        lines.append(
            f"kept {kept:,} corrections of events left out; --for-ever leaves these out too"
        )
    if renamed := found["renamed"]:
        lines.append(f"learnt {renamed:,} lesson{'s'[: renamed > 1]} under a new name")
    if found["dropped"]:
        lines.append(_dropped(found["dropped"]))
    return lines


def lineage_line(lineage: ModelEntry) -> str | None:
    """Return what a lineage leaves out, in one line; None when it is nothing."""
    said = []
    if lineage.corrected:
        said.append("final labels only, of what was before it")
    if lineage.without:
        said.append(f"without {len(lineage.without):,} events")
    if lineage.without_annotators:
        said.append(f"without annotators {', '.join(lineage.without_annotators)}")
    if lineage.without_classes:
        said.append(f"without classes {', '.join(lineage.without_classes)}")
    if lineage.renamed:
        said.append(", ".join(f"{old} as {new}" for old, new in lineage.renamed.items()))
    if lineage.since_ms is not None:
        since = datetime.fromtimestamp(lineage.since_ms / 1_000, UTC)
        said.append(f"nothing from before {since:%Y-%m-%dT%H:%M:%SZ}")
    return f"it learns {'; '.join(said)}" if said else None
