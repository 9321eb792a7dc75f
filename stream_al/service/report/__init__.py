"""The report: frozen figures in, one HTML file out, without network or script.

Pure functions only; who calls them writes the file.
"""

from stream_al.service.report.charts import LineChart, Series, histogram, line_chart
from stream_al.service.report.figures import (
    Arm,
    ArmName,
    AskedRow,
    DemoFigures,
    EstimatePoint,
    Point,
    SpendPoint,
    band,
)
from stream_al.service.report.html import render
from stream_al.service.report.page import ARM_NAMES, facts_grid, page
from stream_al.service.report.runs import Confusion, Run, arm_figures
from stream_al.service.report.scales import count_text, share_text
from stream_al.service.report.texts import cut, plain, shown
from stream_al.service.report.verdict import Verdict, verdict
from stream_al.service.report.welch import Difference, difference

__all__ = [
    "ARM_NAMES",
    "Arm",
    "ArmName",
    "AskedRow",
    "Confusion",
    "DemoFigures",
    "Difference",
    "EstimatePoint",
    "LineChart",
    "Point",
    "Run",
    "Series",
    "SpendPoint",
    "Verdict",
    "arm_figures",
    "band",
    "count_text",
    "cut",
    "difference",
    "facts_grid",
    "histogram",
    "line_chart",
    "page",
    "plain",
    "render",
    "share_text",
    "shown",
    "verdict",
]
