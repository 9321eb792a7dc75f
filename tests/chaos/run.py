"""`make chaos`: faults of processes, brokers, network and streams on a real cluster, for long.

Workers, a sender and people run; a fault of each kind comes in turn; a live reader holds I6 and I7
all the time. After each fault every partition must move again, and what lay in the topics then must
be read to its end (I8); after the first of each kind `stream-al audit` must find nothing. At the
end everything is read, and the topics are held to account. Printed are the faults by kind and
number, and the longest time that a partition had no new prediction.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from stream_al.errors import StreamAlError
from stream_al.service.groups import resolver_group, scorer_group
from stream_al.service.starting import Role
from stream_al_connectors.kafka.broker import Cluster
from tests.chaos.brokers import Leaders
from tests.chaos.deploying import deploy
from tests.chaos.faults import OF_PROCESSES, Fault, Stage
from tests.chaos.faults_of_brokers import OF_BROKERS, OF_NETWORK, OF_THREE
from tests.chaos.faults_of_streams import OF_STREAMS
from tests.chaos.proxy import Proxy
from tests.chaos.workers import POLL_INTERVAL_S, RESIDENT_MIB_MAX, Workers
from tests.integration.accounts import (
    assert_every_event_has_one_answer,
    assert_every_label_has_one_outcome,
    assert_journal_is_one_chain,
    assert_offline_folds_agree,
    assert_spend_follows_propensity,
    write_stream,
)
from tests.integration.conftest import Deployment, Forks
from tests.integration.live import LiveReader

TRANSPORTS = ("kafka-python", "fast")
RATE = 150
ROLES: dict[str, tuple[Role, ...]] = {
    "together": ("all", "all"),
    "apart": ("scorer", "scorer", "resolver", "resolver"),
}
"""How the roles are dealt out to slots."""
FAULT_S = 12.0
"""About what a fault takes, with the rest after it."""
REST_S = (0.5, 3.0)
SEEN_S = 1.5
"""By then the reader has seen what was predicted before a fault: that is no recovery."""

RECOVERED_S = 240.0
AUDITED_S = 600.0
SECTIONS: dict[str, Any] = {
    "log": {"poll_interval": f"{POLL_INTERVAL_S:g}s"},
    "gate": {"secret_file": "gate.secret", "budget": {"share": 0.05}},
}
"""Of the configuration: a slow step is soon too slow, people get no more than they can answer."""


@dataclass
class Found:
    """What a run found.

    Attributes
    ----------
    gaps_s
        Fault → seconds without predictions after each, of the worst partition.
    resident_mib
        The most that a worker held.
    told_early
        How often brokers told a position older than one that they had told before.
    """

    gaps_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    resident_mib: float = 0.0
    told_early: int = 0


def kinds(nodes: int) -> tuple[Fault, ...]:
    """Return every kind of fault that can happen with so many brokers."""
    return OF_PROCESSES + OF_STREAMS + OF_BROKERS + (OF_NETWORK if nodes == 1 else OF_THREE)


def chaos(
    folder: Path,
    faults: Sequence[Fault],
    *,
    nodes: int,
    seed: int,
    seconds: float | None = None,
    roles: str = "together",
    sections: Mapping[str, Any] = SECTIONS,
) -> Found:
    """Let faults happen, each once or for so long.

    One node stands behind a proxy, for faults of the network; of three, brokers die.

    Parameters
    ----------
    roles
        A key of `ROLES`.
    sections
        Of the configuration.

    Raises
    ------
    AssertionError
        When anything that is promised does not hold.
    """
    port = _free_ports() if nodes == 1 else None
    proxy = Proxy(port) if port else None
    more = _behind(proxy, port) if proxy and port else {}
    cluster = Cluster(folder / "brokers", nodes=nodes, port=port, more=more)
    forks = Forks()
    (folder / "deployment").mkdir()
    deployment = Deployment(forks, folder / "deployment")
    events = int((seconds or len(faults) * FAULT_S) * RATE)
    leaders = None
    try:
        cluster.start()
        servers = [f"127.0.0.1:{proxy.port}"] if proxy else cluster.bootstrap_servers
        leaders = Leaders(servers)
        deploy(deployment, app="chaos", bootstrap_servers=servers, **sections)
        truth_file = write_stream(deployment.folder, events)
        workers = Workers(deployment, roles=ROLES[roles], rate=RATE, truth_file=str(truth_file))
        stage = Stage(workers, Random(seed), cluster=cluster, proxy=proxy, leaders=leaders)
        found = let_happen(stage, faults, seconds)
        hold_to_account(deployment, events_min=events // 4)
        return found
    finally:
        deployment.close()
        forks.close()
        if leaders is not None:
            leaders.close()
        cluster.close()
        if proxy is not None:
            proxy.close()


def let_happen(stage: Stage, faults: Sequence[Fault], seconds: float | None) -> Found:
    """Let faults happen, each once or for so long, and read everything to its end."""
    found = Found()
    reader = LiveReader(stage.deployment.config)
    reader.start()
    _recover(stage, reader)
    until_s = time.monotonic() + (seconds or 0.0)
    for fault in faults if seconds is None else cycle(faults):
        if seconds is not None and time.monotonic() > until_s:
            break
        began_s = time.monotonic()
        fault(stage)
        _recover(stage, reader)
        stage.workers.settle(stage.rng.uniform(*REST_S))
        gap_s = reader.longest_gap_s(began_s)
        print(f"{fault.__name__:28} {gap_s:6.1f} s", file=sys.stderr, flush=True)
        if seconds is not None and fault.__name__ not in found.gaps_s:
            _audit(stage)
        found.gaps_s[fault.__name__].append(gap_s)
        assert reader.breach is None, reader.breach
    stage.workers.end()
    reader.end()
    found.resident_mib, found.told_early = stage.workers.resident_mib, reader.told_early
    print(f"workers ended: {dict(stage.workers.ends)}", file=sys.stderr)
    return found


def _recover(stage: Stage, reader: LiveReader) -> None:
    """Wait until every partition has a new prediction, and what is there now has been read."""
    since_s = time.monotonic() + SEEN_S
    ends: dict[tuple[str, int], int] = {}
    left: object = "predictions"
    while left and reader.breach is None:
        waited_s = time.monotonic() - since_s
        assert waited_s < RECOVERED_S, f"I8: after {waited_s:.0f} s left are {left}"
        stage.workers.settle(0.2)
        if reader.moved_since(since_s, partitions=stage.partitions):
            try:
                ends = ends or _ends(stage.deployment)
                left = _left(stage.deployment, ends)
            except StreamAlError as error:  # a broker may still be away; then once more
                left = error


def _ends(deployment: Deployment) -> dict[tuple[str, int], int]:
    return {
        (name, partition): end
        for name in ("events", "labels")
        for partition, end in enumerate(deployment.ends(name))
    }


def _left(
    deployment: Deployment, ends: dict[tuple[str, int], int]
) -> dict[tuple[str, int], tuple[int, int]]:
    """Return topic and partition → committed and end, of those not read to their ends."""
    config = deployment.config
    groups = {"events": scorer_group(config), "labels": resolver_group(config)}
    found = {}
    for (name, partition), end in ends.items():
        done = deployment.log.committed(groups[name], config.topic(name), partition)
        if (offset := done.offset if done else 0) < end:
            found[name, partition] = (offset, end)
    return found


def _audit(stage: Stage) -> None:
    audit = stage.deployment.start("audit")
    until_s = time.monotonic() + AUDITED_S
    while audit.poll() is None and time.monotonic() < until_s:
        stage.workers.settle(0.2)
    ended = audit.wait(1.0)
    assert ended.code == 0, ended.out + ended.err


def _behind(proxy: Proxy, port: int) -> dict[str, str]:
    """Return settings of a broker that clients reach by a proxy, and it itself does not.

    It is a client of its own, which checks and ends transactions: what workers see when those
    connections are lost is not what they see when theirs are.
    """
    client, controller, itself = (f"127.0.0.1:{port + more}" for more in range(3))
    return {
        "listeners": f"CLIENT://{client},CONTROLLER://{controller},ITSELF://{itself}",
        "advertised.listeners": f"CLIENT://127.0.0.1:{proxy.port},ITSELF://{itself}",
        "listener.security.protocol.map": (
            "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT,ITSELF:PLAINTEXT"
        ),
        "inter.broker.listener.name": "ITSELF",
    }


def _free_ports() -> int:
    """Return the first of three ports in a row that are free."""
    while True:
        with socket.socket() as first, ExitStack() as others:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            with suppress(OSError, OverflowError):
                for more in (1, 2):
                    others.enter_context(socket.socket()).bind(("127.0.0.1", port + more))
                return port


def hold_to_account(deployment: Deployment, *, events_min: int) -> None:
    """Hold every invariant over all that lies in the topics."""
    assert_every_event_has_one_answer(deployment, events_min=events_min)
    assert_every_label_has_one_outcome(deployment, applied_min=events_min // 100)
    assert_spend_follows_propensity(deployment)
    assert_journal_is_one_chain(deployment)
    assert_offline_folds_agree(deployment, learnt_min=events_min // 100)
    for command in (("audit",), ("replay", "--verify")):
        ended = deployment.start(*command).wait(AUDITED_S)
        assert ended.code == 0, ended.out + ended.err


def main() -> int:
    """Run what the arguments say; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--nodes", type=int, choices=(1, 3), default=0, help="default: half each")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--transport", choices=TRANSPORTS, default=TRANSPORTS[0])
    parser.add_argument("--roles", choices=ROLES, default="together")
    parser.add_argument("--pack", choices=("none", "poll"), default="none", help="predictions.pack")
    parser.add_argument("--only", default="", help="faults with this in their names")
    chosen = parser.parse_args()
    nodes = (chosen.nodes,) if chosen.nodes else (1, 3)
    sections = SECTIONS | {
        "log": SECTIONS["log"] | {"transport": chosen.transport},
        "predictions": {"pack": chosen.pack},
    }
    runs: dict[int, Found] = {}
    broken = 0
    for count in nodes:
        folder = Path(tempfile.mkdtemp(prefix="stream-al-chaos-"))
        seconds = 60 * chosen.minutes / len(nodes)
        how = f"seed {chosen.seed}, transport {chosen.transport}, roles {chosen.roles}"
        print(f"{count} broker(s), {seconds:.0f} s, {how}", flush=True)
        try:
            runs[count] = chaos(
                folder,
                [fault for fault in kinds(count) if chosen.only in fault.__name__],
                nodes=count,
                seed=chosen.seed,
                seconds=seconds,
                roles=chosen.roles,
                sections=sections,
            )
        except AssertionError as error:
            print(f"VIOLATION: {error}\nwhat everybody said, and the brokers' files: {folder}")
            broken += 1
        else:
            shutil.rmtree(folder)
    _report(runs)
    print(f"violations: {broken}")
    return 1 if broken else 0


def _report(runs: dict[int, Found]) -> None:
    print(f"{'fault':28} {'brokers':>7} {'times':>5} {'recovery: median':>16} {'longest':>9}")
    for count, found in runs.items():
        for name, gaps in sorted(found.gaps_s.items()):
            print(f"{name:28} {count:7} {len(gaps):5} {median(gaps):14.1f} s {max(gaps):7.1f} s")
    faults = sum(len(gaps) for found in runs.values() for gaps in found.gaps_s.values())
    most = max((found.resident_mib for found in runs.values()), default=0.0)
    early = sum(found.told_early for found in runs.values())
    print(f"faults: {faults}; most memory of a worker: {most:.0f} of {RESIDENT_MIB_MAX} MiB")
    print(f"positions that brokers told before they had loaded them: {early}")


if __name__ == "__main__":
    sys.exit(main())
