"""A scenario on a virtual clock: true devices, the real controller, and the judge between them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from derms.contract import Refusal, Topics, decode_setpoint, encode_telemetry
from derms.contract.setpoint import Order
from derms.control.trees import NodeView
from derms.model import Device as Registration
from derms.model import DeviceKind, DeviceStatus, Dialect, Telemetry
from tests.fakes_contract import LoopClock
from tests.scenarios.agenda import agenda, feeder, registration
from tests.scenarios.observer import Forest, Observer, Sent
from tests.scenarios.physics import Devices, Floats
from tests.scenarios.story import Device, Story
from tests.scenarios.wire import Books, Controller, Wire


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What the controller itself said at an instant; shape (m,) each."""

    at_s: float
    headroom_kw: Floats
    import_limit_kw: Floats
    shortfall_kw: Floats
    envelope_import_kw: Floats
    flagged: frozenset[str]


class Stage:
    """Plays a story. `direct` may change the true devices at every step; `background` overrides the nodes' steps."""

    def __init__(
        self,
        story: Story,
        spool: Path,
        *,
        keep_all: bool = True,
        direct: Callable[["Stage", float], None] | None = None,
        background: Callable[[float], Floats] | None = None,
        excuse: Callable[["Stage", float], Floats] | None = None,
    ) -> None:
        self.story = story
        self.devices = Devices(story.devices())
        self.forest = Forest(story.node)
        self.node = np.array([self.forest.row[device.node] for device in self.devices.told], dtype=np.int64)
        self.observer = Observer(story, self.forest, self.devices, keep_all=keep_all)
        self.said: list[Said] = []
        self.background_kw = np.zeros(len(story.node))
        self.load_kw = np.zeros(len(story.node))
        """True load of every node, everything below it included [kW]."""
        self.clock, self.device_clock = LoopClock(), LoopClock()
        self.books = Books()
        self._start_s = self.clock.monotonic_s()
        self._topics = Topics()
        self.wire = Wire(self._deliver)
        self.controller = Controller(
            feeders=[feeder(node) for node in story.node],
            wire=self.wire,
            books=self.books,
            clock=self.clock,
            params=story.constants(),
            spool=spool,
        )
        self._direct, self._background, self._excuse = direct, background, excuse
        size = len(self.devices.ids)
        self.silent = np.zeros(size, dtype=bool)
        self.reports_as = np.full(size, np.nan)
        """What it reports instead of the truth [kW]; NaN: the truth."""
        self.stuck_ms = np.full(size, -1, dtype=np.int64)
        """The instant at which its clock stopped; -1: it goes."""
        self.wrong_sign = np.zeros(size, dtype=bool)
        self.broken = np.zeros(size, dtype=bool)
        self.meter_silent = np.zeros(len(story.node), dtype=bool)
        self.meter_frozen_kw = np.full(len(story.node), np.nan)
        self.meter_noise = 0.0
        self._rng = np.random.default_rng(1)
        self._seq = 0
        self._agenda = agenda(self)

    @property
    def now_s(self) -> float:
        """Since the beginning [s]."""
        return self.clock.monotonic_s() - self._start_s

    async def play(self) -> Observer:
        """Play it to the end."""
        told = self.devices.told
        self.devices.plugged = np.array([device.joins_s <= 0.0 for device in told], dtype=bool)
        await self.start_controller()
        dt_s = self.story.step_s
        for step in range(round(self.story.seconds / dt_s)):
            now_s = step * dt_s
            while self._agenda and self._agenda[0][0] <= now_s + 1e-9:
                done = self._agenda.pop(0)[1]()
                if done is not None:
                    await done
            if self._direct is not None:
                self._direct(self, now_s)
            self._live(now_s, dt_s)
            self._report(step, now_s, dt_s)
            await asyncio.sleep(self._start_s + (step + 1) * dt_s - self.clock.monotonic_s())
        await self.controller.stop()
        return self.observer

    async def start_controller(self) -> None:
        """Start it with the registry as it stands: every device that has joined, and the head meters."""
        now_s = self.now_s
        known = [(registration(d), d.priors or now_s > 0.0) for d in self.devices.told if d.joins_s <= now_s]
        meters = [
            (Registration(device_id=f"meter-{node.id}", kind=DeviceKind.METER, feeder_id=node.id), True)
            for node in self.story.node
            if node.metered
        ]
        await self.controller.start([*known, *meters])

    def _live(self, now_s: float, dt_s: float) -> None:
        self.devices.step(self._start_s + now_s, dt_s)
        self.background_kw = self._background(now_s) if self._background else _steps(self.story, now_s)
        own = self.background_kw + np.bincount(self.node, weights=self.devices.p_kw, minlength=len(self.story.node))
        self.load_kw = self.forest.sums(own)
        self.observer.look(now_s, dt_s, self.load_kw, self._excuse(self, now_s) if self._excuse else None)
        loop = self.controller.loop
        if loop is None or not self.observer.keep_all:
            return
        self.said.append(_said(now_s, [loop.feeders[node.id].view for node in self.story.node], self.flagged()))

    def flagged(self) -> list[str]:
        """Whom the controller now calls disobedient."""
        if self.controller.loop is None:
            return []
        fleet = self.controller.fleet
        return [
            fleet.devices[int(tree.rows[index])].device_id
            for tree in self.controller.loop.trees
            if tree.decision is not None and tree.decision.disobedient.size == tree.rows.size
            for index in np.flatnonzero(tree.decision.disobedient)
        ]

    def _report(self, step: int, now_s: float, dt_s: float) -> None:
        at_ms, monotonic_s = self.device_clock.now_ms(), self.clock.monotonic_s()
        for row, told in enumerate(self.devices.told):
            every = max(round(told.report_s / dt_s), 1)
            joined = told.joins_s <= now_s
            if (step + row) % every == 0 and joined and not self.silent[row]:
                self._seq += 1
                self.wire.put(*self._reading(row, told, at_ms, monotonic_s))
        if step % max(round(1.0 / dt_s), 1) == 0:
            for index, node in enumerate(self.story.node):
                if node.metered and not self.meter_silent[index]:
                    self._meter(index, node.id, at_ms)

    def _meter(self, index: int, node_id: str, at_ms: int) -> None:
        self._seq += 1
        true_kw = float(self.load_kw[index]) * (1.0 + self.meter_noise * float(self._rng.standard_normal()))
        frozen = self.meter_frozen_kw[index]
        reading = Telemetry(
            device_id=f"meter-{node_id}",
            kind=DeviceKind.METER,
            at_ms=at_ms,
            p_actual_kw=float(frozen) if np.isfinite(frozen) else true_kw,
            seq=self._seq,
        )
        self.wire.put(*encode_telemetry(self._topics, reading, Dialect.V1))

    def _reading(self, row: int, told: Device, at_ms: int, monotonic_s: float) -> tuple[str, bytes]:
        following = self.devices.endpoints[row].following(monotonic_s)
        p_kw = float(self.devices.p_kw[row])
        if np.isfinite(self.reports_as[row]):
            p_kw = float(self.reports_as[row])
        seq = self._seq
        if self.stuck_ms[row] >= 0:
            at_ms, seq = int(self.stuck_ms[row]), 0
        unavailable = not self.devices.plugged[row]
        status = DeviceStatus.FAULT if self.broken[row] else DeviceStatus.OK
        reading = Telemetry(
            device_id=told.id,
            kind=told.kind,
            at_ms=at_ms,
            p_actual_kw=-p_kw if self.wrong_sign[row] else p_kw,
            p_setpoint_kw=None if following is None else following.p_kw,
            soc=None
            if told.soc is None or unavailable
            else float(self.devices.soc[row]) * (100 if told.in_percent else 1),
            seq=seq,
            feeder_id=told.node,
            p_max_kw=max(told.rating_kw, told.export_kw) or None,
            capacity_kwh=told.capacity_kwh,
            ready_by_ms=None
            if told.ready_by_s is None
            else at_ms + round((self._start_s + told.ready_by_s - monotonic_s) * 1000.0),
            energy_needed_kwh=told.energy_kwh,
            status=DeviceStatus.UNAVAILABLE if unavailable else status,
            applied_epoch=None if following is None else following.epoch,
            applied_seq=None if following is None else following.seq,
            dialect=told.dialect,
        )
        return encode_telemetry(self._topics, reading, told.dialect)

    def _deliver(self, topic: str, payload: bytes) -> None:
        target = self._topics.setpoint_target(topic)
        assert target is not None
        row = self.devices.row[target[0]]
        told = self.devices.told[row]
        lease = decode_setpoint(self._topics, topic, payload, kind=told.kind)
        assert not isinstance(lease, Refusal | Order), f"{told.id} cannot read {payload!r}"
        verdict = self.devices.offer(lease, now_ms=self.device_clock.now_ms(), now_s=self.clock.monotonic_s())
        self.observer.hear(Sent(self.now_s, row, lease, verdict))


def _said(now_s: float, views: list[NodeView | None], flagged: list[str]) -> Said:
    def column(name: str) -> Floats:
        return np.array([np.nan if view is None else getattr(view, name) for view in views])

    return Said(
        at_s=now_s,
        headroom_kw=column("headroom_kw"),
        import_limit_kw=column("import_limit_kw"),
        shortfall_kw=column("shortfall_kw"),
        envelope_import_kw=column("envelope_import_kw"),
        flagged=frozenset(flagged),
    )


def _steps(story: Story, now_s: float) -> Floats:
    """Each node's own uncontrolled load now, shape (m,) [kW]."""
    return np.array([next((kw for at_s, kw in reversed(node.background) if at_s <= now_s), 0.0) for node in story.node])
