"""What all tests share: real brokers, made when the first test asks for one."""

from __future__ import annotations

import re
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from stream_al_connectors.kafka.client_log import _CLIENT_LOG

# Before they are imported: what is asserted there says what differs.
pytest.register_assert_rewrite("tests.chaos", "tests.integration.accounts")
from tests.kafka_fixture import guarded_cluster, kafka, staged, tls_cluster  # noqa: E402

__all__ = ["guarded_cluster", "kafka", "staged", "tls_cluster"]


@pytest.fixture(autouse=True)
def _nothing_heard() -> None:
    """Forget what the client of Kafka said in another test: it explains nothing in this one."""
    _CLIENT_LOG._kept.clear()
    _CLIENT_LOG.let_in = False


collect_ignore = ["benchmarks/quix_loop.py"]
"""Runs in an environment of its own, where Quix Streams is."""

ON_BROKERS = re.compile(r"kafka|\bfast\b|test_packed|test_readme")
OF_FAULTS = re.compile(r"test_kafka(_recovery|_scale|_watching)?\.py")


class BrokersTogether(LoadScopeScheduling):
    """Gives tests of faults to one process, others on brokers to one, all else to whoever is free.

    A fault is many processes, and mostly waiting; the others of a process share one broker.
    """

    def _split_scope(self, nodeid: str) -> str:
        if OF_FAULTS.search(nodeid):
            return "faults"
        return "brokers" if ON_BROKERS.search(nodeid) else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> BrokersTogether:
    return BrokersTogether(config, log)
