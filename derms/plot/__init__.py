"""Charts in characters: lines in braille, bars, sparklines. Pure, and of the standard library alone.

What is drawn comes back as rows, and a row as segments of text, each with a tone: a plain terminal prints the text, one
with colours paints each tone as it likes, and so does a widget. A chart is exactly as large as was asked for, whatever
it is given: None, NaN, infinities and powers that no feeder has are gaps. With ``ascii_only`` no character is beyond
ASCII.

Tones that charts use themselves are `AXIS`, `LABEL` and `NOW`; all others are the caller's.
"""

from derms.plot.bars import Bar, Bin, bars, binned
from derms.plot.chart import chart
from derms.plot.parts import Chart, Level, Series, Stroke, Window, XAxis
from derms.plot.spark import sparkline
from derms.plot.text import AXIS, LABEL, NOW, Row, Segment, cells, fitted, plain

__all__ = [
    "AXIS",
    "LABEL",
    "NOW",
    "Bar",
    "Bin",
    "Chart",
    "Level",
    "Row",
    "Segment",
    "Series",
    "Stroke",
    "Window",
    "XAxis",
    "bars",
    "binned",
    "cells",
    "chart",
    "fitted",
    "plain",
    "sparkline",
]
