"""Brokers that ask who it is: what is wrong is said in one line, and nothing secret is."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ACL, ResourceType

from stream_al_connectors.kafka.broker import Cluster
from tests.integration.conftest import Deployment, native
from tests.integration.rights import allowed, login
from tests.kafka_fixture import PASSWORD, USER, Broker

SAID_WITHIN_S = 15.0
APP = "guarded"


def _topic(operation: str, *names: str) -> list[ACL]:
    return [allowed(operation, ResourceType.TOPIC, f"{APP}.{name}") for name in names]


MINIMAL: list[ACL] = [
    *_topic(
        "READ",
        *("events", "predictions", "queries", "labels", "outcomes", "journal", "controls"),
        "statistics",
    ),
    *_topic(
        "WRITE",
        *("predictions", "queries", "outcomes", "journal", "statistics", "dead-letters"),
    ),
    allowed("READ", ResourceType.GROUP, f"{APP}."),
    allowed("WRITE", ResourceType.TRANSACTIONAL_ID, f"{APP}."),
]
"""What docs/OPERATIONS.md lists for a worker."""


def _configure(deployment: Deployment, log: dict[str, Any], app: str = APP) -> None:
    (deployment.folder / "gate.secret").write_text("0123456789abcdef" * 2)
    deployment.configure(app=app, log=log, gate={"secret_file": "gate.secret"})


@contextmanager
def _listener() -> Iterator[int]:
    """Give a port on which somebody listens and says nothing."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        yield silent.getsockname()[1]


def _said_at_once(deployment: Deployment, *command: str) -> tuple[int, str]:
    started = time.monotonic()
    ended = deployment.start(*command).wait(30)
    assert time.monotonic() - started < SAID_WITHIN_S
    lines = ended.err.strip().splitlines()
    assert "Traceback" not in ended.err
    return ended.code, lines[-1]


@pytest.mark.parametrize("command", ["run", "check", "status"])
def test_no_broker_is_said_within_15_s(deployment: Deployment, command: str) -> None:
    """Exit 1: it may come; the line says where it was looked for."""
    _configure(deployment, {"connector": "kafka", "bootstrap_servers": ["127.0.0.1:1"]})

    code, line = _said_at_once(deployment, command)

    assert code == 1
    assert "127.0.0.1:1" in line
    assert "nothing listens on that port" in line


def test_a_silent_port_is_said(deployment: Deployment) -> None:
    """Somebody listens, who is no broker."""
    with _listener() as port:
        _configure(deployment, {"connector": "kafka", "bootstrap_servers": [f"127.0.0.1:{port}"]})

        code, line = _said_at_once(deployment, "run")

    assert (code, "silent, or not a broker" in line) == (1, True)


def test_a_wrong_password_is_told_from_no_broker(
    deployment: Deployment, guarded_cluster: Cluster
) -> None:
    """Exit 2 and the field; the password is nowhere."""
    (deployment.folder / "password").write_text("not the right one\n")
    _configure(deployment, login(guarded_cluster, USER, "password"))

    code, line = _said_at_once(deployment, "run")

    assert code == 2, line
    assert line.startswith("config: log.security")
    assert "password" in line
    assert "not the right one" not in line


@pytest.mark.parametrize(
    ("security", "said"),
    [
        ({"protocol": "SASL_PLAINTEXT"}, "needs `mechanism`"),
        ({"protocol": "SASL_SSL", "mechanism": "PLAIN"}, "PLAIN needs `username`"),
        ({"mechanism": "PLAIN", "username": "u"}, "`mechanism` is of SASL"),
        ({"ca_file": "ca.pem"}, "`ca_file` is of SSL"),
        (
            {"protocol": "SSL", "ca_file": "nope.pem"},
            "log.security.ca_file names no file that is there",
        ),
        ({"protocol": "SASL_SSL", "mechanism": "PLAIN", "username": "u"}, "password_file is not"),
        ({"protocol": "SASL_SSL", "mechanism": "OAUTHBEARER"}, "token_file is not set"),
        ({"password": "x1y2z3"}, "log.security.password is not a setting"),
    ],
)
def test_wrong_settings_are_named(
    deployment: Deployment, security: dict[str, str], said: str
) -> None:
    """Before anything connects, and without what is secret."""
    _configure(
        deployment,
        {"connector": "kafka", "bootstrap_servers": ["127.0.0.1:1"], "security": security},
    )

    ended = deployment.start("run").wait()

    assert ended.code == 2
    assert said in ended.err
    assert "x1y2z3" not in ended.err


