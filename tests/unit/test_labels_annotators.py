"""How good annotators are: the estimate, what it does to votes, gold questions, and the bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

import pytest

from stream_al.config import Config
from stream_al.labels import (
    ANNOTATORS_MAX,
    EVIDENCE_MIN,
    GOLD_MAX,
    Annotators,
    AnnotatorView,
    Settled,
    Tied,
    Undecided,
    Verdict,
    decide_votes,
)
from stream_al.labels.agreement import Agreement
from stream_al.labels.annotators import CLASSES_MAX
from stream_al.labels.confusion import CELLS_MAX, Confusion
from stream_al.labels.gold import GOLD_ANSWERS_MAX, GoldTable
from stream_al.messages import (
    NO_QUERY,
    ClosedEntry,
    ControlProposal,
    GoldEntry,
    Label,
    LabelEntry,
    VoteEntry,
)
from stream_al.testing import SimulatedAnnotators
from tests.unit.labels_desk import Desk

TRUTH_SHARES = {"ham": 0.7, "spam": 0.3}
GOOD, BAD = 0.05, 0.4
EVENTS = 800
SEEDS = (1, 2, 3)


def config(**labels: Any) -> Config:
    return Config.model_validate({"labels": labels})


# ---------------------------------------------------------------------- votes with a belief


@pytest.mark.parametrize(
    ("labels", "wanted", "votes_max", "belief", "verdict"),
    [
        # one vote: as ever, whatever is believed
        ("a", 1, 3, {"a": 0.2}, Settled("a")),
        ("a", 3, 3, {"a": 0.999}, Undecided(3)),
        # two that are believed settle before the third
        ("aa", 3, 3, {"a": 0.99}, Settled("a")),
        ("aa", 3, 3, {"a": 0.9}, Undecided(3)),
        # one who is known to be good, against two who are known to be bad
        ("abb", 3, 3, {"a": 0.9, "b": 0.1}, Settled("a")),
        ("abb", 3, 5, {"a": 0.9, "b": 0.1}, Undecided(4)),
        ("abb", 3, 5, {"a": 0.99, "b": 0.01}, Settled("a")),
        # a majority that is believed
        ("aab", 3, 5, {"a": 0.8, "b": 0.2}, Settled("a")),
        # a tie of heads is none of beliefs; a tie of beliefs is one
        ("ab", 2, 3, {"a": 0.7, "b": 0.3}, Undecided(3)),
        ("ab", 2, 2, {"a": 0.7, "b": 0.3}, Settled("a")),
        ("ab", 2, 2, {"a": 0.5, "b": 0.5}, Tied()),
    ],
)
def test_votes_with_a_belief(
    labels: str, wanted: int, votes_max: int, belief: dict[str, float], verdict: Verdict
) -> None:
    """What is believed settles early, outweighs heads, and breaks ties."""
    assert decide_votes(list(labels), wanted, votes_max, belief) == verdict


def test_strangers_are_counted_by_heads() -> None:
    """Before there is evidence nobody is weighed, and a label weighs 1.0."""
    desk = Desk()
    for index in range(int(EVIDENCE_MIN) + 1):
        desk.ask(f"e{index}", votes_wanted=2)
        first = desk.say(f"e{index}", "spam", annotator="ann")
        last = desk.say(f"e{index}", "spam", annotator="bob")
        assert first.outcome.outcome == "counted"
        assert last.records[0].weight == 1.0
    assert desk.resolver._state.annotators.belief([("ann", "spam")]) is not None
    assert desk.resolver._state.annotators.belief([("eve", "spam")]) is None


def test_one_vote_teaches_nothing_about_its_annotator() -> None:
    """Who answers alone agrees with nobody: labels are counted and no error rate is claimed."""
    desk = Desk()
    for index in range(50):
        desk.ask(f"e{index}")
        assert desk.say(f"e{index}", "spam").records[0].weight == 1.0

    (ann,) = desk.resolver.annotators()

    assert (ann.labels, ann.compared, ann.error_rate, ann.evidence) == (50, 0, None, 0.0)


def test_a_single_vote_of_somebody_known_weighs_its_posterior() -> None:
    """Gold questions tell a good annotator from a bad one, and their labels weigh accordingly."""
    desk = Desk(config(classes=["ham", "spam"]))
    for index in range(40):
        put_gold(desk, f"g{index}", "spam" if index % 2 else "ham")
        desk.say(f"g{index}", "spam" if index % 2 else "ham", annotator="good")
        desk.say(f"g{index}", "spam", annotator="bad")
    weights = {}
    for name in ("good", "bad"):
        desk.ask(name)
        (entry,) = desk.say(name, "spam", annotator=name).records
        weights[name] = entry.weight

    assert weights["good"] > 0.9
    assert 0.4 < weights["bad"] < 0.6


def test_a_conflict_is_counted_and_teaches_nothing() -> None:
    """Who agrees with a closed label leaves no record; who disagrees must not look bad for it."""
    desk = Desk()
    desk.ask("e")
    desk.say("e", "spam")
    desk.say("e", "ok", annotator="bob")

    bob = next(one for one in desk.resolver.annotators() if one.annotator == "bob")

    assert (bob.conflicts, bob.labels, bob.error_rate) == (1, 0, None)


def test_votes_that_tie_teach() -> None:
    """A query that closes as unsure says that its voters disagree."""
    desk = Desk(config(votes_max=2))
    desk.ask("e", votes_wanted=2)
    desk.say("e", "spam", annotator="ann")
    desk.say("e", "ok", annotator="bob")

    views = desk.resolver.annotators()

    assert [(one.compared, one.agreed) for one in views] == [(1, 0), (1, 0)]
    assert [one.evidence for one in views] == [1.0, 1.0]


def test_who_changed_is_noticed() -> None:
    """Counts fade: who was right two thousand times and guesses since then is found out."""
    annotators = Annotators(["ham", "spam"])
    rng = Random(1)
    for index in range(5_000):
        truth = rng.choice(["ham", "spam"])
        said = truth if index < 2_000 else rng.choice(["ham", "spam"])
        annotators.observe_gold("ann", said, truth)

    (ann,) = annotators.views()

    assert ann.gold_right / ann.gold_answered > 0.65
    assert ann.error_rate == pytest.approx(0.5, abs=0.08)


# ---------------------------------------------------------------------- simulation


@dataclass
class Run:
    """What became of a panel's work."""

    wrong: int
    finals: int
    votes: int
    views: dict[str, AnnotatorView]
    alpha: float


