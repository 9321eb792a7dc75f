"""A replay chooses what is learnt again: final labels, without an annotator, a class or a time."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from stream_al.messages import ModelEntry, read_journal_record
from stream_al.model import Model
from tests.integration.conftest import Deployment, native, until

GATE = {
    "gate": {"budget": {"share": 1.0}},
    "snapshots": {"every_records": 0},
    "topics": {"partitions": 1},
}
TEXTS = ("free money now", "see you at lunch")


def _said(number: int, label: str | None = None, **more: Any) -> dict[str, Any]:
    said = label or ("spam", "ham")[number % 2]
    return {"event_id": f"e-{number}", "label": said, "annotator": "a"} | more


def _asked(deployment: Deployment, count: int, **sections: Any) -> None:
    deployment.configure(**(GATE | sections))
    deployment.send(*(native(n, TEXTS[n % 2]) for n in range(count)))
    deployment.done("run", "--until-idle")


def _answer(deployment: Deployment, *labels: dict[str, Any]) -> None:
    deployment.send(*labels, topic="labels")
    deployment.done("run", "--until-idle")


def _replayed(deployment: Deployment, *options: object) -> Any:
    return deployment.done("replay", *options, "--json").json()


def _lineage(deployment: Deployment) -> ModelEntry:
    entries = [read_journal_record(record.value) for record in deployment.records("journal")]
    return [entry for entry in entries if isinstance(entry, ModelEntry)][-1]


def _only(deployment: Deployment, *lessons: tuple[int, str]) -> str:
    """Return the digest of a model that learnt these (event, label) and nothing else."""
    model = Model(deployment.config)
    for number, label in lessons:
        model.learn(native(number, TEXTS[number % 2])["features"], label)
    return model.digest()


def _sound(deployment: Deployment) -> None:
    """Predict with what is in force, restart, and verify everything."""
    deployment.send(*(native(n, TEXTS[n % 2]) for n in range(900, 905)))
    deployment.done("run", "--until-idle")
    deployment.done("run", "--until-idle")
    assert _replayed(deployment, "--verify")["sound"]
    assert deployment.done("audit").code == 0


def test_wrong_retract_right(deployment: Deployment) -> None:
    """B9: the wrong lesson goes, the right one stays; what was only retracted teaches nothing."""
    _asked(deployment, 4)
    _answer(deployment, _said(0, "ham"), _said(1, "spam"), _said(2), _said(3))
    _answer(deployment, _said(0, kind="retract", label=None), _said(1, kind="retract", label=None))
    _answer(deployment, _said(0, "spam", revision=1))
    assert _replayed(deployment)["learnt"] == 5

    found = _replayed(deployment, "--corrected", "--activate")

    assert found["left_out_why"] == {"superseded": 1, "retracted": 1}
    assert found["digest"] == _only(deployment, (2, "spam"), (3, "ham"), (0, "spam"))
    assert _replayed(deployment)["digest"] == found["digest"]
    _sound(deployment)


def test_fifty_corrections(deployment: Deployment) -> None:
    """B9: fifty wrong labels, corrected by a higher revision: only the corrections are learnt."""
    _asked(deployment, 100)
    wrong = [_said(n, ("ham", "spam")[n % 2]) for n in range(50)]
    _answer(deployment, *wrong, *(_said(n) for n in range(50, 100)))
    _answer(deployment, *(_said(n, revision=1) for n in range(50)))
    worker = deployment.worker()

    dry = _replayed(deployment, "--corrected")
    found = _replayed(deployment, "--corrected", "--activate")

    assert dry["digest"] == found["digest"]
    assert (dry["left_out"], dry["learnt"]) == (50, 100)
    lessons = [*range(50, 100), *range(50)]
    assert found["digest"] == _only(deployment, *((n, ("spam", "ham")[n % 2]) for n in lessons))
    until(lambda: "replay_done" in worker.err)
    assert worker.terminate().code == 0
    assert _lineage(deployment).start == "selected"
    _sound(deployment)


def test_without_an_event_keeps_its_corrections(deployment: Deployment) -> None:
    """B9: those that were there, and those that come later; a retracted one is out altogether."""
    _asked(deployment, 6)
    _answer(deployment, _said(0, "ham"), _said(1, "spam"), _said(2), _said(3), _said(4), _said(5))
    _answer(deployment, _said(0, "spam", revision=1), _said(4, kind="retract", label=None))

    found = _replayed(deployment, "--without", "e-0", "--without", "e-1", "--without", "e-4",
                      "--activate")  # fmt: skip

    assert (found["left_out"], found["corrections_kept"]) == (3, 1)
    expected = ((2, "spam"), (3, "ham"), (5, "ham"), (0, "spam"))
    assert found["digest"] == _only(deployment, *expected)
    _answer(deployment, _said(1, "ham", revision=1))
    assert _replayed(deployment)["digest"] == _only(deployment, *expected, (1, "ham"))
    again = _replayed(deployment, "--without", "e-2", "--activate")
    rest = ((3, "ham"), (5, "ham"), (0, "spam"), (1, "ham"))
    assert again["digest"] == _only(deployment, *rest)
    ever = _replayed(deployment, "--without", "e-0", "--for-ever", "--activate")
    assert (ever["corrections_kept"], ever["left_out"]) == (0, 5)
    _answer(deployment, _said(0, "spam", revision=2))
    assert _replayed(deployment)["digest"] == _only(deployment, *rest[:2], rest[3])
    _sound(deployment)


def test_without_an_annotator(deployment: Deployment) -> None:
    """B9: their lessons, overturns and retractions; what others said stands, now and later."""
    _asked(deployment, 8)
    _answer(deployment, _said(0), _said(1), _said(2, "ham", annotator="bob"),
            _said(3, "spam", annotator="bob"), _said(4))  # fmt: skip
    _answer(deployment, _said(0, "ham", annotator="bob", revision=1),
            _said(1, kind="retract", label=None, annotator="bob"),
            _said(3, "ham", revision=1))  # fmt: skip

    found = _replayed(deployment, "--corrected", "--without-annotator", "bob", "--activate")

    assert found["digest"] == _only(deployment, (0, "spam"), (1, "ham"), (4, "spam"), (3, "ham"))
    assert found["left_out_why"] == {"annotator": 3}
    _answer(deployment, _said(5, "spam", annotator="bob"), _said(7))
    assert _replayed(deployment)["learnt"] == 5
    assert "bob" in deployment.done("model").out
    _sound(deployment)
    back = _replayed(deployment, "--anew", "--activate")
    assert back["left_out"] == 0
    assert back["learnt"] == 9
    _sound(deployment)


def test_without_an_annotator_among_several(deployment: Deployment) -> None:
    """B9: the votes of the others decide; where none is left, nothing is learnt."""
    _asked(deployment, 2, labels={"votes": 2, "votes_max": 3})
    _answer(deployment, _said(0, "ham", annotator="bob"), _said(0, "ham", annotator="eve"))
    _answer(deployment, _said(1, "ham", annotator="bob"), _said(1, "spam", annotator="c"),
            _said(1, "ham", annotator="eve"))  # fmt: skip

    one = _replayed(deployment, "--without-annotator", "bob", "--without-annotator", "eve")

    assert one["digest"] == _only(deployment, (1, "spam"))
    assert _replayed(deployment, "--without-annotator", "bob")["learnt"] == 2


def test_without_and_renamed_classes(deployment: Deployment) -> None:
    """B9: a class left out, spellings made one; both hold for later labels and later replays."""
    _asked(deployment, 8)
    _answer(deployment, _said(0, "spam"), _said(1, "ham"), _said(2, "Spam"), _said(3, "junk"))

    found = _replayed(deployment, "--rename-class", "Spam=spam", "--without-class", "junk",
                      "--activate")  # fmt: skip

    assert (found["renamed"], found["left_out_why"]) == (1, {"class": 1})
    expected = ((0, "spam"), (1, "ham"), (2, "spam"))
    assert found["digest"] == _only(deployment, *expected)
    _answer(deployment, _said(4, "Spam"), _said(5, "junk"))
    assert _replayed(deployment)["digest"] == _only(deployment, *expected, (4, "spam"))
    said = _replayed(deployment, "--rename-class", "spam=bad", "--activate")
    assert said["digest"] == _only(deployment, (0, "bad"), (1, "ham"), (2, "bad"), (4, "bad"))
    _sound(deployment)


def test_since(deployment: Deployment) -> None:
    """B9: what was learnt before a time is left out."""
    _asked(deployment, 6)
    _answer(deployment, *(_said(n) for n in range(3)))
    time.sleep(0.05)
    now = datetime.now(UTC).isoformat()
    time.sleep(0.05)
    _answer(deployment, *(_said(n) for n in range(3, 6)))

    found = _replayed(deployment, "--since", now, "--activate")

    assert (found["left_out_why"], found["learnt"]) == ({"since": 3}, 3)
    assert (
        "left out 3 lessons: 3 from before the time"
        in deployment.done("replay", "--since", now).out
    )
    _sound(deployment)


def test_seeds_and_volunteered_labels_have_a_last_word_too(deployment: Deployment) -> None:
    """B9: a second seed, or a volunteered label of a higher revision, takes the first's place."""
    _asked(deployment, 2)
    features = native(50, TEXTS[0])["features"]
    volunteered = {"event_id": "v", "annotator": "m", "features": features}
    _answer(deployment, volunteered | {"label": "ham"})
    _answer(deployment, volunteered | {"label": "spam", "revision": 1})
    for label in ("spam", "ham"):
        (deployment.folder / "h.jsonl").write_text(
            json.dumps(native(51, TEXTS[1]) | {"label": label}) + "\n"
        )
        deployment.done("seed", deployment.folder / "h.jsonl")
        deployment.done("run", "--until-idle")
    assert _replayed(deployment)["learnt"] == 4

    found = _replayed(deployment, "--corrected", "--activate")

    assert found["digest"] == _only_features(deployment, (features, "spam"),
                                             (native(51, TEXTS[1])["features"], "ham"))  # fmt: skip
    _sound(deployment)


