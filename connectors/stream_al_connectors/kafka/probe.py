"""What a port speaks: looked at once, when brokers hang up on a client that can't say why.

kafka-python forgets what a broker said last when the connection ends in the same breath: an alert
in TLS, a refused login. Which of them it hears is chance.
"""

from __future__ import annotations

import socket
import ssl

LOOK_S = 2.0
"""How long a port may take to answer."""


def speaks_tls(server: str) -> bool:
    """Return whether TLS is spoken at `server` (host:port), whatever its certificate.

    Examples
    --------
    >>> speaks_tls("127.0.0.1:1")
    False
    """
    host, _, port = server.rpartition(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host.strip("[]"), int(port)), LOOK_S) as plain,
            context.wrap_socket(plain, server_hostname=host.strip("[]")),
        ):
            return True
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")  # it wants a certificate, or another version
    except OSError:
        return False
