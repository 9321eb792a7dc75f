"""How earlier lives of a worker ended: a process takes its counters along, so a file keeps these.

One small JSON file a slot, beside the snapshots. It is for metrics only: nothing is decided by it,
and where it can't be written the worker runs on without.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from stream_al.errors import ConfigurationError, InDoubt
from stream_al.private_files import is_planted, make_folder, write_whole

KINDS = (
    *("stopped", "killed", "fenced", "deadline", "stalled", "ambiguous", "gone", "diverged"),
    "config",
)
"""`stopped` was asked to, `killed` said nothing any more; the others are first words of lines."""


class Exits:
    """The ends of one slot's lives.

    Parameters
    ----------
    path
        Of the file; None keeps nothing. What it says is believed as far as it can be read.

    Attributes
    ----------
    counts
        Kind → how many lives before this one ended so.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "exits-0.json"
    ...     with Exits(path).noted():
    ...         pass
    ...     dict(Exits(path).counts)
    {'stopped': 1}
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        said = _read(path)
        counts = said.get("counts")
        known = counts if isinstance(counts, dict) else {}
        self.counts = Counter({kind: known[kind] for kind in KINDS if _is_count(known.get(kind))})
        process = said.get("process")
        if isinstance(process, int) and not _lives(process):
            self.counts["killed"] += 1

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Write down that this life began, and how it ends."""
        self._write(self.counts, os.getpid())
        try:
            yield
        except (ConfigurationError, InDoubt) as error:
            self.end(error.kind if isinstance(error, InDoubt) else "config")
            raise
        except KeyboardInterrupt:
            self.end("stopped")
            raise
        except Exception:
            self.end("ambiguous")
            raise
        self.end("stopped")

    def end(self, kind: str) -> None:
        """Write down that this life ends so, from whatever thread."""
        self._write(self.counts + Counter((kind,)), None)

    def _write(self, counts: Counter[str], process: int | None) -> None:
        if self._path is None:
            return
        with suppress(OSError):
            if is_planted(self._path.parent):
                return
            if not self._path.parent.exists():
                make_folder(self._path.parent)
            said = json.dumps({"counts": counts, "process": process})
            write_whole(self._path, said, durable=False)


def _read(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    with suppress(OSError, ValueError):
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
    return {}


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _lives(process: int) -> bool:
    """Whether another process has this number: in a container, every worker has the same."""
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass  # another user's, or no number that one could have: nothing says that it ended
    return True
