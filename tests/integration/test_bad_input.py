"""Bad input, bad configuration and bad disks: a sentence for people, and the stream goes on."""

from __future__ import annotations

import base64
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from stream_al.messages import DeadLetter, time_ms
from stream_al.port import Outgoing
from stream_al.service.dead import MESSAGE_CHARACTERS_MAX
from tests.integration.conftest import Deployment, native

GOOD = json.dumps(native(0)).encode()


def _feature(text: str) -> bytes:
    return b'{"event_id": "x", "features": %s}' % text.encode()


def _many(count: int) -> bytes:
    return _feature(json.dumps({f"f{n}": n for n in range(count)}))


BAD_EVENTS: dict[str, tuple[bytes, str, str]] = {
    "broken": (b'{"event_id": "x", ', "BrokenJson", "JSON"),
    "no object": (b"[1, 2]", "WrongType", "the record"),
    "a word": (b"hello", "BrokenJson", "JSON"),
    "no id": (b'{"features": {}}', "MissingField", "event_id"),
    "empty id": (b'{"event_id": "", "features": {}}', "WrongType", "event_id"),
    "id of 600": (b'{"event_id": "%s", "features": {}}' % (b"i" * 600), "WrongType", "event_id"),
    "id a list": (b'{"event_id": [], "features": {}}', "WrongType", "event_id"),
    "no features": (b'{"event_id": "x"}', "MissingField", "features"),
    "text a number": (_feature('{"text": 7}'), "WrongFeatureType", "'text'"),
    "vector of words": (_feature('{"vector": ["a"]}'), "WrongFeatureType", "'vector'"),
    "2 MB of text": (_feature('{"text": "%s"}' % ("a" * 2_000_000)), "TooLarge", "2,0"),
    "100,000 features": (
        _many(100_000), "TooLarge", "bytes"),
    "4,000 features": (
        _many(4_000), "TooManyFeatures", "2048"),
    "long category": (_feature('{"kind": "%s"}' % ("a" * 300)), "FeatureTooLarge", "'kind'"),
    "deep": (_feature("[" * 5_000 + "]" * 5_000), "BrokenJson", "JSON"),
    "deep meta": (
        b'{"event_id": "x", "features": {}, "meta": %s1%s}' % (b'{"a":' * 5_000, b"}" * 5_000),
        "BrokenJson", "JSON"),
    **{
        f"meta {depth} deep": (
            b'{"event_id": "x", "features": {}, "meta": %s1%s}' % (b'{"a":' * depth, b"}" * depth),
            "TooDeep", "100 levels")
        for depth in (101, 198, 200, 254, 260, 900)},
    "meta of 260 lists": (
        b'{"event_id": "x", "features": {}, "meta": {"a": 1, "b": [%s%s]}}'
        % (b"[" * 260, b"]" * 260), "TooDeep", "100 levels"),
    "lone surrogate": (_feature('{"text": "\\ud800"}'), "BrokenJson", "surrogate"),
    "lone surrogate id": (b'{"event_id": "\\udfff", "features": {}}', "BrokenJson", "JSON"),
    "not UTF-8": (_feature('{"text": "?"}').replace(b"?", b"\xff\xfe"), "BrokenJson", "JSON"),
    "empty": (b"", "BrokenJson", "JSON"),
    "blanks": (b"  \t", "BrokenJson", "JSON"),
    "a number of 5,000 digits": (
        b'{"event_id": "x", "features": {}, "at_ms": 1%s}' % (b"0" * 5_000), "BrokenJson", "JSON"),
}  # fmt: skip


def test_bad_events_are_dead_letters_and_the_stream_goes_on(deployment: Deployment) -> None:
    """Raw bytes, place and a sentence for each bad record; each good one between is predicted."""
    values = [value for value, _, _ in BAD_EVENTS.values()]
    records = [Outgoing(value=each) for value in values for each in (value, GOOD)]
    places = deployment.log.append("t.events", records)

    deployment.done("run", "--until-idle")

    letters = {
        (letter.partition, letter.offset): letter
        for letter in map(DeadLetter.model_validate, deployment.messages("dead_letters"))
    }
    assert len(letters) == len(values)
    assert len(deployment.messages("predictions")) == len(values)
    for (raw, error, said), place in zip(BAD_EVENTS.values(), places[::2], strict=True):
        letter = letters[place]
        assert (letter.error, letter.topic) == (error, "t.events")
        assert said in letter.message
        assert len(letter.message) < 500
        cut = base64.b64decode(letter.raw_base64)
        assert raw.startswith(cut)
        if letter.raw_bytes is None:
            assert raw == cut
        else:
            assert (letter.raw_bytes, letter.raw_sha256 and len(letter.raw_sha256)) == (
                len(raw),
                64,
            )
    assert deployment.done("status", "--json").json()["lag"] == 0


