"""One operation of an object at a time, from whatever thread.

An operation that was broken off in the middle (Ctrl-C, an exception of a signal's handler) may have
left half a change: the next one mends the object before it does anything else. A process that was
forked gets locks of its own, for whoever held one is not in it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from threading import Lock, get_ident
from typing import Concatenate, ParamSpec, TypeVar
from weakref import WeakSet

from stream_al.errors import ConfigurationError

P = ParamSpec("P")
R = TypeVar("R")
NOBODY = 0


class TakesTurns:
    """Base of an object whose operations are made `in_turn`.

    Attributes
    ----------
    _lock
        Held by the thread whose turn it is.
    _owner
        That thread, else `NOBODY`.
    _whole
        Whether no operation was broken off since the last one that ended.
    """

    def __init__(self) -> None:
        self._whole = True
        self._take_new_lock()
        _ALIVE.add(self)

    def _take_new_lock(self) -> None:
        self._lock = Lock()
        self._owner = NOBODY

    def _mend(self) -> None:
        """Make the state whole; without effect on one that is."""
        raise NotImplementedError


S = TypeVar("S", bound=TakesTurns)
_ALIVE: WeakSet[TakesTurns] = WeakSet()


def in_turn(
    method: Callable[Concatenate[S, P], R],
) -> Callable[Concatenate[S, P], R]:
    """Let `method` wait for its turn.

    Raises
    ------
    ConfigurationError
        When it is called from within another operation: by a model, a strategy, or the handler of a
        signal that came in the middle of one. Waiting would be for ever.
    """

    @wraps(method)
    def alone(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        me = get_ident()
        if self._owner == me:
            name = f"{type(self).__name__}.{method.__name__}"
            raise ConfigurationError(
                f"{name} is called from within another operation of the same object, by a model, a "
                "strategy or a signal's handler; call it after that one has returned"
            )
        with self._lock:
            self._owner = me
            try:
                if not self._whole:
                    self._mend()
                self._whole = False
                result = method(self, *args, **kwargs)
                self._whole = True
            finally:
                self._owner = NOBODY
        return result

    return alone


def _after_fork() -> None:
    for each in tuple(_ALIVE):
        each._take_new_lock()  # noqa: SLF001 - of this module


if hasattr(os, "register_at_fork"):  # not on every system
    os.register_at_fork(after_in_child=_after_fork)
