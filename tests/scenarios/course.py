"""What nobody controls, second by second: load and sun along their course of the day, with swings around it.

Swings are Ornstein-Uhlenbeck processes, one of each row's own and one that all rows of a course share; all rows of all
courses are stepped together, as columns.
"""

import numpy as np

from tests.scenarios.physics import Floats
from tests.scenarios.story import Story, named


class Course:
    """Of all nodes and devices; a node or device without a course keeps what the story says."""

    def __init__(self, story: Story, node_ids: list[str], device_ids: list[str]) -> None:
        self._from_h, self._dt_s, self._size = story.from_h, story.step_s, len(node_ids)
        self._rng = np.random.default_rng([story.seed, 3])
        self._lines = [_around_the_clock(told.kw) for told in story.course]
        of, rows = [], []
        for line, told in enumerate(story.course):
            for name in told.at:
                found = [node_ids.index(name)] if name in node_ids else named(device_ids, name)
                rows += found if name in node_ids else [self._size + row for row in found]
                of += [line] * len(found)
        self._of, self._rows = np.array(of, dtype=np.int64), np.array(rows, dtype=np.int64)

        def column(name: str) -> Floats:
            return np.array([getattr(told, name) for told in story.course], dtype=np.float64)

        self._swing, self._share = column("swing")[self._of], column("shared")
        self._least, self._most = column("least")[self._of], column("most")[self._of]
        self._keep = np.exp(-self._dt_s / column("swing_s"))
        self._own, self._all = self._rng.standard_normal(self._of.size), self._rng.standard_normal(len(self._lines))

    def step(self, now_s: float, own_kw: Floats, natural_kw: Floats) -> None:
        """Let the nodes' own load, shape (m,), and what devices make or draw, shape (n,), become what they are now."""
        if not self._lines:
            return
        hour = (self._from_h + now_s / 3600.0) % 24.0
        level = np.array([np.interp(hour, hours, kw) for hours, kw in self._lines])
        fresh = np.sqrt(1.0 - self._keep**2)
        self._all = self._keep * self._all + fresh * self._rng.standard_normal(self._all.size)
        self._own = self._keep[self._of] * self._own + fresh[self._of] * self._rng.standard_normal(self._own.size)
        both = np.sqrt(1.0 - self._share)[self._of] * self._own + (np.sqrt(self._share) * self._all)[self._of]
        power = np.concatenate((own_kw, natural_kw))
        power[self._rows] = level[self._of] * np.clip(1.0 + self._swing * both, self._least, self._most)
        own_kw[:], natural_kw[:] = power[: self._size], power[self._size :]


def _around_the_clock(told: list[tuple[float, float]]) -> tuple[Floats, Floats]:
    """Hours and power [kW], with the last of the day before and the first of the day after."""
    (first_h, first_kw), (last_h, last_kw) = told[0], told[-1]
    whole = [(last_h - 24.0, last_kw), *told, (first_h + 24.0, first_kw)]
    return np.array([hour for hour, _ in whole]), np.array([kw for _, kw in whole])
