"""Classes by name: how a name is written, which names are alike, and which are known. Pure.

A name enters in one spelling (`class_name`), before anything is journaled; what lies in the journal
is never changed. The table is part of the fold over the journal, so everybody who folds the same
records knows the same classes, and refuses the same one too many.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from unicodedata import category, normalize

from stream_al.escaping import only_seen
from stream_al.labels.views import ClassView
from stream_al.messages import (
    CLASS_CHARACTERS_MAX,
    CLASSES_MAX,
    GoldEntry,
    JournalRecord,
    Label,
    LabelEntry,
    ModelEntry,
    RetractionEntry,
    SeedEntry,
    VolunteeredEntry,
    VoteEntry,
)

CLASS_ANNOTATORS_MAX = 10
"""Annotators remembered of each class, the newest."""
_QUOTED_CHARACTERS = 60
_LINE_BREAKS = re.compile(r"[\t\n\v\f\r\x1c-\x1f\x85\u2028\u2029]+")
_SAME_LETTERS = str.maketrans(
    "аесорхуіјѕԁһкмтвнαεοριντυχκ",
    "aecopxyijsdhkmtbhaeopivtuxk",
)
"""Letters of other scripts that look like a Latin one."""


def class_name(said: str) -> str:
    r"""Return the one spelling of a class: NFC, no controls, nothing invisible, no space around.

    Examples
    --------
    >>> class_name(" spam\u200b\n"), class_name("cafe\u0301") == class_name("caf\u00e9")
    ('spam', True)
    """
    if said.isascii() and said.isprintable():
        return said.strip()
    return normalize("NFC", only_seen(_LINE_BREAKS.sub(" ", normalize("NFC", said)))).strip()


def class_named(said: str, allowed: Sequence[str] | None) -> str:
    """Return the class that somebody means: one of the closed set `allowed`, or a clean name.

    Examples
    --------
    >>> class_named("spam ", ("ok", "spam")), class_named("Spam", None)
    ('spam', 'Spam')
    """
    if allowed is not None and said in allowed:
        return said
    name = class_name(said)
    return next((one for one in allowed or () if class_name(one) == name), name)


def likeness(name: str) -> str:
    """Return what names that people take for the same have in common.

    Case, compatible and look-alike letters, accents, spaces, punctuation and a plural do not count.

    Examples
    --------
    >>> {likeness(name) for name in ("Spam", "s-p_a m", "spams", "ｓｐａｍ", "spаm", "spám")}
    {'spam'}
    >>> likeness("!?")
    '!?'
    """
    letters = normalize("NFKD", normalize("NFKC", name).casefold()).translate(_SAME_LETTERS)
    kept = "".join(one for one in letters if category(one)[0] in "LN")
    if len(kept) > 3 and kept.endswith("s") and not kept.endswith("ss"):
        kept = kept[:-1]
    return kept or name


def meant(name: str, known: Iterable[str]) -> str | None:
    """Return the known class that was probably meant by a name that is none of them.

    Examples
    --------
    >>> meant("Spam", ("ok", "spam")), meant("spma", ("ok", "spam")), meant("x", ("ok", "spam"))
    ('spam', 'spam', None)
    """
    known = list(known)
    wanted = likeness(name)
    alike = next((one for one in known if likeness(one) == wanted), None)
    if alike is not None:
        return alike
    close = get_close_matches(name.casefold(), [one.casefold() for one in known], n=1, cutoff=0.7)
    return next((one for one in known if one.casefold() in close), None)


@dataclass(frozen=True, slots=True)
class NewClass:
    """A class that nobody named before; `like` is a known one that people take for the same."""

    name: str
    like: str | None

    def joined(self, reason: str | None) -> str | None:
        """Return `reason` with what to tell who named it, if it may be a mistake."""
        said = None if self.like is None else f"a new class{_did_you_mean(self.like)}"
        return "; ".join(filter(None, (reason, said))) or None


@dataclass(frozen=True, slots=True)
class Entered:
    """A class as it enters: its spelling, why it can't be taken, and whether it is new."""

    name: str
    problem: str | None = None
    new: NewClass | None = None


@dataclass(slots=True)
class ClassRecord:
    """What is known of one class.

    Attributes
    ----------
    labels
        Events that bear it: labels in force, and volunteered ones.
    seeds, gold
        Seeds, and gold questions whose answer it is.
    annotators
        Who said it, whatever became of that; the newest last, at most `CLASS_ANNOTATORS_MAX`.
    first_at_ms, last_at_ms
        When the resolver met it, by its clock.
    """

    first_at_ms: int
    last_at_ms: int
    labels: int = 0
    seeds: int = 0
    gold: int = 0
    annotators: dict[str, None] = field(default_factory=dict)

    def take_over(self, other: ClassRecord) -> None:
        """Add what is known of a class that is this one now."""
        self.first_at_ms = min(self.first_at_ms, other.first_at_ms)
        self.last_at_ms = max(self.last_at_ms, other.last_at_ms)
        self.labels += other.labels
        self.seeds += other.seeds
        self.gold += other.gold
        for annotator in other.annotators:
            self.said_by(annotator)

    def said_by(self, annotator: str) -> None:
        """Take note of who said it."""
        self.annotators.pop(annotator, None)
        self.annotators[annotator] = None
        if len(self.annotators) > CLASS_ANNOTATORS_MAX:
            del self.annotators[next(iter(self.annotators))]