def test_plain_text_and_tls_ports_are_told_apart(
    deployment: Deployment, tls_cluster: Cluster, guarded_cluster: Cluster, kafka: Broker
) -> None:
    """The setting to correct is named, both ways; an unknown authority and host as well."""
    servers = tls_cluster.bootstrap_servers
    ca = str(tls_cluster.folder / "ca.pem")
    tries: list[tuple[list[str], dict[str, Any], str]] = [
        (servers, {}, f"log.security.protocol is PLAINTEXT: {servers[0]} speaks TLS"),
        (guarded_cluster.bootstrap_servers, {}, "log.security.protocol: the brokers answer"),
        (servers, {"protocol": "SSL"}, "log.security.ca_file"),
        ([one.replace("127.0.0.1", "localhost") for one in servers],
         {"protocol": "SSL", "ca_file": ca}, "another host name"),
        (kafka.bootstrap_servers, {"protocol": "SSL", "ca_file": ca}, "log.security.protocol"),
    ]  # fmt: skip
    for bootstrap, security, said in tries:
        _configure(
            deployment,
            {"connector": "kafka", "bootstrap_servers": bootstrap, "security": security},
        )
        code, line = _said_at_once(deployment, "run")
        assert (code, said in line) == (2, True), line


@pytest.mark.parametrize("transport", ["kafka-python", "fast"])
def test_everything_works_in_tls(
    deployment: Deployment, tls_cluster: Cluster, transport: str
) -> None:
    """Topics, events, predictions, a label and the audit, encrypted."""
    app = f"tls-{transport}"
    _configure(
        deployment,
        {
            "connector": "kafka",
            "transport": transport,
            "bootstrap_servers": tls_cluster.bootstrap_servers,
            "security": {"protocol": "SSL", "ca_file": str(tls_cluster.folder / "ca.pem")},
        },
        app=app,
    )

    assert f"{app}.journal: 1 partition" in deployment.done("topics", "create").out
    assert "ok " in deployment.done("check").out
    deployment.send(*(native(n) for n in range(20)))
    deployment.done("run", "--until-idle")

    assert len(deployment.messages("predictions")) == 20
    deployment.done("audit")
    assert "never" not in deployment.done("status").out  # when it was, brokers don't tell


def test_minimal_rights_are_enough_and_each_missing_one_is_named(
    deployment: Deployment, guarded_cluster: Cluster
) -> None:
    """With the rights in docs/OPERATIONS.md a worker works; `check` names each that is gone."""
    folder = deployment.folder
    (folder / "admin").write_text(guarded_cluster.users["admin"])
    (folder / "password").write_text(PASSWORD + "\n")
    admin_log = login(guarded_cluster, "admin", str(folder / "admin"))
    _configure(deployment, admin_log)
    deployment.done("topics", "create")
    admin = KafkaAdminClient(**guarded_cluster.client_settings())
    granted = admin.create_acls(MINIMAL)
    assert not granted["failed"], granted
    for transport in ("kafka-python", "fast"):
        _configure(deployment, admin_log)
        deployment.send(*(native(n) for n in range(20)), *(b"broken" for _ in range(20)))
        _configure(deployment, login(guarded_cluster, USER, "password") | {"transport": transport})
        deployment.done("check")
        deployment.done("run", "--until-idle")
        deployment.done("run", "--until-idle")  # it looks whether dead letters answer what is there

    for acl in MINIMAL:
        operation, name = acl.operation.name, acl.resource_pattern.resource_name
        admin.delete_acls([acl])
        ended = deployment.cli("check")
        assert ended.code == 2, (acl, ended)
        lines = [line for line in ended.err.splitlines() if operation in line and name in line]
        assert lines, (acl, ended.err)
        assert PASSWORD not in ended.out + ended.err
        admin.create_acls([acl])
    admin.close()
    _configure(deployment, admin_log)
    deployment.done("audit")
    assert len(deployment.messages("predictions")) == 40
    assert PASSWORD not in json.dumps(deployment.done("status", "--json").json())


def test_a_secret_by_environment_wins(deployment: Deployment, guarded_cluster: Cluster) -> None:
    """The variable is no setting, and is taken in place of the file."""
    _configure(deployment, login(guarded_cluster, "admin", str(Path("nowhere"))), app="env")

    ended = deployment.cli(
        "topics",
        "create",
        environment={"STREAM_AL_LOG__SECURITY__PASSWORD": guarded_cluster.users["admin"]},
    )

    assert ended.code == 0, ended.err
