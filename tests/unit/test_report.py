"""The report: one file without network, honest about the arms, deaf to hostile text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from random import Random
from statistics import variance

import pytest

from stream_al.service.report import (
    Arm,
    AskedRow,
    DemoFigures,
    EstimatePoint,
    LineChart,
    Point,
    Series,
    SpendPoint,
    band,
    difference,
    histogram,
    line_chart,
    render,
    verdict,
)

HOSTILE = "</td><script>alert(1)</script><img src=x onerror=alert(1)>\ud800\x00\u202e\"'&amp;"
VOID = {"meta", "link", "br", "img", "input", "hr"}


class _Reader(HTMLParser):
    """Checks that every tag is closed in its order, and keeps tags, attributes and text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def _read(html: str) -> _Reader:
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


def _arm(name: str, final: tuple[float, ...], labels: float = 240) -> Arm:
    rng = Random(name)
    runs = [
        [(x, end - 0.4 / (1 + x / 300) + rng.gauss(0, 0.004)) for x in range(0, 4_800, 100)]
        for end in final
    ]
    by_labels = [[(1 + x * labels / 4_800, y) for x, y in run] for run in runs]
    return Arm(
        name=name,  # type: ignore[arg-type]
        by_events=band(runs),
        by_labels=band(by_labels),
        final=final,
        labels_mean=labels,
    )


def figures(text: str = "free entry, text WIN now") -> DemoFigures:
    """Return figures as a demo makes them."""
    rng = Random(1)
    reasons = ("cold_start", "random", "uncertain")
    return DemoFigures(
        title="A stream that asks for few labels",
        data="4,862 real SMS messages, ham or spam",
        score_name="accuracy",
        arms=(
            _arm("gate", (0.968, 0.972, 0.965, 0.970, 0.971)),
            _arm("random", (0.941, 0.952, 0.949, 0.938, 0.950)),
            _arm("all", (0.981, 0.982, 0.981, 0.983, 0.982), labels=4_800),
        ),
        spend=tuple(
            SpendPoint(event_count=n, query_count=int(n * 0.05), allowed=n * 0.05 + 4)
            for n in range(0, 4_801, 100)
        ),
        propensities=tuple(min(1.0, 0.01 + rng.expovariate(25)) for _ in range(4_800)) + (0.0,) * 9,
        estimates=tuple(
            EstimatePoint(
                event_count=n,
                estimate=0.95 + rng.gauss(0, 0.01),
                low=0.95 - 4 / n**0.6,
                high=min(1.0, 0.95 + 4 / n**0.6),
                truth=0.955,
            )
            for n in range(300, 4_801, 100)
        ),
        asked=tuple(
            AskedRow(
                event_id=f"sms-{n}",
                text=text,
                predicted=("ham", "spam", None)[n % 3],
                probability=(0.61, 0.55, None)[n % 3],
                reason=reasons[n % 3],
                propensity=rng.random(),
                label=("spam", "spam", "ham", None)[n % 4],
            )
            for n in range(40)
        ),
        asked_count=40,
        facts=(("events", "4,862"), ("queries", "243"), ("budget", "5 %"), ("model", "linear")),
        outcomes=(("applied", 233), ("duplicate", 11), ("conflict", 4)),
        command="make demo",
    )


def test_report_is_one_file_without_network_or_script() -> None:
    """No address, nothing that loads, nothing that runs; tags close in their order."""
    html = render(figures())
    reader = _read(html)

    assert not re.search(r"(?:https?:)?//\w", html)
    assert not {"script", "link", "img", "iframe", "object", "embed"} & set(reader.tags)
    assert not {"src", "href", "action"} & {name for name, _ in reader.attributes}
    assert "url(" not in html
    assert "@import" not in html


