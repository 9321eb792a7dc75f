"""The resolver's logic: pending queries, votes, duplicates, late, conflicting, overturned labels.

The journal's only writer decides here what is written. No I/O: time, records and places come in as
values. Start reading at `resolver`; the table of label and state is in `table`.
"""

from stream_al.labels.annotators import ANNOTATORS_MAX, EVIDENCE_MIN, Annotators
from stream_al.labels.believed import DISAGREEMENT_MS, PATIENCE_S, BelievedTime
from stream_al.labels.classes import CLASS_ANNOTATORS_MAX, NewClass, class_name, likeness
from stream_al.labels.gold import GOLD_MAX, GoldQuestion
from stream_al.labels.proposals import ProposalResult
from stream_al.labels.resolution import Resolution
from stream_al.labels.resolver import Resolver
from stream_al.labels.table import Action, Said, State, action_of, said_of
from stream_al.labels.views import AnnotatorView, ClassView, OldestPending, OpenQuery
from stream_al.labels.votes import Settled, Tied, Undecided, Verdict, decide_votes

__all__ = [
    "ANNOTATORS_MAX",
    "CLASS_ANNOTATORS_MAX",
    "DISAGREEMENT_MS",
    "EVIDENCE_MIN",
    "GOLD_MAX",
    "PATIENCE_S",
    "Action",
    "AnnotatorView",
    "Annotators",
    "BelievedTime",
    "ClassView",
    "GoldQuestion",
    "NewClass",
    "OldestPending",
    "OpenQuery",
    "ProposalResult",
    "Resolution",
    "Resolver",
    "Said",
    "Settled",
    "State",
    "Tied",
    "Undecided",
    "Verdict",
    "action_of",
    "class_name",
    "decide_votes",
    "likeness",
    "said_of",
]
