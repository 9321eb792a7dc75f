"""Dead letters: listed, shown, and sent again exactly once, whatever dies on the way."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import pytest

from stream_al.config import Config, TopicsSection
from stream_al.errors import ConfigurationError, Fenced
from stream_al.messages import DeadLetter
from stream_al.port import Log, Outgoing, Record
from stream_al.service.dead import Place, list_letters
from stream_al.service.redrive import REDRIVE_RECORDS_MAX, Redriven, redrive, wanted_where
from stream_al_connectors.memory import MemoryLog
from stream_al_connectors.opening import topics_of
from tests.integration.conftest import Deployment, Process, native, until

CONFIG = Config(app="t", topics=TopicsSection(partitions=2))
NOT_UTF8 = b"\xff\xfe\x00 free"
ESCAPE = b'{"event_id": "\x1b[2J", '
KILLS = 12
LETTERS = 2_500


def letter(number: int, **fields: Any) -> DeadLetter:
    body = json.dumps(native(number)).encode()
    return DeadLetter.model_validate(
        {"raw_base64": _base64(body), "topic": "t.events", "partition": number % 2,
         "offset": number, "error": "TooLarge", "message": "too large"} | fields
    )  # fmt: skip


def _base64(raw: bytes) -> str:
    return b64encode(raw).decode()


def memory_log(*letters: DeadLetter) -> MemoryLog:
    """Return a log with these letters, each on the partition that it came from."""
    log = MemoryLog(topics=topics_of(CONFIG))
    log.append(
        "t.dead-letters",
        [Outgoing(each.to_wire(), partition=each.partition % 2) for each in letters],
    )
    return log


def events(log: Log) -> list[Record]:
    return [
        record
        for partition in range(2)
        for record in log.read("t.events", partition, 0, limit=10_000)
    ]


def run(log: Log, *places: Place, where: tuple[str, ...] = (), **how: Any) -> Redriven:
    return redrive(
        log, CONFIG, places=places, wanted=wanted_where(CONFIG, where), actor="ops", **how
    )


# ---------------------------------------------------------------------- exactly once


def test_redrive_sends_bytes_unchanged_to_where_they_came_from() -> None:
    """Same bytes, same partition, the id as key where it can be read; the second run sends none."""
    log = memory_log(letter(0), letter(1, raw_base64=_base64(NOT_UTF8)))

    first, second = run(log), run(log)

    assert (first.sent, second.sent) == ([Place(0, 0), Place(1, 0)], [])
    assert [(r.partition, r.key, r.value) for r in events(log)] == [
        (0, b"e-0", json.dumps(native(0)).encode()),
        (1, None, NOT_UTF8),
    ]


def test_conditions_and_places_choose() -> None:
    """All conditions must hold; a place is one letter; what is not chosen stays."""
    log = memory_log(letter(0), letter(2, error="BrokenJson"), letter(4, topic="t.labels"))

    assert run(log, where=("error=Nothing",)).sent == []
    assert run(log, where=("error=TooLarge", "topic=events"), dry_run=True).sent == [Place(0, 0)]
    assert run(log, where=("error=TooLarge", "topic=t.labels")).sent == [Place(0, 2)]
    assert run(log, Place(0, 1), Place(0, 1)).sent == [Place(0, 1)]
    assert len(events(log)) == 1
    assert run(log).sent == [Place(0, 0)]


def test_dry_run_sends_nothing_and_needs_no_claim() -> None:
    """It says what would be sent, even while another run is at it."""
    log = memory_log(letter(0))
    claim = log.claim("redrive")
    assert claim is not None

    with claim:
        assert run(log, dry_run=True).sent == [Place(0, 0)]
        with pytest.raises(Fenced, match="another"):
            run(log)

    assert events(log) == []
    assert run(log).sent == [Place(0, 0)]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"raw_bytes": 300_000, "raw_sha256": "00"}, "only a part of its 300,000 bytes"),
        ({"topic": "elsewhere"}, "no input topic"),
        ({"partition": 6}, "partition 6 of 't.events', of 2"),
    ],
    ids=["cut", "unknown topic", "unknown partition"],
)
def test_what_cannot_be_sent_again_is_said(fields: dict[str, Any], said: str) -> None:
    """The reason stands with the place; the others go on."""
    log = memory_log(letter(0, **fields), letter(2))

    done = run(log)

    assert done.sent == [Place(0, 1)]
    [(place, why)] = done.left
    assert place == Place(0, 0)
    assert said in why


def test_place_without_a_letter_is_refused() -> None:
    """Beyond the end, in no partition, or a mark: nothing is sent, not even the others."""
    log = memory_log(letter(0))
    run(log)
    for place in (Place(0, 9), Place(7, 0), Place(0, 1)):
        with pytest.raises(ConfigurationError, match="no dead letter"):
            run(log, Place(0, 0), place)
    assert run(log, Place(0, 0)).left == [(Place(0, 0), "was sent again before")]


def test_marks_are_no_letters() -> None:
    """They are counted as redriven, shown nowhere, and records of others are passed over."""
    log = memory_log(letter(0), letter(2), letter(1, error="BrokenJson"))
    run(log, Place(0, 1))
    log.append("t.dead-letters", [Outgoing(b"what is this", partition=1)])

    found = list_letters(log, CONFIG, limit=2)

    assert dict(found.counts) == {
        ("TooLarge", "events", False): 1,
        ("TooLarge", "events", True): 1,
        ("BrokenJson", "events", False): 1,
    }
    assert len(found.newest) == 2
    assert found.foreign == 1


class Died(BaseException):
    """The process ends here."""


class Dying:
    """A log whose n-th transaction ends the process, before its commit or after it."""

    def __init__(self, log: MemoryLog, *, at: int, committed: bool) -> None:
        self._log = log
        self._left = at
        self._committed = committed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def join(self, group: str, topic: str, *, name: str) -> Any:
        self._member = self._log.join(group, topic, name=name)
        real = self._member.transaction

        @contextmanager
        def transaction() -> Iterator[Any]:
            with real() as inner:
                yield inner
                self._left -= 1
                if self._left == 0 and not self._committed:
                    raise Died
            if self._left == 0:
                raise Died

        self._member.transaction = transaction  # type: ignore[method-assign]
        return self._member


@pytest.mark.parametrize("committed", [False, True], ids=["before the commit", "after it"])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_death_at_a_commit_doubles_nothing(at: int, committed: bool) -> None:
    """What was committed is marked, what was not is sent by the next run."""
    count = REDRIVE_RECORDS_MAX * 2 + 50
    log = memory_log(*(letter(number) for number in range(count)))

    with pytest.raises(Died):
        run(Dying(log, at=at, committed=committed))
    sent = len(events(log))
    rest = run(log)

    assert sent == min(count, REDRIVE_RECORDS_MAX * (at if committed else at - 1))
    assert len(rest.sent) == count - sent
    assert sorted(record.key or b"" for record in events(log)) == sorted(
        f"e-{number}".encode() for number in range(count)
    )


def test_killed_redrives_double_nothing(deployment: Deployment) -> None:
    """SIGKILLs at random moments, half of them in mid-work: each raw came back exactly once."""
    deployment.configure(topics={"partitions": 2})
    wires = [letter(number) for number in range(LETTERS)]
    deployment.done("check")
    log = deployment.log
    log.append("t.dead-letters", [Outgoing(w.to_wire(), partition=w.partition) for w in wires])
    rng = Random(8)
    progress = set()
    for number in range(KILLS):
        process = deployment.start("dead-letters", "redrive")
        if number % 2 == 0:
            _await_progress(deployment, process)
        time.sleep(rng.uniform(0.0, 0.1))
        process.kill()
        progress.add(sum(deployment.ends("events")))

    deployment.done("dead-letters", "redrive")

    assert len(progress) > 1, "every kill came too early or too late; draw other moments"
    keys = sorted(record.key or b"" for record in deployment.records("events"))
    assert keys == sorted(f"e-{number}".encode() for number in range(LETTERS))
    last = deployment.done("dead-letters", "redrive", "--json").json()
    assert last == {"dry_run": False, "redriven": [], "left": []}


def _await_progress(deployment: Deployment, process: Process) -> None:
    """Wait until something came back, or nothing is left to."""
    before = sum(deployment.ends("events"))
    until(lambda: process.poll() is not None or sum(deployment.ends("events")) > before)


# ---------------------------------------------------------------------- for people


def _deployed(deployment: Deployment) -> None:
    """Set three events and a label aside, one of the events cut."""
    deployment.configure(events={"bytes_max": 1_024})
    values = [NOT_UTF8, ESCAPE, b'{"event_id": "x", "features": {"text": "%s"}}' % (b"a" * 2_000)]
    deployment.log.append("t.events", [Outgoing(value, partition=1) for value in values])
    deployment.log.append("t.labels", [Outgoing(b"spam", partition=3)])
    deployment.done("run", "--until-idle")


def test_list_counts_and_shows_the_newest_first(deployment: Deployment) -> None:
    """Errors and topics with their counts, then places, ages, sizes and sentences."""
    _deployed(deployment)

    found = deployment.done("dead-letters", "--json").json()
    text = deployment.done("dead-letters", "list").out

    assert {(row["error"], row["topic"]): row["letters"] for row in found["counts"]} == {
        ("BrokenJson", "events"): 2, ("TooLarge", "events"): 1, ("BrokenJson", "labels"): 1,
    }  # fmt: skip
    times = [one["set_aside_ms"] for one in found["letters"]]
    assert times == sorted(times, reverse=True)
    cut = next(one for one in found["letters"] if one["error"] == "TooLarge")
    assert (cut["cut"], cut["raw_bytes"], cut["topic"]) == (True, 2_043, "events")
    for said in ("BrokenJson", "labels 3:0", "2,043 B (cut)", "not a JSON object"):
        assert said in text
    assert len(deployment.done("dead-letters", "--limit", 1, "--json").json()["letters"]) == 1


def test_show_gives_raw_bytes_as_text_or_hex_and_what_to_do(deployment: Deployment) -> None:
    """Nothing that the terminal would obey comes through; a cut letter says so."""
    _deployed(deployment)

    shown = [deployment.done("dead-letters", "show", f"1:{offset}").out for offset in range(3)]

    assert "ff fe 00 20 66 72 65 65" in shown[0]
    assert "\\x1b[2J" in shown[1]
    assert "\x1b" not in shown[1]
    assert "let the producer send one JSON object" in shown[1]
    assert "dead-letters redrive 1:1" in shown[1]
    assert "cut from 2,043; SHA-256" in shown[2]
    assert "only a part of it was kept" in shown[2]
    body = deployment.done("dead-letters", "show", "1:1", "--json").json()
    assert (body["offset"], body["redriven"], body["error"]) == (1, False, "BrokenJson")


def test_show_names_the_section_that_reads_the_letter(deployment: Deployment) -> None:
    """B4: what to do about a label is said of `labels:`."""
    deployment.configure(topics={"partitions": 1})
    deployment.send({"event_id": "e-1", "label": 1.5}, topic="labels")
    deployment.done("run", "--until-idle")

    shown = deployment.done("dead-letters", "show", "0:0").out

    assert "the path in `labels:` that leads to this value" in shown


def test_wrong_arguments_are_answered_by_a_sentence(deployment: Deployment) -> None:
    """Exit 2, the value and what to write instead."""
    _deployed(deployment)
    for arguments, said in (
        (("show", "17"), "partition:offset"),
        (("show", "0:99"), "no dead letter lies"),
        (("redrive", "--where", "size=3"), "error=CLASS"),
        (("redrive", "1:77"), "no dead letter lies"),
    ):
        ended = deployment.cli("dead-letters", *arguments)
        assert ended.code == 2
        assert ended.err.startswith("config: ")
        assert said in ended.err


def test_no_letters_is_no_error(deployment: Deployment) -> None:
    """An empty topic: one line for people, an empty list for scripts."""
    deployment.done("run", "--until-idle")

    assert "no dead letters" in deployment.done("dead-letters").err
    assert deployment.done("dead-letters", "list", "--json").json()["letters"] == []
    assert "0 sent again, 0 left" in deployment.done("dead-letters", "redrive").err


def test_redriven_letters_that_are_still_wrong_become_letters_again(deployment: Deployment) -> None:
    """Sent before the cause is corrected: a new letter, and the audit of both stays right."""
    _deployed(deployment)

    done = deployment.done("dead-letters", "redrive", "--where", "topic=events", "--json").json()
    deployment.done("run", "--until-idle")

    assert done["redriven"] == ["1:0", "1:1"]
    assert [one["place"] for one in done["left"]] == ["1:2"]
    counts = deployment.done("dead-letters", "--json").json()["counts"]
    broken = {row["redriven"]: row["letters"] for row in counts if row["topic"] == "events"
              and row["error"] == "BrokenJson"}  # fmt: skip
    assert broken == {True: 2, False: 2}
    assert deployment.cli("audit").code == 0