def test_hostile_text_stays_text() -> None:
    """What an event says can't become a tag or an attribute, in any field, and can be written."""
    row = replace(
        figures(HOSTILE).asked[0],
        predicted=HOSTILE,
        reason=HOSTILE,
        label=HOSTILE,
        event_id=HOSTILE,
    )
    hostile = replace(
        figures(),
        title=HOSTILE,
        data=HOSTILE,
        score_name=HOSTILE,
        asked=(row, replace(row, text="")),
        facts=((HOSTILE, HOSTILE),),
        outcomes=((HOSTILE, 1),),
        command=HOSTILE,
    )
    html = render(hostile)
    reader = _read(html)

    assert not {"script", "img"} & set(reader.tags)
    assert "onerror" not in {name for name, _ in reader.attributes}
    assert "\u202e" not in html
    assert "<script>alert(1)</script>" in "".join(reader.text)
    html.encode("utf-8")


def test_long_text_is_cut() -> None:
    """A message of 2 MB costs the report a line."""
    assert len(render(figures("x" * 2_000_000))) < len(render(figures())) + 40 * 200


def _bare(name: str, final: Sequence[float]) -> Arm:
    return replace(_arm("gate", (0.9,)), name=name, final=tuple(final))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("gate", "chance", "begins", "better"),
    [
        ((0.95, 0.96, 0.97), (0.90, 0.91, 0.92), "This gate is better", True),
        (
            (0.930, 0.945, 0.95, 0.955, 0.96),
            (0.90, 0.91, 0.92, 0.93, 0.935),
            "This gate is b",
            True,
        ),
        ((0.93, 0.97), (0.90, 0.94), "No difference is shown", False),
        ((0.95, 0.97), (0.90, 0.94), "No difference is shown", False),
        ((0.80, 0.82, 0.81), (0.90, 0.94, 0.92), "This gate is worse", False),
        ((0.95,), (0.90,), "No difference is shown", False),
        ((0.9, 0.9), (0.9, 0.9), "No difference is shown", False),
        ((0.9, 0.9), (0.8, 0.8), "This gate is better", True),
    ],
    ids=[
        *("better", "better though they touch", "overlap", "apart, but two seeds", "worse"),
        *("one seed", "the same", "never varies"),
    ],
)
def test_verdict_is_plain(
    gate: tuple[float, ...], chance: tuple[float, ...], begins: str, better: bool
) -> None:
    """E: the difference of means with its interval says it, and the report begins with it."""
    arms = (_bare("gate", gate), _bare("random", chance))
    found = verdict(arms, "accuracy")

    assert found.sentence.startswith(begins)
    assert found.better is better
    assert found.worse is (begins == "This gate is worse")
    assert begins in render(replace(figures(), arms=arms))
    if len(gate) > 1:
        assert "a difference of " in found.sentence
        assert "(95 % interval over " in found.sentence


@pytest.mark.parametrize(
    ("freedom", "t"), [(1, 12.706), (2, 4.303), (4, 2.776), (8, 2.306), (30, 2.042)]
)
def test_the_interval_is_students_where_variances_are_equal(freedom: int, t: float) -> None:
    """E: with as many values of one spread on both sides Welch's freedom is 2(n − 1).

    The quantiles are those of printed tables (two-sided, 95 %).
    """
    count = freedom // 2 + 1
    if freedom == 1:  # one side that never varies has no say: n − 1
        ours, theirs = (0.0, 2.0), (5.0, 5.0)
        error = 1.0
    else:
        ours = tuple(float(n) for n in range(count))
        theirs = tuple(10.0 + n for n in range(count))
        error = (2 * variance(ours) / count) ** 0.5
    found = difference(ours, theirs)

    assert found.high - found.mean == pytest.approx(t * error, rel=1e-3)
    assert found.mean - found.low == pytest.approx(t * error, rel=1e-3)


def test_the_interval_is_that_of_a_published_example() -> None:
    """E: unequal variances and counts, as in the example of Welch's test on Wikipedia (A1, A2)."""
    ours = (
        27.5,
        21.0,
        19.0,
        23.6,
        17.0,
        17.9,
        16.9,
        20.1,
        21.9,
        22.6,
        23.1,
        19.6,
        19.0,
        21.7,
        21.4,
    )
    theirs = (
        *(27.1, 22.0, 20.8, 23.4, 23.4, 23.5, 25.8, 22.0, 24.8, 20.2, 21.9, 22.1, 22.9, 20.5, 24.4),
    )
    found = difference(ours, theirs)

    # t = -2.46, 25.0 degrees of freedom there: t at 97.5 % is 2.060.
    assert found.mean / ((found.high - found.mean) / 2.060) == pytest.approx(-2.46, abs=0.01)


