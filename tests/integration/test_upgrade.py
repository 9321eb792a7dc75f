"""What each version left behind opens with today's code: it works, or one command goes on.

`tests/fixtures/upgrade` has an archive a version, made by its own commands (`make.py` there).
"""

from __future__ import annotations

import json
import re
import shlex
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from stream_al import ActiveLearner, Event, Label
from stream_al.messages import CHAIN_START, chained, read_journal_record
from tests.fixtures.upgrade.make import SECRET, START_MS, native, truth
from tests.integration.conftest import Deployment, Ended, Forks

ARCHIVES = sorted((Path(__file__).parents[1] / "fixtures" / "upgrade").glob("*.tar.xz"))
VERSIONS = [path.name.removesuffix(".tar.xz") for path in ARCHIVES]
ENVIRONMENT = {"STREAM_AL_GATE__SECRET": SECRET}
COMMAND = re.compile("`stream-al ([^`]+)`")


class Old:
    """What one version left in a folder."""

    def __init__(self, forks: Forks, folder: Path) -> None:
        self.folder = folder
        body = yaml.safe_load((folder / "stream-al.yaml").read_text())
        self.made = Deployment(forks, folder)
        self.made.configure(**body)

    def opens(self, *arguments: str) -> Ended:
        """Run a command: it works, or ends with 2 and names the one that lets it work."""
        ended = self.made.cli(*arguments, environment=ENVIRONMENT)
        if ended.code == 2:
            said = COMMAND.search(ended.err.splitlines()[-1])
            assert said is not None, ended.err
            self.made.done(*shlex.split(said[1]), environment=ENVIRONMENT)
            ended = self.made.cli(*arguments, environment=ENVIRONMENT)
        assert ended.code == 0, ended
        return ended

    def count(self, topic: str) -> int:
        return len(self.opens("read", topic).out.splitlines())


@pytest.fixture(scope="session", params=ARCHIVES, ids=VERSIONS)
def unpacked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("upgrade")
    with tarfile.open(request.param) as archive:
        archive.extractall(place, filter="fully_trusted")  # modes stay: a snapshot's is 0600
    return place


@pytest.fixture
def old(
    request: pytest.FixtureRequest, unpacked: Path, tmp_path: Path, forks: Forks
) -> Iterator[Old]:
    """Give a copy of the log that a test names."""
    for path in (unpacked / request.param).rglob("*"):
        target = tmp_path / path.relative_to(unpacked / request.param)
        if path.is_dir():
            target.mkdir(mode=0o700)
        else:
            target.write_bytes(path.read_bytes())
            target.chmod(path.stat().st_mode)
    found = Old(forks, tmp_path)
    yield found
    found.made.close()


living = pytest.mark.parametrize("old", ["living"], indirect=True)
redacted = pytest.mark.parametrize("old", ["redacted"], indirect=True)


@living
def test_a_log_is_read(old: Old) -> None:
    """Upgrades: every command that looks finds what there was, before any worker of today."""
    old.opens("status", "--json")
    assert "living" in old.opens("status").out
    assert old.count("events") == 442
    assert old.count("predictions") == 420
    assert old.count("labels") == 162
    assert old.count("dead-letters") >= 2
    assert "p-" in old.opens("queries", "--limit", "100").out
    old.opens("check")
    old.opens("budget")
    old.opens("model")
    old.opens("dead-letters")
    old.opens("audit")
    assert old.opens("replay", "--json").json()["position"] == 227


@living
def test_every_prediction_is_made_again(old: Old) -> None:
    """Upgrades: bit for bit, and every digest, so that a model of then is the model of now."""
    found = old.opens("replay", "--verify", "--json").json()

    assert found["sound"]
    assert found["predictions"]["compared"] == found["predictions"]["equal"] == 420
    assert found["digests"]["equal"] == found["digests"]["compared"]
    assert found["learnt"] == 130


