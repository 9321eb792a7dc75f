"""Plan, runs and words of `evaluate`: the engine of production, added up and told honestly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from stream_al.config import Config
from stream_al.errors import ConfigurationError
from stream_al.service.evaluate import (
    Cell,
    Evaluation,
    History,
    Plan,
    Ran,
    checked,
    delays,
    document,
    estimated_seconds,
    evaluation_of,
    grouped,
    labelled,
    labels_needed,
    paragraph,
    render_evaluation,
    run_cell,
    shares,
    table,
    told_of,
)
from stream_al.service.report import Run
from stream_al.testing import Example, text_stream

HOSTILE = "</td><script>alert(1)</script>\u202e"


def plan(**changes: object) -> Plan:
    """Return a small plan."""
    made = Plan(
        base=Config(),
        types={"text": "text"},
        budgets=(0.05, 0.2),
        delays=(0,),
        strategies=("margin",),
        seeds=2,
        shuffled=False,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def examples() -> Sequence[Example]:
    return list(text_stream(1, 400))


def _silent(_: int) -> None:
    """Nobody looks."""


# ---------------------------------------------------------------------- plan


def test_budgets_and_delays_are_read_as_people_write_them() -> None:
    """Percent or share, rising and once; delays in the order given."""
    assert shares("10%, 0.01,1%") == (0.01, 0.1)
    assert delays("1000,0,1000") == (1000, 0)


@pytest.mark.parametrize("text", ["0", "-1%", "101%", "5", "five", "nan", "inf%"])
def test_a_budget_out_of_range_is_a_sentence(text: str) -> None:
    """The value is named; a bare 5 is asked whether it was meant as percent."""
    with pytest.raises(ConfigurationError, match="no share of the events") as refused:
        shares(f"1%,{text}")

    assert ("did you mean 5%?" in str(refused.value)) is (text == "5")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"strategies": ("margn",)}, "--strategies: 'margn'.*margin"),
        ({"strategies": ("disagreement",)}, "needs a committee, and `linear` has no members"),
        ({"delays": (400,)}, "--delays: 400 is not below the 400 events"),
        ({"budgets": (0.001,)}, "--budgets: 0.100% of 400 events is less than one label"),
        ({"seeds": 51}, "--seeds: 51 is over 50"),
        ({"seeds": 50, "delays": tuple(range(6)), "budgets": tuple(i / 12 for i in range(1, 13))},
         "the plan: 7,206 is over 2,000"),
    ],
)  # fmt: skip
def test_a_plan_that_makes_no_sense_is_refused(changes: dict[str, object], said: str) -> None:
    """Before anything is run, with every problem."""
    with pytest.raises(ConfigurationError, match=said):
        checked(plan(**changes), 400)


def test_cells_cover_the_plan_once() -> None:
    """Random queries don't depend on the strategy; all labels not on the seed, for `linear`."""
    cells = plan(strategies=("margin", "entropy"), delays=(0, 9)).cells()
    counts = {arm: sum(cell.arm == arm for cell in cells) for arm in ("gate", "random", "all")}

    assert counts == {"gate": 2 * 2 * 2 * 2, "random": 2 * 2 * 2, "all": 2}
    assert len(set(cells)) == len(cells)
    assert sum(cell.arm == "all" for cell in plan(shuffled=True).cells()) == 2


# ---------------------------------------------------------------------- runs


def test_a_run_is_repeatable_and_keeps_its_budget(examples: Sequence[Example]) -> None:
    """The same seed gives the same run; another seed asks about others; spend is within a label."""
    cell = Cell("gate", "margin", 0.2, 0, 1)
    first, again = (run_cell(plan(), cell, examples, _silent) for _ in range(2))
    other = run_cell(plan(), replace(cell, seed=2), examples, _silent)

    assert replace(first, seconds=0.0) == replace(again, seconds=0.0)
    assert first.run != other.run
    assert abs(first.labels - first.allowed) <= 1
    assert first.allowed == pytest.approx(80, abs=1e-3)


def test_all_labels_are_spent_and_late_labels_teach_less(examples: Sequence[Example]) -> None:
    """Budget 1 asks about every event; with a delay of nearly everything nothing is known."""
    prompt = run_cell(plan(), Cell("all", None, 1.0, 0, 1), examples, _silent)
    late = run_cell(plan(), Cell("all", None, 1.0, 390, 1), examples, _silent)

    assert prompt.labels == late.labels == 400
    assert late.accuracy < 0.1
    assert prompt.accuracy > 0.5