@cache
def panel(seed: int, bad: int, votes_max: int, *, weighted: bool) -> Run:
    """Let five people vote, `bad` of them badly; each is a `SimulatedAnnotators` of one."""
    desk = Desk(config(classes=list(TRUTH_SHARES), votes=3, votes_max=votes_max))
    if not weighted:
        desk.resolver._state.annotators.belief = lambda votes: None  # type: ignore[method-assign]
    rng = Random(seed)
    people = {
        f"p{number}": SimulatedAnnotators(
            100 * seed + number,
            classes=list(TRUTH_SHARES),
            noise=BAD if number < bad else GOOD,
            annotators=1,
        )
        for number in range(5)
    }
    run = Run(0, 0, 0, {}, 0.0)
    for index in range(EVENTS):
        event_id = f"e{index}"
        (truth,) = rng.choices(list(TRUTH_SHARES), list(TRUTH_SHARES.values()))
        desk.ask(event_id, votes_wanted=3)
        query = desk.asked[-1][0].model_copy(update={"votes_wanted": 1})
        for name in rng.sample(sorted(people), 5):
            people[name].ask(query, truth, index)
            (label,) = people[name].due(index)
            run.votes += 1
            final = _final(desk.say(event_id, label.label, annotator=name).records)
            if final is not None:
                run.finals += 1
                run.wrong += final.label != truth
                break
            if desk.resolver.open_query(event_id) is None:
                break
    run.views = {view.annotator: view for view in desk.resolver.annotators()}
    run.alpha = desk.resolver.agreement() or 0.0
    return run


def _final(records: Sequence[Any]) -> LabelEntry | None:
    return next((one for one in records if isinstance(one, LabelEntry)), None)


@pytest.mark.parametrize(
    ("bad", "votes_max", "wrong_ratio", "votes_ratio"),
    [(1, 3, 1.0, 0.85), (1, 5, 0.9, 0.85), (2, 3, 0.6, 0.9), (2, 5, 0.5, 0.95)],
)
def test_weighted_votes_are_wrong_less_often(
    bad: int, votes_max: int, wrong_ratio: float, votes_ratio: float
) -> None:
    """Fewer wrong labels than a majority of heads makes, from fewer votes, over all seeds."""
    weighted = [panel(seed, bad, votes_max, weighted=True) for seed in SEEDS]
    heads = [panel(seed, bad, votes_max, weighted=False) for seed in SEEDS]

    assert sum(run.finals for run in weighted) == EVENTS * len(SEEDS)
    assert sum(run.wrong for run in weighted) < wrong_ratio * sum(run.wrong for run in heads)
    assert sum(run.votes for run in weighted) < votes_ratio * sum(run.votes for run in heads)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("bad", [1, 2])
