"""The judge: what truly flowed through every node, against the limit in force; and every setpoint on the wire.

It believes no telemetry and asks the controller nothing. A *violation* is a stretch of looks at the physics in which
the true load of a node that is commanded lies above its limit by more than 0.5 % of it (and `slack_kw`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from agent.endpoint import Verdict
from derms.model import DeviceKind, FeederMode, Setpoint
from tests.scenarios.physics import Devices, Floats
from tests.scenarios.story import Node, Story

TOLERANCE = 0.005
"""Of the limit: below this an excess is the meter's, not the controller's."""
_TURN = 0.02
"""A setpoint that comes back by more than this share of the rating has turned round."""


_Limits = tuple[Floats, Floats]


@dataclass(slots=True)
class Stretch:
    """A violation."""

    node: str
    direction: str
    start_s: float
    seconds: float
    worst_kw: float


@dataclass(slots=True)
class Sent:
    """One setpoint on the wire."""

    at_s: float
    row: int
    lease: Setpoint
    verdict: Verdict | None


class Forest:
    """Sums over the true tree."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        row = {node.id: index for index, node in enumerate(nodes)}
        self.ids = [node.id for node in nodes]
        self.parent = [-1 if node.parent is None else row[node.parent] for node in nodes]
        assert all(parent < index for index, parent in enumerate(self.parent)), "parents come first"
        self.row = row

    def sums(self, own: Floats) -> Floats:
        """Each node with everything below it, shape (m,)."""
        total = own.astype(np.float64, copy=True)
        for index in range(len(self.parent) - 1, -1, -1):
            if self.parent[index] >= 0:
                total[self.parent[index]] += total[index]
        return total

    def below(self, index: int) -> set[int]:
        """A node and everything below it."""
        found = {index}
        for child, parent in enumerate(self.parent):
            if parent in found:
                found.add(child)
        return found


