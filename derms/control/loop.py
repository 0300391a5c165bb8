"""The loop around the tick.

By interval or at once when something changed, never overlapping, never waiting for the store or the broker.
"""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from derms.columns import KINDS, Decision, FeederState, Freshness, Memory, Params, Picture, Reason
from derms.control.decide import decide
from derms.control.demand_response import constraints_on, is_active
from derms.control.dispatch import Outbox
from derms.control.words import reason_text
from derms.fleet import Fleet
from derms.metrics import Metrics
from derms.model import DecisionRecord, DeviceKind, Dialect, DrEvent, Feeder, FeederMode, Setpoint
from derms.ports import Clock
from derms.recorder import Recorder

_MIN_GAP_S = 0.2
"""Between ticks that were asked for, so that a storm of wishes is one tick [s]."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class FeederTick:
    """One feeder as the loop keeps it between ticks."""

    feeder: Feeder
    memory: Memory
    last_s: float | None = None
    decision: Decision | None = None
    rows: tuple[int, ...] = ()
    """The rows that `decision` is about, in its order."""
    decided_ms: int = 0
    ticks: int = 0
    failing: bool = False
    over: bool = False
    """The limit is exceeded, or cannot be held."""


class ControlLoop:
    """Ticks every feeder, hands leases to the outbox and the record to the recorder."""

    def __init__(
        self,
        *,
        feeders: Iterable[Feeder],
        fleet: Fleet,
        outbox: Outbox,
        recorder: Recorder,
        clock: Clock,
        metrics: Metrics,
        params: Params,
        epoch: int,
    ) -> None:
        """Prepare the loop; nothing is sent before the first tick."""
        self.feeders = {feeder.feeder_id: FeederTick(feeder, Memory.empty()) for feeder in feeders}
        self.events: dict[str, DrEvent] = {}
        self.epoch = epoch
        self.last_tick_s: float | None = None
        self._fleet = fleet
        self._outbox = outbox
        self._recorder = recorder
        self._clock = clock
        self._metrics = metrics
        self._params = params
        self._seq = 0
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Ask for a tick now."""
        self._wake.set()

    def add_event(self, event: DrEvent) -> None:
        """Let an event bear from its start on, and tick at once."""
        self.events[event.event_id] = event
        self.wake()

    def observed_load(self, feeder_id: str, metered_kw: float) -> None:
        """Ask for a tick when a head meter reads above the limit in force: that cannot wait for the interval."""
        state = self.feeders.get(feeder_id)
        if state is None or state.decision is None:
            return
        over = metered_kw > state.decision.import_limit_kw or -metered_kw > state.decision.export_limit_kw
        if over and not state.over:
            self.wake()

    async def run(self) -> None:
        """Tick until cancelled."""
        due_s = self._clock.monotonic_s()
        while True:
            started_s = self._clock.monotonic_s()
            self._metrics.tick_lateness_seconds.observe(max(started_s - due_s, 0.0))
            self._wake.clear()
            self.tick()
            due_s = started_s + self._params.interval_s
            # Between two that were asked for there is always a gap in which ingest and the API get their turn.
            await asyncio.sleep(_MIN_GAP_S)
            try:
                async with asyncio.timeout(self._until_next(due_s)):
                    await self._wake.wait()
                due_s = self._clock.monotonic_s()
            except TimeoutError:
                pass

    def _until_next(self, due_s: float) -> float:
        """Seconds until the interval is over or an event starts or ends, whichever is first."""
        now_ms = self._clock.now_ms()
        edges = [
            edge.timestamp() - now_ms / 1000.0
            for event in self.events.values()
            if event.cancelled_at is None
            for edge in (event.start, event.end)
        ]
        left_s = due_s - self._clock.monotonic_s()
        return max(min([left_s, *(edge + 0.001 for edge in edges if edge > 0.0)]), 0.0)

    def tick(self) -> None:
        """Decide for every feeder; a feeder whose tick fails does not stop the others."""
        now_s, now_ms = self._clock.monotonic_s(), self._clock.now_ms()
        now = datetime.fromtimestamp(now_ms / 1000.0, tz=UTC)
        self.events = {key: event for key, event in self.events.items() if event.end > now}
        self._metrics.events_active.set(sum(is_active(event, now) for event in self.events.values()))
        loads = {key: _load_of(state) for key, state in self.feeders.items()}
        for state in self.feeders.values():
            if state.feeder.mode is FeederMode.OFF:
                continue
            try:
                self._tick_feeder(state, loads, now=now, now_s=now_s, now_ms=now_ms)
            except Exception:
                self._metrics.tick_failures_total.inc()
                if not state.failing:
                    log.exception("The tick of feeder %s failed", state.feeder.feeder_id)
                state.failing = True
            else:
                if state.failing:
                    log.info("The tick of feeder %s works again", state.feeder.feeder_id)
                state.failing = False
        self._count_devices()
        self.last_tick_s = now_s

    def _tick_feeder(
        self, state: FeederTick, loads: dict[str, float], *, now: datetime, now_s: float, now_ms: int
    ) -> None:
        started_s = self._clock.monotonic_s()
        feeder = state.feeder
        rows = self._fleet.rows_of(feeder.feeder_id)
        metered_kw, metered_age_s = self._fleet.meter(feeder.feeder_id, now_s=now_s)
        elapsed_s = self._params.interval_s if state.last_s is None else now_s - state.last_s
        if not loads[feeder.feeder_id] and np.isfinite(metered_kw):
            loads = {**loads, feeder.feeder_id: metered_kw}
        picture = Picture(
            dt_s=min(elapsed_s, 3.0 * self._params.interval_s),
            feeder=_state_of(feeder, metered_kw, metered_age_s),
            constraints=constraints_on(feeder.feeder_id, self.events.values(), now, loads),
            devices=self._fleet.columns(rows, now_s=now_s, now_ms=now_ms),
        )
        memory = _aligned(state, rows.tolist())
        decision, state.memory = decide(picture, memory, self._params)
        state.rows = tuple(rows.tolist())
        state.decision, state.last_s, state.decided_ms = decision, now_s, now_ms
        state.ticks += 1
        sent = self._send(state, decision, now_s=now_s, now_ms=now_ms)
        duration_s = self._clock.monotonic_s() - started_s
        self._record(state, decision, sent=sent, duration_s=duration_s)

    def _send(self, state: FeederTick, decision: Decision, *, now_s: float, now_ms: int) -> int:
        """Lease what is to be sent, unless the feeder is only advised."""
        if state.feeder.mode is not FeederMode.AUTO:
            return 0
        leases: list[tuple[int, Setpoint, Dialect]] = []
        for index in np.flatnonzero(decision.send).tolist():
            row = state.rows[index]
            device = self._fleet.devices[row]
            self._seq += 1
            lease = Setpoint(
                device_id=device.device_id,
                kind=device.kind,
                p_setpoint_kw=round(float(decision.target_kw[index]), 3) + 0.0,
                issued_at_ms=now_ms,
                valid_until_ms=now_ms + round(self._params.lease_s * 1000),
                epoch=self.epoch,
                seq=self._seq,
                reason=reason_text(Reason(int(decision.reason[index])), decision, state.feeder.feeder_id),
            )
            self._fleet.commanded(row, lease, now_s=now_s)
            leases.append((row, lease, device.dialect))
        self._outbox.put(leases)
        self._recorder.put_setpoints([lease for _, lease, _ in leases])
        return len(leases)

    def _record(self, state: FeederTick, decision: Decision, *, sent: int, duration_s: float) -> None:
        """Write the tick's line into the decision log, the metrics and, when it starts or ends, the log."""
        feeder_id = state.feeder.feeder_id
        record = DecisionRecord(
            feeder_id=feeder_id,
            at_ms=state.decided_ms,
            epoch=self.epoch,
            tick=state.ticks,
            mode=state.feeder.mode,
            import_limit_kw=_finite(decision.import_limit_kw),
            limit_source=decision.import_source,
            measured_kw=_finite(decision.measured_kw),
            background_kw=decision.background_kw,
            reserved_kw=decision.reserved_kw,
            headroom_kw=_finite(decision.headroom_kw),
            commanded_kw=decision.commanded_kw,
            shortfall_kw=decision.shortfall_kw,
            setpoints_sent=sent,
            duration_ms=duration_s * 1000.0,
        )
        self._recorder.put_decision(record)
        metrics = self._metrics
        metrics.tick_duration_seconds.observe(duration_s)
        metrics.feeder_load_kw.labels(feeder_id).set(decision.load_kw)
        metrics.feeder_import_limit_kw.labels(feeder_id).set(decision.import_limit_kw)
        metrics.feeder_headroom_kw.labels(feeder_id).set(decision.headroom_kw)
        metrics.feeder_commanded_kw.labels(feeder_id).set(decision.commanded_kw)
        metrics.feeder_reserved_kw.labels(feeder_id).set(decision.reserved_kw)
        metrics.feeder_shortfall_kw.labels(feeder_id).set(decision.shortfall_kw)
        exceeds_import = decision.load_kw > decision.import_limit_kw or decision.shortfall_kw > 0.0
        over = exceeds_import or -decision.load_kw > decision.export_limit_kw
        limit_kw = decision.import_limit_kw if exceeds_import else decision.export_limit_kw
        keys = {"feeder": feeder_id, "load_kw": round(decision.load_kw, 2), "limit_kw": limit_kw}
        if over and not state.over:
            direction = "import" if exceeds_import else "export"
            log.warning("Feeder %s is above its %s limit", feeder_id, direction, extra=keys)
        elif state.over and not over:
            log.info("Feeder %s is within its limits again", feeder_id, extra=keys)
        state.over = over
        log.debug(
            "tick",
            extra={**keys, "tick": state.ticks, "headroom_kw": record.headroom_kw, "sent": sent,
                   "duration_ms": round(record.duration_ms, 2)},
        )  # fmt: skip

    def _count_devices(self) -> None:
        """Set the gauges of devices by type and freshness, for all feeders at once."""
        counts: dict[tuple[str, DeviceKind, str], int] = {}
        for feeder_id, state in self.feeders.items():
            if state.decision is None:
                continue
            codes = self._fleet.kinds(np.array(state.rows, dtype=np.int64)) * len(Freshness) + state.decision.freshness
            for code, count in zip(*np.unique(codes, return_counts=True), strict=True):
                kind, fresh = divmod(int(code), len(Freshness))
                counts[(feeder_id, KINDS[kind], Freshness(fresh).name.lower())] = int(count)
        self._metrics.set_devices(counts)


