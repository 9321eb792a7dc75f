"""Where a worker's pages answer: IPv6, one port a slot, and hosts that are none of ours."""

from __future__ import annotations

import re
import socket
import urllib.request

import pytest

from tests.integration.conftest import Deployment, Process


def _free_ports(count: int) -> int:
    """Return a port that is free, with the next ones."""
    for port in range(21_000, 60_000, 97):
        taken = []
        try:
            for at in range(port, port + count):
                one = socket.socket()
                taken.append(one)
                one.bind(("127.0.0.1", at))
        except OSError:
            continue
        finally:
            for one in taken:
                one.close()
        return port
    raise AssertionError


def _url(worker: Process) -> str:
    found = re.search(r"url=\"?(http://\S+?)\"?\s", worker.err)
    assert found is not None, worker.err
    return found[1]


def _answers(url: str) -> bool:
    with urllib.request.urlopen(url, timeout=5) as page:
        return page.status == 200 and b"stream_al_" in page.read()


@pytest.mark.parametrize("host", ["::1", "[::1]", "localhost", "127.0.0.1"])
def test_a_host_by_name_or_address(deployment: Deployment, host: str) -> None:
    """C7: IPv6 works, with or without brackets; the log line holds the URL as it is typed."""
    port = _free_ports(1)
    deployment.configure(http={"host": host, "port": port})
    worker = deployment.worker()
    url = _url(worker)
    assert url.endswith(f":{port}/metrics")
    assert _answers(url)


@pytest.mark.parametrize(
    ("http", "said"),
    [
        ({"host": "no-such-host.invalid"}, "http.host is 'no-such-host.invalid'"),
        ({"host": "192.0.2.1"}, "http.host is '192.0.2.1'"),
        ({"host": "2001:db8::1"}, "http.host is '2001:db8::1'"),
        ({"host": "127.0.0.1:8321"}, "http.host is '127.0.0.1:8321'"),
        ({"host": "http://localhost"}, "http.host is 'http://localhost'"),
        ({"host": ""}, "http.host is ''"),
    ],
    ids=str,
)
@pytest.mark.parametrize("command", [("run", "--until-idle"), ("check",)], ids=" ".join)
def test_a_host_that_is_not_ours_is_named(
    deployment: Deployment, command: tuple[str, ...], http: dict[str, str], said: str
) -> None:
    """C7: exit 2, one line, the setting; before a log is made."""
    deployment.configure(http=http)
    ended = deployment.cli(*command)
    assert ended.code == 2
    assert said in ended.err
    assert not (deployment.folder / "t.db").exists()


def test_slot_n_takes_port_plus_n(deployment: Deployment) -> None:
    """C7: a second worker on a machine is found where its slot says."""
    port = _free_ports(4)
    deployment.configure(http={"port": port})
    for slot in (0, 1, 3):
        worker = deployment.worker("--slot", slot)
        assert _url(worker) == f"http://127.0.0.1:{port + slot}/metrics"
        assert "port_taken" not in worker.err


def test_a_helper_without_a_slot_takes_the_next_port(deployment: Deployment) -> None:
    """C7: not a random one, and one line names the port that is taken."""
    port = _free_ports(3)
    deployment.configure(http={"port": port})
    deployment.worker()
    helper = deployment.worker()
    assert _url(helper) == f"http://127.0.0.1:{port + 1}/metrics"
    (line,) = [line for line in helper.err.splitlines() if "port_taken" in line]
    assert f"wanted={port} " in line


def test_a_slot_beyond_the_last_port_is_refused(deployment: Deployment) -> None:
    """C7: 65,535 is the last port there is."""
    deployment.configure(http={"port": 65_535})
    ended = deployment.cli("run", "--until-idle", "--slot", 1)
    assert (ended.code, "http.port is 65535" in ended.err) == (2, True)
