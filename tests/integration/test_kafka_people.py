"""The rights that docs/OPERATIONS.md lists for people: each command runs with exactly those."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import ACL, ResourceType
from kafka.structs import OffsetAndMetadata

from stream_al.config import TOPIC_NAMES
from stream_al_connectors.kafka.broker import Cluster
from tests.integration.conftest import ROOT, Deployment, Forks, native
from tests.integration.rights import allowed, login
from tests.integration.test_annotate import Terminal
from tests.kafka_fixture import PASSWORD, USER

APP = "people"
TOPICS = tuple(name.replace("_", "-") for name in TOPIC_NAMES)
PREFIXED = {
    "groups": ResourceType.GROUP,
    "transactional ids": ResourceType.TRANSACTIONAL_ID,
}
COMMANDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "send": (("send", "events.jsonl"), ("send", "labels.jsonl", "--topic", "labels")),
    "label": (("label", "e-1", "spam"),),
    "queries": (("queries", "--json"),),
    "annotate": (),  # in a terminal
    "status": (("status", "--json"),),
    "budget": (("budget", "--json"),),
    "mapping": (("mapping", "--json"),),
    "model": (("model", "--json"),),
    "replay": (("replay", "--json"),),
    "snapshot write": (("snapshot", "write"),),
    "budget set": (("budget", "set", "--share", "0.5"),),
    "pause": (),  # as `budget set`
    "seed": (("seed", "seeds.jsonl"),),
    "replay --verify": (("replay", "--verify", "--json"),),
    "what-if": (("what-if", "--share", "0.1", "--repeats", "1", "--json"),),
    "audit": (("audit", "--json"),),
    "model activate": (("model", "activate"),),
    "mapping activate": (
        ("mapping", "activate", "--config", "other.yaml"),
        ("mapping", "activate"),
    ),
    "positions": (("positions", "--json"),),
    "positions repair": (("positions", "repair", "--dry-run"), ("positions", "repair")),
    "replay --activate": (("replay", "--without", "taught", "--activate"),),
    "dead-letters": (("dead-letters", "--json"),),
    "dead-letters show": (("dead-letters", "show", "0:0", "--json"),),
    "dead-letters redrive": (("dead-letters", "redrive"),),
    "topics create": (("topics", "create"), ("topics", "create", "--alter")),
}
"""What is run for a command of the table; as JSON it must say what an administrator sees."""
SEVERAL = (
    *("queries", "status", "audit", "replay --verify", "what-if"),
    *("model activate", "replay --activate", "dead-letters", "positions"),
)
"""Commands that read topics which may be empty."""
AGE = re.compile(r'"oldest_pending_s": [0-9.]+')


def _table() -> list[tuple[tuple[str, ...], str, str]]:
    """Return commands, rights on topics and rights on prefixes of each row."""
    text = (ROOT / "docs" / "OPERATIONS.md").read_text()
    body = text.partition("| command | topics | prefix `<app>.` |\n|---|---|---|\n")[2]
    rows = [line.strip("| ").split(" | ") for line in body.partition("\n\n")[0].splitlines()]
    return [(tuple(re.findall("`(.+?)`", row[0])), row[1], row[2]) for row in rows]


def _rights(app: str, topics: str, prefixed: str) -> list[ACL]:
    """Return what a row says, as access control lists."""
    found = []
    for said in topics.split("; "):
        operations, names = re.fullmatch(r"([A-Z_]+(?:, [A-Z_]+)*) (.+)", said).groups()
        for name in TOPICS if names == "all" else names.split(", "):
            found += [
                allowed(operation, ResourceType.TOPIC, f"{app}.{name}")
                for operation in operations.split(", ")
            ]
    for said in () if prefixed == "–" else prefixed.split("; "):
        operation, kind = said.split(" ", 1)
        found.append(allowed(operation, PREFIXED[kind], f"{app}."))
    return found


def _configure(
    deployment: Deployment,
    cluster: Cluster,
    user: str,
    app: str = APP,
    *,
    name: str = "stream-al.yaml",
    **more: Any,
) -> None:
    log = login(cluster, user, password_file=user)
    gate = {"secret_file": "gate.secret", "budget": {"share": 0.9}}
    deployment.configure(name, **({"app": app, "log": log, "gate": gate} | more))


@pytest.fixture(scope="module")
def place(
    forks: Forks, guarded_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """Give a deployment with open queries, a lesson, dead letters, and input that waits."""
    made = Deployment(forks, tmp_path_factory.mktemp(APP))
    label = '{"event_id": "taught", "label": "ham", "annotator": "a", "features": {"text": "x"}}\n'
    for name, text in {
        "gate.secret": "0123456789abcdef" * 2,
        "admin": guarded_cluster.users["admin"],
        USER: PASSWORD,
        "events.jsonl": '{"event_id": "sent"}\n',
        "labels.jsonl": label,
        "seeds.jsonl": '{"event_id": "seed", "features": {"text": "x"}, "label": "ham"}\n',
    }.items():
        (made.folder / name).write_text(text)
    _configure(made, guarded_cluster, "admin")
    _configure(made, guarded_cluster, "admin", name="admin.yaml")
    made.done("topics", "create")
    made.send(*(native(n) for n in range(20)), *(b"broken" for _ in range(20)))
    made.send(label.encode().strip(), topic="labels")
    made.done("run", "--until-idle")
    for topic in ("events", "labels"):
        made.done("send", f"{topic}.jsonl", "--topic", topic)
    made.done("seed", "seeds.jsonl")
    yield made
    made.close()


@contextmanager
def _granted(cluster: Cluster, rights: list[ACL]) -> Iterator[None]:
    admin = KafkaAdminClient(**cluster.client_settings())
    try:
        assert not admin.create_acls(rights)["failed"]
        yield
    finally:
        admin.delete_acls(rights)
        admin.close()


@pytest.mark.parametrize("row", _table(), ids=lambda row: row[0][0])
def test_a_command_runs_with_the_rights_that_are_documented(
    place: Deployment, guarded_cluster: Cluster, row: tuple[tuple[str, ...], str, str]
) -> None:
    """With no other right it does what it does for an administrator, and sees as much."""
    commands, topics, prefixed = row
    app = f"{APP}-new" if "topics create" in commands else APP
    _configure(place, guarded_cluster, USER, app)
    other = {"events": {"on_bad_number": "dead_letter"}}
    _configure(place, guarded_cluster, USER, app, name="other.yaml", **other)
    if "positions repair" in commands:
        _set_back(guarded_cluster)
    with _granted(guarded_cluster, _rights(app, topics, prefixed)):
        for command in commands:
            for arguments in COMMANDS[command]:
                _same_as_for_the_administrator(place, arguments)
        if "annotate" in commands:
            _skip_one(place)
        if "topics create" in commands:
            more = {"topics": {"partitions": 5}, "labels": {"expire_after": "90d"}}
            _configure(place, guarded_cluster, USER, app, **more)
            done = place.done("topics", "create", "--alter").out
            assert "extended" in done
            assert "changed" in done


def _same_as_for_the_administrator(place: Deployment, arguments: tuple[str, ...]) -> None:
    said = place.cli(*arguments)
    waits = arguments[:2] == ("budget", "set")  # no resolver runs here
    assert (said.code, "stays proposed" in said.err) == (int(waits), waits), said
    if "--json" in arguments:
        all_seen = place.done(*arguments, "--config", "admin.yaml").out
        assert AGE.sub("", said.out) == AGE.sub("", all_seen)
    if "activate" in arguments or "--activate" in arguments:
        assert "in force" in said.out + said.err
    if arguments == ("positions", "repair"):
        assert "done; start the workers" in said.err


@pytest.mark.parametrize("command", SEVERAL)
def test_a_topic_that_may_not_be_seen_is_not_taken_for_empty(
    place: Deployment, guarded_cluster: Cluster, command: str
) -> None:
    """An audit would call records lost, an activation forget what is asked."""
    [(topics, prefixed)] = [row[1:] for row in _table() if command in row[0]]
    said = dict(right.split(" ", 1) for right in topics.split("; "))
    writes = said.get("WRITE", "predictions-of-others")
    hidden = set(said["READ"].split(", ")) - set(writes.split(", "))
    _configure(place, guarded_cluster, USER)
    with _granted(guarded_cluster, _rights(APP, f"WRITE {writes}", prefixed)):
        ended = place.cli(*COMMANDS[command][0])
    assert ended.code == 2, ended
    named = re.search(r"topics: (.+): not there, or not to be seen by this user", ended.err)
    assert named is not None, ended
    assert set(named[1].split(", ")) == {f"{APP}.{name}" for name in hidden}
    assert ended.out == ""


def _set_back(cluster: Cluster) -> None:
    admin = KafkaAdminClient(**cluster.client_settings())
    place = TopicPartition(f"{APP}.events", 0)
    admin.alter_group_offsets(f"{APP}.scorer", {place: OffsetAndMetadata(0, "", -1)})
    admin.close()


def _skip_one(place: Deployment) -> None:
    terminal = Terminal(place, "ana")
    try:
        terminal.shown()
        terminal.press("s")
        terminal.wait_for("no worker has taken it")
        assert terminal.quit() == 0
    finally:
        terminal.close()


def test_every_command_that_is_run_stands_in_the_table() -> None:
    """A row that is taken out takes its test with it, unnoticed."""
    assert {command for commands, _, _ in _table() for command in commands} == set(COMMANDS)
