"""What a what-if can't know, in sentences: said with every answer instead of guessed."""

from __future__ import annotations

from collections.abc import Iterator

from stream_al.quality import LABELS_MIN
from stream_al.replay.self_check import SelfChecked
from stream_al.replay.support import Estimates
from stream_al.replay.what_if import WhatIfReport

TRUNCATED_SHARE_MAX = 0.05
"""Above this part of cut weights the estimates lean towards the recorded queries."""


def caveats_of(report: WhatIfReport) -> list[str]:
    """Return what has to be known about an answer; the first is always true."""
    return list(_caveats(report))


def _caveats(report: WhatIfReport) -> Iterator[str]:
    yield (
        "the model would have learnt from other labels: its recorded uncertainties are taken "
        "as they are"
    )
    if report.changed.gate.back_pressure is not None:
        yield (
            "back-pressure is left out: the ages of open queries that it saw are recorded nowhere"
        )
    if report.changed.gate.budget.open is not None:
        yield (
            "queries that were not really asked are taken to close as quickly as the last real "
            "one of their partition"
        )
    yield from _of_support(report.estimates)
    yield from _of_check(report.self_check)


def _of_support(found: Estimates) -> Iterator[str]:
    if found.outside_count:
        yield (
            f"{found.outside_count:,} events could not be asked (propensity 0: paused, or no "
            f"budget left); {found.unsupported_share:.1%} of the spend falls on them, and nothing "
            "is known about them"
        )
    if found.accuracy is None:
        yield (
            f"too few labels ({found.labels}, at least {LABELS_MIN} are needed): no quality is "
            "estimated"
        )
    elif found.expected_width is None:
        yield (
            f"fewer than {LABELS_MIN} labels would come: quality could not be estimated under "
            "this budget"
        )
    if found.lost_share:
        reasons = ", ".join(f"{count:,} {name}" for name, count in found.lost.items())
        yield (
            f"{found.lost_share:.1%} of the closed queries brought no label ({reasons}): "
            "estimates are biased if that depends on the class"
        )
    if found.open_count:
        yield f"{found.open_count:,} recorded queries are still open and count nowhere"
    if found.truncated_share > TRUNCATED_SHARE_MAX:
        yield (
            f"{found.truncated_share:.1%} of the weights were cut to their bound: "
            "estimates lean towards the recorded queries"
        )


def _of_check(found: SelfChecked) -> Iterator[str]:
    """Say what the self-check means; nothing when all came out as recorded.

    Examples
    --------
    >>> list(_of_check(SelfChecked(None, 900, 0, 0, None)))
    []
    >>> list(_of_check(SelfChecked(None, 900, 0, 31, (2, 17))))[0][:57]
    '31 of 900 decisions do not come out as recorded, the firs'
    """
    if found.why_not is not None:
        yield f"the recorded decisions could not be checked: {found.why_not}"
        return
    place = "" if found.first is None else f"partition {found.first[0]}, offset {found.first[1]}"
    if found.propensities_differ:
        yield (
            f"{found.propensities_differ:,} of {found.compared:,} propensities do not come out as "
            f"recorded, the first at {place}: another version of the gate wrote them, or the log "
            "was changed; trust none of this before `stream-al audit`"
        )
    elif found.decisions_differ:
        yield (
            f"{found.decisions_differ:,} of {found.compared:,} decisions do not come out as "
            f"recorded, the first at {place}: the secret here is not the workers'"
        )
    elif found.decisions_differ is None and found.compared:
        yield "the gate's secret is not at hand: propensities were checked, decisions were not"
