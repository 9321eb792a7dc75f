"""What a cluster keeps in its folder beside Kafka's own data: passwords, a certificate."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from stream_al.errors import ConfigurationError
from stream_al.private_files import write_whole

CERTIFICATE_DAYS = 3650
"""As long as anybody keeps the folder: brokers start no more on one that ended."""


def formatted_nodes(folder: Path) -> int:
    """Return for how many nodes Kafka has prepared the folder; 0 of a new one."""
    return len(list(folder.glob("node-*/meta.properties")))


def write_private(path: Path, text: str) -> None:
    """Write a file that nobody else may read."""
    write_whole(path, text)


def password_file(folder: Path, user: str) -> Path:
    """Return the file that holds a user's password, and nothing else."""
    return folder / f"{user}.password"


def kept_users(folder: Path, users: Mapping[str, str]) -> dict[str, str]:
    """Return the passwords that hold in this folder; those of a new one are `users`'.

    Kafka stores what it was told when the folder was prepared: a later password lets nobody in.

    Raises
    ------
    ConfigurationError
        When the folder was prepared without one of these users.
    """
    files = {user: password_file(folder, user) for user in users}
    if not formatted_nodes(folder):
        for user, file in files.items():
            write_private(file, users[user])
    missing = [user for user, file in files.items() if not file.exists()]
    if missing:
        raise ConfigurationError(
            f"--dir: {folder} was prepared without a password of {', '.join(missing)}, and Kafka "
            "takes none later; name another"
        )
    return {user: file.read_text(encoding="utf-8") for user, file in files.items()}


def make_certificate(folder: Path) -> None:
    """Make the brokers' certificate, `ca.pem`, and with its key `broker.pem`, unless it is there.

    Raises
    ------
    ConfigurationError
        When the command `openssl` is not there.
    """
    certificate, both = folder / "ca.pem", folder / "broker.pem"
    if both.exists():
        return
    openssl = shutil.which("openssl")
    if openssl is None:
        raise ConfigurationError("broker: --security ssl needs the command `openssl`")
    key = folder / "key.pem"
    subprocess.run(  # noqa: S603 - found on the path, arguments are ours
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", str(CERTIFICATE_DAYS),
         "-keyout", key, "-out", certificate, "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    write_private(both, key.read_text(encoding="utf-8") + certificate.read_text(encoding="utf-8"))
    key.unlink()
