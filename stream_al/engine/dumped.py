"""The format of what an engine dumps, and the refusal of any other."""

from __future__ import annotations

from stream_al.errors import ConfigurationError

DUMP_FORMAT = 2


def check_format(found: int) -> None:
    """Refuse a dump that this version can't read.

    Raises
    ------
    ConfigurationError
        Naming both formats.
    """
    if found != DUMP_FORMAT:
        raise ConfigurationError(
            f"the state has format {found}, this version reads {DUMP_FORMAT}; "
            "load it with the version that wrote it, or start from the journal"
        )
