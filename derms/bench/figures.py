"""What a benchmark found, as values: figures with their targets, tables, and sections of both. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

_DIGITS = {"%": 2, "s": 0, "min": 1, "ms": 2, "a charger-hour": 2, "chargers": 0, "setpoints": 0, "": 3}
"""Decimals to show, by unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One thing measured."""

    what: str
    value: float
    unit: str = "%"
    target: float | None = None
    """None: it is shown for what it is."""
    at_least: bool = True
    """The target is a least value; else a largest."""
    bound: float | None = None
    """The best that could be, where that is known."""
    rivals: tuple[tuple[str, float], ...] = ()
    """The same of others, measured in the same run."""

    @property
    def passed(self) -> bool | None:
        """Whether the target is reached; None: there is none."""
        if self.target is None:
            return None
        return self.value >= self.target if self.at_least else self.value <= self.target

    def shown(self, value: float) -> str:
        """A value in this figure's unit."""
        digits = _DIGITS.get(self.unit, 2)
        return f"{value:.{digits}f} {self.unit}".strip()

    @property
    def aim(self) -> str:
        """The target in words."""
        if self.target is None:
            return ""
        return f"{'>=' if self.at_least else '<='} {self.target:g} {self.unit}".strip()

    @property
    def verdict(self) -> str:
        """In a word."""
        return {None: "", True: "pass", False: "fail"}[self.passed]

    @property
    def scale(self) -> str:
        """The best that could be, and what others reach."""
        known = () if self.bound is None else (("best possible", self.bound),)
        return ", ".join(f"{name} {self.shown(value)}" for name, value in (*known, *self.rivals))


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of texts under one title."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """All of one subject."""

    key: str
    title: str
    setting: str
    """What was measured, on what."""
    figures: tuple[Figure, ...]
    tables: tuple[Table, ...] = ()


def lines_of(section: Section) -> list[str]:
    """A section as plain text."""
    header = ("figure", "value", "target", "", "for scale")
    rows = [(each.what, each.shown(each.value), each.aim, each.verdict, each.scale) for each in section.figures]
    lines = [section.title, "", *_aligned(header, rows)]
    for table in section.tables:
        lines += ["", f"{table.title}:", *_aligned(table.header, table.rows)]
    return lines


def markdown_of(section: Section) -> str:
    """A section as a part of a page, without its heading."""
    header = ("figure", "value", "target", "", "for scale")
    rows = [(each.what, each.shown(each.value), each.aim, each.verdict, each.scale) for each in section.figures]
    parts = [section.setting, _piped(header, rows)]
    for table in section.tables:
        parts += [f"{table.title}:", _piped(table.header, table.rows)]
    return "\n\n".join(parts)


def _aligned(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (header, *rows)
    ]


def _piped(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    rule = tuple("---" for _ in header)
    return "\n".join(f"| {' | '.join(row)} |".replace("|  |", "| |") for row in (header, rule, *rows))