def _only_features(deployment: Deployment, *lessons: tuple[dict[str, Any], str]) -> str:
    model = Model(deployment.config)
    for features, label in lessons:
        model.learn(features, label)
    return model.digest()


def test_a_redaction_upon_a_corrected_lineage(deployment: Deployment) -> None:
    """B9, A1: the person's lessons leave, the selection stays, and all is comparable again."""
    _asked(deployment, 6)
    _answer(deployment, *(_said(n) for n in range(6)))
    _answer(deployment, _said(0, "ham", revision=1), _said(1, "spam", revision=1))
    _replayed(deployment, "--corrected", "--without-annotator", "a", "--activate")
    _replayed(deployment, "--anew", "--corrected", "--activate")
    deployment.done("journal", "redact", "e-0", "--reason", "asked for")

    lineage = _lineage(deployment)

    assert (lineage.corrected, lineage.bounds()["e-0"] > 1 << 60) == (True, True)
    _answer(deployment, _said(1, "ham", revision=2))
    _sound(deployment)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--without-annotator", "bbo"], "--without-annotator: 'bbo': the journal holds no lesson"),
        (["--without-class", "spma"], "did you mean 'spam'?"),
        (["--rename-class", "Spma=spam"], "--rename-class: 'Spma': the journal holds no lesson"),
        (["--rename-class", "spam"], "write OLD=NEW"),
        (["--since", "yesterday"], "--since is 'yesterday': no time"),
        (["--verify", "--corrected"], "--verify: it checks the lineage in force"),
    ],
)
def test_what_can_not_be_meant_is_refused(
    deployment: Deployment, options: list[str], said: str
) -> None:
    """B9: a typing error leaves nothing out silently: exit code 2."""
    _asked(deployment, 2)
    _answer(deployment, _said(0), _said(1))

    ended = deployment.cli("replay", *options)

    assert ended.code == 2
    assert said in ended.err
