"""A scenario on a virtual clock: true devices, the real controller, and the judge between them."""

import asyncio
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agent.endpoint import Verdict
from derms.contract import Refusal, Topics, decode_setpoint, encode_telemetry
from derms.contract.setpoint import Order
from derms.control.trees import NodeView
from derms.model import Device as Registration
from derms.model import DeviceKind, DeviceStatus, Dialect, Telemetry
from tests.fakes_contract import LoopClock
from tests.scenarios.agenda import agenda, feeder, registration
from tests.scenarios.chance import drawn
from tests.scenarios.course import Course
from tests.scenarios.excuse import Excuses
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
    """Plays a story; without `keep_all` it keeps no more than the verdicts, so that a day fits into memory."""

    def __init__(self, story: Story, spool: Path, *, keep_all: bool = True) -> None:
        self.story = story = drawn(story)
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
        size = len(self.devices.ids)
        self._course = Course(story, self.forest.ids, self.devices.ids)
        self._excuses = Excuses(
            self.devices, self.forest, self.node, hearing_s=max((d.report_s for d in self.devices.told), default=0.0)
        )
        self._period = np.array([max(round(d.report_s / story.step_s), 1) for d in self.devices.told], dtype=np.int64)
        self._joins_s = np.array([d.joins_s for d in self.devices.told])
        self.devices.plugged = self._joins_s <= 0.0
        self._prompt = np.array([d.prompt for d in self.devices.told], dtype=bool)
        self.speaks_now = np.zeros(size, dtype=bool)
        """It reports at the next step, whatever its interval."""
        self.silent = np.zeros(size, dtype=bool)
        self.reports_as = np.full(size, np.nan)
        """What it reports instead of the truth [kW]; NaN: the truth."""
        self.stuck_ms = np.full(size, -1, dtype=np.int64)
        """The instant at which its clock stopped; -1: it goes."""
        self.wrong_sign = np.zeros(size, dtype=bool)
        self.broken = np.zeros(size, dtype=bool)
        self.meter_silent = np.zeros(len(story.node), dtype=bool)
        self.meter_frozen_kw = np.full(len(story.node), np.nan)
        self.could_kwh = 0.0
        """What the cars that have left could have had [kWh]."""
        self.got_kwh = 0.0
        self._rng = np.random.default_rng(story.seed)
        self._seq = 0
        self._agenda = agenda(self)

    @property
    def now_s(self) -> float:
        """Since the beginning [s]."""
        return self.clock.monotonic_s() - self._start_s

    async def play(self) -> Observer:
        """Play it to the end."""
        await self.start_controller()
        dt_s = self.story.step_s
        for step in range(round(self.story.seconds / dt_s)):
            now_s = step * dt_s
            due = bisect_right(self._agenda, now_s + 1e-9, key=lambda entry: entry[0])
            entries, self._agenda = self._agenda[:due], self._agenda[due:]
            for _, deed in entries:
                done = deed()
                if done is not None:
                    await done
            self._live(now_s, dt_s)
            self._report(step, now_s, dt_s)
            await asyncio.sleep(self._start_s + (step + 1) * dt_s - self.clock.monotonic_s())
        await self.controller.stop()
        return self.observer

    async def start_controller(self) -> None:
        """Start it with the registry as it stands: every device that has joined, and the head meters.

        A daemon that finds no store waits for it.
        """
        if self.controller.loop is not None:
            return
        if self.books.away:
            self._agenda.insert(0, (self.now_s, self.start_controller))
            return
        now_s = self.now_s
        known = [(registration(d), d.priors or now_s > 0.0) for d in self.devices.told if d.joins_s <= now_s]
        meters = [
            (Registration(device_id=f"meter-{node.id}", kind=DeviceKind.METER, feeder_id=node.id), True)
            for node in self.story.node
            if node.metered
        ]
        await self.controller.start([*known, *meters])

    def _live(self, now_s: float, dt_s: float) -> None:
        self.background_kw = _steps(self.story, now_s)
        self._course.step(now_s, self.background_kw, self.devices.natural_kw)
        self.devices.step(self._start_s + now_s, dt_s)
        own = self.background_kw + np.bincount(self.node, weights=self.devices.p_kw, minlength=len(self.story.node))
        self.load_kw = self.forest.sums(own)
        loop = self.controller.loop
        self._excuses.watch(
            now_s,
            broker_away=self.wire.down,
            controller_down=loop is None,
            background_kw=self.background_kw,
            limits_kw=lambda: self.observer.limits_kw(now_s),
        )
        self.observer.look(now_s, dt_s, self.load_kw, self._excused_kw)
        if loop is None or not self.observer.keep_all:
            return
        self.said.append(_said(now_s, [loop.feeders[node.id].view for node in self.story.node], self.flagged()))

    def _excused_kw(self, limits_kw: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
        loop = self.controller.loop
        views = [None if loop is None else loop.feeders[node.id].view for node in self.story.node]
        shortfall_kw = np.array([0.0 if view is None else view.shortfall_kw for view in views])
        return self._excuses.excused_kw(self.background_kw, self.load_kw, limits_kw, shortfall_kw)

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
        due = ((step + np.arange(self.silent.size)) % self._period == 0) | (self.speaks_now & self._prompt)
        for row in np.flatnonzero(due & ~self.silent & (self._joins_s <= now_s)).tolist():
            self._seq += 1
            self.wire.put(*self._reading(row, self.devices.told[row], at_ms, monotonic_s))
        self.speaks_now[:] = False
        if step % max(round(1.0 / dt_s), 1) == 0:
            for index, node in enumerate(self.story.node):
                if node.metered and not self.meter_silent[index]:
                    self._meter(index, node.id, at_ms)

    def _meter(self, index: int, node_id: str, at_ms: int) -> None:
        self._seq += 1
        true_kw = float(self.load_kw[index]) * (1.0 + self.story.meter_noise * float(self._rng.standard_normal()))
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
            ready_by_ms=at_ms + round((self._start_s + self.devices.ready_by_s[row] - monotonic_s) * 1000.0)
            if np.isfinite(self.devices.ready_by_s[row])
            else None,
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
        before = self.devices.wish_kw[row]
        verdict = self.devices.offer(lease, now_ms=self.device_clock.now_ms(), now_s=self.clock.monotonic_s())
        self.speaks_now[row] |= verdict is Verdict.ACCEPTED and lease.p_setpoint_kw != before
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
