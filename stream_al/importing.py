"""Code of the user's own is looked up beside the configuration file, and nowhere else of its kind.

The current folder is never on the path: a file that somebody left there would run in place of a
module that a library only tries to import. What is installed, and the names of the standard
library, always win over what lies beside the configuration.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType


class _Beside:
    """The last finder of all; it knows top-level modules of one folder.

    Attributes
    ----------
    folder
        None until a configuration was read from a file.
    """

    def __init__(self) -> None:
        self.folder: Path | None = None

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if self.folder is None or path is not None or name in sys.stdlib_module_names:
            return None
        return PathFinder.find_spec(name, [str(self.folder)], target)


_BESIDE = _Beside()


def look_beside(folder: Path | None) -> None:
    """Remember the configuration's folder; nothing of it can be imported until `import_beside`."""
    _BESIDE.folder = None if folder is None else folder.absolute()


def looked_beside() -> Path | None:
    """Return the folder that is looked at, to hand it to a process of our own."""
    return _BESIDE.folder


def import_beside(module_name: str) -> ModuleType:
    """Import a module that the configuration names: installed, or beside the configuration file.

    From then on what it imports itself, now or later, is found there too.

    Raises
    ------
    ImportError
        As `importlib.import_module` does.
    """
    if _BESIDE not in sys.meta_path:
        sys.meta_path.append(_BESIDE)
    return import_module(module_name)
