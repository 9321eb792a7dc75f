"""Partitions are added while a worker runs: it goes on, and the budget is divided anew."""

from __future__ import annotations

from pathlib import Path

from stream_al.config import Config
from stream_al.messages import ControlEntry
from stream_al.port import Outgoing
from stream_al.service.clock import SystemClock
from stream_al.service.view import journal, journal_view
from stream_al.service.worker import Worker
from stream_al_connectors import open_log


def test_a_running_worker_goes_on_when_partitions_are_added(tmp_path: Path) -> None:
    """The new partitions are scored, labels of theirs are taken, the division is journaled."""

    def config(partitions: int) -> Config:
        return Config.model_validate(
            {
                "log": {"path": str(tmp_path / "log.db")},
                "topics": {"partitions": partitions},
                "gate": {"budget": {"share": 1.0}},
            }
        )

    small = open_log(config(2), create=True)
    worker = Worker(small, config(2), secret=b"a secret of tests", name="w", clock=SystemClock())
    while worker.step():
        pass
    grown = open_log(config(4), create=True)
    event = b'{"event_id": "late", "features": {"text": "hello"}}'
    grown.append(config(4).topic("events"), [Outgoing(event, partition=3)])
    label = b'{"event_id": "late", "label": "ok", "annotator": "a"}'
    for _ in range(40):
        worker.step()
    grown.append(config(4).topic("labels"), [Outgoing(label, partition=3)])
    for _ in range(40):
        worker.step()

    assert grown.end(config(4).topic("predictions"), 3) == 1
    assert grown.end(config(4).topic("outcomes"), 3) == 1
    assert journal_view(grown, config(4)).settings.partitions == 4
    controls = [entry for _, entry in journal(grown, config(4)) if isinstance(entry, ControlEntry)]
    assert controls[-1].patch["partitions"] == 4
    assert journal_view(grown, config(4)).kinds["label"] == 1
    for loop in (worker.scorer, worker.resolver):
        assert loop is not None
        loop.leave()
    grown.close()
    small.close()
