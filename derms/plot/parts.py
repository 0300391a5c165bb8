"""What a chart is made of. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Stroke(StrEnum):
    """How a line looks."""

    SOLID = "solid"
    DASHED = "dashed"
    DOTTED = "dotted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """What goes up and down."""

    name: str
    """In the legend; nothing: it is not there."""
    xs: Sequence[float]
    """Where; for an axis of time in seconds since 1970, UTC."""
    ys: Sequence[float | None]
    """How much; None and what is no number is a gap."""
    tone: str = ""
    step: bool = False
    """A value holds until the next one, or a gap, or the end; else lines go straight from one to the other."""
    stroke: Stroke = Stroke.SOLID


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A value that is the same everywhere, such as a limit."""

    name: str
    y: float
    tone: str = ""
    stroke: Stroke = Stroke.DASHED


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A shaded stretch, such as an event; a face may give its tone a background."""

    start: float
    end: float
    name: str = ""
    tone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class XAxis:
    """What goes from left to right."""

    low: float | None = None
    """The left end; None: the first sample."""
    high: float | None = None
    """The right end; None: the last sample, or the end of a window."""
    offset_s: float | None = None
    """It is time, and this is the clock's offset from UTC [s]; None: it is a number."""
    unit: str = ""
    """At its left end, below the other axis: `+01:00`, `h`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """All of it; what stands later in a list is drawn over what stands before."""

    series: Sequence[Series] = ()
    levels: Sequence[Level] = ()
    windows: Sequence[Window] = ()
    unit: str = ""
    """Of what goes up and down; above its axis."""
    x: XAxis = field(default_factory=XAxis)
    include: Sequence[float] = (0.0,)
    """Values that are in sight whatever the samples are."""
    now: float | None = None
    """Where the present is: a line, and what lies beyond it is dotted."""
    legend: bool = True
