"""Transports: the log port over SQLite and in memory, and how a configuration opens one."""

from stream_al_connectors.memory import MemoryLog
from stream_al_connectors.opening import open_log
from stream_al_connectors.sqlite import SqliteLog

__all__ = ["MemoryLog", "SqliteLog", "open_log"]