class ClassTable:
    """The classes that the journal names, in the order met; at most `CLASSES_MAX`.

    A model of the lineage in force knows no class that is not here. One beyond is not taken in, as
    no model learns it; the resolver lets none come any more.
    """

    def __init__(self) -> None:
        self._records: dict[str, ClassRecord] = {}
        # Likeness → the first class of it; at most one for each class.
        self._alike: dict[str, str] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._records

    def __len__(self) -> int:
        return len(self._records)

    def views(self) -> list[ClassView]:
        """Return what is known of each, in the order met."""
        return [
            ClassView(
                name=name,
                labels=one.labels,
                seeds=one.seeds,
                gold=one.gold,
                annotators=tuple(reversed(one.annotators)),
                first_at_ms=one.first_at_ms,
                last_at_ms=one.last_at_ms,
                like=self.like(name),
            )
            for name, one in self._records.items()
        ]

    def like(self, name: str) -> str | None:
        """Return the class that came first of those that people take for `name`, if another."""
        first = self._alike.get(likeness(name))
        return None if first == name else first

    def enter(self, said: str, allowed: Sequence[str] | None) -> Entered:
        """Return the class that somebody means by `said`, or why a label can't be of it.

        Parameters
        ----------
        allowed
            The closed set of classes, None for an open one.
        """
        name = class_named(said, allowed)
        if name in self._records and (allowed is None or name in allowed):
            return Entered(name)
        problem = self._problem(said, name, allowed)
        if problem is not None:
            return Entered(name, problem)
        return Entered(name, None, NewClass(name, self.like(name) if allowed is None else None))

    def enter_label(
        self, label: Label, allowed: Sequence[str] | None
    ) -> tuple[Label, str | None, NewClass | None]:
        """Return a label with its class as it is spelled here; why it is invalid; what is new."""
        if not label.annotator:
            return label, f"annotator: {label.annotator!r}: every label names its annotator", None
        if label.kind != "label" or label.label is None:
            return label, None, None
        entered = self.enter(label.label, allowed)
        if entered.name != label.label:
            label = label.model_copy(update={"label": entered.name})
        return label, entered.problem, entered.new

    def _problem(self, said: str, name: str, allowed: Sequence[str] | None) -> str | None:
        shown = f"label: {said[:_QUOTED_CHARACTERS]!r}"
        if not name:
            return f"{shown}: nothing of it can be seen; name a class"
        if allowed is not None and name not in allowed:
            hint = _did_you_mean(meant(name, allowed))
            return f"{shown}: not one of labels.classes ({', '.join(allowed)}){hint}"
        if len(name) > CLASS_CHARACTERS_MAX:
            return (
                f"{shown}…: it has {len(name)} characters, and no model learns a class of more "
                f"than {CLASS_CHARACTERS_MAX}; shorten it"
            )
        if len(self._records) >= CLASSES_MAX:
            hint = _did_you_mean(meant(name, self._records))
            return (
                f"{shown}: {CLASSES_MAX} classes are known, and no model learns one more{hint}; "
                "`stream-al status --json` lists them"
            )
        return None

    def know(self, names: Iterable[str]) -> None:
        """Take in classes of a state that was dumped before there was this table."""
        for name in names:
            if name not in self._records:
                self._meet(name, 0)

    def fold(self, record: JournalRecord) -> None:
        """Take in what a journal record says of classes."""
        match record:
            case LabelEntry():
                if record.replaced_label is not None:
                    self._take_back(record.replaced_label)
                self._meet(record.label, record.at_ms, labels=1)
                for vote in record.votes:
                    self._meet(vote.label, record.at_ms, by=vote.annotator)
            case VoteEntry() if record.label is not None:
                self._meet(record.label, record.at_ms, by=record.annotator)
            case VolunteeredEntry():
                self._meet(record.label, record.at_ms, labels=1, by=record.annotator)
            case RetractionEntry():
                self._take_back(record.label)
            case SeedEntry():
                self._meet(record.label, record.at_ms, seeds=1)
            case ModelEntry():
                self._begin_lineage(record)
            case GoldEntry():
                self._meet(record.label, record.at_ms, gold=1)
            case _:
                pass

    def _meet(
        self,
        name: str,
        at_ms: int,
        *,
        labels: int = 0,
        seeds: int = 0,
        gold: int = 0,
        by: str | None = None,
    ) -> None:
        known = self._records.get(name)
        if known is None:
            if len(self._records) >= CLASSES_MAX or not 0 < len(name) <= CLASS_CHARACTERS_MAX:
                return
            known = self._records[name] = ClassRecord(at_ms, at_ms)
            self._alike.setdefault(likeness(name), name)
        known.labels += labels
        known.seeds += seeds
        known.gold += gold
        known.last_at_ms = at_ms
        if by is not None:
            known.said_by(by)

    def _begin_lineage(self, record: ModelEntry) -> None:
        """Forget what a new lineage does not learn: all, or classes left out and renamed."""
        if record.start == "empty":
            self._records, self._alike = {}, {}
        renamed = record.renamed or {}
        for name in (*(record.without_classes or ()), *renamed):
            old = self._records.pop(name, None)
            if old is None or name not in renamed:
                continue
            self._meet(renamed[name], old.first_at_ms)
            new = self._records.get(renamed[name])
            if new is not None:
                new.take_over(old)
        self._alike = {}
        for name in self._records:
            self._alike.setdefault(likeness(name), name)

    def _take_back(self, name: str) -> None:
        known = self._records.get(name)
        if known is not None and known.labels > 0:
            known.labels -= 1

    def described(self) -> list[object]:
        """Return the whole state, to be compared."""
        return [
            (name, one.labels, one.seeds, one.gold, list(one.annotators), one.first_at_ms,
             one.last_at_ms)
            for name, one in self._records.items()
        ]  # fmt: skip


def _did_you_mean(name: str | None) -> str:
    return "" if name is None else f"; did you mean `{name}`?"
