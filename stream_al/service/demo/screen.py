"""What the demo shows while it runs."""

from __future__ import annotations

from rich.console import RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from stream_al.service.demo.observer import Observer

TEXT_CHARACTERS_MAX = 64
QUERIES_SHOWN = 5


def line(observer: Observer, share: float, total: int) -> str:
    """Return the state as one line of a log."""
    return (
        f"{observer.events:,}/{total:,} events  {observer.events_per_s():,.0f}/s  "
        f"asked {len(observer.queries)} (allowed {observer.allowed:.0f}, {share:.1%})  "
        f"pending {observer.pending}  accuracy {accuracy(observer)}"
    )


def accuracy(observer: Observer) -> str:
    """Return the estimated accuracy with its interval beside the true one."""
    found = observer.quality.summary().accuracy
    true = f"{observer.confusion.accuracy():.1%}"
    if found is None:
        return f"true {true}, estimated: too few labels"
    return f"true {true}, estimated {found.value:.1%} ({found.low:.1%} to {found.high:.1%})"


def panel(
    observer: Observer, share: float, total: int, *, arms: int, arms_total: int
) -> RenderableType:
    """Return the state as a panel that is redrawn."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()
    bar = ProgressBar(total=total, completed=observer.events, width=40)
    table.add_row("events", bar)
    table.add_row("", f"{observer.events:,} of {total:,}, {observer.events_per_s():,.0f} a second")
    table.add_row(
        "asked",
        f"{len(observer.queries)} of {observer.allowed:.1f} allowed ({share:.1%} of the events)",
    )
    reasons = ", ".join(f"{name} {count}" for name, count in sorted(observer.reasons.items()))
    table.add_row("why", reasons)
    table.add_row("pending", str(observer.pending))
    outcomes = ", ".join(f"{name} {count}" for name, count in sorted(observer.outcomes.items()))
    table.add_row("labels", outcomes)
    table.add_row("accuracy", accuracy(observer))
    table.add_row("in memory", f"{arms} of {arms_total} runs: gate, random, every label; 5 seeds")
    for query in observer.queries[-QUERIES_SHOWN:]:
        text = str(query.features.get("text") or query.features)
        label = observer.labels.get(query.event_id, "…")
        said = Text(f"{text[:TEXT_CHARACTERS_MAX]!s:<{TEXT_CHARACTERS_MAX}}  ", style="dim")
        said.append(f"{query.label or '?'} → {label}")
        table.add_row(query.reason, said)
    return Panel(table, title="stream_al: people are asked about a few, the model learns from them")
