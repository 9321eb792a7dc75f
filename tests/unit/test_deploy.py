"""What `deploy` says must hold for this code: its commands, settings, metrics and paths."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from stream_al.config import Config
from stream_al.service.cli import app
from stream_al.service.counters import Counters
from stream_al.service.exits import KINDS
from stream_al.service.metrics import WorkerCollector

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
MANIFESTS = list(yaml.safe_load_all((DEPLOY / "kubernetes" / "stream-al.yaml").read_text()))
BY_KIND = {one["kind"]: one for one in MANIFESTS}
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
IMAGE = (
    "stream-al:"
    + tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())["project"]["version"]
)
NOT_BEFORE_LABELS = {
    f"stream_al_estimated_accuracy{bound}_ratio" for bound in ("", "_low", "_high")
}
"""Metrics that are there only once there is something to say."""


@pytest.mark.parametrize(
    "body",
    [
        (DEPLOY / "stream-al.yaml").read_text(),
        BY_KIND["ConfigMap"]["data"]["stream-al.yaml"],
    ],
    ids=["compose", "kubernetes"],
)
def test_configurations_load(body: str) -> None:
    """Each is a configuration on Kafka with a secret from outside."""
    config = Config.model_validate(yaml.safe_load(body))

    assert config.log.connector == "kafka"
    assert config.gate.secret_file is not None
    assert config.gate.secret_file.startswith("/run/secrets/")


def _commands() -> list[list[str]]:
    found = [one["command"] for one in _services()]
    found.append(BY_KIND["Job"]["spec"]["template"]["spec"]["containers"][0]["args"])
    shell = _worker()["command"][-1]
    found.append(shell.split("exec stream-al ")[1].replace('"$slot"', "0").split())
    return found


def _services() -> list[dict[str, Any]]:
    """Return the services of Compose that run our image, of this version."""
    return [one for one in COMPOSE["services"].values() if one["image"] == IMAGE]


def _pods() -> list[dict[str, Any]]:
    """Return what the pods of the Job and the StatefulSet are made from."""
    return [BY_KIND[kind]["spec"]["template"]["spec"] for kind in ("Job", "StatefulSet")]


def _worker() -> dict[str, Any]:
    worker: dict[str, Any] = BY_KIND["StatefulSet"]["spec"]["template"]["spec"]["containers"][0]
    return worker


def test_commands_exist() -> None:
    """Every command line of a container is one that the command line takes."""
    assert len(_commands()) == 5
    for command in _commands():
        shown = CliRunner().invoke(app, [*command, "--help"])
        assert shown.exit_code == 0, (command, shown.output)


def test_each_container_answers_on_the_same_port() -> None:
    """C7: slot n listens on http.port + n; probes and Prometheus ask at one port everywhere."""
    said = _worker()["command"][-1].replace("exec stream-al run", "echo $STREAM_AL_HTTP__PORT")
    for slot in (0, 7):
        environment = {"HOSTNAME": f"stream-al-{slot}"}
        port = subprocess.run(["sh", "-c", said], env=environment, capture_output=True, check=True)
        assert int(port.stdout.split()[0]) + slot == 8321
    second = COMPOSE["services"]["worker-1"]
    assert int(second["environment"]["STREAM_AL_HTTP__PORT"]) + int(second["command"][-1]) == 8321


def test_each_worker_has_a_slot_of_its_own() -> None:
    """Two with one slot would fence each other for ever."""
    slots = [command[-1] for command in _commands()[:-1] if command[0] == "run"]

    assert sorted(slots) == ["0", "1"]
    assert "${HOSTNAME##*-}" in _worker()["command"][-1]


def _expressions() -> Iterator[str]:
    """Yield every expression of the dashboard and of the alerts."""
    dashboard = json.loads((DEPLOY / "grafana" / "dashboards" / "stream_al.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield target["expr"]
    for group in yaml.safe_load((DEPLOY / "prometheus-alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["expr"]


def test_dashboard_and_alerts_ask_for_metrics_that_there_are() -> None:
    """Every name in an expression is one that a worker tells."""
    known = set()
    for family in WorkerCollector(Counters(), app="t").collect():
        known |= {family.name, f"{family.name}_total", f"{family.name}_bucket"}
    used = {name for each in _expressions() for name in re.findall(r"stream_al_\w+", each)}

    assert len(used) > 15
    assert used - known - NOT_BEFORE_LABELS == set()


def test_ends_in_doubt_are_told_of_by_their_kinds() -> None:
    """An alert counts ends in doubt, and each kind from a series that begins at 0."""
    rules = yaml.safe_load((DEPLOY / "prometheus-alerts.yml").read_text())["groups"][0]["rules"]
    (expression,) = [one["expr"] for one in rules if "exits_total" in one["expr"]]
    (kinds,) = re.findall(r'kind=~"(.+?)"', expression)
    (family,) = [
        one
        for one in WorkerCollector(Counters(), app="t").collect()
        if one.name == "stream_al_exits"
    ]

    assert set(kinds.split("|")) == {"fenced", "deadline", "stalled", "ambiguous", "gone"}
    assert {one.labels["kind"]: one.value for one in family.samples} == dict.fromkeys(KINDS, 0)
    assert 'sum(increase(stream_al_exits_total{app=~"$app"}[1h])) by (kind)' in set(_expressions())


def test_every_alert_stands_in_the_documents() -> None:
    """With what to do; and none stands there that is not."""
    rules = yaml.safe_load((DEPLOY / "prometheus-alerts.yml").read_text())["groups"][0]["rules"]
    operations = (DEPLOY.parent / "docs" / "OPERATIONS.md").read_text()

    assert re.findall(r"^\| `(StreamAl\w+)` \|", operations, re.MULTILINE) == [
        one["alert"] for one in rules
    ]


def test_prometheus_finds_what_compose_mounts() -> None:
    """Its targets are services, its rules lie beside it, Grafana asks the service and its port."""
    prometheus = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    targets = prometheus["scrape_configs"][0]["static_configs"][0]["targets"]
    mounted = [Path(one.split(":")[1]) for one in COMPOSE["services"]["prometheus"]["volumes"]]
    sources = yaml.safe_load(
        (DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yaml").read_text()
    )["datasources"]
    dashboard = json.loads((DEPLOY / "grafana" / "dashboards" / "stream_al.json").read_text())

    assert {one.split(":")[0] for one in targets} == {
        name for name in COMPOSE["services"] if name.startswith("worker-")
    }
    assert {f"/etc/prometheus/{name}" for name in prometheus["rule_files"]} <= set(
        map(str, mounted)
    )
    assert {panel["datasource"]["uid"] for panel in dashboard["panels"]} == {sources[0]["uid"]}
    assert sources[0]["url"] == "http://prometheus:9090"


def test_kafka_keeps_its_data_on_its_volume() -> None:
    """The image writes below /tmp unless it is told where."""
    kafka = COMPOSE["services"]["kafka"]

    assert f"kafka:{kafka['environment']['KAFKA_LOG_DIRS']}" in kafka["volumes"]


def test_containers_run_without_rights() -> None:
    """Not root, no capability, nothing written but in two folders; no stray settings."""
    assert re.search(r"^USER 10001:10001$", DOCKERFILE, re.MULTILINE)
    for pod in _pods():
        container = pod["containers"][0]
        assert container["image"] == IMAGE
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert pod["enableServiceLinks"] is False
        assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == 10001
        assert {
            one["mountPath"] for one in container["volumeMounts"] if not one.get("readOnly")
        } <= {"/var/lib/stream-al", "/tmp"}
    assert len(_services()) == 3
    assert all(one["read_only"] and one["cap_drop"] == ["ALL"] for one in _services())


def test_the_group_of_a_pod_may_read_the_secret() -> None:
    """Kubernetes gives the files of a secret to root and to `fsGroup`: 0440 is what works."""
    pod = BY_KIND["StatefulSet"]["spec"]["template"]["spec"]
    secret = next(one["secret"] for one in pod["volumes"] if "secret" in one)
    mount = next(one for one in _worker()["volumeMounts"] if one["name"] == "secret")
    settings = yaml.safe_load(BY_KIND["ConfigMap"]["data"]["stream-al.yaml"])

    assert secret["defaultMode"] == 0o440
    assert settings["gate"]["secret_file"] == f"{mount['mountPath']}/gate-secret"


def test_a_pod_says_why_it_ended() -> None:
    """A wrong configuration (exit 2) is told by `kubectl describe`, and ends the Job at once."""
    rules = BY_KIND["Job"]["spec"]["podFailurePolicy"]["rules"]

    assert rules[0]["action"] == "FailJob"
    assert rules[0]["onExitCodes"]["values"] == [2]
    for pod in _pods():
        assert pod["containers"][0]["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_the_image_can_have_the_fast_transport() -> None:
    """What its build picks from the lock is the package of the extra `fast`, with its hashes."""
    found = re.search(r"^ +sed -n '(\S+)' requirements/dev\.txt", DOCKERFILE, re.MULTILINE)
    assert found is not None
    project = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())["project"]
    (package,) = project["optional-dependencies"]["fast"]

    picked = subprocess.run(
        ["sed", "-n", found[1], str(DEPLOY.parent / "requirements" / "dev.txt")],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()

    assert picked[0].startswith(f"{package.partition('>=')[0]}==")
    assert len(picked) > 1
    assert all(line.strip().startswith("--hash=sha256:") for line in picked[1:])
    assert not picked[-1].endswith("\\")


def test_the_build_sees_what_it_copies_and_no_secret() -> None:
    """Everything is shut out of the build but the names that the Dockerfile copies."""
    allowed = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    copied = {
        name
        for source in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
        for name in source.split()
    }

    assert "*" in allowed
    assert {line[1:] for line in allowed if line.startswith("!")} == copied
    assert all((DEPLOY.parent / name).exists() for name in copied)


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_health_check_tells_a_worker_that_stands_still(status: int, code: int) -> None:
    """The image's own command, on another port: 0 when the page says so, 1 when it does not."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    found = re.search(r"^HEALTHCHECK .*\n  CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    assert found is not None
    with HTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        command = json.loads(found[1].replace("8321", str(server.server_port)))
        done = subprocess.run([sys.executable, *command[1:]], check=False)
        server.shutdown()

    assert done.returncode == code


AS_FIRST_PROCESS = """
import os, signal, sys
os.getpid = lambda: 1
signal.signal(signal.SIGTERM, signal.SIG_IGN)
sys.argv = ["stream-al", "send", "-"]
from stream_al.service.main import main
main()
"""


def test_sigterm_ends_a_container_that_starts(tmp_path: Path) -> None:
    """Process 1 ignores what it has no handler for, so it has one before `run` puts its own."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("STREAM_AL_")}
    environment = own | {"PYTHONHASHSEED": "0"}
    with subprocess.Popen(
        [sys.executable, "-c", AS_FIRST_PROCESS],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        process.stdin.write(b"{}\n")
        process.stdin.flush()
        while process.poll() is None and not list(tmp_path.glob("*.db")):
            time.sleep(0.02)
        process.terminate()

        assert process.wait(60) == 143
