"""Classes by name: one spelling, who is alike, and what no model would learn."""

from __future__ import annotations

from itertools import pairwise
from unicodedata import normalize

import pytest

from stream_al import ActiveLearner, Config, Event, Label
from stream_al.errors import ConfigurationError
from stream_al.labels.classes import CLASS_ANNOTATORS_MAX, ClassTable, class_name, likeness
from stream_al.messages import CLASS_CHARACTERS_MAX, CLASSES_MAX, ControlProposal, SeedEntry
from tests.unit.labels_desk import Desk

ONE_CLASS = (
    "spam", " spam", "spam ", "\tspam\n", "spam\r\n", "spam\u200b", "\u200dspam", "sp\u00adam",
    "\ufeffspam", "spam\x00", "sp\x1bam", "spam\u2028", "\u202espam", "spam\xa0", "spam\ufe0f",
)  # fmt: skip
ALIKE = (
    "Spam", "SPAM", "sp am", "s-p-a-m", "s_pam", "spams", "ｓｐａｍ", "sраm", "spám", "spam.",
    "spam!", "“spam”",
)  # fmt: skip


def _open(votes: int = 1) -> Desk:
    return Desk(Config.model_validate({"labels": {"votes": votes, "votes_max": max(3, votes)}}))


def _closed() -> Desk:
    return Desk(Config.model_validate({"labels": {"classes": ["ok", "spam", "très long"]}}))


def _proposed(desk: Desk, kind: str, label: str, event_id: str = "s") -> str | None:
    proposal = ControlProposal.model_validate(
        {"kind": kind, "proposal_id": event_id + label, "actor": "ops", "event_id": event_id,
         "label": label, "features": {"n": 1}}
    )  # fmt: skip
    result = desk.resolver.on_control(proposal, now_ms=desk.now_ms)
    desk.journaled(result.records)
    return result.problem


def _names(desk: Desk) -> list[str]:
    return [view.name for view in desk.resolver.classes()]


@pytest.mark.parametrize("said", ONE_CLASS, ids=ascii)
def test_a_class_has_one_spelling(said: str) -> None:
    """B6: spaces around, controls and what can't be seen are no part of a name."""
    assert class_name(said) == "spam"


def test_composed_and_decomposed_letters_are_one_class() -> None:
    """B6: NFC, whatever keyboard it came from; what Persian and emojis need stays."""
    for name in ("café", "Ångström", "각하", "می\u200cخواهم", "👩\u200d💻"):
        assert class_name(normalize("NFD", name)) == class_name(name) == name


@pytest.mark.parametrize("said", ALIKE)
def test_names_that_people_take_for_the_same_are_alike(said: str) -> None:
    """B6: case, compatible letters, look-alikes, accents, spaces, punctuation, plural."""
    assert class_name(said) != "spam"
    assert likeness(class_name(said)) == likeness("spam")


@pytest.mark.parametrize("other", ["ham", "spa", "not spam", "spam2", "スパム", "ok", "!"])
def test_other_names_are_not_alike(other: str) -> None:
    """B6: a warning on every new class would be read by nobody."""
    assert likeness(other) != likeness("spam")


def test_labels_of_one_spelling_are_of_one_class_wherever_they_enter() -> None:
    """B6: queries, votes, volunteered labels, seeds and gold; the journal has clean names only."""
    desk = _open()
    for number, said in enumerate(ONE_CLASS):
        desk.ask(f"e-{number}")
        assert desk.say(f"e-{number}", said).outcome.outcome == "applied"
    assert desk.say("v", "spam ", features={"n": 1}).outcome.outcome == "volunteered"
    assert _proposed(desk, "seed", "spam\u200b") is None
    assert _proposed(desk, "gold", " spam", "g") is None
    assert desk.say("g", "spam\n").outcome.reason == "gold question, right"
    assert _names(desk) == ["spam"]
    labels = {getattr(record, "label", None) for record in desk.journal.values()} - {None}
    assert labels == {"spam"}
    assert desk.rebuilt().fingerprint() == desk.resolver.fingerprint()


def test_votes_of_one_spelling_agree() -> None:
    """B6: two of two votes settle, though they are written in two ways."""
    desk = _open(votes=2)
    desk.ask("e", votes_wanted=2)
    assert desk.say("e", "cafe\u0301", annotator="a").outcome.outcome == "counted"
    last = desk.say("e", "café ", annotator="b").outcome
    assert (last.outcome, last.label) == ("applied", "café")


