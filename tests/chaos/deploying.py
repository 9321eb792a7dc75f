"""A deployment on a broker: configured, its topics made by the command that people use."""

from __future__ import annotations

from typing import Any

import yaml

from tests.integration.conftest import Deployment


def deploy(
    deployment: Deployment,
    *,
    app: str,
    bootstrap_servers: list[str],
    log: dict[str, Any] | None = None,
    **more: Any,
) -> None:
    """Configure `deployment` on brokers, and make its topics; `log` adds to that section."""
    (deployment.folder / "gate.secret").write_text("0123456789abcdef" * 2)
    section: dict[str, Any] = {
        "connector": "kafka",
        "bootstrap_servers": bootstrap_servers,
    }
    own = {
        "app": app,
        "log": section | (log or {}),
        "gate": {"secret_file": "gate.secret", "budget": {"share": 0.1}},
    }
    deployment.configure(**(own | more))
    deployment.done("topics", "create")


def reconfigure(deployment: Deployment, name: str = "stream-al.yaml", **sections: Any) -> None:
    """Write the configuration with other sections, under another name if told so."""
    found = yaml.safe_load((deployment.folder / "stream-al.yaml").read_text())
    deployment.configure(name, **(found | sections))
