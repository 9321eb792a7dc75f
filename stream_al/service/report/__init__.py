"""The report: frozen figures in, one HTML file out, without network or script.

Pure functions only; who calls them writes the file.
"""

from stream_al.service.report.charts import LineChart, Series, histogram, line_chart
from stream_al.service.report.figures import (
    Arm,
    AskedRow,
    DemoFigures,
    EstimatePoint,
    Point,
    SpendPoint,
    band,
)
from stream_al.service.report.html import render
from stream_al.service.report.verdict import Verdict, verdict

__all__ = [
    "Arm",
    "AskedRow",
    "DemoFigures",
    "EstimatePoint",
    "LineChart",
    "Point",
    "Series",
    "SpendPoint",
    "Verdict",
    "band",
    "histogram",
    "line_chart",
    "render",
    "verdict",
]
