"""Snapshots of a deployment: written beside the worker, taken at a start, looked at by people."""

from __future__ import annotations

import os
import re
import signal
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from stream_al.service.rebuild import fold_journal
from tests.integration.conftest import Deployment, Process, native, until

BALLAST_BYTES = 6_000_000
DISK_BYTES = 3_000_000
KEY = {"STREAM_AL_SNAPSHOTS__KEY": "a key of sixteen characters"}


def configure(deployment: Deployment, every: int = 4, **more: Any) -> None:
    deployment.configure(
        topics={"partitions": 1},
        gate={"budget": {"share": 1.0}},
        snapshots={"every_records": every},
        **more,
    )


def teach(deployment: Deployment, first: int, count: int, *, alone: bool = False) -> None:
    """Ask about events and answer all of them; `alone`: no worker runs yet, so one does here."""
    numbers = range(first, first + count)
    asked = len(deployment.messages("queries")) + count
    deployment.send(*(native(n) for n in numbers))
    if alone:
        deployment.done("run", "--until-idle")
    until(lambda: len(deployment.messages("queries")) == asked)
    labels = [{"event_id": f"e-{n}", "label": ("ham", "spam")[n % 2], "annotator": "a"}
              for n in numbers]  # fmt: skip
    deployment.send(*labels, topic="labels")
    if alone:
        deployment.done("run", "--until-idle")


def snapshots(deployment: Deployment) -> list[Path]:
    return sorted((deployment.folder / "t.db.snapshots").glob("*.snapshot"))


def journal_end(deployment: Deployment) -> int:
    return deployment.ends("journal")[0]


def writers(process: Process) -> list[int]:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(pid) for pid in children.read_text().split()]


