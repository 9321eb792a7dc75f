"""`evaluate`: on a user's own labelled history, quality against labels spent.

`source` reads a file, `columns` makes examples of its rows, `plan` lists the runs, `run` does one,
`pool` all of them, `summary` joins them, `outcome` and `page` write what came out.
"""

from stream_al.service.evaluate.columns import Column, Labelled, kind_of, label_text, labelled
from stream_al.service.evaluate.mapped import as_configured, paths_for
from stream_al.service.evaluate.outcome import (
    Evaluation,
    document,
    evaluation_of,
    json_text,
    table,
    write,
)
from stream_al.service.evaluate.page import render_evaluation
from stream_al.service.evaluate.plan import BUDGETS, Cell, Plan, checked, delays, parts, shares
from stream_al.service.evaluate.pool import cores, run_all
from stream_al.service.evaluate.prequential import EVENT_MS, Step, follow
from stream_al.service.evaluate.run import Ran, estimated_seconds, run_cell
from stream_al.service.evaluate.source import (
    FORMATS,
    ROWS_MAX,
    FileFormat,
    History,
    format_of,
    read_history,
)
from stream_al.service.evaluate.summary import (
    Group,
    Spread,
    Told,
    grouped,
    labels_needed,
    paragraph,
    spread_of,
    told_of,
)

__all__ = [
    "BUDGETS",
    "EVENT_MS",
    "FORMATS",
    "ROWS_MAX",
    "Cell",
    "Column",
    "Evaluation",
    "FileFormat",
    "Group",
    "History",
    "Labelled",
    "Plan",
    "Ran",
    "Spread",
    "Step",
    "Told",
    "as_configured",
    "checked",
    "cores",
    "delays",
    "document",
    "estimated_seconds",
    "evaluation_of",
    "follow",
    "format_of",
    "grouped",
    "json_text",
    "kind_of",
    "label_text",
    "labelled",
    "labels_needed",
    "paragraph",
    "parts",
    "paths_for",
    "read_history",
    "render_evaluation",
    "run_all",
    "run_cell",
    "shares",
    "spread_of",
    "table",
    "told_of",
    "write",
]
