"""Positions and starts on SQLite: the same looks, and the same command, as on Kafka."""

from __future__ import annotations

import sqlite3
from collections import Counter

import pytest

from tests.integration.conftest import Deployment, native


def _set(deployment: Deployment, group: str, offset: int, metadata: str | None = None) -> None:
    """Set every position of a group, as somebody with the file can."""
    with sqlite3.connect(deployment.folder / "t.db") as database:
        database.execute(
            "UPDATE positions SET offset = ?, metadata = coalesce(?, metadata) "
            "WHERE member_group = ? AND topic LIKE 't.events'",
            (offset, metadata, group),
        )


def _one_partition(deployment: Deployment) -> None:
    deployment.configure(topics={"partitions": 1})


@pytest.mark.parametrize("metadata", [None, ""])
@pytest.mark.parametrize("offset", [12, 60])
def test_a_position_that_was_set_is_refused_and_repaired(
    deployment: Deployment, offset: int, metadata: str | None
) -> None:
    """A2: forward and back, with the gate beside it or without."""
    _one_partition(deployment)
    deployment.send(*(native(n) for n in range(40)))
    deployment.done("run", "--until-idle")
    deployment.send(*(native(n) for n in range(40, 60)))
    _set(deployment, "t.scorer", offset, metadata)

    refused = deployment.cli("run", "--until-idle")
    assert refused.code == 2
    assert [part for part in ("up to offset 39", f"is {offset}", "`stream-al positions repair`")
            if part not in refused.err] == []  # fmt: skip
    assert deployment.cli("positions", "--json").json()[0]["goes_on_at"] == 40
    deployment.done("positions", "repair", "--dry-run")
    assert deployment.cli("positions").code == 3
    deployment.done("positions", "repair", "--reason", "a try")
    deployment.done("run", "--until-idle")

    found = Counter(body["event_id"] for body in deployment.messages("predictions"))
    assert found == {f"e-{n}": 1 for n in range(60)}
    deployment.done("audit")


def test_damage_beside_a_position_is_repaired(deployment: Deployment) -> None:
    """A2: a gate that can't be read begins again, and nothing is scored twice."""
    _one_partition(deployment)
    deployment.send(*(native(n) for n in range(40)))
    deployment.done("run", "--until-idle")
    _set(deployment, "t.scorer", 40, "g1:damaged:")

    assert deployment.cli("run", "--until-idle").code == 2
    deployment.done("positions", "repair")
    deployment.send(native(41))
    deployment.done("run", "--until-idle")

    assert len(deployment.messages("predictions")) == 41
    deployment.done("audit")


def test_a_first_start_is_recorded_for_all(deployment: Deployment) -> None:
    """`run --from latest`: a second start with it goes on, an app that began is refused."""
    deployment.send(*(native(n) for n in range(40)))
    first = deployment.done("run", "--until-idle", "--from", "latest")
    assert "event=begins" in first.err
    deployment.done("run", "--until-idle")
    deployment.send(*(native(n) for n in range(40, 60)))
    ended = deployment.done("run", "--until-idle", "--from", "latest")

    assert "event=began" in ended.err
    assert {body["event_id"] for body in deployment.messages("predictions")} == {
        f"e-{n}" for n in range(40, 60)
    }
    assert deployment.done("status", "--json").json()["events_scored"] == 20
    assert "begins" in deployment.done("status").out
    assert "40 t.events" in deployment.done("audit").out
    deployment.done("replay", "--verify")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--from", "yesterday"), "is no time"),
        (("--from", "2026-11-30T00:00"), "has no zone"),
        (("--from", "2126-11-30T00:00Z"), "lies in the future"),
        (("--from", "latest", "--role", "scorer"), "--role scorer"),
    ],
)
def test_a_start_that_can_not_be_meant_is_refused(
    deployment: Deployment, options: tuple[str, ...], said: str
) -> None:
    """`run --from`: exit 2, and how to write it."""
    deployment.send(native(1))

    ended = deployment.cli("run", "--until-idle", *options)

    assert (ended.code, said in ended.err) == (2, True), ended.err


def test_a_start_of_an_app_that_began_is_refused(deployment: Deployment) -> None:
    """`run --from`: it would not act, and that is said."""
    deployment.send(native(1))
    deployment.done("run", "--until-idle")

    ended = deployment.cli("run", "--until-idle", "--from", "2020-01-01T00:00+01:00")

    assert (ended.code, "began before" in ended.err) == (2, True), ended.err
