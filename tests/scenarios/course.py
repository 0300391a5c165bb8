"""What nobody controls, second by second: load and sun along their course of the day, with swings around it."""

import numpy as np

from tests.scenarios.physics import Floats
from tests.scenarios.story import Course as Told
from tests.scenarios.story import Story, named


class _Line:
    """One course; its swings are Ornstein-Uhlenbeck processes."""

    def __init__(self, told: Told, rows: list[int], rng: np.random.Generator) -> None:
        self.rows = np.array(rows, dtype=np.int64)
        self._told, self._rng = told, rng
        self._hours = np.array([hour for hour, _ in told.kw])
        self._kw = np.array([kw for _, kw in told.kw])
        self._own, self._shared = rng.standard_normal(len(rows)), float(rng.standard_normal())

    def step(self, hour: float, dt_s: float) -> Floats:
        """What each of them makes or draws now, shape (k,) [kW]."""
        told = self._told
        keep = np.exp(-dt_s / told.swing_s)
        fresh = np.sqrt(1.0 - keep**2)
        self._own = keep * self._own + fresh * self._rng.standard_normal(self.rows.size)
        self._shared = keep * self._shared + fresh * float(self._rng.standard_normal())
        both = np.sqrt(1.0 - told.shared) * self._own + np.sqrt(told.shared) * self._shared
        share = np.clip(1.0 + told.swing * both, told.least, told.most)
        course: Floats = np.interp(hour, self._hours, self._kw, period=24.0) * share
        return course


class Course:
    """Of all nodes and devices; a node or device without a course keeps what the story says."""

    def __init__(self, story: Story, node_ids: list[str], device_ids: list[str]) -> None:
        self._story = story
        self._nodes: list[_Line] = []
        self._devices: list[_Line] = []
        for number, told in enumerate(story.course):
            for name in told.at:
                rng = np.random.default_rng([story.seed, 3, number, len(self._nodes) + len(self._devices)])
                if name in node_ids:
                    self._nodes.append(_Line(told, [node_ids.index(name)], rng))
                else:
                    self._devices.append(_Line(told, named(device_ids, name), rng))

    def step(self, now_s: float, own_kw: Floats, natural_kw: Floats) -> None:
        """Let the nodes' own load, shape (m,), and what devices make or draw, shape (n,), become what they are now."""
        hour, dt_s = self._story.from_h + now_s / 3600.0, self._story.step_s
        for line in self._nodes:
            own_kw[line.rows] = line.step(hour, dt_s)
        for line in self._devices:
            natural_kw[line.rows] = line.step(hour, dt_s)
