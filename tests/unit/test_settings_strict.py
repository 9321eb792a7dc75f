"""What a file or a variable says is read in one way, or refused with how to write it."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from stream_al.config import Config
from stream_al.errors import ConfigurationError
from stream_al.service.settings import load_config


def _file(folder: Path, text: str) -> Path:
    path = folder / "own.yaml"
    path.write_text(text)
    return path


def _refused(path: Path | None, **environment: str) -> str:
    with pytest.raises(ConfigurationError) as raised:
        load_config(path, environment)
    return "\n".join(raised.value.problems)


@pytest.mark.parametrize(
    ("text", "field", "said"),
    [
        ("log: {retention: 30}", "log.retention is 30", "write 30s, 30m, 30h or 30d"),
        ("log: {retention: 30.5}", "log.retention is 30.5", "needs a unit"),
        ("log: {retention: '30'}", "log.retention is '30'", "a number and a unit"),
        ("log: {deadline: 6000}", "log.deadline is 6000", "needs a unit"),
        ("gate: {back_pressure: 600}", "gate.back_pressure is 600", "needs a unit"),
        ("labels: {revise_within: true}", "labels.revise_within is True", "a number and a unit"),
        ("labels: {expire_after: 1:30:00}", "labels.expire_after is '1:30:00'", "90m"),
        ("labels: {expire_after: 12:30}", "labels.expire_after is '12:30'", "write 750s"),
        ("labels: {expire_after: 07d}", "labels.expire_after is '07d'", "leading zero"),
        ("labels: {expire_after: ٧d}", "labels.expire_after is", "a number and a unit"),
        ("labels: {expire_after: -1h}", "labels.expire_after is '-1h'", "a number and a unit"),
        (f"labels: {{expire_after: {'9' * 400}d}}", "labels.expire_after", "a number and a unit"),
        ("labels: {expire_after: 0}", "labels.expire_after is 0", "at least 1m"),
        ("labels: {expire_after: 59s}", "labels.expire_after is '59s'", "at least 1m"),
        ("log: {retention: 30s}", "log.retention is '30s'", "at least 1h"),
        ("log: {retention: 59m}", "log.retention is '59m'", "at least 1h"),
    ],
)
def test_a_duration_needs_a_unit(tmp_path: Path, text: str, field: str, said: str) -> None:
    """A7: 30 is no month and 1:30:00 no 5,400 ms; the refusal shows how to write it."""
    refused = _refused(_file(tmp_path, text))
    assert field in refused
    assert said in refused


def test_nothing_needs_no_unit(tmp_path: Path) -> None:
    """A7: 0 is 0 in each unit, where none is allowed; in Python whole numbers are milliseconds."""
    config = load_config(_file(tmp_path, "labels: {revise_within: 0}\n"), {})
    assert config.labels.revise_within == 0
    assert Config.model_validate({"log": {"retention": 7_200_000}}).log.retention == 7_200_000
    assert load_config(None, {"STREAM_AL_LOG__RETENTION": "36h"}).log.retention == 129_600_000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("topics: {partitions: 010}", "write 10"),
        ("topics: {partitions: '10'}", "without quotes"),
        ("topics: {partitions: 0o10}", "valid integer"),
        ("topics: {partitions: 0x10}", "valid integer"),
        ("topics: {partitions: 1_0}", "write 10"),
        ("topics: {partitions: 1:30}", "valid integer"),
        ("topics: {partitions: true}", "valid integer"),
        ("topics: {partitions: 4.5}", "valid integer"),
        ("http: {port: 08321}", "write 8321"),
        ("http: {port: 8_321}", "write 8321"),
        ("gate: {budget: {share: on}}", "valid number"),
        ("gate: {budget: {share: true}}", "valid number"),
        ("gate: {budget: {share: 00.5}}", "write 0.5"),
        ("gate: {budget: {per_hour: off}}", "null, or leave it out"),
        ("gate: {budget: {per_hour: no}}", "valid number"),
        ("gate: {budget: {per_hour: 1:00}}", "valid number"),
        ("gate: {budget: {per_hour: .inf}}", "finite"),
        ("model: {seed: 0017}", "write 17"),
        ("log: {connector: kafka, security: {protocol: SSL, check_hostname: no}}", "true or false"),
        ("log: {connector: kafka, security: {protocol: SSL, check_hostname: 0}}", "true or false"),
        ("model: {parameters: {shuffle: no}}", "`no` can be read in two ways"),
        ("model: {parameters: {max_rows: 010}}", "`010` can be read in two ways"),
        ("model: {parameters: {inner: [1:30]}}", "`1:30` can be read in two ways"),
        ("app: 2026", "in quotes"),
        ("plugins: mine.strategies", "write a list: [a, b]"),
        ("labels: {classes: spam}", "write a list: [a, b]"),
        ("app: !!binary aGVsbG8=", "!!binary"),
        ("app: !own x", "!own"),
        ('app: "\\ud800"', "no text"),
        ("a: &a [*a]", "holds itself"),
        ("? [a, b]\n: c", "key"),
        ("app: x\n---\napp: y\n", "is not YAML"),
        ("[" * 5000, "too deep"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """A7: no octal, no sexagesimal, no `on` and `no`; the line is named."""
    refused = _refused(_file(tmp_path, text))
    assert said in refused
    assert "own.yaml" in refused


def test_an_alias_bomb_ends_at_a_bound(tmp_path: Path) -> None:
    """A7: what grows without end by aliases is refused before it fills the memory."""
    lines = ["a: &a [1,1,1,1,1,1,1,1,1,1]"]
    lines += [f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 10)}]"
              for n in range(9)]  # fmt: skip
    assert "100,000" in _refused(_file(tmp_path, "\n".join(lines)))


def test_texts_stay_texts(tmp_path: Path) -> None:
    """A7: where a text is expected, `no`, `01` and a date are the text that stands there."""
    config = load_config(
        _file(
            tmp_path,
            "app: 2026-11-30\n"
            "labels: {classes: [yes, no, 01, 1_0, 12:30, off]}\n"
            "events: {event_id: on, features: {no: a.b, 1: c, 2026-11-30: d}}\n"
            "gate: {budget: {share: 5e-2}}\n",
        ),
        {},
    )
    assert config.app == "2026-11-30"
    assert config.labels.classes == ("yes", "no", "01", "1_0", "12:30", "off")
    assert config.events.features == {"no": "a.b", "1": "c", "2026-11-30": "d"}
    assert config.gate.budget.share == 0.05


def test_a_section_without_a_line_is_empty(tmp_path: Path) -> None:
    """A7: `log:` with every line below it commented out is an empty section."""
    config = load_config(_file(tmp_path, "log:\n  # path: x\ngate:\n  budget:\nlabels: ~\n"), {})
    assert config.gate == Config().gate
    assert config.labels == Config().labels


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"STREAM_AL_LOG__RETENTION": "30"}, ("STREAM_AL_LOG__RETENTION", "write 30s")),
        ({"STREAM_AL_TOPICS__PARTITIONS": "010"}, ("STREAM_AL_TOPICS__PARTITIONS", "write 10")),
        ({"STREAM_AL_GATE__BUDGET__PER_HOUR": "off"}, ("PER_HOUR", "null")),
        ({"STREAM_AL_GATE": "{burst: 1, burst: 2}"}, ("STREAM_AL_GATE", "burst", "twice")),
        (
            {"STREAM_AL_GATE__BURST": "1", "STREAM_AL_gate__burst": "2"},
            ("STREAM_AL_GATE__BURST", "STREAM_AL_gate__burst"),
        ),
        ({"STREAM_AL_APP__X": "1"}, ("STREAM_AL_APP__X", "app")),
        ({"STREAM_AL_APP": "a\udcffb"}, ("STREAM_AL_APP", "no text")),
    ],
)
def test_variables_are_read_as_strictly(
    tmp_path: Path, variables: dict[str, str], said: tuple[str, ...]
) -> None:
    """A7, A8: a variable is named, with what it should be; of two that differ in case none wins."""
    refused = _refused(_file(tmp_path, "app: own\n"), **variables)
    assert all(one in refused for one in said), refused


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gate: {budget: {share: 0.1}}\napp: x\ngate: {burst: 2}\n", ("gate", "lines 1 and 3")),
        ("gate:\n  budget:\n    share: 0.1\n    open: 5\n    share: 0.5\n",
         ("gate.budget.share", "lines 3 and 5")),
        ("app: a\n'app': b\n", ("app", "lines 1 and 2")),
        ("events:\n  event_id: a\n  features: {t: a, t: b}\n", ("events.features.t", "line 3")),
        ("model:\n  parameters:\n    a:\n    - b: 1\n      b: 2\n",
         ("model.parameters.a.0.b", "lines 4 and 5")),
        ("app: a\napp: b\napp: c\n", ("app", "lines 1, 2 and 3")),
    ],
)  # fmt: skip
def test_a_key_stands_once(tmp_path: Path, text: str, said: tuple[str, ...]) -> None:
    """A8: the same key twice, at whatever depth, is refused with both lines."""
    refused = _refused(_file(tmp_path, text))
    assert all(one in refused for one in said), refused


def test_merged_keys_go_on(tmp_path: Path) -> None:
    """A8: a key that stands over a merged one is no second one."""
    config = load_config(
        _file(
            tmp_path,
            "gate:\n  budget: &b {share: 0.1, open: 50}\nlabels: &l {votes: 2}\nhttp: {port: 1}\n",
        ),
        {},
    )
    assert config.gate.budget.open == 50
    merged = _file(
        tmp_path,
        "model:\n  parameters:\n    one: &one {a: 1, b: 2}\n"
        "    two: {<<: *one, b: 3}\n    three: {<<: [*one, {c: 4}]}\n",
    )
    parameters = load_config(merged, {}).model.parameters
    assert parameters["two"] == {"a": 1, "b": 3}
    assert parameters["three"] == {"a": 1, "b": 2, "c": 4}


class _Own(Config):
    team: str = "us"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"gate": {"budget": {"share": 3}}}, "gate.budget.share is 3: "),
        ({"gat": {}}, "gat is not a setting, did you mean `gate`?"),
        ({"app": "a b", "labels": {"votes": 0}}, "labels.votes is 0: "),
        ({"gate": {"budget": {"open": 2}}}, "gate.budget.open is 2, below topics.partitions (4)"),
        ({"labels": {"expire_after": "soon"}}, "write a number and a unit: 90s"),
        ({"labels": 7}, "labels is 7: "),
    ],
)
@pytest.mark.parametrize("kind", [Config, _Own])
def test_a_wrong_configuration_in_python_is_an_error_of_ours(
    kind: type[Config], given: dict[str, object], said: str
) -> None:
    """E: `Config(bad)` raises a ConfigurationError that names field, value and what to do."""
    for make in (lambda: kind(**given), lambda: kind.model_validate(given)):
        with pytest.raises(ConfigurationError) as raised:
            make()
        assert said in str(raised.value)
        assert "pydantic" not in str(raised.value)


def test_a_configuration_stays_a_model() -> None:
    """E: what is right is made as before; subclasses, copies and JSON too."""
    own = _Own(app="x", team="them")
    assert (own.app, own.team, isinstance(own, BaseModel)) == ("x", "them", True)
    assert _Own.model_validate_json(own.model_dump_json()) == own
    assert own.model_copy(update={"app": "y"}).app == "y"
    with pytest.raises(ConfigurationError, match="team is 7"):
        _Own(team=7)  # type: ignore[arg-type]
