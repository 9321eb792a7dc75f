"""Brokers that ask who it is: how a deployment logs in there, and what its user may do."""

from __future__ import annotations

from typing import Any

from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourceType,
)

from stream_al_connectors.kafka.broker import Cluster
from stream_al_connectors.kafka.broker_settings import MECHANISM
from tests.kafka_fixture import USER


def allowed(operation: str, kind: ResourceType, name: str) -> ACL:
    """Return that the tests' user may do something; all but topics go by what names begin with."""
    literal = kind is ResourceType.TOPIC
    pattern = ACLResourcePatternType.LITERAL if literal else ACLResourcePatternType.PREFIXED
    place = ResourcePattern(kind, name, pattern)
    return ACL(f"User:{USER}", "*", ACLOperation[operation], ACLPermissionType.ALLOW, place)


def login(cluster: Cluster, user: str, password_file: str) -> dict[str, Any]:
    """Return the `log` section of a user of `cluster`."""
    return {
        "connector": "kafka",
        "bootstrap_servers": cluster.bootstrap_servers,
        "security": {
            "protocol": "SASL_PLAINTEXT",
            "mechanism": MECHANISM,
            "username": user,
            "password_file": password_file,
        },
    }
