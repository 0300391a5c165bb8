"""The fleet."""

import numpy as np

from derms.api.schemas.devices import DeviceOut, Freshness, LeaseOut
from derms.columns import Params
from derms.fleet import Fleet
from derms.ports import Clock
from derms.view.instants import instant


class LiveDevices:
    """Implements `derms.api.view.DevicesView`."""

    def __init__(self, *, fleet: Fleet, clock: Clock, params: Params) -> None:
        """Read from these, and own none of them."""
        self._fleet = fleet
        self._clock = clock
        self._params = params

    def devices(self) -> list[DeviceOut]:
        """All devices, ordered by id."""
        now_s = self._clock.monotonic_s()
        rows = sorted(range(len(self._fleet)), key=lambda row: self._fleet.devices[row].device_id)
        return [self._device(row, now_s) for row in rows]

    def device(self, row: int) -> DeviceOut:
        """One device, by its row in the fleet."""
        return self._device(row, self._clock.monotonic_s())

    def marks(self) -> list[object]:
        """For every row something that is another whenever what is shown of it is, but for its age."""
        fleet, now_ms = self._fleet, self._clock.now_ms()
        age_s, acknowledged, override, override_kw, until_s = fleet.glance(now_s=self._clock.monotonic_s())
        late = (age_s > self._params.stale_after_s).astype(int) + (age_s > self._params.lost_after_s)
        # NaN is no mark: it is not even like itself.
        columns = (late, acknowledged, override, np.nan_to_num(override_kw), until_s)
        lives = [lease is not None and lease.valid_until_ms > now_ms for lease in fleet.leases]
        return list(
            zip(
                fleet.devices, fleet.readings, fleet.leases, fleet.online, lives,
                *(column.tolist() for column in columns), strict=True,
            )
        )  # fmt: skip

    def _device(self, row: int, now_s: float) -> DeviceOut:
        device, reading = self._fleet.devices[row], self._fleet.readings[row]
        lease = self._fleet.leases[row]
        age_s = self._fleet.age_s(row, now_s=now_s)
        out = None
        if lease is not None and lease.valid_until_ms > self._clock.now_ms():
            out = LeaseOut(
                p_setpoint_kw=lease.p_setpoint_kw,
                issued_at=instant(lease.issued_at_ms),
                valid_until=instant(lease.valid_until_ms),
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
            freshness=freshness_of(self._fleet, row, age_s, self._params),
            telemetry_at=None if reading is None else instant(reading.at_ms),
            age_s=age_s if np.isfinite(age_s) else None,
            lease=out,
        )


def freshness_of(fleet: Fleet, row: int, age_s: float, params: Params) -> Freshness:
    """How old a device's newest telemetry is.

    Args:
        fleet: Knows whether it ever spoke.
        row: Which device.
        age_s: The age [s]; inf or NaN: none was heard in this run.
        params: The engine's constants.
    """
    if not np.isfinite(age_s):
        return Freshness.LOST if fleet.spoke(row) else Freshness.NEVER
    if age_s <= params.stale_after_s:
        return Freshness.GOOD
    return Freshness.STALE if age_s <= params.lost_after_s else Freshness.LOST
