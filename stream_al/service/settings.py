"""Reads the configuration: one YAML file, environment variables over it, problems all at once.

The only module that reads the environment for settings; a log reads its own secrets.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stream_al.config import SECURITY_SECRETS, Config
from stream_al.errors import ConfigurationError
from stream_al.importing import look_beside
from stream_al.private_files import named_secret, why_refused, write_whole
from stream_al.service.logs import FORMAT_VARIABLE
from stream_al.service.written import Written

FILE_VARIABLE = "STREAM_AL_CONFIG"
DEFAULT_FILE = "stream-al.yaml"
SECRET_VARIABLE = "STREAM_AL_GATE__SECRET"  # noqa: S105 - the name of a variable, not a secret
SECRET_BYTES_MIN = 16
SNAPSHOT_KEY_VARIABLE = "STREAM_AL_SNAPSHOTS__KEY"
_OWN_VARIABLES = frozenset(
    {
        FILE_VARIABLE,
        FORMAT_VARIABLE,
        SECRET_VARIABLE,
        SNAPSHOT_KEY_VARIABLE,
        "STREAM_AL_DEMO_DATA",
        *SECURITY_SECRETS.values(),
    }
)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration, and where it was read.

    Attributes
    ----------
    file
        The file that was read; None where there is none.
    log_was
        Where its relative `log.path` lay while paths counted from the current folder.
    """

    config: Config
    file: Path | None = None
    log_was: Path | None = None

    def __str__(self) -> str:
        return f"the configuration {self.file}" if self.file else "the default configuration"


def load_config(path: Path | None, environment: Mapping[str, str] | None = None) -> Config:
    """Return the configuration from `path` (or the default file when there) and environment.

    Relative paths in a file count from its folder, those of variables from the current one.

    Raises
    ------
    ConfigurationError
        With every problem at once: field, value, what to do.
    """
    return load(path, environment).config


def load(path: Path | None, environment: Mapping[str, str] | None = None) -> Loaded:
    """Return what `load_config` does, with where it was read."""
    environment = os.environ if environment is None else environment
    chosen = path or Path(environment.get(FILE_VARIABLE, DEFAULT_FILE))
    demanded = path is not None or FILE_VARIABLE in environment
    written = Written.of(chosen, demanded=demanded)
    folder = written.folder
    look_beside(folder)
    # In the current folder they stay as they are written: so people know them.
    elsewhere = folder if folder is not None and not folder.samefile(Path.cwd()) else None
    log_was = None if elsewhere is None else written.anchor(elsewhere)
    written.override(environment, _OWN_VARIABLES)
    if written.problems:
        raise ConfigurationError(*written.problems)
    config = written.config()
    if elsewhere is None or "log.path" in written.variables:
        return Loaded(config, chosen.absolute() if written.there else None)
    if config.log.path is None and config.log.connector == "sqlite":
        log_was = Path(f"{config.app}.db")
        log = config.log.model_copy(update={"path": str(elsewhere / log_was)})
        config = config.model_copy(update={"log": log})
    return Loaded(config, chosen.absolute(), None if log_was is None else log_was.absolute())


def gate_secret(config: Config, *, beside: Path, create: bool = True) -> bytes:
    """Return the gate's secret: environment, `gate.secret_file`, or a file beside the log.

    The file is made on first use with mode 0600. The secret is shown nowhere.

    Raises
    ------
    ConfigurationError
        When the secret is too short, or its file can't be read.
    """
    given = os.environ.get(SECRET_VARIABLE)
    if given is not None:
        return _long_enough(given.encode(), SECRET_VARIABLE)
    own = config.gate.secret_file
    path = Path(own) if own else beside.with_name(beside.name + ".secret")
    if own is None and config.log.connector == "kafka":
        raise ConfigurationError(
            "gate.secret_file is not set: every worker on Kafka needs the same secret; name a "
            f"file with at least {SECRET_BYTES_MIN} random characters, or set {SECRET_VARIABLE}"
        )
    if own is None and create and not path.exists():
        _write_secret(path)
    try:
        return _long_enough(path.read_bytes().strip(), str(path))
    except (OSError, ValueError) as error:
        if own is None and isinstance(error, OSError):
            why = why_refused(path, error)
            raise ConfigurationError(f"the gate's secret {str(path)!r}: {why}") from None
        raise ConfigurationError(
            f"{named_secret('gate.secret_file', path, error)}; "
            "name a readable file with at least 16 random characters"
        ) from None


def secret_place(config: Config, *, beside: Path) -> tuple[str, bool]:
    """Return in words where the gate's secret is, and whether it is there.

    A name that somebody gave is not repeated: it may be the secret itself.
    """
    if SECRET_VARIABLE in os.environ:
        return f"the secret in {SECRET_VARIABLE}", True
    if config.gate.secret_file:
        return "the file that gate.secret_file names", Path(config.gate.secret_file).is_file()
    path = beside.with_name(beside.name + ".secret")
    return str(path), path.exists()


def snapshot_key(config: Config) -> bytes | None:
    """Return the key of the snapshots' HMAC: environment, `snapshots.key_file`, or None.

    Raises
    ------
    ConfigurationError
        When the key is too short, or its file can't be read.
    """
    given = os.environ.get(SNAPSHOT_KEY_VARIABLE)
    path = config.snapshots.key_file
    if given is None and path is None:
        return None
    try:
        key = given.encode() if given is not None else Path(str(path)).read_bytes().strip()
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{named_secret('snapshots.key_file', Path(str(path)), error)}; "
            f"name a readable file with at least {SECRET_BYTES_MIN} random characters"
        ) from None
    if len(key) < SECRET_BYTES_MIN:
        raise ConfigurationError(
            f"the snapshots' key in {path if given is None else SNAPSHOT_KEY_VARIABLE} has "
            f"{len(key)} characters; use at least {SECRET_BYTES_MIN} random ones"
        )
    return key


def _write_secret(path: Path) -> None:
    """Write a new secret; of two processes that try at once one wins, and both read the same."""
    try:
        write_whole(path, secrets.token_hex(32), replace=False)
    except FileExistsError:
        return
    except OSError as error:
        raise ConfigurationError(
            f"the gate's secret can't be written to {str(path)!r}: {why_refused(path, error)}; or "
            f"set gate.secret_file or {SECRET_VARIABLE}"
        ) from None


def _long_enough(secret: bytes, place: str) -> bytes:
    if len(secret) < SECRET_BYTES_MIN:
        raise ConfigurationError(
            f"the gate's secret in {place} has {len(secret)} characters; "
            f"use at least {SECRET_BYTES_MIN} random ones"
        )
    return secret[:64]