def _load_of(state: FeederTick) -> float:
    return 0.0 if state.decision is None else state.decision.load_kw


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _state_of(feeder: Feeder, metered_kw: float, metered_age_s: float) -> FeederState:
    return FeederState(
        import_limit_kw=np.inf if feeder.import_limit_kw is None else feeder.import_limit_kw,
        export_limit_kw=np.inf if feeder.export_limit_kw is None else feeder.export_limit_kw,
        margin_kw=feeder.margin_kw,
        assumed_unmetered_kw=feeder.assumed_unmetered_kw,
        metered_kw=metered_kw,
        metered_age_s=metered_age_s,
    )


def _aligned(state: FeederTick, rows: list[int]) -> Memory:
    """Bring the memory's rows into the order of this tick's, which changes when devices join, move or retire."""
    if tuple(rows) == state.rows:
        return state.memory
    before = dict(zip(state.rows, state.memory.bucket_kwh.tolist(), strict=False))
    buckets = np.array([before.get(row, 0.0) for row in rows], dtype=np.float64)
    return Memory(
        bucket_kwh=buckets,
        fixed_import_kw=state.memory.fixed_import_kw,
        fixed_export_kw=state.memory.fixed_export_kw,
        residual_kw=state.memory.residual_kw,
        shed_limits=state.memory.shed_limits,
    )
