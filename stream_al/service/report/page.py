"""The frame of every report: one HTML file, no script, no network, for any width of window."""

from __future__ import annotations

from collections.abc import Sequence

from stream_al.service.report.figures import ArmName
from stream_al.service.report.style import STYLE
from stream_al.service.report.texts import shown

ARM_NAMES: dict[ArmName, str] = {
    "gate": "this gate",
    "random": "random queries",
    "all": "all labels",
}
# Nothing can be loaded, run or sent from this page, whatever an event's text holds.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def page(*, title: str, lead: str, better: bool, said: str, body: str, command: str) -> str:
    """Return a whole document, in UTF-8 without lone surrogates.

    Parameters
    ----------
    better
        Whether `said` is good news: it only chooses the colour of its border.
    body
        HTML, made of parts that escaped what came from outside; the other texts are escaped here.
    """
    title = shown(title)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head><body><main>"
        f"<header><h1>{title}</h1><p>{shown(lead)}</p></header>"
        f'<section class="verdict{" better" if better else ""}">'
        f"<p>{shown(said)}</p></section>{body}"
        f"<footer><p>Made by <code>{shown(command)}</code>.</p></footer>"
        "</main></body></html>\n"
    )


def facts_grid(facts: Sequence[tuple[str, str]]) -> str:
    """Return names and values as a grid; nothing for no facts.

    Examples
    --------
    >>> facts_grid([("rows", "<5")])
    '<dl><div><dt>rows</dt><dd>&lt;5</dd></div></dl>'
    """
    rows = "".join(
        f"<div><dt>{shown(name)}</dt><dd>{shown(value)}</dd></div>" for name, value in facts
    )
    return f"<dl>{rows}</dl>" if rows else ""
