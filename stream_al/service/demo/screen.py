"""What the demo shows while it runs."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from stream_al.service.demo.observer import Observer

TEXT_CHARACTERS_MAX = 64
QUERIES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the demo is: the live run, the runs in memory and their events, the time so far."""

    share: float
    events_total: int
    runs: int
    runs_total: int
    runs_events: int
    elapsed_s: float

    @property
    def runs_share(self) -> float:
        """How much of the runs in memory is done, in [0, 1]."""
        if self.runs == self.runs_total:
            return 1.0
        return min(1.0, self.runs_events / max(1, self.runs_total * self.events_total))


def line(observer: Observer, progress: Progress) -> str:
    """Return the state as one line of a log."""
    return (
        f"{progress.elapsed_s:.0f} s  {observer.events:,}/{progress.events_total:,} events  "
        f"asked {len(observer.queries)} (allowed {observer.allowed:.0f}, {progress.share:.1%})  "
        f"pending {observer.pending}  accuracy {accuracy(observer)}  "
        f"in memory {progress.runs_share:.0%} ({progress.runs}/{progress.runs_total} runs)"
    )


def accuracy(observer: Observer) -> str:
    """Return the estimated accuracy with its interval beside the true one."""
    found = observer.quality.summary().accuracy
    true = f"{observer.confusion.accuracy():.1%}"
    if found is None:
        return f"true {true}, estimated: too few labels"
    return f"true {true}, estimated {found.value:.1%} ({found.low:.1%} to {found.high:.1%})"


def panel(observer: Observer, progress: Progress) -> RenderableType:
    """Return the state as a panel that is redrawn, also while the arms still run in memory."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()
    total = progress.events_total
    table.add_row("events", ProgressBar(total=total, completed=observer.events, width=40))
    rate = (
        "all predicted" if observer.events == total else f"{observer.events_per_s():,.0f} a second"
    )
    table.add_row("", f"{observer.events:,} of {total:,}, {rate}")
    allowed = f"{observer.allowed:.1f} allowed ({progress.share:.1%} of the events)"
    table.add_row("asked", f"{len(observer.queries)} of {allowed}")
    reasons = ", ".join(f"{name} {count}" for name, count in sorted(observer.reasons.items()))
    table.add_row("why", reasons)
    table.add_row("pending", str(observer.pending))
    outcomes = ", ".join(f"{name} {count}" for name, count in sorted(observer.outcomes.items()))
    table.add_row("labels", outcomes)
    table.add_row("accuracy", accuracy(observer))
    bar = ProgressBar(total=1.0, completed=progress.runs_share, width=40)
    table.add_row("in memory", bar)
    compared = "the same stream for this gate, random queries and all labels; 5 seeds each"
    table.add_row("", f"{progress.runs} of {progress.runs_total} runs done: {compared}")
    table.add_row("time", f"{progress.elapsed_s:.0f} s")
    for query in observer.queries[-QUERIES_SHOWN:]:
        text = str(query.features.get("text") or query.features)
        label = observer.labels.get(query.event_id, "…")
        said = Text(f"{text[:TEXT_CHARACTERS_MAX]!s:<{TEXT_CHARACTERS_MAX}}  ", style="dim")
        said.append(f"{query.label or '?'} → {label}")
        table.add_row(query.reason, said)
    return Panel(table, title="stream_al: people are asked about a few, the model learns from them")
