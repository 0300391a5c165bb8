"""The API's picture of the live controller, taken from memory."""

from collections import Counter
from datetime import UTC, datetime

import numpy as np

from derms import __version__
from derms.api.schemas import (
    DeviceOut,
    EventState,
    FeederSummaryOut,
    Freshness,
    HealthOut,
    LeaseOut,
    PartHealth,
    PartState,
    event_out,
)
from derms.columns import Params
from derms.control.demand_response import is_active
from derms.control.loop import ControlLoop
from derms.control.trees import FeederTick
from derms.fleet import Fleet
from derms.model import DeviceKind, DrEvent, FeederMode
from derms.ports import Clock
from derms.recorder import Recorder


class LinkState:
    """Whether the broker is there and since when; told by the link."""

    def __init__(self, clock: Clock) -> None:
        """Start disconnected."""
        self._clock = clock
        self._since_s = clock.monotonic_s()
        self.connected = False

    def set(self, connected: bool) -> None:
        """Note a change."""
        if connected is not self.connected:
            self.connected, self._since_s = connected, self._clock.monotonic_s()

    def age_s(self) -> float:
        """Since the last change [s]."""
        return self._clock.monotonic_s() - self._since_s


class LiveView:
    """Implements `derms.api.view.ControllerView` on the fleet, the loop and the recorder."""

    def __init__(
        self,
        *,
        fleet: Fleet,
        loop: ControlLoop,
        recorder: Recorder,
        mqtt: LinkState,
        store: LinkState,
        clock: Clock,
        params: Params,
    ) -> None:
        """Read from these, and own none of them."""
        self._fleet = fleet
        self._loop = loop
        self._recorder = recorder
        self._mqtt = mqtt
        self._store = store
        self._clock = clock
        self._params = params
        self._started_s = clock.monotonic_s()

    def devices(self) -> list[DeviceOut]:
        """All devices, ordered by id."""
        now_s = self._clock.monotonic_s()
        rows = sorted(range(len(self._fleet)), key=lambda row: self._fleet.devices[row].device_id)
        return [self._device(row, now_s) for row in rows]

    def feeder_ids(self) -> set[str]:
        """The feeders there are."""
        return set(self._loop.feeders)

    def feeders(self) -> list[FeederSummaryOut]:
        """All feeders, ordered by id."""
        return [self._feeder(self._loop.feeders[key]) for key in sorted(self._loop.feeders)]

    def health(self) -> HealthOut:
        """How the daemon and its parts do."""
        now_s = self._clock.monotonic_s()
        tick_s = self._loop.last_tick_s
        tick_age_s = now_s - (self._started_s if tick_s is None else tick_s)
        late = tick_age_s > 3.0 * self._params.interval_s
        loop_state = PartState.DOWN if late else PartState.STARTING if tick_s is None else PartState.OK
        parts = {
            "mqtt": _part(self._mqtt),
            "store": _part(self._store, f"{self._recorder.spool_bytes} bytes spooled"),
            "loop": PartHealth(state=loop_state, age_s=tick_age_s, detail="since the last tick"),
        }
        well = all(part.state is not PartState.DOWN for part in parts.values())
        return HealthOut(
            status="ok" if well else "degraded",
            version=__version__,
            uptime_s=now_s - self._started_s,
            parts=parts,
        )

    def _device(self, row: int, now_s: float) -> DeviceOut:
        device, reading = self._fleet.devices[row], self._fleet.readings[row]
        lease = self._fleet.leases[row]
        age_s = self._fleet.age_s(row, now_s=now_s)
        out = None
        if lease is not None and lease.valid_until_ms > self._clock.now_ms():
            out = LeaseOut(
                p_setpoint_kw=lease.p_setpoint_kw,
                issued_at=_instant(lease.issued_at_ms),
                valid_until=_instant(lease.valid_until_ms),
                epoch=lease.epoch,
                seq=lease.seq,
                acknowledged=self._fleet.acknowledged(row),
                reason=lease.reason,
            )
        return DeviceOut(
            device_id=device.device_id,
            type=device.kind,
            feeder_id=device.feeder_id,
            site_id=device.site_id,
            origin=device.origin,
            enrolment=device.enrolment,
            priority=device.priority,
            dialect=device.dialect,
            p_import_max_kw=device.p_import_max_kw,
            p_export_max_kw=device.p_export_max_kw,
            p_min_kw=device.p_min_kw,
            capacity_kwh=device.capacity_kwh,
            p_actual_kw=None if reading is None else reading.p_actual_kw,
            p_setpoint_kw=None if reading is None else reading.p_setpoint_kw,
            soc=None if reading is None else reading.soc,
            status=None if reading is None else reading.status,
            online=self._fleet.online[row],
            freshness=self._freshness(row, age_s),
            telemetry_at=None if reading is None else _instant(reading.at_ms),
            age_s=age_s if np.isfinite(age_s) else None,
            lease=out,
        )

    def _freshness(self, row: int, age_s: float) -> Freshness:
        if not np.isfinite(age_s):
            return Freshness.LOST if self._fleet.spoke(row) else Freshness.NEVER
        if age_s <= self._params.stale_after_s:
            return Freshness.GOOD
        return Freshness.STALE if age_s <= self._params.lost_after_s else Freshness.LOST

    def _feeder(self, state: FeederTick) -> FeederSummaryOut:
        feeder, decision = state.feeder, state.view
        now = datetime.fromtimestamp(self._clock.now_ms() / 1000.0, tz=UTC)
        now_s = self._clock.monotonic_s()
        mine = [event for event in self._loop.events.values() if _bears_on(event, feeder.feeder_id)]
        rows = self._fleet.rows_of(feeder.feeder_id).tolist()
        devices = [self._fleet.devices[row] for row in rows]
        upcoming = sorted((event for event in mine if event.start > now), key=lambda event: event.start)
        off = feeder.mode is FeederMode.OFF or decision is None
        return FeederSummaryOut(
            feeder_id=feeder.feeder_id,
            name=feeder.name,
            mode=feeder.mode,
            at=None if off else _instant(state.decided_ms),
            tick=state.ticks,
            epoch=self._loop.epoch,
            import_limit_kw=feeder.import_limit_kw if decision is None else _finite(decision.import_limit_kw),
            static_import_limit_kw=feeder.import_limit_kw,
            limit_source="static" if decision is None else decision.import_source,
            export_limit_kw=feeder.export_limit_kw if decision is None else _finite(decision.export_limit_kw),
            measured_kw=None if decision is None else _finite(decision.measured_kw),
            load_kw=0.0 if decision is None else decision.load_kw,
            background_kw=0.0 if decision is None else decision.background_kw,
            reserved_kw=0.0 if decision is None else decision.reserved_kw,
            headroom_kw=None if decision is None else _finite(decision.headroom_kw),
            commanded_kw=0.0 if decision is None else decision.commanded_kw,
            shortfall_kw=0.0 if decision is None else decision.shortfall_kw,
            pv_kw=self._sum(rows, DeviceKind.PV),
            battery_kw=self._sum(rows, DeviceKind.BATTERY),
            ev_kw=self._sum(rows, DeviceKind.EV),
            base_kw=self._sum(rows, DeviceKind.LOAD),
            devices_total=len(rows),
            devices_by_type=dict(Counter(device.kind.value for device in devices)),
            devices_by_origin=dict(Counter(device.origin.value for device in devices)),
            freshness=dict(Counter(self._freshness(row, self._fleet.age_s(row, now_s=now_s)).value for row in rows)),
            active_events=[event_out(event, EventState.ACTIVE) for event in mine if is_active(event, now)],
            next_event=event_out(upcoming[0], EventState.SCHEDULED) if upcoming else None,
        )

    def _sum(self, rows: list[int], kind: DeviceKind) -> float:
        readings = (self._fleet.readings[row] for row in rows if self._fleet.devices[row].kind is kind)
        return sum(reading.p_actual_kw for reading in readings if reading is not None)


def _part(state: LinkState, detail: str = "") -> PartHealth:
    return PartHealth(state=PartState.OK if state.connected else PartState.DOWN, age_s=state.age_s(), detail=detail)


def _bears_on(event: DrEvent, feeder_id: str) -> bool:
    return event.cancelled_at is None and (not event.feeder_ids or feeder_id in event.feeder_ids)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _instant(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000.0, tz=UTC)
