"""An event that kills the process is found and set aside; deaths from outside set nothing aside."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from random import Random

from stream_al.port import Outgoing
from tests.integration.conftest import Deployment, native

DEADLY = '''
import os, signal
from pathlib import Path
from river import linear_model

class Deadly(linear_model.LogisticRegression):
    """Dies of a certain text, as a bug in native code does, until it is mended."""

    def predict_proba_one(self, x):
        if "kill me" in str(x) and not Path("mended").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().predict_proba_one({name: 1.0 for name in x})

    def learn_one(self, x, y):
        super().learn_one({name: 1.0 for name in x}, y)

def build():
    return Deadly()
'''
POISON = (17, 23)
EVENTS = 60
DEATHS_MAX = 2 + 2 * 3 + 2
"""Two at the place, three of each alone, and one more takeover for each."""


def _deployed(deployment: Deployment) -> None:
    """Teach two classes, then let two deadly events come among others."""
    (deployment.folder / "deadly.py").write_text(DEADLY)
    environment = {"PYTHONPATH": str(deployment.folder)}
    deployment.configure(model={"factory": "deadly:build"}, topics={"partitions": 2})
    seeds = [native(n) | {"label": ("spam", "ham")[n % 2]} for n in range(1_000, 1_004)]
    path = deployment.folder / "seeds.jsonl"
    path.write_text("\n".join(map(json.dumps, seeds)))
    deployment.done("run", "--until-idle", environment=environment)
    deployment.done("seed", path, environment=environment)
    deployment.done("run", "--until-idle", environment=environment)
    events = [native(n, "kill me" if n in POISON else "hello") for n in range(EVENTS)]
    deployment.send(*events)


def _live_until_done(deployment: Deployment) -> int:
    """Start the worker again after every death; return how many there were."""
    environment = {"PYTHONPATH": str(deployment.folder)}
    for deaths in range(DEATHS_MAX + 1):
        ended = deployment.start("run", "--until-idle", environment=environment).wait(60)
        if ended.code == 0:
            return deaths
        assert ended.code == -9, ended
    raise AssertionError(f"{DEATHS_MAX} deaths were not enough")


def test_deadly_events_are_set_aside_and_come_back_once(deployment: Deployment) -> None:
    """Everything else is predicted exactly once; mended and re-driven, so are they."""
    _deployed(deployment)

    deaths = _live_until_done(deployment)

    assert 2 + 3 <= deaths <= DEATHS_MAX
    listed = deployment.done("dead-letters", "list", "--json").json()
    assert listed["counts"] == [
        {"error": "Quarantined", "topic": "events", "redriven": False, "letters": 2}
    ]
    assert "died 3 times while it scored this event alone" in listed["letters"][0]["message"]
    assert _times(deployment) == {f"e-{n}": 1 for n in range(EVENTS) if n not in POISON}
    shown = deployment.done("dead-letters", "show", listed["letters"][-1]["place"]).out
    assert "kill me 17" in shown

    (deployment.folder / "mended").touch()
    again = deployment.done("dead-letters", "redrive", "--where", "error=Quarantined")
    deployment.done("dead-letters", "redrive", "--where", "error=Quarantined")

    assert "2 sent again" in again.out + again.err
    assert _live_until_done(deployment) == 0
    assert _times(deployment) == {f"e-{n}": 1 for n in range(EVENTS)}
    listed = deployment.done("dead-letters", "list", "--json").json()
    assert [letter["redriven"] for letter in listed["letters"]] == [True, True]


def _times(deployment: Deployment) -> dict[str, int]:
    return dict(Counter(said["event_id"] for said in deployment.messages("predictions")))


def test_nothing_is_set_aside_by_deaths_on_the_way_up(deployment: Deployment) -> None:
    """Workers killed right after they took partitions over make it careful, and nothing worse."""
    deployment.configure()
    deployment.send(*(native(n) for n in range(200)))
    for _ in range(8):
        process = deployment.start("run")
        process.wait_for("partition_assigned")
        process.kill()
        deployment.send(*(native(n) for n in range(5)))

    deployment.done("run", "--until-idle")

    assert deployment.messages("dead_letters") == []
    assert sum(deployment.ends("events")) == len(deployment.messages("predictions"))


KILLS = int(os.environ.get("STREAM_AL_TEST_KILLS", "60"))
BACKLOG = 1_000 * KILLS
CHUNK = 1_000


def test_kills_from_outside_set_nothing_aside(deployment: Deployment) -> None:
    """SIGKILLs at random moments of hard work, many of them before the first commit of a life."""
    deployment.configure()
    lines = [Outgoing(json.dumps(native(n)).encode()) for n in range(BACKLOG)]
    for start in range(0, BACKLOG, CHUNK):
        deployment.log.append("t.events", lines[start : start + CHUNK])
    rng = Random(4)
    cautious = lives = 0
    while lives < KILLS or (not cautious and lives < 5 * KILLS):
        lives += 1
        process = deployment.start("run")
        process.wait_for("partition_assigned")
        time.sleep(rng.choice((0.0, 0.005, 0.02, 0.1)) * rng.random())
        process.kill()
        cautious += "careful" in process.err

    ended = deployment.start("run", "--until-idle").wait(600)

    assert ended.code == 0, ended.err
    assert cautious > 0, "no kill was early enough to make a partition careful; draw earlier ones"
    assert deployment.messages("dead_letters") == []
    assert set(_times(deployment).values()) == {1}
    assert len(deployment.messages("predictions")) == BACKLOG