@pytest.mark.parametrize("policy", ["drop_feature", "dead_letter"])
def test_bad_numbers_follow_the_policy(deployment: Deployment, policy: str) -> None:
    """NaN, infinity and numbers too large: the feature goes, or the event is a dead letter."""
    deployment.configure(events={"on_bad_number": policy}, gate={"budget": {"share": 1.0}})
    bad = ["NaN", "Infinity", "-Infinity", "1e999", "1e200", "9" * 400]
    deployment.send(*(_feature(f'{{"n": {number}, "m": 1}}') for number in bad))

    deployment.done("run", "--until-idle")

    letters = [letter["error"] for letter in deployment.messages("dead_letters")]
    features = [query["features"] for query in deployment.messages("queries")]
    if policy == "dead_letter":
        assert (letters, features) == (["NonFiniteFeature"] * len(bad), [])
    else:
        assert (letters, features) == ([], [{"m": 1}] * len(bad))


@pytest.mark.parametrize("per_hour", [None, 3_600])
def test_wild_timestamps_cannot_break_the_budget(
    deployment: Deployment, per_hour: int | None
) -> None:
    """1970, 9999, before Christ, backwards and beyond any calendar: accepted, and spend holds."""
    deployment.configure(gate={"budget": {"share": 0.1, "per_hour": per_hour}})
    times = [0, 253_402_300_799_999, -62_135_596_800_000, 10**15, 1, 10**18, -(10**18)]
    deployment.send(*(native(n, at_ms=times[n % len(times)]) for n in range(400)))

    deployment.done("run", "--until-idle")

    predictions = deployment.messages("predictions")
    assert {one["at_ms"] for one in predictions} == {time_ms(one) for one in times}
    assert len(predictions) == 400
    asked = sum(deployment.ends("queries"))
    assert abs(asked - sum(one["propensity"] for one in predictions)) < 1.1 * 4
    assert asked <= 0.1 * 400 + 4


BAD_LABELS: list[tuple[bytes | dict[str, Any], str, str]] = [
    ({"event_id": "who", "label": "spam", "annotator": "a"}, "unknown", ""),
    ({"event_id": "e-1", "label": "sham", "annotator": "a"}, "invalid", "labels.classes"),
    ({"event_id": "e-1", "label": "spam"}, "invalid", "annotator"),
    ({"event_id": "e-1", "label": "spam", "annotator": ""}, "invalid", "annotator"),
    ({"event_id": "e-2", "label": "spam", "annotator": "a", "at_ms": 10**15}, "applied", ""),
    ({"event_id": "e-2", "label": "spam", "annotator": "a"}, "duplicate", ""),
    ({"event_id": "e-2", "label": "ham", "annotator": "b"}, "conflict", ""),
    ({"event_id": "e-3", "kind": "retract", "annotator": "a"}, "unknown", ""),
    ({"event_id": "e-3", "kind": "skip", "annotator": "a"}, "skipped", ""),
    ({"event_id": "e-3", "kind": "unsure", "annotator": "b"}, "unsure", ""),
    ({"event_id": "e-4", "label": "ham", "annotator": "a", "features": {"text": "x"}},
     "applied", ""),
    ({"event_id": "own", "label": "ham", "annotator": "a", "features": {"text": "x"}},
     "volunteered", ""),
    (b"{", "BrokenJson", "JSON"),
    (b"\xff\xfe", "BrokenJson", "JSON"),
    (b'{"event_id": "\\ud800", "label": "ham", "annotator": "a"}', "BrokenJson", "JSON"),
    ({"label": "spam", "annotator": "a"}, "MissingField", "event_id"),
    ({"event_id": "e-5", "annotator": "a"}, "WrongType", "label"),
    ({"event_id": "e-5", "label": 0.7, "annotator": "a"}, "WrongType", "label"),
    ({"event_id": "e-5", "label": 7, "annotator": "a"}, "invalid", "labels.classes"),
    ({"event_id": "e-5", "kind": "shout", "annotator": "a"}, "WrongType", "kind"),
    ({"event_id": "e-5", "label": "ham", "annotator": "a", "revision": -1},
     "WrongType", "revision"),
    ({"event_id": "own2", "label": "ham", "annotator": "a", "features": {"text": 1}},
     "WrongFeatureType", "text"),
]  # fmt: skip