@pytest.mark.parametrize("said", ALIKE)
def test_a_near_equal_new_class_is_applied_and_told(said: str) -> None:
    """B6: what became of it says so, and so does the table; the first one is not told about."""
    desk = _open()
    for event_id in ("a", "b", "c"):
        desk.ask(event_id)
    assert desk.say("a", "spam").outcome.reason is None
    told = desk.say("b", said)
    assert told.outcome.outcome == "applied"
    assert told.outcome.reason == "a new class; did you mean `spam`?"
    assert told.new_class is not None
    assert told.new_class.like == "spam"
    again = desk.say("c", said)
    assert (again.outcome.reason, again.new_class) == (None, None)
    views = {view.name: view.like for view in desk.resolver.classes()}
    assert views == {"spam": None, class_name(said): "spam"}


def test_a_closed_set_takes_its_spellings_and_says_what_was_meant() -> None:
    """B6: `spam ` counts as `spam`; `Spam` and `spma` do not, and the reason names it."""
    desk = _closed()
    for event_id in ("a", "b", "c"):
        desk.ask(event_id)
    assert desk.say("a", "spam\u200b ").outcome.label == "spam"
    assert desk.say("b", normalize("NFD", "très long")).outcome.label == "très long"
    for said, meant in (("Spam", "spam"), ("spma", "spam"), ("tres-long", "très long")):
        refused = desk.say("c", said).outcome
        assert refused.outcome == "invalid"
        assert str(refused.reason).endswith(f"did you mean `{meant}`?")
    assert "did you mean" not in str(desk.say("c", "x").outcome.reason)
    assert "did you mean `ok`?" in str(_proposed(desk, "seed", "OK"))
    assert "did you mean `ok`?" in str(_proposed(desk, "gold", "Ok"))


def _full() -> Desk:
    desk = _open()
    for number in range(CLASSES_MAX):
        _proposed(desk, "seed", f"class {number}", f"s-{number}")
    return desk


def test_the_257th_class_is_invalid_wherever_it_enters() -> None:
    """B7: query, vote, volunteered, seed and gold; a known class goes on."""
    desk = _full()
    desk.ask("e")
    desk.ask("w", votes_wanted=2)
    for refused in (
        desk.say("e", "one more").outcome,
        desk.say("w", "one more").outcome,
        desk.say("v", "one more", features={"n": 1}).outcome,
    ):
        assert refused.outcome == "invalid"
        assert "256 classes are known" in str(refused.reason)
    assert "256 classes are known" in str(_proposed(desk, "seed", "one more"))
    assert "256 classes are known" in str(_proposed(desk, "gold", "one more"))
    assert "did you mean `class 7`?" in str(desk.say("e", "Class-7").outcome.reason)
    assert desk.say("e", "class 7 ").outcome.outcome == "applied"
    assert len(_names(desk)) == CLASSES_MAX
    assert desk.rebuilt().fingerprint() == desk.resolver.fingerprint()


@pytest.mark.parametrize("said", ["x" * (CLASS_CHARACTERS_MAX + 1), "文" * 300])
def test_a_name_over_the_bound_is_invalid_wherever_it_enters(said: str) -> None:
    """B7: the model would never learn it; one that is as long as may be is learnt."""
    desk = _open()
    desk.ask("e")
    for refused in (
        desk.say("e", said).outcome.reason,
        desk.say("v", said, features={"n": 1}).outcome.reason,
        _proposed(desk, "seed", said),
        _proposed(desk, "gold", said),
    ):
        assert "no model learns a class of more than 256" in str(refused)
    assert desk.say("e", said[:CLASS_CHARACTERS_MAX]).outcome.outcome == "applied"


@pytest.mark.parametrize("said", [" ", "\u200b", "\x00\x01", "\ufeff\n"])
def test_a_name_that_can_not_be_seen_is_invalid(said: str) -> None:
    """B6: nothing is left of it."""
    desk = _open()
    desk.ask("e")
    refused = desk.say("e", said).outcome
    assert refused.outcome == "invalid"
    assert "nothing of it can be seen" in str(refused.reason)


