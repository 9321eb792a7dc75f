"""Charts as inline SVG: no script, no network, colours from the page's variables.

A chart is a `<figure>`. Widths follow the page; a strip per x carries all values in a `<title>`,
which browsers show as a tooltip and screen readers read.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from stream_al.service.report.figures import Point
from stream_al.service.report.scales import Kind, Scale, count_text, share_text
from stream_al.service.report.texts import shown

WIDTH, HEIGHT = 640, 340
LEFT, RIGHT, TOP, BOTTOM = 66, 626, 12, 282
STRIPS_MAX = 48
Colour = Literal["gate", "random", "all", "truth", "limit"]


@dataclass(frozen=True, slots=True)
class Series:
    """One line; where a point's low and high differ from its mean a band is drawn around it.

    `colour` names a variable of the page and a dash pattern, so that lines differ without colour.
    """

    name: str
    colour: Colour
    points: Sequence[Point]


@dataclass(frozen=True, slots=True, kw_only=True)
class LineChart:
    """A chart of lines.

    Attributes
    ----------
    title, description
        What is shown, and what to look for: both are also read to people who can't see it.
    y_kind
        `share` writes percent, `count` writes numbers and begins at 0.
    x_kind
        `log` drops points with x ≤ 0.
    dotted
        Whether every point is drawn as a dot: for few points, each of which was measured.
    """

    title: str
    description: str
    x_name: str
    y_name: str
    series: Sequence[Series]
    y_kind: Literal["share", "count"] = "share"
    x_kind: Kind = "linear"
    dotted: bool = False


def line_chart(chart: LineChart) -> str:
    """Return the chart as one `<figure>`; a chart without points says so.

    Examples
    --------
    >>> series = Series("gate", "gate", [Point(0, 0.5, 0.4, 0.6), Point(9, 0.9, 0.8, 1.0)])
    >>> drawn = line_chart(
    ...     LineChart(title="a < b", description="d", x_name="x", y_name="y", series=[series])
    ... )
    >>> "a &lt; b" in drawn, drawn.count('class="band gate"')
    (True, 1)
    """
    lines = [_drawable(series, chart.x_kind) for series in chart.series]
    points = [point for series in lines for point in series.points]
    if not points:
        return _figure(chart.title, chart.description, '<p class="empty">No data yet.</p>', "")
    x = _x_scale(points, chart.x_kind)
    y = _y_scale(points, chart.y_kind)
    write = share_text if chart.y_kind == "share" else count_text
    body = [
        _axes(x, y, count_text, write),
        _axis_names(chart.x_name, chart.y_name),
        *(_band(series, x, y) for series in lines),
        *(_line(series, x, y) for series in lines),
        *(_dots(series, x, y) for series in lines if chart.dotted),
        _strips(lines, x, y, chart, write),
    ]
    legend = "".join(
        f'<li><svg viewBox="0 0 28 10" aria-hidden="true"><path class="line {series.colour}" '
        f'd="M1 5H27"/></svg>{shown(series.name)}</li>'
        for series in lines
    )
    drawing = _svg(chart.title, chart.description, "".join(body))
    return _figure(chart.title, chart.description, drawing, f'<ul class="legend">{legend}</ul>')


def histogram(
    *, title: str, description: str, x_name: str, edges: Sequence[float], counts: Sequence[int]
) -> str:
    """Return a histogram over bins on a log scale as one `<figure>`.

    Parameters
    ----------
    edges
        Rising and > 0; one more than `counts`.
    counts
        Events per bin.
    """
    if not sum(counts):
        return _figure(title, description, '<p class="empty">No data yet.</p>', "")
    x = Scale(edges[0], edges[-1], LEFT, RIGHT, "log")
    y = Scale(0, max(counts) * 1.05, BOTTOM, TOP)
    bars = []
    for (low, high), count in zip(pairwise(edges), counts, strict=True):
        left, right, top = x.place(low), x.place(high), y.place(count)
        told = f"{low:.3g} to {high:.3g}: {count_text(count)} events"
        bars.append(
            f'<g class="strip"><rect class="hit" x="{left:.1f}" y="{TOP}" '
            f'width="{right - left:.1f}" height="{BOTTOM - TOP}"/>'
            f'<rect class="bar" x="{left + 1:.1f}" y="{top:.1f}" '
            f'width="{max(right - left - 2, 0.5):.1f}" height="{BOTTOM - top:.1f}"/>'
            f"<title>{told}</title></g>"
        )
    axes = _axes(x, y, lambda value: f"{value:g}", count_text) + _axis_names(x_name, "events")
    return _figure(title, description, _svg(title, description, axes + "".join(bars)), "")


def _drawable(series: Series, kind: Kind) -> Series:
    if kind == "linear":
        return series
    return Series(series.name, series.colour, [point for point in series.points if point.x > 0])


def _x_scale(points: Sequence[Point], kind: Kind) -> Scale:
    places = [point.x for point in points]
    low = min(places) if kind == "log" else min(0, *places)
    return Scale(low, max(*places, low), LEFT, RIGHT, kind)


def _y_scale(points: Sequence[Point], kind: Literal["share", "count"]) -> Scale:
    low, high = min(point.low for point in points), max(point.high for point in points)
    if kind == "count":
        return Scale(0, max(high, 1) * 1.05, BOTTOM, TOP)
    room = max(0.05 * (high - low), 0.005)
    return Scale(max(0.0, low - room), min(1.0, high + room), BOTTOM, TOP)


def _axes(
    x: Scale, y: Scale, write_x: Callable[[float], str], write_y: Callable[[float], str]
) -> str:
    across = "".join(
        f'<path class="grid" d="M{LEFT} {y.place(tick):.1f}H{RIGHT}"/>'
        f'<text class="tick" x="{LEFT - 8}" y="{y.place(tick):.1f}" dy=".35em" '
        f'text-anchor="end">{write_y(tick)}</text>'
        for tick in y.ticks()
    )
    along = "".join(
        f'<text class="tick" x="{x.place(tick):.1f}" y="{BOTTOM + 25}" '
        f'text-anchor="{_anchor(x.place(tick))}">{write_x(tick)}</text>'
        for tick in x.ticks()
    )
    return f'{across}<path class="axis" d="M{LEFT} {BOTTOM}H{RIGHT}"/>{along}'


def _anchor(place: float) -> str:
    return "end" if place > RIGHT - 16 else "middle"


def _axis_names(x_name: str, y_name: str) -> str:
    middle_x, middle_y = (LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2
    return (
        f'<text class="name" x="{middle_x}" y="{HEIGHT - 10}" text-anchor="middle">'
        f"{shown(x_name)}</text>"
        f'<text class="name y-name" transform="translate(14 {middle_y}) rotate(-90)" '
        f'text-anchor="middle">{shown(y_name)}</text>'
    )


def _band(series: Series, x: Scale, y: Scale) -> str:
    if all(point.low == point.mean == point.high for point in series.points):
        return ""
    there = [f"{x.place(p.x):.1f} {y.place(p.high):.1f}" for p in series.points]
    back = [f"{x.place(p.x):.1f} {y.place(p.low):.1f}" for p in reversed(series.points)]
    return f'<path class="band {series.colour}" d="M{"L".join(there + back)}Z"/>'


def _line(series: Series, x: Scale, y: Scale) -> str:
    places = [f"{x.place(point.x):.1f} {y.place(point.mean):.1f}" for point in series.points]
    return f'<path class="line {series.colour}" d="M{"L".join(places)}"/>' if places else ""


def _dots(series: Series, x: Scale, y: Scale) -> str:
    return "".join(
        f'<circle class="{series.colour}" cx="{x.place(point.x):.1f}" '
        f'cy="{y.place(point.mean):.1f}" r="4"/>'
        for point in series.points
    )


def _strips(
    lines: Sequence[Series], x: Scale, y: Scale, chart: LineChart, write: Callable[[float], str]
) -> str:
    """Return invisible strips side by side, each with the values of all lines at its x."""
    places = sorted({point.x for series in lines for point in series.points})
    step = max(1, -(-len(places) // STRIPS_MAX))
    chosen = places[::step]
    drawn = [x.place(value) for value in chosen]
    edges = [LEFT, *((a + b) / 2 for a, b in pairwise(drawn)), RIGHT]
    strips = []
    for value, place, (left, right) in zip(chosen, drawn, pairwise(edges), strict=True):
        told, dots = [shown(f"{count_text(round(value))} {chart.x_name}")], []
        for series in lines:
            point = _point_at(series.points, value)
            if point is None:
                continue
            spread = ""
            if point.low != point.high:
                spread = f" ({write(point.low)} to {write(point.high)})"
            told.append(shown(f"{series.name}: {write(point.mean)}{spread}"))
            dots.append(
                f'<circle class="{series.colour}" cx="{place:.1f}" '
                f'cy="{y.place(point.mean):.1f}" r="4"/>'
            )
        lines_told = "\n".join(told)
        strips.append(
            f'<g class="strip"><rect class="hit" x="{left:.1f}" y="{TOP}" '
            f'width="{max(right - left, 0):.1f}" height="{BOTTOM - TOP}"/>'
            f'<path class="guide" d="M{place:.1f} {TOP}V{BOTTOM}"/>{"".join(dots)}'
            f"<title>{lines_told}</title></g>"
        )
    return "".join(strips)


def _point_at(points: Sequence[Point], x: float) -> Point | None:
    """Return the last point at or before `x`; None outside of the line."""
    if not points or not points[0].x <= x <= points[-1].x:
        return None
    return points[bisect_right(points, x, key=lambda point: point.x) - 1]


def _svg(title: str, description: str, body: str) -> str:
    told = shown(f"{title}. {description}")
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{told}">{body}</svg>'


def _figure(title: str, description: str, drawing: str, legend: str) -> str:
    return (
        f'<figure class="chart"><figcaption><h3>{shown(title)}</h3>'
        f"<p>{shown(description)}</p></figcaption>{legend}{drawing}</figure>"
    )
