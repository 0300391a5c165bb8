"""The feeders."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from derms.api.schemas.events import event_out
from derms.api.schemas.feeders import FeederSummaryOut
from derms.columns import Params
from derms.control.demand_response import is_active
from derms.control.loop import ControlLoop
from derms.control.trees import FeederTick
from derms.fleet import Fleet
from derms.model import DeviceKind, DrEvent, EventState, FeederMode
from derms.ports import Clock
from derms.view.devices import freshness_of
from derms.view.instants import instant


class LiveFeeders:
    """Implements `derms.api.view.FeedersView`."""

    def __init__(self, *, fleet: Fleet, loop: ControlLoop, clock: Clock, params: Params) -> None:
        """Read from these, and own none of them."""
        self._fleet = fleet
        self._loop = loop
        self._clock = clock
        self._params = params

    def feeder_ids(self) -> set[str]:
        """The feeders there are."""
        return set(self._loop.feeders)

    def uppermost(self, feeder_ids: Sequence[str]) -> set[str]:
        """Those of some feeders that lie below none of the others."""
        named = set(feeder_ids)
        return {feeder_id for feeder_id in named if not self._above(feeder_id) & named}

    def _above(self, feeder_id: str) -> set[str]:
        above: set[str] = set()
        state = self._loop.feeders.get(feeder_id)
        while state is not None and (parent := state.feeder.parent_id) is not None:
            above.add(parent)
            state = self._loop.feeders.get(parent)
        return above

    def feeders(self) -> list[FeederSummaryOut]:
        """All feeders, ordered by id."""
        return [self._feeder(self._loop.feeders[key]) for key in sorted(self._loop.feeders)]

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
            at=None if off else instant(state.decided_ms),
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
            freshness=dict(
                Counter(
                    freshness_of(self._fleet, row, self._fleet.age_s(row, now_s=now_s), self._params).value
                    for row in rows
                )
            ),
            active_events=[event_out(event, EventState.ACTIVE) for event in mine if is_active(event, now)],
            next_event=event_out(upcoming[0], EventState.SCHEDULED) if upcoming else None,
        )

    def _sum(self, rows: list[int], kind: DeviceKind) -> float:
        readings = (self._fleet.readings[row] for row in rows if self._fleet.devices[row].kind is kind)
        return sum(reading.p_actual_kw for reading in readings if reading is not None)


def _bears_on(event: DrEvent, feeder_id: str) -> bool:
    return event.cancelled_at is None and (not event.feeder_ids or feeder_id in event.feeder_ids)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
