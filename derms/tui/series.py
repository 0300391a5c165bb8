"""What a feeder and a device did lately: lines for charts, from history first and then from the stream. Pure."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence

from derms.plot import Row

KEEP_S = 2 * 3600.0
"""Older is forgotten [s]."""


class Trail:
    """Several values over time, in order; at most one sample in `every_s`, unless one is pressing.

    Args:
        names: Of the values.
        every_s: How far apart samples are [s].
    """

    def __init__(self, names: Sequence[str], *, every_s: float) -> None:
        self.xs: list[float] = []
        """[epoch s]."""
        self.ys: dict[str, list[float | None]] = {name: [] for name in names}
        self._every_s = every_s
        self._version = 0
        self._drawn: dict[str, tuple[object, list[Row]]] = {}

    def seed(self, samples: Iterable[tuple[float, dict[str, float | None]]]) -> None:
        """Put what was before in front of what is there; in order of time."""
        self._version += 1
        first = self.xs[0] if self.xs else float("inf")
        older = [(at, values) for at, values in samples if at < first]
        self.xs[:0] = [at for at, _ in older]
        for name, line in self.ys.items():
            line[:0] = [values.get(name) for _, values in older]

    def add(self, at_s: float, values: dict[str, float | None], *, pressing: bool = False) -> bool:
        """Take a sample; whether it was taken.

        Args:
            at_s: When [epoch s]; one that is not after the last is left out.
            values: By name.
            pressing: Take it however short the last one is ago.
        """
        if self.xs and (at_s <= self.xs[-1] or (at_s - self.xs[-1] < self._every_s and not pressing)):
            return False
        self._version += 1
        self.xs.append(at_s)
        for name, line in self.ys.items():
            line.append(values.get(name))
        if self.xs[0] < at_s - KEEP_S - 600.0:
            old = bisect_left(self.xs, at_s - KEEP_S)
            del self.xs[:old]
            for line in self.ys.values():
                del line[:old]
        return True

    def gap(self, at_s: float) -> None:
        """From here on nothing is known until the next sample: lines are not drawn across a break."""
        if self.xs and at_s > self.xs[-1]:
            self._version += 1
            self.xs.append(at_s)
            for line in self.ys.values():
                line.append(None)

    def since(self, at_s: float) -> tuple[list[float], dict[str, list[float | None]]]:
        """What is not older, and the one sample before it."""
        begin = max(bisect_left(self.xs, at_s) - 1, 0)
        return self.xs[begin:], {name: line[begin:] for name, line in self.ys.items()}

    def drawn(self, name: str, of: object, draw: Callable[[], list[Row]]) -> list[Row]:
        """What was drawn of it last, while nothing that it is made of is another.

        Args:
            name: Of the drawing.
            of: Whatever else it is made of.
            draw: Draws it.
        """
        made_of = (self._version, of)
        before = self._drawn.get(name)
        if before is None or before[0] != made_of:
            before = self._drawn[name] = (made_of, draw())
        return before[1]


def steady(now_s: float, minutes: float) -> float:
    """The instant up to which a chart is drawn: it moves on in steps of about a dot, not with every second.

    Args:
        now_s: Now [epoch s].
        minutes: How far back the chart goes.
    """
    step_s = max(minutes / 2.0, 1.0)
    return (now_s // step_s + 1.0) * step_s
