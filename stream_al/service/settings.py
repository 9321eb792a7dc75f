"""Reads the configuration: one YAML file, environment variables over it, problems all at once.

The only module that reads the environment for settings; a log reads its own secrets.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from stream_al.config import SECURITY_SECRETS, Config
from stream_al.errors import ConfigurationError
from stream_al.importing import look_beside
from stream_al.service.logs import FORMAT_VARIABLE

FILE_VARIABLE = "STREAM_AL_CONFIG"
DEFAULT_FILE = "stream-al.yaml"
SECRET_VARIABLE = "STREAM_AL_GATE__SECRET"  # noqa: S105 - the name of a variable, not a secret
SECRET_BYTES_MIN = 16
SNAPSHOT_KEY_VARIABLE = "STREAM_AL_SNAPSHOTS__KEY"
_PREFIX = "STREAM_AL_"
_OWN_VARIABLES = {
    FILE_VARIABLE,
    FORMAT_VARIABLE,
    SECRET_VARIABLE,
    SNAPSHOT_KEY_VARIABLE,
    "STREAM_AL_DEMO_DATA",
    *SECURITY_SECRETS.values(),
}


def load_config(path: Path | None, environment: Mapping[str, str] | None = None) -> Config:
    """Return the configuration from `path` (or the default file when there) and environment.

    Raises
    ------
    ConfigurationError
        With every problem at once: field, value, what to do.
    """
    environment = os.environ if environment is None else environment
    chosen = path or Path(environment.get(FILE_VARIABLE, DEFAULT_FILE))
    demanded = path is not None or FILE_VARIABLE in environment
    body = _read_yaml(chosen, demanded=demanded)
    look_beside(chosen.parent if chosen.is_file() else None)
    for name, value in _overrides(environment):
        _put(body, name.split("__"), value)
    try:
        return Config.model_validate(body)
    except ValidationError as error:
        raise ConfigurationError(*_problems(error, chosen)) from None


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
    except OSError as error:
        raise ConfigurationError(
            f"gate.secret_file is {str(path)!r}: {error.strerror}; "
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
    except OSError as error:
        raise ConfigurationError(
            f"snapshots.key_file is {path!r}: {error.strerror}; "
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
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    except OSError as error:
        raise ConfigurationError(
            f"the gate's secret can't be written to {str(path)!r}: {error.strerror}; "
            f"make the folder writable, or set gate.secret_file or {SECRET_VARIABLE}"
        ) from None


def _long_enough(secret: bytes, place: str) -> bytes:
    if len(secret) < SECRET_BYTES_MIN:
        raise ConfigurationError(
            f"the gate's secret in {place} has {len(secret)} characters; "
            f"use at least {SECRET_BYTES_MIN} random ones"
        )
    return secret[:64]


def _read_yaml(path: Path, *, demanded: bool) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if not demanded:
            return {}
        raise ConfigurationError(
            f"--config {path}: there is no such file; `stream-al init` writes one"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"--config {path}: can't be read: {error}") from None
    try:
        body = yaml.safe_load(text)
    except yaml.YAMLError as error:
        place = " ".join(str(error).split())
        raise ConfigurationError(f"{path} is not YAML: {place}") from None
    if body is None:
        return {}
    if not isinstance(body, dict):
        raise ConfigurationError(f"{path} holds a {type(body).__name__}; write `key: value` lines")
    return body


def _overrides(environment: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    for name in sorted(environment):
        if name.startswith(_PREFIX) and name not in _OWN_VARIABLES:
            try:
                yield name[len(_PREFIX) :].lower(), yaml.safe_load(environment[name])
            except yaml.YAMLError:
                yield name[len(_PREFIX) :].lower(), environment[name]


def _put(body: dict[str, Any], path: list[str], value: Any) -> None:
    for part in path[:-1]:
        below = body.get(part)
        if not isinstance(below, dict):
            below = body[part] = {}
        body = below
    body[path[-1]] = value


def _problems(error: ValidationError, path: Path) -> Iterator[str]:
    for found in error.errors(include_url=False):
        place = ".".join(str(part) for part in found["loc"])
        if found["type"] == "extra_forbidden":
            yield f"{place} is not a setting{_nearest(found['loc'])}; correct it in {path}"
            continue
        shown = repr(found["input"])[:80]
        said = found["msg"].removeprefix("Value error, ")
        named = f"{place} is {shown}: " if place else ""
        yield f"{named}{said}; change it in {path} or the environment"


def _nearest(place: tuple[int | str, ...]) -> str:
    """Return the known key that the unknown one at `place` looks like."""
    section: type[BaseModel] | None = Config
    for part in place[:-1]:
        field = section.model_fields.get(str(part)) if section else None
        kind = field.annotation if field else None
        section = kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None
    known = list(section.model_fields) if section else []
    close = get_close_matches(str(place[-1]), known, n=1, cutoff=0.5)
    if close:
        return f", did you mean `{close[0]}`?"
    return f"; known here: {', '.join(known)}" if known else ""
