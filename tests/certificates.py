"""Certificates and revocation lists for tests, made by the command `openssl`."""

from __future__ import annotations

import subprocess
from pathlib import Path

_SETTINGS = """[ca]
default_ca = own
[own]
database = {folder}/index.txt
default_md = sha256
default_crl_days = 30
"""


class Authority:
    """Signs certificates and lists those that it takes back.

    Parameters
    ----------
    folder
        For what it makes.
    certificate, key
        Its own, in PEM.
    """

    def __init__(self, folder: Path, certificate: Path, key: Path) -> None:
        self.certificate = certificate
        self._folder, self._key = folder, key
        (folder / "index.txt").touch()
        (folder / "openssl.cnf").write_text(_SETTINGS.format(folder=folder))

    @classmethod
    def new(cls, folder: Path) -> Authority:
        """Return one with a certificate of its own."""
        certificate, key = folder / "authority.pem", folder / "authority.key"
        _openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key,
                 "-out", certificate, "-subj", "/CN=authority")  # fmt: skip
        return cls(folder, certificate, key)

    def sign(self, name: str, password: str) -> tuple[Path, Path]:
        """Return the certificate of `name`, and its key, which opens with `password`."""
        certificate, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        request = self._folder / f"{name}.request"
        _openssl("req", "-newkey", "rsa:2048", "-passout", f"pass:{password}", "-keyout", key,
                 "-out", request, "-subj", f"/CN={name}")  # fmt: skip
        _openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key,
                 "-set_serial", "7", "-days", "30", "-out", certificate)  # fmt: skip
        return certificate, key

    def revocations(self, name: str, *revoked: Path) -> Path:
        """Return the list of those that were revoked until now, these included."""
        made = self._folder / f"{name}.crl"
        common = ("ca", "-config", self._folder / "openssl.cnf",
                  "-keyfile", self._key, "-cert", self.certificate)  # fmt: skip
        for certificate in revoked:
            _openssl(*common, "-revoke", certificate)
        _openssl(*common, "-gencrl", "-out", made)
        return made


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
