"""The style that a machine can hold: short modules, short functions, and a core without chance."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ("messages", "model", "gate", "labels", "quality", "engine")
MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
SHIPPED = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in ("stream_al", "connectors/stream_al_connectors")
    for path in (ROOT / folder).rglob("*.py")
)
CORE_MODULES = [name for name in SHIPPED if name.split("/")[1] in CORE]
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
CLOCK_READS = ("now", "utcnow", "today")
BANNED = ("time", "random", "datetime", "threading", "logging", "os", "subprocess", "socket")


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _banned_imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                imported = [alias.name for alias in names]
            case ast.ImportFrom(module=str(module), level=0, names=names):
                # A seeded generator is chance as an input, and a date that came in is a value: the
                # classes may be named, not the modules.
                allowed = {"random": {"Random"}, "datetime": {"UTC", "datetime"}}.get(module, set())
                imported = [] if {a.name for a in names} <= allowed else [module]
            case ast.Attribute(attr=read) if read in CLOCK_READS:
                yield read
                continue
            case _:
                continue
        yield from (name for name in imported if name.split(".")[0] in BANNED)


def _long_functions(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - _first_line_of_code(node) + 1
            if length > FUNCTION_LINES_MAX:
                yield f"{node.name}: {length} lines"


def _first_line_of_code(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the line after the docstring: documentation does not make a function long."""
    first = node.body[0]
    documented = ast.get_docstring(node) is not None
    return (first.end_lineno or first.lineno) + 1 if documented else node.lineno


def test_there_is_something_to_check() -> None:
    """An empty list would pass every test below."""
    assert "stream_al/messages/base.py" in CORE_MODULES
    assert len(SHIPPED) > len(CORE_MODULES)


@pytest.mark.parametrize("name", SHIPPED)
def test_module_is_short_finished_and_says_its_rule(name: str) -> None:
    """At most 400 lines, functions of at most 60 below their docstring, no note of work left."""
    text = _text(name)
    tree = ast.parse(text)

    assert ast.get_docstring(tree), f"{name} opens without saying its rule"
    assert len(text.splitlines()) <= MODULE_LINES_MAX
    assert list(_long_functions(tree)) == []
    assert UNFINISHED.findall(text) == []


@pytest.mark.parametrize("name", CORE_MODULES)
def test_core_has_no_clock_chance_thread_or_environment(name: str) -> None:
    """Time, chance, order and configuration are inputs of the core."""
    assert list(_banned_imports(ast.parse(_text(name)))) == []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import time", ["time"]),
        ("from os import environ", ["os"]),
        ("import os.path", ["os.path"]),
        ("from random import random", ["random"]),
        ("from random import Random", []),
        ("import math", []),
        ("from datetime import UTC, datetime", []),
        ("return datetime.now(UTC)", ["now"]),
    ],
    ids=[
        "clock",
        "environment",
        "submodule",
        "chance",
        "seeded generator",
        "arithmetic",
        "a date",
        "today",
    ],
)
def test_the_ban_sees_every_form_of_import(code: str, found: list[str]) -> None:
    """The check itself is checked, inside functions too."""
    assert list(_banned_imports(ast.parse(f"def f():\n    {code}"))) == found


WRITTEN = sorted(
    path
    for pattern in ("stream_al/**/*.py", "connectors/**/*.py", "docs/*.md", "deploy/*.md", "*.md")
    for path in ROOT.glob(pattern)
)


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_is_not_there_is_missing(path: Path) -> None:
    """E: "is missing", never "misses": nobody but we says so of a topic."""
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\bmisses\b|\b(that|they) miss\b", text)
