"""A broker that answers, and names an address where it can't be reached."""

from __future__ import annotations

import pytest

from tests.integration.conftest import Deployment
from tests.kafka_fixture import Staged

COMMANDS = (("status",), ("run", "--until-idle"), ("check",))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_an_advertised_address_that_leads_nowhere_is_named(
    deployment: Deployment, staged: Staged, command: tuple[str, ...]
) -> None:
    """C14: one line: who answered, by which setting, and whose address leads nowhere."""
    (deployment.folder / "secret").write_text("sixteen random characters")
    deployment.configure(
        log={"connector": "kafka", "bootstrap_servers": f"127.0.0.1:{staged.lost}"},
        gate={"secret_file": "secret"},
    )
    ended = deployment.cli(*command)
    assert ended.code == 1
    said = ended.err.splitlines()[-1]
    assert f"127.0.0.1:{staged.lost} (log.bootstrap_servers) answers" in said
    assert "advertised.listeners" in said