def test_a_run_tells_how_far_it_is_and_can_be_stopped(examples: Sequence[Example]) -> None:
    """Every event is told of; what the listener raises ends the run."""
    told: list[int] = []
    cell = Cell("random", None, 0.05, 0, 1)
    run_cell(plan(), cell, examples[:250], told.append)
    assert told == [100, 100, 50]

    def stop(_: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        run_cell(plan(), cell, examples, stop)


def test_shuffled_runs_take_another_order(examples: Sequence[Example]) -> None:
    """All labels differ between seeds only then."""
    cells = [Cell("all", None, 1.0, 0, seed) for seed in (1, 2)]
    kept = [run_cell(plan(), cell, examples, _silent).run for cell in cells]
    moved = [run_cell(plan(shuffled=True), cell, examples, _silent).run for cell in cells]

    assert kept[0] == kept[1]
    assert moved[0] != moved[1]


def test_the_time_is_estimated_and_a_wrong_model_found_before(examples: Sequence[Example]) -> None:
    """It takes some time; a model that can't be made is refused before any run."""
    nowhere = Config.model_validate({"model": {"factory": "no_such_module:build"}})
    assert 0 < estimated_seconds(plan(), examples, 1) < 60
    with pytest.raises(ConfigurationError, match="no_such_module"):
        estimated_seconds(plan(base=nowhere), examples, 1)


# ---------------------------------------------------------------------- words


def _ran(arm: str, share: float, seed: int, score: float, *, kappa: float = 0.8) -> Ran:
    labels = round(4_000 * share)
    strategy = "margin" if arm == "gate" else None
    return Ran(
        cell=Cell(arm, strategy, share, 0, seed),  # type: ignore[arg-type]
        events=4_000,
        accuracy=score,
        macro_f1=score,
        kappa=kappa,
        labels=labels,
        allowed=4_000 * share,
        run=Run(((2_000, score / 2), (4_000, score)), ((labels / 2, 0.1), (labels, score)), labels),
        seconds=1.0,
    )


def _runs(gate: float, *, spread: float = 0.01, kappa: float = 0.8) -> list[Ran]:
    scores = {0.05: (gate, 0.80), 0.2: (0.95, 0.90)}
    runs = [_ran("all", 1.0, 1, 0.96, kappa=kappa)]
    for share, (ours, chance) in scores.items():
        for seed, off in ((1, -spread), (2, spread)):
            runs += [
                _ran("gate", share, seed, ours + off),
                _ran("random", share, seed, chance + off),
            ]
    return runs


def _said(runs: list[Ran], **changes: object) -> str:
    told = told_of(grouped(runs), strategy="margin", delay=0)
    return paragraph(told, plan(**changes), 4_000)


def test_the_paragraph_says_how_many_labels_buy_what() -> None:
    """The smallest budget that reaches 95 %, and what random queries need for the same."""
    said = _said(_runs(0.92, spread=0.0))

    assert said.startswith("200 labels (5 % of 4,000 events) reach 95.8 % of what all 4,000 ")
    assert "random queries do not reach that with 800 labels, the most tried" in said
    assert "This gate is better: macro-F1 " in said
    assert "better than random queries at 2, worse at 0; at 0 the interval holds 0" in said


def test_the_paragraph_is_honest_about_overlap_and_about_losing() -> None:
    """An interval that holds 0 shows no difference; a gate below random is said to be worse."""
    close = _said(_runs(0.93, spread=0.08))
    lost = _said(_runs(0.70, spread=0.0)[:5])

    assert "No difference is shown" in close
    assert "at 2 the interval holds 0" in close
    assert "reach 72.9 % of what" in lost
    assert "random queries reach it with 200 or fewer" in lost
    assert "This gate is worse" in lost


def test_the_paragraph_does_not_praise_a_model_that_learns_nothing() -> None:
    """A share of next to nothing is called so."""
    assert "hardly beat guessing" in _said(_runs(0.92, kappa=0.03))
    assert "hardly beat guessing" not in _said(_runs(0.92))


def test_several_strategies_are_not_chosen_by_their_result() -> None:
    """The paragraph names the first one and says that it was not picked."""
    assert "named first, not chosen by its result" in _said(_runs(0.92), strategies=("margin", "x"))


def test_labels_needed_is_measured_not_guessed() -> None:
    """Between two budgets it is interpolated; beyond them it is not known."""
    points = [(100.0, 0.8), (400.0, 0.9), (800.0, 0.85)]

    assert labels_needed(points, 0.85) == pytest.approx(200)
    assert labels_needed(points, 0.7) == 100
    assert labels_needed(points, 0.91) is None


# ---------------------------------------------------------------------- what is shown


def _evaluation(name: str = "posts.csv", **changes: object) -> Evaluation:
    rows = [{"text": f"message {i} here", "y": ("ham", name)[i % 2]} for i in range(40)]
    history = History("csv", rows=rows)  # type: ignore[arg-type]
    return evaluation_of(
        name=name,
        label="y",
        command=f"stream-al evaluate {name}",
        history=history,
        data=labelled(history, "y"),
        plan=plan(**changes),
        runs=_runs(0.92),
        seconds=1.0,
    )


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_report_is_one_closed_file_deaf_to_hostile_names() -> None:
    """Names of files, fields and classes are escaped; nothing is loaded from anywhere."""
    html = render_evaluation(_evaluation(HOSTILE))
    tags = _Tags()
    tags.feed(html)

    assert tags.open == []
    assert not {"script", "img", "link"} & set(tags.tags)
    assert "\u202e" not in html
    assert "http" not in html.replace("http-equiv", "")


def test_the_report_has_curves_spend_and_every_row() -> None:
    """Two charts of quality, two for each budget, and a row for each arm and budget."""
    html = render_evaluation(_evaluation())

    assert html.count('<figure class="chart">') == 2 + 2 * 2
    assert html.count("Spend against budget") >= 2
    assert html.count("<tr>") == 1 + 5
    assert "96.0 ± 1.0" not in html
    assert "92.0 ± 1.4" in html


def test_the_table_and_the_document_agree() -> None:
    """As many rows as groups; the document holds every run."""
    found = _evaluation()
    described = document(found)

    assert table(found).row_count == len(described["summary"]) == 5
    assert len(described["runs"]) == 9
    assert described["paragraph"] == found.paragraph
    assert described["summary"][1]["macro_f1"]["mean"] == pytest.approx(0.92)