@living
def test_a_worker_goes_on(old: Old) -> None:
    """Upgrades: what waited is done, people and operators are heard, and nothing is violated."""
    old.opens("run", "--until-idle")
    assert old.count("predictions") == 440
    assert old.count("outcomes") >= 161
    (query, *_) = old.opens("queries", "--json", "--limit", "1").json()
    old.made.send(
        {"event_id": query["event_id"], "label": "ok", "annotator": "dee"},
        {"event_id": "p-901", "label": "spam", "annotator": "dee", "features": {"text": "prize"}},
        topic="labels",
    )
    old.made.send(*map(native, range(440, 460)))
    worker = old.made.worker(environment=ENVIRONMENT)
    old.opens("budget", "set", "--share", "0.3", "--reason", "upgraded", "--actor", "ops")
    old.opens("pause", "--reason", "a look", "--actor", "ops")
    assert worker.terminate().code == 0
    old.opens("run", "--until-idle")

    assert old.count("predictions") == 460
    old.opens("audit")
    assert old.opens("replay", "--verify", "--json").json()["predictions"]["compared"] == 460
    asked = [json.loads(line)["value"] for line in old.opens("read", "outcomes").out.splitlines()]
    assert [it["outcome"] for it in asked if it["annotator"] == "dee"] == ["applied", "volunteered"]


@living
def test_a_snapshot_is_taken_or_passed_over(old: Old) -> None:
    """Upgrades: it is a cache; of another format it costs the time of a replay, and says so."""
    verified = old.made.cli("snapshot", "verify", environment=ENVIRONMENT)
    assert verified.code in {0, 3}

    ended = old.opens("run", "--until-idle")

    said = {0: "snapshot_loaded", 3: "snapshot_rejected"}[verified.code]
    assert f"event={said} part=engine file=00000000000000000227.snapshot " in ended.err
    old.opens("snapshot", "write")
    assert old.made.cli("snapshot", "list", environment=ENVIRONMENT).code == 0


@living
def test_the_chain_of_an_exported_journal_holds(old: Old) -> None:
    """Upgrades: a new field with a default would change the hash of every record from before."""
    lines = (old.folder / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    chain, kinds = CHAIN_START, Counter[str]()
    for line in lines:
        value = json.loads(line)["value"]
        record = read_journal_record(json.dumps(value).encode())
        chain = chained(record, chain).chain
        assert chain == value["chain"], value
        kinds[record.kind] += 1

    assert kinds.total() == 227
    assert set(kinds) == {
        *("model", "control", "label", "vote", "closed", "retraction", "seed", "gold"),
        *("volunteered", "statistics", "digest"),
    }


@redacted
def test_a_redacted_log_is_read(old: Old) -> None:
    """Upgrades, A1: a journal that was blanked in place, of a mapping, with votes."""
    old.opens("status", "--json")
    old.opens("audit")
    old.opens("model")
    assert old.count("journal") == 470


@redacted
def test_a_redacted_log_goes_on(old: Old) -> None:
    """Upgrades, A1: 0.1.0 ended as `diverged` there, for ever."""
    old.opens("run", "--until-idle")

    assert old.count("predictions") == 290
    old.opens("audit")
    assert old.opens("replay", "--verify", "--json").json()["sound"]


def test_an_embedded_learner_goes_on_as_it_would_have(unpacked: Path) -> None:
    """Upgrades: the state that `dump` wrote loads, and its future is the one that it had."""
    learner = ActiveLearner.load((unpacked / "embedded" / "learner.pickle").read_bytes())
    future = json.loads((unpacked / "embedded" / "future.json").read_text())

    for number, expected in enumerate(future, 201):
        found = _step(learner, number)
        named = expected["prediction"]  # fields may be added
        found["prediction"] = {name: found["prediction"].get(name) for name in named}
        assert found == expected, number

    again = ActiveLearner.load(learner.dump())
    assert _step(again, 300) == _step(learner, 300)


def _step(learner: ActiveLearner, number: int) -> dict[str, Any]:
    """Do what `make.py` did with event `number`; say of it what it said."""
    at_ms = START_MS + number * 1_000
    decision = learner.score(Event(**native(number)), now_ms=at_ms)
    outcomes = []
    if decision.query is not None and number % 3:
        for who in ("ana", "bo"):
            body = Label(event_id=f"p-{number}", label=truth(number), annotator=who)
            outcomes.append(learner.label(body, now_ms=at_ms).outcome)
    return {
        "prediction": decision.prediction.model_dump(mode="json"),
        "asked": decision.query is not None,
        "outcomes": outcomes,
    }
