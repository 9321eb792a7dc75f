"""Where a worker's pages answer: `http.host` as an address of this machine, and a port a slot."""

from __future__ import annotations

import socket
from typing import NamedTuple

from stream_al.config import HttpSection
from stream_al.errors import ConfigurationError

PORT_MAX = 65_535
PORTS_TRIED_MAX = 32
"""From the wanted one on, where somebody else has it: a helper without a slot of its own."""


class Address(NamedTuple):
    """Where to listen; port 0 takes a free one."""

    family: socket.AddressFamily
    host: str
    port: int

    @property
    def ports(self) -> range:
        """The ports to try, the wanted one first."""
        if not self.port:
            return range(1)
        return range(self.port, min(self.port + PORTS_TRIED_MAX, PORT_MAX + 1))

    def url(self, port: int) -> str:
        """Return where the metrics are.

        Examples
        --------
        >>> Address(socket.AF_INET6, "::1", 8321).url(8321)
        'http://[::1]:8321/metrics'
        """
        host = f"[{self.host}]" if self.family == socket.AF_INET6 else self.host
        return f"http://{host}:{port}/metrics"


def address_of(section: HttpSection, slot: int = 0) -> Address:
    """Return where a worker's pages answer: slot n takes `http.port` + n.

    Raises
    ------
    ConfigurationError
        When the host is none of this machine, or there is no such port.

    Examples
    --------
    >>> address_of(HttpSection(port=8321), slot=2)[1:]
    ('127.0.0.1', 8323)
    """
    port = section.port + slot if section.port else 0
    if port > PORT_MAX:
        raise ConfigurationError(
            f"http.port is {section.port}: with --slot {slot} it is {port}, beyond {PORT_MAX:,}; "
            "lower it"
        )
    host = section.host
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        if not bare:
            raise OSError("it is empty")  # noqa: TRY301 - one sentence for all that is no host
        family, kind, protocol, _, place = socket.getaddrinfo(
            bare, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as tried:
            tried.bind(place)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigurationError(
            f"http.host is {host!r}: {why}; name an address of this machine: 127.0.0.1 or ::1 for "
            "itself alone, 0.0.0.0 or :: for everybody. The port is `http.port`"
        ) from None
    return Address(socket.AddressFamily(family), str(place[0]), port)


def host_problems(section: HttpSection) -> list[str]:
    """Return what is wrong with `http.host`: nothing, or one sentence."""
    try:
        address_of(section)
    except ConfigurationError as error:
        return list(error.problems)
    return []
