"""What stands in the configuration file and in variables, before it is a configuration.

A value keeps where it was written, so that a problem names the line or the variable.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stream_al.config import Config
from stream_al.errors import ConfigurationError
from stream_al.escaping import is_text
from stream_al.messages import WRITTEN
from stream_al.private_files import why_refused
from stream_al.problems import Location, section_at
from stream_al.service.strict_yaml import Document, read_yaml

PREFIX = "STREAM_AL_"
_SECURITY_FILES = (
    *("ca_file", "certificate_file", "key_file", "key_password_file", "crl_file"),
    *("password_file", "token_file"),
)
PATHS: tuple[tuple[str, ...], ...] = (
    ("log", "path"),
    ("gate", "secret_file"),
    ("snapshots", "directory"),
    ("snapshots", "key_file"),
    *(("log", "security", name) for name in _SECURITY_FILES),
)
"""Settings that name a file or a folder."""


@dataclass(slots=True)
class Written:
    """The values as they are written.

    Attributes
    ----------
    file
        The configuration file, which may not be there.
    there
        Whether it is.
    body
        Section → setting → value.
    variables
        Dotted setting → the variable that gave it.
    """

    file: Path
    there: bool = False
    body: dict[str, Any] = field(default_factory=dict)
    lines: dict[Location, int] = field(default_factory=dict)
    odd: dict[Location, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, file: Path, *, demanded: bool) -> Written:
        """Read a file.

        Raises
        ------
        ConfigurationError
            When it can't be read, or is demanded and not there.
        """
        text = _text(file, demanded=demanded)
        if text is None:
            return cls(file)
        try:
            found = read_yaml(text)
        except ConfigurationError as error:
            joint = "" if str(error).startswith("is ") else ", "
            raise ConfigurationError(f"{file}{joint or ' '}{error}") from None
        body = {} if found.value is None else found.value
        if not isinstance(body, dict):
            kind = type(body).__name__
            raise ConfigurationError(f"{file} holds a {kind}; write `key: value` lines")
        problems = [f"{file}: {problem}" for problem in found.problems]
        return cls(file, True, body, found.lines, found.odd, problems=problems)

    @property
    def folder(self) -> Path | None:
        """The file's folder; None where there is no file."""
        # A pipe (`--config <(…)`) lies in no folder of its own.
        return self.file.absolute().parent if self.there and self.file.is_file() else None

    def anchor(self, folder: Path) -> Path | None:
        """Let relative paths count from `folder`; return `log.path` as it was written."""
        log_path = None
        for *sections, name in PATHS:
            body: Any = self.body
            for section in sections:
                body = body.get(section) if isinstance(body, dict) else None
            written = body.get(name) if isinstance(body, dict) else None
            if isinstance(written, str) and written:
                body[name] = str(folder / written)
                log_path = Path(written) if (*sections, name) == ("log", "path") else log_path
        return log_path

    def override(self, environment: Mapping[str, str], own: frozenset[str]) -> None:
        """Put variables over the file; `own` are no settings."""
        for variable in sorted(environment):
            if not variable.startswith(PREFIX) or variable in own:
                continue
            path = variable[len(PREFIX) :].lower()
            dotted = path.replace("__", ".")
            if dotted in self.variables:
                self.problems.append(
                    f"{dotted} is set by {self.variables[dotted]} and by {variable}, which differ "
                    "in upper and lower case only, and one would win; unset one of them"
                )
                continue
            self.variables[dotted] = variable
            self._put(tuple(path.split("__")), variable, environment[variable])

    def _put(self, path: tuple[str, ...], variable: str, text: str) -> None:
        found = self._value(variable, text)
        body = self.body
        for depth, part in enumerate(path[:-1], 1):
            below = body.get(part)
            if below is None:
                below = body[part] = {}
            if not isinstance(below, dict):
                self.problems.append(
                    f"{'.'.join(path[:depth])} is {below!r:.80}, which has no settings of its own; "
                    f"unset {variable}, or correct it in {self.file}"
                )
                return
            body = below
        body[path[-1]] = found.value
        for at in [at for at in self.odd if at[: len(path)] == path]:
            del self.odd[at]
        self.odd |= {(*path, *at): odd for at, odd in found.odd.items()}
        self.problems += [f"{variable}: {problem}" for problem in found.problems]

    def _value(self, variable: str, text: str) -> Document:
        """Return what a variable says; what is no YAML is a text."""
        if not is_text(text):
            self.problems.append(f"{variable} is no text: it is not UTF-8; set it again")
            return Document()
        try:
            return read_yaml(text)
        except ConfigurationError:
            return Document(value=text)

    def config(self) -> Config:
        """Return the configuration.

        Raises
        ------
        ConfigurationError
            With every problem at once.
        """
        odd = list(self._odd_parameters())
        if odd:
            raise ConfigurationError(*odd)
        # As JSON and strictly: `true` is no number, "4" no whole one, and lists become tuples.
        body = json.dumps(_filled(self.body, Config))
        return Config.model_validate_json(body, strict=True, context={WRITTEN: self._cure})

    def _odd_parameters(self) -> Iterator[str]:
        """Yield what a model would take for another value than who wrote it."""
        for at, text in self.odd.items():
            if at[:2] == ("model", "parameters"):
                place = ".".join(map(str, at))
                yield (
                    f"{place} is {text!r}: `{text}` can be read in two ways; write true, false, a "
                    f'decimal number, or "{text}" in quotes for a text; {self._cure(at, "change")}'
                )

    def _cure(self, place: Location, verb: str) -> str:
        """Return where to correct or change the setting at `place`."""
        for length in range(len(place), 0, -1):
            variable = self.variables.get(".".join(map(str, place[:length])))
            if variable is not None:
                return f"{verb} {variable} in the environment, which goes over {self.file}"
        lines = [self.lines[place[:n]] for n in range(len(place), 0, -1) if place[:n] in self.lines]
        line = f", line {lines[0]}," if lines else ""
        return f"{verb} it in {self.file}{line} or the environment"


def _text(path: Path, *, demanded: bool) -> str | None:
    """Return the text of the file; None when there is none and none is demanded."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if not demanded:
            return None
        raise ConfigurationError(
            f"--config {path}: there is no such file; `stream-al init` writes one"
        ) from None
    except OSError as error:
        why = why_refused(path, error)
        raise ConfigurationError(f"--config {path}: can't be read: {why}") from None
    except ValueError as error:
        raise ConfigurationError(f"--config {path}: can't be read: {error}") from None


def _filled(body: dict[str, Any], section: Any) -> dict[str, Any]:
    """Return `body` without sections that have no line: they are as when they were left out."""
    filled = {}
    for name, value in body.items():
        below = section_at(section, name)
        if value is None and below is not None:
            continue
        filled[name] = _filled(value, below) if below and isinstance(value, dict) else value
    return filled