def test_estimated_error_rates_are_near_the_truth(bad: int, seed: int) -> None:
    """Without any gold: within 8 points for everybody, within 4 on average."""
    views = panel(seed, bad, 3, weighted=True).views
    off = [
        abs((view.error_rate or 0.0) - (BAD if int(name[1:]) < bad else GOOD))
        for name, view in views.items()
    ]

    assert len(off) == 5
    assert max(off) < 0.08
    assert sum(off) / len(off) < 0.04


def test_alpha_says_that_bad_annotators_disagree() -> None:
    """Agreement beyond chance falls with every bad annotator."""
    one, two = (panel(1, bad, 3, weighted=True).alpha for bad in (1, 2))

    assert 0.45 < one < 0.7
    assert two < one - 0.1


def test_alpha_is_krippendorffs() -> None:
    """His example of 2011: two observers, ten articles, alpha 0.095; nominal, binary."""
    agreement = Agreement()
    for pair in ("01", "11", "01", "00", "00", "01", "00", "00", "10", "00"):
        agreement.add(list(pair))

    assert agreement.alpha() == pytest.approx(0.095, abs=0.0005)
    assert Agreement().alpha() is None


# ---------------------------------------------------------------------- gold questions


def put_gold(desk: Desk, event_id: str, label: str = "spam") -> Any:
    proposal = ControlProposal(
        kind="gold",
        proposal_id=f"{event_id}/{label}",
        actor="ops",
        event_id=event_id,
        label=label,
        features={"text": event_id},
    )
    result = desk.resolver.on_control(proposal, now_ms=desk.now_ms)
    desk.journaled(result.records)
    return result


def test_gold_is_journaled_once() -> None:
    """A gold question has what a seed has; the same one again changes nothing."""
    desk = Desk()
    (entry,) = put_gold(desk, "g").records
    assert isinstance(entry, GoldEntry)
    assert (entry.event_id, entry.label, entry.features) == ("g", "spam", {"text": "g"})
    assert put_gold(desk, "g").records == ()
    wrong = ControlProposal(kind="gold", proposal_id="x", actor="ops", event_id="g")
    assert "label: None" in (desk.resolver.on_control(wrong, now_ms=0).problem or "")


def test_a_lineage_that_leaves_an_event_out_forgets_its_gold() -> None:
    """Nobody is asked it any more, and no features of it stay, blanked in the journal or not."""
    desk = Desk()
    put_gold(desk, "g")
    put_gold(desk, "other")
    left_out = ControlProposal(
        kind="model", proposal_id="m", actor="ops", config_hash="abc", preset="linear",
        start="replay", without=("g",),
    )  # fmt: skip

    desk.journaled(desk.resolver.on_control(left_out, now_ms=desk.now_ms).records)

    assert [gold.event_id for gold in desk.resolver.gold_questions("ann")] == ["other"]
    assert desk.rebuilt().fingerprint() == desk.resolver.fingerprint()


def test_an_answer_is_a_vote_with_its_truth() -> None:
    """It is journaled beside no query, and only its outcome says that it was gold."""
    desk = Desk()
    put_gold(desk, "g")

    right, wrong = desk.say("g", "spam"), desk.say("g", "ok", annotator="bob")

    (entry,) = right.records
    assert isinstance(entry, VoteEntry)
    assert (entry.query, entry.truth, entry.label) == (NO_QUERY, "spam", "spam")
    assert right.outcome.reason == "gold question, right"
    assert wrong.outcome.reason == "gold question, wrong"
    found = {one.annotator: (one.gold_right, one.gold_answered, one.error_rate)
             for one in desk.resolver.annotators()}  # fmt: skip
    assert found == {"ann": (1, 1, 0.0), "bob": (0, 1, 1.0)}


def test_a_revised_answer_counts_anew() -> None:
    """An answer taken back is as if it was not given; a corrected one replaces it."""
    desk = Desk()
    put_gold(desk, "g")
    desk.say("g", "ok")
    desk.say("g", None, kind="retract", revision=1)
    (ann,) = desk.resolver.annotators()
    assert (ann.gold_answered, ann.evidence, ann.error_rate) == (0, 0.0, None)

    assert desk.say("g", "ok", revision=2).outcome.outcome == "counted"
    assert desk.say("g", "spam", revision=3).outcome.outcome == "superseded"

    (ann,) = desk.resolver.annotators()
    assert (ann.gold_answered, ann.gold_right, ann.error_rate) == (1, 1, 0.0)
    assert desk.rebuilt().fingerprint() == desk.resolver.fingerprint()


def test_gold_questions_left_for_somebody() -> None:
    """Each annotator gets each once; an event that was asked about is no gold question."""
    desk = Desk()
    for event_id in ("g1", "g2", "g3"):
        put_gold(desk, event_id)
    desk.say("g1", "spam")
    desk.ask("g2")

    assert [one.event_id for one in desk.resolver.gold_questions("ann")] == ["g3"]
    assert [one.event_id for one in desk.resolver.gold_questions("bob")] == ["g1", "g3"]
    assert desk.say("g2", "ok").outcome.outcome == "applied"
    assert [one.event_id for one in desk.resolver.gold_questions("bob")] == ["g1", "g3"]


