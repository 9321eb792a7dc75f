"""Sends dead letters to the topic that they came from, each exactly once.

1. One at a time: the claim `redrive`, then every partition of the dead-letters topic as the only
   member of its group, which fences whoever was at it before
2. What is marked already is read only now
3. The raw, and the mark of its letter, go into one transaction: a death before it sends nothing, a
   death after it is seen by the next run
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from stream_al.config import Config
from stream_al.errors import ConfigurationError, Fenced
from stream_al.messages import DeadLetter, Source
from stream_al.port import Log, Member
from stream_al.service.alone import only_member
from stream_al.service.dead import (
    Place,
    letter_at,
    letters,
    raw_of,
    redriven_places,
    short_topic,
)
from stream_al.service.keys import KeyReader

REDRIVE_RECORDS_MAX = 100
"""Letters a transaction; each may hold a whole raw record."""
REDRIVEN = "Redriven"
WHERE_KEYS = ("error", "topic")
INPUT_TOPICS = ("events", "labels", "controls", "statistics")


@dataclass(slots=True)
class Redriven:
    """What a run did: the letters sent, and those not sent with the reason."""

    sent: list[Place] = field(default_factory=list)
    left: list[tuple[Place, str]] = field(default_factory=list)


def redriver_group(config: Config) -> str:
    """Return the name of the group whose only member redrives."""
    return f"{config.app}.redrive"


def wanted_where(config: Config, conditions: Sequence[str]) -> Callable[[DeadLetter], bool]:
    """Return the rule of `--where error=… --where topic=…`: all must hold.

    Raises
    ------
    ConfigurationError
        When a condition is not of this form.

    Examples
    --------
    >>> letter = DeadLetter(raw_base64="", topic="t.events", partition=0, offset=0,
    ...                     error="TooLarge", message="")
    >>> wanted_where(Config(app="t"), ["error=TooLarge", "topic=events"])(letter)
    True
    >>> wanted_where(Config(app="t"), ["error=BrokenJson"])(letter)
    False
    """
    wanted: list[tuple[str, str]] = []
    for condition in conditions:
        key, equals, value = condition.partition("=")
        if key not in WHERE_KEYS or not equals:
            raise ConfigurationError(
                f"--where is {condition!r}; write error=CLASS or topic=TOPIC, as `list` shows them"
            )
        wanted.append((key, value))

    def rule(letter: DeadLetter) -> bool:
        known = {
            "error": {letter.error},
            "topic": {letter.topic, short_topic(config, letter.topic)},
        }
        return all(value in known[key] for key, value in wanted)

    return rule


def redrive(
    log: Log,
    config: Config,
    *,
    places: Sequence[Place],
    wanted: Callable[[DeadLetter], bool],
    actor: str,
    dry_run: bool = False,
) -> Redriven:
    """Send letters again: those at `places`, else all that are `wanted` and not yet sent.

    Raises
    ------
    ConfigurationError
        When there is no letter at one of `places`.
    Fenced
        When another run is at it.
    """
    if dry_run:
        return _Redriving(log, config, actor).plan(places, wanted)
    claim = log.claim("redrive")
    if claim is None:
        raise Fenced("another `dead-letters redrive` is at work; look again when it has ended")
    topic = config.topic("dead_letters")
    busy = f"{topic!r} is not free: another member of its group redrives"
    alone = only_member(log, redriver_group(config), topic, name=actor, busy=busy)
    with claim, alone as member:
        redriving = _Redriving(log, config, actor)
        done = redriving.plan(places, wanted)
        planned, done.sent = done.sent, []
        for start in range(0, len(planned), REDRIVE_RECORDS_MAX):
            redriving.send(member, planned[start : start + REDRIVE_RECORDS_MAX], done)
    return done


class _Redriving:
    """One run over a log."""

    def __init__(self, log: Log, config: Config, actor: str) -> None:
        self._log = log
        self._config = config
        self._actor = actor
        self._topic = config.topic("dead_letters")
        self._inputs = {config.topic(name): name for name in INPUT_TOPICS}
        self._keys = KeyReader(config)

    def plan(self, places: Sequence[Place], wanted: Callable[[DeadLetter], bool]) -> Redriven:
        """Return what is to be sent, in the order of places, and what is left and why."""
        found = Redriven()
        redriven = redriven_places(self._log, self._topic)
        for place, letter in self._named(places) if places else self._all(redriven):
            if not wanted(letter):
                continue
            obstacle = "was sent again before" if place in redriven else self._obstacle(letter)
            if obstacle is None:
                found.sent.append(place)
            else:
                found.left.append((place, obstacle))
        return found

    def _named(self, places: Sequence[Place]) -> Iterator[tuple[Place, DeadLetter]]:
        for place in dict.fromkeys(places):
            letter = letter_at(self._log, self._topic, place)
            if letter is None:
                raise ConfigurationError(
                    f"PLACE is {place}, where no dead letter lies; "
                    "`stream-al dead-letters` lists them"
                )
            yield place, letter

    def _all(self, redriven: set[Place]) -> Iterator[tuple[Place, DeadLetter]]:
        for record, letter in letters(self._log, self._topic):
            place = Place(record.partition, record.offset)
            if letter is not None and letter.redrives is None and place not in redriven:
                yield place, letter

    def _obstacle(self, letter: DeadLetter) -> str | None:
        """Return why a letter can't be sent again; None when it can."""
        if letter.raw_sha256 is not None:
            return (
                f"only a part of its {letter.raw_bytes:,} bytes was kept; send the original again"
            )
        if letter.topic not in self._inputs:
            return f"it came from {letter.topic!r}, no input topic of this configuration"
        count = self._log.partition_count(letter.topic)
        if letter.partition >= count:
            return f"it came from partition {letter.partition} of {letter.topic!r}, of {count}"
        return None

    def send(self, member: Member, places: Sequence[Place], done: Redriven) -> None:
        """Append the raws and the marks of these letters in one transaction."""
        sent: list[Place] = []
        with member.transaction() as transaction:
            for place in places:
                letter = letter_at(self._log, self._topic, place)
                if letter is None:
                    done.left.append((place, "was dropped meanwhile: its retention ended"))
                    continue
                sent.append(place)
                raw = raw_of(letter)
                key = self._keys.key(self._inputs[letter.topic], raw)
                transaction.append(letter.topic, letter.partition, raw, key)
                mark = self._mark(place)
                transaction.append(self._topic, place.partition, mark.to_wire())
        done.sent += sent

    def _mark(self, place: Place) -> DeadLetter:
        source = Source(partition=place.partition, offset=place.offset)
        return DeadLetter(
            raw_base64="",
            topic=self._topic,
            partition=place.partition,
            offset=place.offset,
            error=REDRIVEN,
            message=f"sent again by {self._actor}",
            redrives=source,
        )