def test_every_bad_label_has_exactly_one_end(deployment: Deployment) -> None:
    """Unknown, of an unknown class, twice, of tomorrow, unreadable: an outcome or a letter."""
    deployment.configure(
        topics={"partitions": 1},
        gate={"budget": {"share": 1.0}},
        labels={"classes": ["ham", "spam"]},
    )
    deployment.send(*(native(n) for n in range(6)))
    deployment.done("run", "--until-idle")
    values = [v if isinstance(v, bytes) else json.dumps(v).encode() for v, _, _ in BAD_LABELS]
    deployment.log.append("t.labels", [Outgoing(value=value) for value in values])

    deployment.done("run", "--until-idle")

    ends = {o["source"]["offset"]: (o["outcome"], o["reason"] or "")
            for o in deployment.messages("outcomes")}  # fmt: skip
    letters = {o["offset"]: (o["error"], o["message"]) for o in deployment.messages("dead_letters")}
    assert not set(ends) & set(letters)
    found = ends | letters
    assert len(found) == sum(deployment.ends("outcomes") + deployment.ends("dead_letters"))
    assert [found[n][0] for n in range(len(values))] == [end for _, end, _ in BAD_LABELS]
    for number, (_, _, said) in enumerate(BAD_LABELS):
        assert said in found[number][1]


def test_bad_proposals_are_dead_letters(deployment: Deployment) -> None:
    """What nobody can take from controls and statistics is set aside; the resolver goes on."""
    deployment.done("run", "--until-idle")
    values = [
        b"nonsense",
        b'{"proposal_id": "1", "actor": "", "patch": {}}',
        b'{"proposal_id": "2", "actor": "a", "patch": {"gate": {"budget": {"share": 7}}}}',
        b'{"proposal_id": "3", "actor": "a", "patch": {"gate": {"bugdet": 1}}}',
        b'{"proposal_id": "4", "actor": "a", "kind": "model"}',
        b'{"proposal_id": "5", "actor": "a", "kind": "seed", "event_id": "s", "label": "ham"}',
        b'{"proposal_id": "6", "actor": "a", "patch": {"gate": {"%s": 1}}}' % (b"x" * 250_000),
        b'{"proposal_id": "7", "actor": "%s", "patch": {}}' % (b"x" * 350_000),
    ]
    before = deployment.ends("journal")
    deployment.log.append("t.controls", [Outgoing(value=value) for value in values])
    deployment.log.append("t.statistics", [Outgoing(value=b'{"partition": 0}')])

    deployment.done("run", "--until-idle")

    letters = deployment.messages("dead_letters")
    assert len(letters) == len(values) + 1
    assert max(len(letter["message"]) for letter in letters) <= MESSAGE_CHARACTERS_MAX
    assert deployment.ends("journal") == before


def test_wrong_configuration_names_every_problem_at_once(deployment: Deployment) -> None:
    """Exit 2; for each problem the field, the value and what to do; a typo gets its neighbour."""
    deployment.configure(
        gate={"bugdet": {"share": 0.1}, "random_share": 7, "budget": {"shrae": 0.1}},
        labels={"classes": ["one"], "votes": 0},
        model={"preset": "lineer"},
        topics={"partitions": "many"},
    )
    for command in ("check", "run", "status", "read events"):
        ended = deployment.cli(*command.split())
        assert (ended.code, ended.out) == (2, "")
        lines = ended.err.strip().splitlines()
        assert len(lines) == 7
        assert all(line.startswith("config: ") for line in lines)
        for said in (
            "gate.bugdet is not a setting, did you mean `budget`?",
            "gate.budget.shrae is not a setting, did you mean `share`?",
            "gate.random_share is 7: ",
            "labels.classes is ['one']: name at least two",
            "labels.votes is 0: ",
            "model.preset is 'lineer': ",
            "topics.partitions is 'many': ",
        ):
            assert said in ended.err
        assert "stream-al.yaml" in lines[0]
    assert not (deployment.folder / "t.db").exists()


def test_environment_overrides_the_file(deployment: Deployment) -> None:
    """A variable wins over the file; a wrong one is named like a wrong line."""
    deployment.send(native(1))
    share = {"STREAM_AL_GATE__BUDGET__SHARE": "0.25"}
    deployment.done("run", "--until-idle", environment=share)
    assert {one["rate"] for one in deployment.messages("predictions")} == {0.25}

    wrong = {"STREAM_AL_GATE__BUDGET__SHARE": "lots", "STREAM_AL_LGO__PATH": "x"}
    ended = deployment.cli("check", environment=wrong)
    assert ended.code == 2
    assert "gate.budget.share is 'lots'" in ended.err
    assert "lgo is not a setting, did you mean `log`?" in ended.err


