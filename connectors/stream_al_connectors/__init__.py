"""Transports behind the log port of `stream_al.port`: SQLite (one machine) and memory (tests)."""