def running(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False


def test_a_worker_has_them_written_and_the_next_one_begins_there(deployment: Deployment) -> None:
    """A child writes while the worker runs; a restart folds the rest only, to the same state."""
    configure(deployment)
    worker = deployment.worker()
    teach(deployment, 0, 8)
    until(lambda: snapshots(deployment))
    teach(deployment, 100, 8)
    until(lambda: len(snapshots(deployment)) > 1)
    (child,) = writers(worker)
    assert os.getpriority(os.PRIO_PROCESS, child) > os.getpriority(os.PRIO_PROCESS, 0)
    refused = deployment.cli("snapshot", "write")
    port = re.search(r"http_listening .*port=(\d+)", worker.err)
    assert port is not None
    with urllib.request.urlopen(f"http://127.0.0.1:{port[1]}/metrics") as answer:
        assert b'\nstream_al_snapshot_age_seconds{app="t"} ' in answer.read()

    assert worker.terminate().code == 0

    until(lambda: not running(child))
    assert refused.code == 2
    assert "a running worker writes the snapshots" in refused.err
    newest = snapshots(deployment)[-1]
    assert newest.stat().st_mode & 0o777 == 0o600
    last = deployment.done("run", "--until-idle")
    for part in ("engine", "resolver"):
        assert f"snapshot_loaded part={part} file={newest.name} " in last.err
    folded = deployment.start("@fold").wait().json()
    assert folded["learnt"] == 16
    assert deployment.done("replay", "--verify").code == 0


def test_the_writer_ends_with_a_worker_that_is_killed(deployment: Deployment) -> None:
    """SIGKILL leaves no process behind that goes on writing."""
    configure(deployment)
    worker = deployment.worker()
    teach(deployment, 0, 8)
    until(lambda: snapshots(deployment))
    (child,) = writers(worker)
    assert running(child)

    worker.kill()

    until(lambda: not running(child), 5.0)
    assert not running(child)


def test_a_writer_removes_what_a_redaction_could_not_see(deployment: Deployment) -> None:
    """A snapshot that appears just after `journal redact` looked is gone with the next one."""
    configure(deployment)
    teach(deployment, 0, 8, alone=True)
    deployment.done("snapshot", "write")
    (early,) = snapshots(deployment)
    kept = early.read_bytes()
    deployment.done("journal", "redact", "e-0", "--reason", "asked for")
    assert not snapshots(deployment)

    early.write_bytes(kept)
    early.chmod(0o600)
    teach(deployment, 8, 8, alone=True)
    deployment.done("snapshot", "write")

    assert early not in snapshots(deployment)
    assert snapshots(deployment)


def test_a_killed_writer_is_a_line_and_what_it_left_is_swept(deployment: Deployment) -> None:
    """The worker goes on; the next writer removes the half-written file and writes its own."""
    configure(deployment)
    worker = deployment.worker()
    teach(deployment, 0, 8)
    until(lambda: snapshots(deployment))
    left = snapshots(deployment)[-1].with_name(f"{99:020d}.snapshot.77.partial")
    left.write_bytes(b"half a snapshot")
    (child,) = writers(worker)

    os.kill(child, signal.SIGKILL)
    worker.wait_for(f"snapshot_writer_ended code={-signal.SIGKILL}")
    teach(deployment, 100, 8)
    until(lambda: len(deployment.messages("outcomes")) == 16)
    worker.terminate()
    deployment.done("snapshot", "write")

    assert not left.exists()
    position = journal_end(deployment)
    assert snapshots(deployment)[-1].name == f"{position:020d}.snapshot"


def test_a_full_disk_is_a_line_and_the_worker_goes_on(deployment: Deployment) -> None:
    """The snapshot does not fit on the disk: nothing is lost but the snapshot."""
    (deployment.folder / "heavy.py").write_text(
        "import os\n"
        "from river import naive_bayes\n\n\n"
        "class Heavy(naive_bayes.BernoulliNB):\n"
        "    def learn_one(self, x, y):\n"
        f"        self.ballast = bytes({BALLAST_BYTES})\n"
        "        super().learn_one({}, y)\n\n"
        "    def predict_proba_one(self, x):\n"
        "        return super().predict_proba_one({})\n\n\n"
        "def build(**_):\n"
        "    return Heavy()\n"
    )
    configure(deployment, model={"factory": "heavy:build"})
    worker = deployment.worker(file_bytes_max=DISK_BYTES)
    teach(deployment, 0, 8)
    worker.wait_for('snapshot_not_written why="[Errno 27] File too large"')
    teach(deployment, 100, 8)
    until(lambda: len(deployment.messages("outcomes")) == 16)

    assert worker.terminate().code == 0
    left = {each.name for each in (deployment.folder / "t.db.snapshots").iterdir()}
    assert left <= {"exits-0.json"}
    deployment.done("snapshot", "write")
    assert snapshots(deployment)[0].stat().st_size > BALLAST_BYTES


def test_list_verify_and_prune(deployment: Deployment) -> None:
    """People see what there is; a damaged file is named with its reason and exit code 3."""
    configure(deployment, every=0)
    for turn in range(4):
        teach(deployment, 10 * turn, 2, alone=True)
        if not turn:
            said = deployment.done("snapshot", "verify").err
            assert said == "no snapshots in t.db.snapshots\n"
        deployment.done("snapshot", "write")
    assert "nothing new" in deployment.done("snapshot", "write").err
    files = snapshots(deployment)
    rows = deployment.done("snapshot", "list", "--json").json()
    assert [row["file"] for row in rows] == [path.name for path in reversed(files)]
    assert len(files) == 3
    assert all(row["valid"] and row["why"] is None for row in rows)
    assert rows[0]["behind"] == 0
    assert {row["bytes"] for row in rows} == {path.stat().st_size for path in files}
    assert deployment.done("snapshot", "verify").out.count("  ok\n") == 3

    damaged = files[1]
    damaged.write_bytes(damaged.read_bytes()[:-7])
    found = deployment.cli("snapshot", "verify")

    assert found.code == 3
    assert f"{damaged.name}  rejected: its checksum does not fit" in found.out
    assert found.out.count("  ok\n") == 2
    shown = deployment.done("snapshot", "list").out
    assert "its checksum does not fit" in shown
    assert "2 stay" in deployment.done("snapshot", "prune", "--keep", 2).err
    assert "0 stay" in deployment.done("snapshot", "prune", "--keep", 0).err
    assert snapshots(deployment) == []


def test_commands_look_through_the_same_snapshots(deployment: Deployment) -> None:
    """`status` and `queries` begin at the snapshot, and show what a fold from nothing shows."""
    configure(deployment, every=0)
    teach(deployment, 0, 6, alone=True)
    deployment.send(native(50), native(51))
    deployment.done("run", "--until-idle")
    before = deployment.done("queries", "--json").out
    deployment.done("snapshot", "write")

    assert deployment.done("queries", "--json").out == before
    assert deployment.done("status", "--json").json()["pending"] == 2
    whole = fold_journal(deployment.log, deployment.config).fingerprint()
    deployment.done("snapshot", "prune", "--keep", 0)
    assert fold_journal(deployment.log, deployment.config).fingerprint() == whole


def test_the_key_reaches_the_writer_and_the_loader(deployment: Deployment) -> None:
    """With the key everything works as without; without it the signed file is passed over."""
    configure(deployment)
    worker = deployment.worker(environment=KEY)
    teach(deployment, 0, 8)
    until(lambda: snapshots(deployment))
    worker.terminate()

    assert deployment.done("snapshot", "verify", environment=KEY).code == 0
    without = deployment.cli("snapshot", "verify")
    assert (without.code, "it is signed, and no key is set" in without.out) == (3, True)
    started = deployment.done("run", "--until-idle")
    assert 'why="it is signed, and no key is set"' in started.err
    assert (
        "snapshot_loaded part=engine" in deployment.done("run", "--until-idle", environment=KEY).err
    )


@pytest.mark.parametrize(
    ("section", "environment", "said"),
    [
        ({}, {"STREAM_AL_SNAPSHOTS__KEY": "short"}, "STREAM_AL_SNAPSHOTS__KEY has 5 characters"),
        ({"key_file": "nowhere"}, {}, "snapshots.key_file names no file that is there"),
        ({"keep": 0}, {}, "snapshots.keep is 0"),
        ({"every": 5}, {}, "did you mean `every_records`?"),
    ],
)
def test_a_bad_setting_is_named(
    deployment: Deployment, section: dict[str, Any], environment: dict[str, str], said: str
) -> None:
    """Exit 2 with the field, the value and what to do; `check` says the same as `run`."""
    deployment.configure(snapshots=section)

    for command in (["check"], ["run", "--until-idle"]):
        ended = deployment.cli(*command, environment=environment)
        assert (ended.code, said in ended.err) == (2, True), ended


def test_check_names_a_folder_that_others_may_write(deployment: Deployment) -> None:
    """Otherwise every start would fold the whole journal, and nobody would know why."""
    configure(deployment)
    folder = deployment.folder / "t.db.snapshots"
    folder.mkdir()
    folder.chmod(0o777)

    ended = deployment.cli("check")

    assert ended.code == 2
    assert "snapshots.directory: others may write the folder" in ended.err