def test_the_report_says_how_many_queries_it_shows() -> None:
    """E: 60 of 244, the newest; all of them where there are no more."""
    shown = replace(figures(), asked_count=244)
    rows = len(shown.asked)

    assert f"{rows} of 244 queries" in render(shown)
    assert f"All {rows} queries" in render(replace(shown, asked_count=rows))


def test_the_report_explains_propensities() -> None:
    """E: what the number is, and what it is good for."""
    said = render(figures())

    assert "the probability with which the gate asked" in said
    assert "stands for 50 events" in said


def test_band_compares_the_same_seeds_everywhere() -> None:
    """The curve begins where the last run begins and ends where the first one ends."""
    curve = band([[(0, 0.1), (5, 0.5), (10, 0.6)], [(4, 0.3), (20, 0.9)]])

    assert [point.x for point in curve] == [4, 5, 10]
    assert [(point.low, point.high) for point in curve] == [(0.1, 0.3), (0.3, 0.5), (0.3, 0.6)]


def test_band_is_bounded_and_keeps_its_ends() -> None:
    """A million points become as many as asked for."""
    curve = band([[(x, 0.5) for x in range(100_000)]], points_max=10)

    assert (len(curve), curve[0].x, curve[-1].x) == (10, 0, 99_999)


def _places(html: str) -> list[float]:
    (line,) = re.findall(r'<path class="line gate" d="M([^"]+L[^"]+)"', html)
    return [float(number) for number in re.split("[L ]", line)]


def test_a_line_goes_where_its_values_are() -> None:
    """Rising values rise on the page, and equal steps of x are equal steps there."""
    points = [Point(0, 0.1, 0.1, 0.1), Point(1, 0.2, 0.2, 0.2), Point(2, 0.4, 0.4, 0.4)]
    chart = LineChart(
        title="t", description="d", x_name="x", y_name="y", series=[Series("s", "gate", points)]
    )
    x0, y0, x1, y1, x2, y2 = _places(line_chart(chart))

    assert x1 - x0 == pytest.approx(x2 - x1)
    assert y0 > y1 > y2
    assert (y1 - y2) == pytest.approx(2 * (y0 - y1), abs=0.3)


def test_tooltips_say_all_values_at_their_place() -> None:
    """A strip's title names x and each line with its spread."""
    html = render(figures())

    assert re.search(r"<title>\d[\d,]* events\nthis gate: [\d.]+ % \([\d.]+ % to [\d.]+ %\)", html)


def test_every_propensity_is_in_one_bar() -> None:
    """The bars add up to the events that could be asked about."""
    html = render(figures())
    counts = re.findall(r"<title>[\de.-]+ to [\de.-]+: ([\d,]+) events</title>", html)

    assert sum(int(count.replace(",", "")) for count in counts) == 4_800
    assert "9 events had none" in html


def test_nothing_yet_is_said() -> None:
    """A run without events is a report too."""
    empty = replace(
        figures(), arms=(), spend=(), propensities=(), estimates=(), asked=(), outcomes=()
    )
    html = render(empty)
    _read(html)

    assert html.count("No data yet.") == 5
    assert "Nothing was asked." in html


def test_one_point_can_be_drawn() -> None:
    """A range of width nothing divides by nothing."""
    point = Point(5, 0.5, 0.5, 0.5)
    chart = LineChart(
        title="t", description="d", x_name="x", y_name="y", series=[Series("s", "gate", [point])]
    )

    drawn = [
        line_chart(chart),
        line_chart(replace(chart, x_kind="log", y_kind="count")),
        histogram(title="t", description="d", x_name="x", edges=[0.1, 1.0], counts=[3]),
    ]

    for svg in drawn:
        _read(svg)
        assert "nan" not in svg
        assert "inf" not in svg.lower()
        assert re.search(r"<(circle|path|rect)", svg)
