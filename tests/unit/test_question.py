"""A query on a screen: everything that fits, and what does not fit is said."""

from __future__ import annotations

import re

import pytest
from rich.cells import cell_len

from stream_al.labels import OpenQuery
from stream_al.messages import NO_QUERY, Query, Source, query_id_of
from stream_al.service.question import Field, fields_of, fields_of_query, fitted, folded, pages

TEXTS = {
    "345 characters": "Great watches, cheap, see www.watches.example today or never " * 6,
    "no spaces": "x" * 10_000,
    "wide": "看到这个了吗" * 700,
    "emojis": "👩\u200d💻🎁 free ❤\ufe0f " * 200,
    "right to left": "הודעה חשובה על כסף חינם " * 100,
    "lines": "\n".join(f"line {number}" for number in range(500)),
    "short": "hi",
}


@pytest.mark.parametrize(("width", "height"), [(76, 17), (36, 8), (12, 3)])
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_text_is_shown_whole_or_says_how_much_is_cut(text: str, width: int, height: int) -> None:
    """B1: folded, never wider or higher than the screen; the pages have all of it."""
    fields = [Field("", text), Field("followers", "12"), Field("meta.url", "https://x.example/1")]
    shown = fitted(fields, width, height)
    assert len(shown.lines) <= height
    assert all(cell_len(line) <= max(width, 27) for line in shown.lines)
    said = " ".join(shown.lines)
    assert shown.cut == bool(re.search(r"… [\d,]+ more (character|field)", said))
    if not shown.cut:
        assert "".join(text.split()) in "".join(said.split())
    if height > 8:
        assert "followers: 12" in shown.lines
    turned = list(pages(fields, width, height))
    assert all(len(page.lines) <= height for page in turned)
    assert [page.cut for page in turned] == [True] * (len(turned) - 1) + [False]
    all_of_it = "".join("".join("".join(page.lines) for page in turned).split())
    assert all_of_it == "".join("".join(one.said for one in fields).split())


@pytest.mark.parametrize("text", ["x" * 10_000, "see this " * 2_000, "中" * 5_000])
def test_what_is_cut_is_counted_to_the_letter(text: str) -> None:
    """B1: what is shown and what is said to be left out add up."""
    shown = fitted([Field("", text)], 76, 10)
    found = re.search(r"… ([\d,]+) more characters$", shown.lines[-1])
    assert found is not None
    last = shown.lines[-1][: found.start()]
    left = int(found[1].replace(",", ""))
    assert text.endswith(text[-left:])
    kept = "".join("".join([*shown.lines[:-1], last]).split())
    assert kept == "".join(text[: len(text) - left].split())


def test_one_long_value_does_not_push_the_others_out() -> None:
    """B1: two texts share the lines; a hundred features say how many are not shown."""
    two = fitted([Field("", "a " * 5_000), Field("title", "b " * 5_000), Field("n", "1")], 40, 11)
    assert sum(line.startswith("a") for line in two.lines) == 5
    assert two.lines[-1] == "n: 1"
    many = fitted([Field(f"f{number}", "1") for number in range(100)], 40, 10)
    assert many.lines[-1] == "… 91 more fields"


def test_fields_are_in_one_order_whatever_was_sent() -> None:
    """B1, B3: text, features by name, segment, meta; values of any kind, escaped."""
    first = fields_of(
        {"b": 2, "text": "x\x1b", "a": [1.5]}, "en", {"z": None, "u": {"k": "\u202e"}}
    )
    second = fields_of(
        {"a": [1.5], "text": "x\x1b", "b": 2}, "en", {"u": {"k": "\u202e"}, "z": None}
    )
    assert [one.said for one in first] == [
        "x\\x1b", "a: [1.5]", "b: 2", "segment: en", 'meta.u: {"k": "\\u202e"}', "meta.z: null",
    ]  # fmt: skip
    assert first == second
    texts = fields_of({"a": 1, "title": "t", "body": "b"}, None, None, {"title", "body"})
    assert [one.said for one in texts] == ["body: b", "title: t", "a: 1"]
    assert fields_of({}, None, ["plain"])[0].said == 'meta: ["plain"]'


def test_folding_keeps_every_character() -> None:
    """B1: a paragraph of spaces only, an empty text, a word as long as the line."""
    assert folded("", 5) == [""]
    assert folded("abcde fgh", 5) == ["abcde", "fgh"]
    assert folded("a\n\nb", 5) == ["a", "", "b"]


def _opened(reason: str, place: Source) -> OpenQuery:
    query = Query.model_validate(
        {
            "query_id": query_id_of("e"), "event_id": "e", "source": place,
            "features": {"text": "x"},
            "label": "spam", "probabilities": {"spam": 0.69, "ok": 0.31}, "uncertainty": 0.6,
            "propensity": 0.3, "rate": 0.05, "model_version": 3, "reason": reason, "priority": 0.6,
            "votes_wanted": 1, "asked_at_ms": 0, "expires_at_ms": 1,
        }
    )  # fmt: skip
    return OpenQuery(query, place, 0, (), 1, ())


@pytest.mark.parametrize(
    ("reason", "place", "told"),
    [
        ("uncertain", Source(partition=0, offset=3), True),
        ("disagreement", Source(partition=0, offset=3), True),
        ("random", Source(partition=0, offset=3), False),
        ("cold_start", Source(partition=0, offset=3), False),
        ("uncertain", NO_QUERY, False),
    ],
)
def test_a_prediction_is_shown_on_demand_only(reason: str, place: Source, told: bool) -> None:
    """B3: by an option, and never on random, first and gold ones."""
    opened = _opened(reason, place)
    plain = fields_of_query(opened, show_prediction=False)
    assert [one.said for one in plain] == ["x"]
    asked = fields_of_query(opened, show_prediction=True)
    assert [one.said for one in asked] == (["x", "predicted: spam 69%"] if told else ["x"])
