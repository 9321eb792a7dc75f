"""`stream-al audit`: the invariants that topics can show, checked by code of its own."""

from __future__ import annotations

import typer
from rich.text import Text

from stream_al.escaping import visible
from stream_al.service.audit import Report, audit
from stream_al.service.commands.common import (
    ConfigOption,
    JsonOption,
    opened,
    out,
    print_json,
    progress,
)

VIOLATED = 3
READS = ("events", "predictions", "queries", "labels", "outcomes", "journal", "dead_letters")


def register(app: typer.Typer) -> None:
    """Add this command to `app`."""
    app.command(name="audit")(audit_command)


def audit_command(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Check that nothing was lost, doubled, overspent or changed; exit 3 names what was.

    Reads the topics only, also while workers run. Each line of a finding begins with the
    invariant and the record's place: topic/partition/offset. A line `stray` names a record that
    another program wrote into a topic of ours; every worker passes over it, and it is no violation.

    Example: `stream-al audit --json`
    """
    with opened(config, needs=READS) as (settings, log), progress("reading") as moved:
        report = audit(log, settings, progress=moved)
    if as_json:
        print_json(report.as_json())
    else:
        _show(report)
    if not report.clean:
        raise typer.Exit(VIOLATED)


def _show(report: Report) -> None:
    checked = ", ".join(f"{count:,} {name}" for name, count in report.checked.items())
    for (invariant, kind), total in report.totals.items():
        first = [one for one in report.violations if (one.invariant, one.kind) == (invariant, kind)]
        for one in first:
            said = visible(f" {one.place} {one.sentence}")
            out.print(Text.assemble((invariant, "red"), said), soft_wrap=True)
        if total > len(first):
            out.print(f"{invariant} and {total - len(first):,} more of this kind ({kind})")
    for place, sentence in report.strays:
        out.print(visible(f"stray {place} {sentence}"), markup=False, soft_wrap=True)
    if report.stray_count > len(report.strays):
        out.print(f"stray and {report.stray_count - len(report.strays):,} more")
    for what, count in report.unchecked.items():
        out.print(f"not checked: {count:,} {what}", soft_wrap=True)
    verdict = "clean" if report.clean else f"{sum(report.totals.values()):,} violations"
    out.print(f"{verdict}: {checked or 'nothing to check yet'}", soft_wrap=True)