# ---------------------------------------------------------------------- folds and bounds


def test_a_rebuild_estimates_alike() -> None:
    """Votes, ties, conflicts, gold and skips: another process estimates the same to the bit."""
    desk = Desk(config(votes_max=3))
    rng = Random(4)
    for index in range(60):
        put_gold(desk, f"g{index}", rng.choice("abc"))
        desk.say(f"g{index}", rng.choice("abc"), annotator=rng.choice(["ann", "bob"]))
        desk.ask(f"e{index}", votes_wanted=2)
        for name in ("ann", "bob", "eve", "joe"):
            kind = "skip" if rng.random() < 0.4 else "label"
            label = rng.choice("aab") if kind == "label" else None
            desk.say(f"e{index}", label, annotator=name, kind=kind)

    rebuilt = desk.rebuilt()

    closed = [one for one in desk.journal.values() if isinstance(one, ClosedEntry)]
    weights = {one.weight for one in desk.journal.values() if isinstance(one, LabelEntry)}
    assert closed
    assert len(weights) > 5
    assert rebuilt.annotators() == desk.resolver.annotators()
    assert rebuilt.fingerprint() == desk.resolver.fingerprint()
    desk.resolver._state.annotators.observe_conflict("ann")
    assert rebuilt.fingerprint() != desk.resolver.fingerprint()


def test_annotators_are_bounded() -> None:
    """Who said nothing for longest is forgotten."""
    annotators = Annotators(None)
    annotators.observe([("first", "a")], "a")
    for index in range(ANNOTATORS_MAX - 1):
        annotators.observe([(f"n{index}", "a")], "a")
    annotators.observe([("first", "a")], "a")
    annotators.observe([("last", "a")], "a")

    names = {view.annotator for view in annotators.views()}

    assert len(names) == ANNOTATORS_MAX
    assert {"first", "last"} < names
    assert "n0" not in names


def test_classes_and_cells_are_bounded() -> None:
    """A flood of made-up classes counts together and stays small, and sums stay sums."""
    annotators, agreement = Annotators(None), Agreement()
    for index in range(2 * CLASSES_MAX):
        labels = [f"c{index}", f"d{index}"]
        annotators.observe(list(zip(("ann", "bob"), labels, strict=True)), None)
        agreement.add(labels)
    ann = annotators._tables["ann"]

    assert len(annotators._classes) <= CLASSES_MAX + 1
    assert len(agreement._counts) <= CLASSES_MAX + 1
    assert len(ann._rows) <= CELLS_MAX
    assert len(ann._wrongs) <= CELLS_MAX
    belief = annotators.belief([("ann", "new"), ("bob", "newer")])
    assert belief is not None
    assert 0 < sum(belief.values()) <= 1 + 1e-9


def test_likelihoods_of_a_table_sum_to_one() -> None:
    """Whatever was counted, the answers to an event of one class are a distribution."""
    table = Confusion()
    rng = Random(2)
    for _ in range(200):
        table.add({"a": 0.7, "b": 0.2, "c": 0.1}, rng.choice("abc"))

    for truth in "abc":
        assert sum(table.likelihood(truth, said, 3) for said in "abc") == pytest.approx(1.0)


def test_gold_is_bounded() -> None:
    """The newest questions and answers are kept; blanked features take a question away."""
    table = GoldTable()
    for index in range(GOLD_MAX + 10):
        table.fold(GoldEntry(at_ms=0, event_id=f"g{index}", label="a", features={}))
    assert (len(table), table.get("g9"), table.get("g10") is None) == (GOLD_MAX, None, False)
    table.fold(GoldEntry(at_ms=0, event_id="g10", label="a", features=None))
    assert table.get("g10") is None

    for index in range(GOLD_ANSWERS_MAX + 1):
        table.note(
            VoteEntry.of_valid(
                {"event_id": f"g{index}", "annotator": "ann", "label": "a", "revision": 0}
            )
        )
    assert table.answer("g0", "ann") is None
    assert len(table._answers) == GOLD_ANSWERS_MAX


def test_a_label_for_gold_needs_an_annotator() -> None:
    """An answer without a name is invalid, as any label is."""
    desk = Desk()
    put_gold(desk, "g")
    said = Label(event_id="g", label="spam")
    outcome = desk.resolver.on_label(said, source=NO_QUERY, now_ms=desk.now_ms).outcome
    assert outcome.outcome == "invalid"