@pytest.mark.parametrize(
    ("text", "said"),
    [("- a\n- b\n", "write `key: value` lines"), ("a: [", "is not YAML"), (None, "no such file")],
)
def test_unreadable_configuration(deployment: Deployment, text: str | None, said: str) -> None:
    """A file that is missing or no mapping is one problem, with what to do."""
    path = deployment.folder / "own.yaml"
    if text is not None:
        path.write_text(text)
    ended = deployment.cli("check", "--config", path)
    assert ended.code == 2
    assert said in ended.err
    assert len(ended.err.strip().splitlines()) == 1


def _one_line(err: str) -> str:
    """Return the last line, which is the only one that is no log line."""
    lines = [line for line in err.strip().splitlines() if " level=info " not in line]
    assert len(lines) == 1, err
    return lines[0]


def test_file_that_is_no_log_is_left_alone(deployment: Deployment) -> None:
    """Another kind of file, another program's database, a folder: one line, untouched."""
    path = deployment.folder / "t.db"
    path.write_bytes(b"these are my holiday notes\n" * 500)
    other = deployment.folder / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE mine (a)")
    connection.close()
    before = (path.read_bytes(), other.read_bytes())
    (deployment.folder / "folder.db").mkdir()

    for log, code, line in (
        ("t.db", 2, "gone: "),
        ("other.db", 2, "gone: "),
        ("folder.db", 1, "ambiguous: "),
    ):
        deployment.configure(log={"path": log})
        for command in (("run", "--until-idle"), ("status",), ("send", "stream-al.yaml")):
            ended = deployment.cli(*command)
            assert ended.code == code, (command, ended)
            assert _one_line(ended.err).startswith(line)
    assert (path.read_bytes(), other.read_bytes()) == before


def test_folder_that_cannot_be_written(deployment: Deployment) -> None:
    """A log below a file, or in a folder that is not there: exit 1, one line, nothing made."""
    (deployment.folder / "file").write_text("")
    before = sorted(each.name for each in deployment.folder.iterdir())
    for path in ("file/t.db", "missing/t.db", "/proc/t.db"):
        deployment.configure(log={"path": path})
        for command in (("run", "--until-idle"), ("send", "stream-al.yaml")):
            ended = deployment.cli(*command)
            assert ended.code == 1, (command, ended)
            assert Path(path).name in _one_line(ended.err)
    assert sorted(each.name for each in deployment.folder.iterdir()) == before


def test_missing_log_is_a_wrong_usage_for_readers(deployment: Deployment) -> None:
    """Reading what nobody wrote yet: exit 2, and what to do first."""
    for command in (("status",), ("queries",), ("read", "events"), ("budget",), ("model",)):
        ended = deployment.cli(*command)
        assert ended.code == 2
        assert "start `stream-al run` with this one first" in _one_line(ended.err)
    assert not (deployment.folder / "t.db").exists()


def test_full_disk_stops_a_worker_with_nothing_half_written(deployment: Deployment) -> None:
    """No space for a batch: exit 1, one line; later all events are predicted exactly once."""
    # Events smaller than their predictions: SQLite only stops where the write-ahead log can't grow.
    deployment.send(*(native(n, "x") for n in range(3_000)))
    files = [each.stat().st_size for each in deployment.folder.glob("t.db*") if each.is_file()]

    ended = deployment.cli("run", "--until-idle", file_bytes_max=max(files) + 100_000)

    assert ended.code == 1
    line = _one_line(ended.err)
    assert line.startswith("ambiguous: ")
    assert "t.db" in line
    assert sum(deployment.ends("predictions")) < 3_000
    deployment.done("run", "--until-idle")
    ids = [one["event_id"] for one in deployment.messages("predictions")]
    assert len(ids) == len(set(ids)) == 3_000


@pytest.mark.parametrize("bytes_max", [4_096, 30_000, 60_000])
def test_full_disk_at_the_first_start(deployment: Deployment, bytes_max: int) -> None:
    """A log that can't be made whole is not made: one line, and the next start finds no ruin."""
    ended = deployment.cli("run", "--until-idle", file_bytes_max=bytes_max)

    assert ended.code == 1
    assert _one_line(ended.err).startswith("ambiguous: ")
    deployment.send(native(2))
    deployment.done("run", "--until-idle")
    assert deployment.messages("predictions")[-1]["event_id"] == "e-2"


