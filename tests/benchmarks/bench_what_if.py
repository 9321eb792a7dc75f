"""How much faster a recorded stream is judged again than it came: `what-if` against `score`.

A busy stream has 1,000 events a second, and `score` takes a known part of that: the row holds
what-if's cost per event, with 20 secrets, to a part of the scoring's, and tells the multiple.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pydantic_core import from_json

from stream_al.config import Config
from stream_al.messages import Event, Settings
from stream_al.replay import Recorded, WhatIf
from tests.benchmarks.row import Row, paired, taught, texts

EVENTS = 10_000
BUSY_PER_S = 1_000


def what_if_row() -> Row:
    config = Config()
    messages = [{"text": text} for text in texts(EVENTS)]
    events = [Event(event_id=f"e{i}", features=row) for i, row in enumerate(messages)]
    engine = taught(config, messages)

    def score() -> list[bytes]:
        engine.open_partition(0)
        return [
            engine.score(event, partition=0, offset=offset, at_ms=offset).wire()
            for offset, event in enumerate(events)
        ]

    stored = score()

    def again() -> None:
        folded = WhatIf(Recorded(Settings()), {"gate": {"budget": {"share": 0.02}}}, repeats=20)
        for at_ms, line in enumerate(stored):
            folded.add(0, at_ms, from_json(line))

    mine, theirs = paired(again, score)
    multiple = EVENTS / mine / BUSY_PER_S
    detail = (
        f"{mine / EVENTS * 1e6:.1f} µs ÷ {theirs / EVENTS * 1e6:.1f} µs; {multiple:.0f} × a stream "
        f"of {BUSY_PER_S:,} events/s"
    )
    return Row(
        "what-if, 20 secrets ÷ score, `linear`, per event", mine / theirs, 0.5, detail=detail
    )


ROWS: dict[str, Callable[[], Iterator[Row]]] = {"what-if": lambda: iter([what_if_row()])}