def test_what_is_applied_is_learnt() -> None:
    """B7: of 300 classes and some long ones, every label that is applied counts in the model."""
    learner = ActiveLearner(Config.model_validate({"gate": {"budget": {"share": 1.0}}}))
    applied = 0
    for number in range(300):
        event_id = f"e-{number}"
        learner.score(Event(event_id=event_id, features={"text": event_id}), now_ms=number)
        said = Label(event_id=event_id, label=f"class {number:0{260 if number % 9 == 5 else 3}}",
                     annotator="ann")  # fmt: skip
        applied += learner.label(said, now_ms=number).outcome == "applied"
    assert learner.engine.model.learnt_count == applied == CLASSES_MAX
    assert learner.engine.model.failed_count == 0
    with pytest.raises(ConfigurationError, match="256 classes are known"):
        learner.seed([(Event(event_id="s", features={"n": 1}), "one more")], now_ms=400)


def test_the_table_says_how_many_from_whom_and_when() -> None:
    """B6: labels in force, seeds, the newest annotators; an overturned or retracted one leaves."""
    desk = _open()
    for number in range(3):
        desk.ask(f"e-{number}")
        desk.say(f"e-{number}", "spam", annotator=f"a{number}")
        desk.now_ms += 1_000
    _proposed(desk, "seed", "spam")
    desk.say("e-0", "ok", annotator="a0", revision=1)
    desk.say("e-1", None, kind="retract", annotator="a1", revision=1)
    views = {view.name: view for view in desk.resolver.classes()}
    spam, ok = views["spam"], views["ok"]
    assert (spam.labels, spam.seeds, ok.labels) == (1, 1, 1)
    assert spam.annotators == ("a2", "a1", "a0")
    assert ok.annotators == ("a0",)
    assert spam.last_at_ms - spam.first_at_ms == 3_000


def test_the_table_is_bounded() -> None:
    """B6: at most 256 classes and ten names of each; older journals may hold more."""
    desk = _open()
    for number in range(2 * CLASS_ANNOTATORS_MAX):
        desk.ask(f"e-{number}")
        desk.say(f"e-{number}", "spam", annotator=f"a{number}")
    (view,) = desk.resolver.classes()
    assert view.annotators == tuple(f"a{number}" for number in range(19, 9, -1))
    table = ClassTable()
    table.know(f"class {number}" for number in range(2 * CLASSES_MAX))
    assert len(table) == CLASSES_MAX


def test_what_older_versions_journaled_stays_as_it_is() -> None:
    """B6: a name with a space in the journal is a class of its own; folding changes nothing."""
    desk = _open()
    old = SeedEntry(at_ms=desk.now_ms, event_id="s", label="spam ", features={"n": 1})
    desk.journaled(desk.resolver._decided([old]))
    desk.ask("e")
    assert desk.say("e", "spam ").outcome.reason == "a new class; did you mean `spam `?"
    assert _names(desk) == ["spam ", "spam"]
    assert desk.rebuilt().fingerprint() == desk.resolver.fingerprint()


def test_a_new_lineage_that_knows_nothing_knows_no_class() -> None:
    """B7: after `model activate` there is room for 256 again."""
    desk = _full()
    proposal = ControlProposal(
        kind="model", proposal_id="m", actor="ops", config_hash="h", preset="linear"
    )
    desk.journaled(desk.resolver.on_control(proposal, now_ms=desk.now_ms).records)
    desk.ask("e")
    assert desk.say("e", "one more").outcome.outcome == "applied"
    assert _names(desk) == ["one more"]
    assert all(a.chain != b.chain for a, b in pairwise(desk.journal.values()))


def test_classes_that_a_lineage_leaves_out_or_renames_leave_the_table() -> None:
    """B6, B9: what a replay mends is no mistake any more, and there is room again."""
    desk = _full()
    desk.ask("e")
    desk.say("e", "class 0", annotator="bob")
    lineage = desk.resolver.lineage
    assert lineage is not None
    changed = {"start": "selected", "without_classes": ("class 1",), "renamed": {"class 0": "new"}}
    record = lineage.model_copy(update={"model_id": "m", "at_ms": desk.now_ms, **changed})
    desk.journaled(desk.resolver._decided([record]))
    views = {view.name: view for view in desk.resolver.classes()}
    assert len(views) == CLASSES_MAX - 1
    assert views.keys().isdisjoint({"class 0", "class 1"})
    assert (views["new"].labels, views["new"].seeds, views["new"].annotators) == (1, 1, ("bob",))
    desk.ask("f")
    assert desk.say("f", "one more").outcome.outcome == "applied"
    assert desk.rebuilt().fingerprint() == desk.resolver.fingerprint()
