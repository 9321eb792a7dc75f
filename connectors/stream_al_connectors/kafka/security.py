"""How the client proves who it is: the section `log.security` as kafka-python takes it."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kafka.net.sasl.oauth import AbstractTokenProvider

from stream_al.config import SECURITY_SECRETS, SecuritySection
from stream_al.errors import ConfigurationError
from stream_al.private_files import named_secret


def security_settings(section: SecuritySection) -> dict[str, Any]:
    """Return the client's settings, secrets in them: to be shown nowhere.

    Raises
    ------
    ConfigurationError
        When a file can't be read or used, or a secret is given by neither environment nor file.

    Examples
    --------
    >>> security_settings(SecuritySection())
    {'security_protocol': 'PLAINTEXT'}
    """
    found: dict[str, Any] = {"security_protocol": section.protocol}
    if section.protocol.endswith("SSL"):
        found["ssl_context"] = _context(section)
    if section.mechanism == "OAUTHBEARER":
        secret(section, "token")  # there is one to begin with
        found |= {
            "sasl_mechanism": section.mechanism,
            "sasl_oauth_token_provider": _Tokens(section),
        }
    elif section.mechanism is not None:
        found |= {
            "sasl_mechanism": section.mechanism,
            "sasl_plain_username": section.username,
            "sasl_plain_password": secret(section, "password"),
        }
    return found


def secret(section: SecuritySection, name: str) -> str | None:
    """Return a secret from the environment, or from its file without what ends its line.

    Raises
    ------
    ConfigurationError
        When its file can't be read; or, but for the key's password, it is nowhere.
    """
    variable, path = SECURITY_SECRETS[name], getattr(section, f"{name}_file")
    given = os.environ.get(variable)
    if given is None and path is not None:
        given = _read(f"{name}_file", path).rstrip("\r\n")
    if not given and name != "key_password":
        raise ConfigurationError(
            f"log.security.{name}_file is not set, or empty: {section.mechanism} needs it; name a "
            f"file, or set {variable}"
        )
    return given


def check_files(section: SecuritySection) -> None:
    """Refuse a certificate's file that can't be read.

    Raises
    ------
    ConfigurationError
        Naming it.
    """
    for field in ("ca_file", "certificate_file", "key_file", "crl_file"):
        path = getattr(section, field)
        if path is not None:
            _read(field, path)


def _context(section: SecuritySection) -> ssl.SSLContext:
    """Return what TLS is spoken with; the client's own way knows no ciphers, and fails on a CRL."""
    check_files(section)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = section.check_hostname
    if section.ca_file is None:
        context.load_default_certs()
    else:
        with _usable("ca_file", section.ca_file, "name certificates in PEM"):
            context.load_verify_locations(section.ca_file)
    if section.certificate_file is not None:
        password = secret(section, "key_password") or ""  # else OpenSSL asks on the terminal
        to_do = "name a certificate in PEM, its key by key_file, the key's password, if it has one"
        with _usable("certificate_file", section.certificate_file, to_do):
            context.load_cert_chain(section.certificate_file, section.key_file, password)
    if section.crl_file is not None:
        with _usable("crl_file", section.crl_file, "name a revocation list in PEM"):
            context.load_verify_locations(section.crl_file)
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    if section.ciphers is not None:
        with _usable("ciphers", section.ciphers, "`openssl ciphers` lists what there is"):
            context.set_ciphers(section.ciphers)
    return context


@contextmanager
def _usable(field: str, value: str, to_do: str) -> Iterator[None]:
    try:
        yield
    except ssl.SSLError as error:
        why = str(error.args[-1]).partition(" (_ssl")[0]
        raise ConfigurationError(
            f"log.security.{field} is {value!r}: OpenSSL can't use it ({why}); {to_do}"
        ) from None


def _read(field: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        said = named_secret(f"log.security.{field}", Path(path), error)
        raise ConfigurationError(f"{said}; name a readable file") from None


class _Tokens(AbstractTokenProvider):  # type: ignore[misc] # the client has no types
    """Gives the token as it is in the file now."""

    def __init__(self, section: SecuritySection) -> None:
        super().__init__()
        self._section = section

    def token(self) -> str:
        """Return the token."""
        return str(secret(self._section, "token"))

    def extensions(self) -> dict[str, str]:
        """Return no extensions."""
        return {}
