"""What is wrong with settings, in sentences: field, value, what to do. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

SHOWN_CHARACTERS = 80
DISAGREEMENT = "disagreement"
"""The strategy that a committee alone has."""
Location = tuple[int | str, ...]
_NUMBERS = {"int_type", "float_type", "int_from_float"}
_SECRETS = re.compile(r"secret|password|token|key_file|^security$")
_OFF = ("off", "Off", "OFF", "no", "none")


def problems_of(
    error: ValidationError, kind: type[BaseModel], cure: Callable[[Location, str], str] | None
) -> Iterator[str]:
    """Yield each problem of a configuration, in a sentence.

    Parameters
    ----------
    error
        What pydantic found.
    kind
        The class that was to be made: its fields are the known ones.
    cure
        From a setting's place and `correct` or `change`: what to do, and where. None in Python.
    """
    for found in error.errors(include_url=False):
        place = ".".join(str(part) for part in found["loc"])
        if found["type"] == "extra_forbidden":
            known = f"{place} is not a setting{_nearest(kind, found['loc'])}"
            yield f"{known}; {cure(found['loc'], 'correct')}" if cure else known
            continue
        said = found["msg"].removeprefix("Value error, ")
        named = f"{place} is {_shown(found['loc'], found['input'])}: " if place else ""
        sentence = f"{named}{said}{_hint(found)}"
        yield f"{sentence}; {cure(found['loc'], 'change')}" if cure else sentence


def _shown(place: Location, value: Any) -> str:
    """Return a value as people may see it: one below a setting for secrets may be a secret.

    Examples
    --------
    >>> _shown(("gate", "secret_file"), 1234), _shown(("gate",), {"secret_file": "x", "burst": 0})
    ('a value not shown', "{'secret_file': …, 'burst': 0}")
    """
    if any(_SECRETS.search(str(part)) for part in place):
        return "a value not shown"
    return _without_secrets(value)[:SHOWN_CHARACTERS]


def _without_secrets(value: Any) -> str:
    if not isinstance(value, Mapping):
        return repr(value)
    inside = (
        f"{name!r}: {'…' if _SECRETS.search(str(name)) else _without_secrets(below)}"
        for name, below in value.items()
    )
    return f"{{{', '.join(inside)}}}"


_LINES = ", write `key: value` lines below it"
_WRITTEN = {
    "bool_type": ", write true or false",
    "tuple_type": ", write a list: [a, b]",
    "model_type": _LINES,
    "model_attributes_type": _LINES,
}
"""Kind of a problem → how to write what was meant."""


def _hint(found: ErrorDetails) -> str:
    """Return how to write what was meant, where that can be told."""
    given, kind = found["input"], found["type"]
    plain = _plain_number(given) if kind in _NUMBERS and isinstance(given, str) else None
    match kind:
        case "string_type" if isinstance(given, int | float):
            return ", write it in quotes"
        case _ if plain is not None:
            return f": write {plain}" + (", without quotes" if plain == given else "")
        case _ if kind in _NUMBERS and given in _OFF:
            return ", write null, or leave it out, to turn it off"
    return _WRITTEN.get(kind, "")


def _plain_number(text: str) -> str | None:
    """Return a decimal number without leading zeros and underscores; None when it is none.

    Examples
    --------
    >>> _plain_number("010"), _plain_number("1_000"), _plain_number("00.5"), _plain_number("0x1")
    ('10', '1000', '0.5', None)
    """
    found = re.fullmatch(r"([-+]?)0*([0-9][0-9_]*)(\.[0-9]+)?", text)
    return (
        None if found is None else "".join(part or "" for part in found.groups()).replace("_", "")
    )


def _nearest(kind: type[BaseModel], place: Location) -> str:
    """Return the known key that the unknown one at `place` looks like."""
    section: type[BaseModel] | None = kind
    for part in place[:-1]:
        section = section_at(section, part)
    return nearest(str(place[-1]), list(section.model_fields) if section else [], "known here")


def nearest(name: str, known: Iterable[str], said: str = "known are") -> str:
    """Return which of `known` an unknown name may mean, or else what there is.

    Examples
    --------
    >>> nearest("margn", ["entropy", "margin"]), nearest("x", ["entropy", "margin"])
    (', did you mean `margin`?', '; known are: entropy, margin')
    """
    names = list(known)
    close = get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f", did you mean `{close[0]}`?"
    return f"; {said}: {', '.join(names)}" if names else ""


def uncertainty_problem(name: str, known: Iterable[str]) -> str | None:
    """Return what is wrong with the name of a strategy, which it begins with; None if nothing.

    Examples
    --------
    >>> uncertainty_problem("margn", ["margin"])
    "'margn': no strategy has that name, did you mean `margin`? known are margin"
    """
    names = sorted(known)
    if name in names:
        return None
    if name == DISAGREEMENT:
        return (
            f"{name!r}, which needs a committee: take model.preset committee, or a factory whose "
            f"model has `vote(x)`; without one take one of {', '.join(names)}"
        )
    close = get_close_matches(name, names, n=1, cutoff=0.5)
    meant = f", did you mean `{close[0]}`?" if close else ";"
    return f"{name!r}: no strategy has that name{meant} known are {', '.join(names)}"


def section_at(section: type[BaseModel] | None, name: Any) -> type[BaseModel] | None:
    """Return the class of the section `name` inside of `section`; None when it is none."""
    field = section.model_fields.get(str(name)) if section else None
    kind = field.annotation if field else None
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None