def test_full_disk_stops_a_sender_between_two_batches(deployment: Deployment) -> None:
    """`send` that runs out of space has sent whole batches only, and says so in one line."""
    path = deployment.folder / "big.jsonl"
    path.write_bytes((GOOD + b" " * 1_000 + b"\n") * 20_000)
    deployment.done("run", "--until-idle")

    ended = deployment.cli("send", path, file_bytes_max=3_000_000)

    assert ended.code == 1
    assert _one_line(ended.err).startswith("ambiguous: ")
    assert sum(deployment.ends("events")) % 1_000 == 0
    assert sum(deployment.ends("events")) < 20_000


def test_stdout_that_is_full_or_closed(deployment: Deployment) -> None:
    """A reader's full disk is exit 1 in one line; nothing is changed by it."""
    deployment.send(*(native(n) for n in range(3_000)))
    ended = deployment.cli("read", "events", file_bytes_max=50_000)
    assert ended.code == 1
    assert _one_line(ended.err).startswith("ambiguous: ")


def test_lost_secret_is_not_replaced(deployment: Deployment) -> None:
    """A short secret, or a named file that is not there, is a configuration problem."""
    deployment.configure(gate={"secret_file": "nowhere"})
    ended = deployment.cli("run", "--until-idle")
    assert (ended.code, "gate.secret_file names no file that is there" in ended.err) == (2, True)
    deployment.configure()
    ended = deployment.cli("run", "--until-idle", environment={"STREAM_AL_GATE__SECRET": "short"})
    assert (ended.code, "at least 16" in ended.err) == (2, True)
    deployment.done("run", "--until-idle")
    assert (deployment.folder / "t.db.secret").stat().st_mode & 0o777 == 0o600


NESTED = b"[" * 260 + b"]" * 260
HOSTILE_LABELS = {
    "features 260 deep": b'"features": {"n": %s}' % NESTED,
    "features 150 deep": b'"features": {"n": %s}' % (b"[" * 150 + b"]" * 150),
    "what nobody reads, 260 deep": b'"note": %s' % NESTED,
    "5,000 digits": b'"features": {"n": 1%s}' % (b"0" * 5_000),
    "5,000 digits of a revision": b'"revision": 1%s' % (b"0" * 5_000),
    "40 digits of a revision": b'"revision": 1%s' % (b"0" * 40),
    "half a character": b'"features": {"n": "\\ud800"}',
    "not a number": b'"features": {"n": NaN}',
    "infinite": b'"features": {"n": 1e999}',
    "a key twice": b'"label": "spam"',
}


def test_bad_labels_and_controls_stop_nothing(deployment: Deployment) -> None:
    """C5: each has its outcome or its dead letter, and those behind them are taken."""
    deployment.configure(gate={"budget": {"share": 1.0}})
    deployment.send(*(native(n) for n in range(3)))
    deployment.done("run", "--until-idle")
    good = b'{"event_id": "e-%d", "label": "ok", "annotator": "a"}'
    bad = b'{"event_id": "x-%d", "label": "ok", "annotator": "a", %s}'
    values = [bad % (n, more) for n, more in enumerate(HOSTILE_LABELS.values())]
    deployment.log.append("t.labels", [Outgoing(value, partition=0) for value in values])
    patches = (b'{"gate": %s}' % NESTED, b'{"gate": {"budget": {"open": 1%s}}}' % (b"0" * 4_000),
               b'{"gate": {"budget": {"share": NaN}}}', b'{"\\ud800": 1}')  # fmt: skip
    controls = [b'{"proposal_id": "p%d", "actor": "a", "patch": %s}' % each
                for each in enumerate(patches)]  # fmt: skip
    gold = b'{"kind": "gold", "proposal_id": "g%d", "actor": "a", "event_id": "g", "label": "ok", \
"features": {"text": "t"}, "meta": %s}'
    controls += [gold % (1, b'{"n": NaN, "m": 1e999}'), gold % (2, b"[" * 190 + b"]" * 190)]
    deployment.log.append("t.controls", [Outgoing(value) for value in controls])
    deployment.log.append("t.labels", [Outgoing(good % n, partition=0) for n in range(3)])

    deployment.done("run", "--until-idle")
    outcomes = [one["outcome"] for one in deployment.messages("outcomes")]
    assert outcomes.count("applied") == 3
    letters = deployment.messages("dead_letters")
    answered = sum(one["topic"] == "t.labels" for one in letters) + len(outcomes)
    assert answered == len(HOSTILE_LABELS) + 3
    assert deployment.done("audit").code == 0
    deployment.done("run", "--until-idle")
    deployment.done("status")
