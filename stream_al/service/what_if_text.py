"""A what-if as people read it: lines of text. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from stream_al.replay import Amount, Estimates, Spent, WhatIfReport, caveats_of
from stream_al.service.view import differences

SEGMENTS_SHOWN = 8
NAME_CHARACTERS_MAX = 24


def text_of(report: WhatIfReport) -> Iterator[str]:
    """Yield the lines of a report."""
    changed = differences(report.changed, report.recorded)
    what = ", ".join(f"{name} {was} → {would}" for name, (would, was) in changed.items())
    yield f"{report.events:,} recorded predictions; {what or 'everything as recorded'}"
    yield ""
    yield f"{'':<26}{'recorded':>12}   what if: mean (range over {report.repeats} secrets)"
    yield _spend_line("queries", report.spend)
    if len(report.partitions) > 1:
        for partition, spent in report.partitions.items():
            yield _spend_line(f"  partition {partition}", spent)
    named = {name: spent for name, spent in report.segments.items() if name is not None}
    largest = sorted(named.items(), key=lambda item: -item[1].expected)
    for name, spent in largest[:SEGMENTS_SHOWN]:
        yield _spend_line(f"  {name}", spent)
    if len(largest) > SEGMENTS_SHOWN:
        yield f"  and {len(largest) - SEGMENTS_SHOWN} segments more: see --json"
    if report.hours:
        busiest = report.hours.values()
        yield (
            f"{'most in one hour':<26}{max(spent.recorded for spent in busiest):>12,}"
            f"   {max(spent.mean for spent in busiest):,.1f}"
        )
    yield ""
    yield from _quality_lines(report.estimates)
    yield ""
    for caveat in caveats_of(report):
        yield f"- {caveat}"
    checked = report.self_check
    if checked.compared and not (checked.propensities_differ or checked.decisions_differ):
        yield f"- checked: all {checked.compared:,} recorded decisions come out again"


def _spend_line(name: str, spent: Spent) -> str:
    """Return one line of the table.

    Examples
    --------
    >>> _spend_line("queries", Spent(recorded=50, mean=20.25, low=20, high=21, expected=20.2))
    'queries                             50   20.2 (20–21)'
    """
    shown = f"{name[:NAME_CHARACTERS_MAX]:<26}{spent.recorded:>12,}"
    return f"{shown}   {spent.mean:,.1f} ({spent.low:,}–{spent.high:,})"


def _quality_lines(found: Estimates) -> Iterator[str]:
    if found.accuracy is None:
        yield "quality: too few labels"
        return
    accuracy = found.accuracy
    yield (
        f"accuracy {accuracy.value:.1%} ({accuracy.low:.1%}–{accuracy.high:.1%}) over all events, "
        f"from {found.labels:,} labels"
    )
    now = 100.0 * (accuracy.high - accuracy.low)
    if found.expected_width is not None:
        would = 100.0 * found.expected_width
        yield f"its interval is {now:.1f} points wide, and would be {would:.1f}"
    if found.mistakes and found.mistakes_asked and found.mistakes_asked_recorded:
        yield (
            f"mistakes of the model: about {_amount(found.mistakes)} in the stream; people were "
            f"asked about {_amount(found.mistakes_asked_recorded)} and would be about "
            f"{_amount(found.mistakes_asked)}"
        )


def _amount(found: Amount) -> str:
    """Return an amount with its interval.

    Examples
    --------
    >>> _amount(Amount(1234.4, 1000.2, 1500.7))
    '1,234 (1,000–1,501)'
    """
    return f"{found.value:,.0f} ({found.low:,.0f}–{found.high:,.0f})"