@dataclass(slots=True)
class Observer:
    """Looks on, and counts."""

    story: Story
    forest: Forest
    devices: Devices
    stretches: list[Stretch] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    sent_count: int = 0
    refused: list[Sent] = field(default_factory=list)
    unlawful: list[Sent] = field(default_factory=list)
    reversals: int = 0
    """By all devices."""
    excused_s: float = 0.0
    """Above a limit as no controller could have prevented, of all nodes together [s]; see `excuse`."""
    keep_all: bool = True
    """Keep every setpoint and every load; else only the verdicts."""
    times_s: list[float] = field(default_factory=list)
    loads_kw: list[Floats] = field(default_factory=list)
    powers_kw: list[Floats] = field(default_factory=list)
    _open: dict[tuple[int, str], Stretch] = field(default_factory=dict)
    _judged: list[int] = field(default_factory=list)
    _told: Floats = field(default_factory=lambda: np.empty(0))
    _way: Floats = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        modes = [node.mode for node in self.story.node]
        for index, parent in enumerate(self.forest.parent):
            if parent >= 0 and modes[parent] is not FeederMode.AUTO:
                modes[index] = modes[parent]
            if modes[index] is FeederMode.AUTO:
                self._judged.append(index)
        self._told = np.full(len(self.devices.ids), np.nan)
        self._way = np.zeros(len(self.devices.ids))

    def limits_kw(self, now_s: float) -> tuple[Floats, Floats]:
        """Import and export limits in force, as the story tells them; sheds are judged by expectations."""
        upper = np.array([np.inf if n.import_kw is None else n.import_kw for n in self.story.node])
        lower = np.array([np.inf if n.export_kw is None else n.export_kw for n in self.story.node])
        for event in self.story.event:
            if not max(event.at_s, event.told_s) <= now_s < event.at_s + event.for_s:
                continue
            roots = [node.id for node in self.story.node if node.parent is None]
            for node in event.nodes or roots:
                row = self.forest.row[node]
                upper[row] = min(upper[row], np.inf if event.import_kw is None else event.import_kw)
                lower[row] = min(lower[row], np.inf if event.export_kw is None else event.export_kw)
        return upper, lower

    def look(
        self, now_s: float, dt_s: float, load_kw: Floats, excused_kw: Callable[[_Limits], _Limits] | None = None
    ) -> None:
        """Judge the true loads of an instant, shape (m,) [kW].

        `excused_kw` is asked where there is an excess; from the limits it tells what of the import and of the export
        is excused, shape (m,) each [kW].
        """
        upper, lower = limits = self.limits_kw(now_s)
        slack = self.story.allow.slack_kw
        excess = np.array([load_kw - upper * (1.0 + TOLERANCE), -load_kw - lower * (1.0 + TOLERANCE)]) - slack
        over = excess > 0.0
        if excused_kw is not None and over.any():
            excess -= np.array(excused_kw(limits))
            self.excused_s += dt_s * float(np.sum((over & (excess <= 0.0))[:, self._judged]))
        for direction, beyond in zip(("import", "export"), excess, strict=True):
            for index in self._judged:
                self._extend(index, direction, float(beyond[index]), now_s, dt_s)
        if self.keep_all:
            self.times_s.append(now_s)
            self.loads_kw.append(load_kw)
            self.powers_kw.append(self.devices.p_kw)

    def _extend(self, index: int, direction: str, excess_kw: float, now_s: float, dt_s: float) -> None:
        stretch = self._open.get((index, direction))
        if excess_kw <= 0.0:
            if stretch is not None:
                del self._open[index, direction]
            return
        if stretch is None:
            stretch = Stretch(self.forest.ids[index], direction, now_s, 0.0, 0.0)
            self._open[index, direction] = stretch
            self.stretches.append(stretch)
        stretch.seconds += dt_s
        stretch.worst_kw = max(stretch.worst_kw, excess_kw)

    def hear(self, sent: Sent) -> None:
        """Take note of a setpoint, with what the device made of it."""
        self.sent_count += 1
        p_kw, row = sent.lease.p_setpoint_kw, sent.row
        if sent.verdict not in (Verdict.ACCEPTED, None):
            self.refused.append(sent)
        if not self._lawful(row, p_kw) or sent.lease.valid_until_ms <= sent.lease.issued_at_ms:
            self.unlawful.append(sent)
        moved, band = p_kw - self._told[row], _TURN * max(self.devices.rating_kw[row], self.devices.export_kw[row])
        if abs(moved) > band:
            way = 1.0 if moved > 0.0 else -1.0
            self.reversals += bool(self._way[row] * way < 0.0)
            self._way[row] = way
        if not abs(moved) <= band:
            self._told[row] = p_kw
        if self.keep_all:
            self.sent.append(sent)

    def _lawful(self, row: int, p_kw: float) -> bool:
        """Within the rating, not between 0 and the smallest power, in whole steps, nothing out of an empty battery."""
        told = self.devices.told[row]
        if not np.isfinite(p_kw) or p_kw > told.rating_kw + 1e-6 or p_kw < -told.export_kw - 1e-6:
            return False
        if told.kind is DeviceKind.PV:
            return p_kw <= 0.0
        if 0.0 < p_kw < told.min_kw - 1e-6:
            return False
        if told.step_kw > 0.0 and p_kw > 0.0 and abs(p_kw / told.step_kw - round(p_kw / told.step_kw)) > 1e-4:
            return False
        return not (p_kw < 0.0 and self.devices.soc[row] < told.reserve - 0.005)

    @property
    def longest_over_s(self) -> float:
        """The longest violation [s]."""
        return max((stretch.seconds for stretch in self.stretches), default=0.0)

    def reversals_per_hour(self, seconds: float) -> float:
        """Per device that takes setpoints and hour."""
        told = sum(device.kind in (DeviceKind.EV, DeviceKind.BATTERY) for device in self.devices.told)
        return self.reversals / max(told, 1) / (seconds / 3600.0)
