"""From a file and the environment to a configuration: precedence, and problems people can mend."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from stream_al.config import Config, LogSection
from stream_al.errors import ConfigurationError
from stream_al.service.settings import SECRET_VARIABLE, gate_secret, load_config


def _write(folder: Path, text: str) -> Path:
    path = folder / "own.yaml"
    path.write_text(text)
    return path


def _problems(path: Path | None, environment: dict[str, str]) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as raised:
        load_config(path, environment)
    return raised.value.problems


def test_empty_file_is_the_default(tmp_path: Path) -> None:
    """The smallest file that works is empty: four partitions, `linear`, seed 1, share 0.05."""
    config = load_config(_write(tmp_path, ""), {})
    assert config.model_copy(update={"log": LogSection()}) == Config()
    assert config.log == LogSection(path=str(tmp_path / "stream-al.db"))
    assert (config.topics.partitions, config.log.connector) == (4, "sqlite")
    assert (config.model.preset, config.model.seed, config.gate.budget.share) == ("linear", 1, 0.05)
    assert (config.gate.budget.per_hour, config.gate.budget.open) == (None, None)
    assert config.gate.back_pressure is None


def test_the_documented_file(tmp_path: Path) -> None:
    """Dotted paths, durations and nested sections arrive as they were written."""
    config = load_config(
        _write(
            tmp_path,
            """
app: moderation
log: {connector: sqlite, path: moderation.db}
topics: {events: posts.created, partitions: 4}
events:
  event_id: post.id
  at_ms: post.created_ms
  segment: post.language
  features: {text: post.body, followers: post.author.followers}
  types: {title: text}
  on_bad_number: drop_feature
  bytes_max: 262144
labels: {classes: [ok, spam, abuse], votes: 1, votes_max: 3, skips_max: 2,
         expire_after: 7d, revise_within: 30d}
model: {preset: linear, seed: 1}
gate:
  uncertainty: margin
  random_share: 0.2
  burst: 1
  budget: {share: 0.05, per_hour: 200, open: 1000}
http: {host: 127.0.0.1, port: 8321}
""",
        ),
        {},
    )
    assert config.topic("events") == "posts.created"
    assert config.topic("dead_letters") == "moderation.dead-letters"
    assert config.labels.expire_after == 7 * 86_400_000
    assert config.settings().gate.budget.per_hour == 200


def test_environment_wins_over_the_file(tmp_path: Path) -> None:
    """Two underscores go one level down; values are read as YAML; the file keeps the rest."""
    path = _write(tmp_path, "gate: {budget: {share: 0.5, open: 10}}\n")
    environment = {
        "STREAM_AL_GATE__BUDGET__SHARE": "0.02",
        "STREAM_AL_LABELS__CLASSES": "[ok, spam]",
        "STREAM_AL_APP": "other",
        "STREAM_AL_GATE__SECRET": "not part of the configuration",
        "HOME": "/nowhere",
    }
    config = load_config(path, environment)
    assert (config.gate.budget.share, config.gate.budget.open) == (0.02, 10)
    assert (config.labels.classes, config.app) == (("ok", "spam"), "other")


def test_file_named_by_the_environment(tmp_path: Path) -> None:
    """`STREAM_AL_CONFIG` names the file when no option does; then it has to be there."""
    path = _write(tmp_path, "app: named\n")
    assert load_config(None, {"STREAM_AL_CONFIG": str(path)}).app == "named"
    (problem,) = _problems(None, {"STREAM_AL_CONFIG": str(tmp_path / "gone.yaml")})
    assert "gone.yaml" in problem
    assert "stream-al init" in problem


def test_every_problem_at_once(tmp_path: Path) -> None:
    """Each names field, value and what to do; a typo names its nearest neighbour."""
    path = _write(
        tmp_path,
        "tpoics: {}\ngate: {budget: {share: 3}, burst: 0}\nlabels: {expire_after: soon}\n",
    )
    problems = _problems(path, {"STREAM_AL_HTTP__PROT": "1"})
    text = "\n".join(problems)
    assert len(problems) == 5
    assert "tpoics is not a setting, did you mean `topics`?" in text
    assert "gate.budget.share is 3: " in text
    assert "gate.burst is 0: " in text
    assert "labels.expire_after is 'soon': " in text
    assert "write a number and a unit: 90s, 15m, 12h, 7d" in text
    assert "http.prot is not a setting, did you mean `port`?" in text
    assert all(str(path) in problem for problem in problems)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("labels: {votes: 5}", "votes_max (3) must not be below votes (5)"),
        ("gate: {budget: {open: 2}}", "gate.budget.open is 2, below topics.partitions (4)"),
        ("events: {event_id: a}", "set both `event_id` and `features`"),
        ("labels: {classes: [a, a]}", "at least two different classes"),
        ("gate: {budget: {share: .nan}}", "gate.budget.share is nan"),
        ("log: {deadline: 0}", "log.deadline is 0"),
        ("log: {deadline: 999ms}", "log.deadline is 999: "),
        (
            "log: {session_timeout: 10m}",
            "(90,000 ms) must not be below session_timeout (600,000 ms)",
        ),
        ("log: {poll_interval: 6s, session_timeout: 7s}", "poll_interval (6,000 ms) must not be"),
        ("app: a b", "app is 'a b'"),
        ("[1]", "holds a list"),
        ("a: b: c", "is not YAML"),
    ],
)
def test_fields_that_contradict_each_other(tmp_path: Path, text: str, said: str) -> None:
    """What can't work together is refused before anything starts."""
    (problem,) = _problems(_write(tmp_path, text), {})
    assert said in problem


def test_secret_is_made_once_and_kept_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made beside the log with mode 0600; read again by the next process; no draft is left."""
    monkeypatch.delenv(SECRET_VARIABLE, raising=False)
    first = gate_secret(Config(), beside=tmp_path / "log.db")
    made = tmp_path / "log.db.secret"
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert gate_secret(Config(), beside=tmp_path / "log.db") == first
    assert len(first) >= 32
    assert list(tmp_path.iterdir()) == [made]


def test_secret_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment wins over the file; what is too short is refused and never shown."""
    own = tmp_path / "own"
    own.write_text("sixteen random characters\n")
    config = Config.model_validate({"gate": {"secret_file": str(own)}})
    monkeypatch.delenv(SECRET_VARIABLE, raising=False)
    assert gate_secret(config, beside=tmp_path / "log.db") == b"sixteen random characters"
    monkeypatch.setenv(SECRET_VARIABLE, "another secret of 16")
    assert gate_secret(config, beside=tmp_path / "log.db") == b"another secret of 16"
    monkeypatch.setenv(SECRET_VARIABLE, "hunter2")
    with pytest.raises(ConfigurationError, match="at least 16") as raised:
        gate_secret(config, beside=tmp_path / "log.db")
    assert "hunter2" not in str(raised.value)
