"""The fleet.

A list is filtered and sorted on columns; only what stands on the page is made into structs.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from derms.api.paging import cut
from derms.api.schemas.devices import DeviceOut, DevicesQuery, LeaseOut
from derms.api.schemas.overrides import override_out
from derms.columns import KIND_CODE, Floats, Ints, Params
from derms.control.loop import ControlLoop
from derms.fleet import Fleet
from derms.model import Device, Setpoint, Telemetry
from derms.ports import Clock
from derms.view.instants import instant
from derms.view.roll import ENROLMENTS, FRESHNESS, ORIGINS, Roll, freshness_codes

_COLUMNS = (
    *("priority", "p_import_max_kw", "p_export_max_kw", "p_min_kw", "p_step_kw", "target_soc"),
    *("min_soc_reserve", "default_power_kw", "p_actual_kw", "p_setpoint_kw", "soc", "energy_needed_kwh"),
)
"""Fields that are columns of the fleet by the same name."""


class LiveDevices:
    """Implements `derms.api.view.DevicesView`."""

    def __init__(self, *, fleet: Fleet, loop: ControlLoop, clock: Clock, params: Params, roll: Roll) -> None:
        """Read from these, and own none of them."""
        self._fleet = fleet
        self._loop = loop
        self._clock = clock
        self._params = params
        self._roll = roll
        self._keys = self._sort_keys()

    def row(self, device_id: str) -> int | None:
        """The row of a device, or None."""
        return self._fleet.row(device_id)

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

    def select(self, query: DevicesQuery) -> tuple[list[int], int, str | None]:
        """The rows of one page, how many there are on all pages, and the cursor of the next.

        Raises:
            UsageError: No such field to sort by, or a cursor that is none of ours.
        """
        rows = self._filtered(query)
        page, cursor = cut(rows.tolist(), query, self._keys, self._id, self._sorted)
        return page, int(rows.size), cursor

    def shown(self, rows: Sequence[int]) -> list[DeviceOut]:
        """Some devices, in the order given."""
        now_s, now_ms = self._clock.monotonic_s(), self._clock.now_ms()
        at = np.array(rows, dtype=np.int64)
        ages = (now_s - self._fleet.floats("received_s", at)).tolist()
        fresh = freshness_codes(self._fleet, at, now_s, self._params).tolist()
        followed = np.isfinite(self._fleet.floats("acknowledged_s", at)).tolist()
        return [
            self._device(row, age_s, code, acknowledged, now_ms)
            for row, age_s, code, acknowledged in zip(rows, ages, fresh, followed, strict=True)
        ]

    def _device(self, row: int, age_s: float, fresh: int, acknowledged: bool, now_ms: int) -> DeviceOut:
        fleet = self._fleet
        device, reading, lease = fleet.devices[row], fleet.readings[row], fleet.leases[row]
        override = self._loop.overrides.get(device.device_id)
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
            p_step_kw=device.p_step_kw,
            capacity_kwh=device.capacity_kwh,
            target_soc=device.target_soc,
            min_soc_reserve=device.min_soc_reserve,
            default_power_kw=device.default_power_kw,
            ready_by=_instant(_ready_ms(device, reading, now_ms)),
            gateway_id=device.gateway_id,
            p_actual_kw=None if reading is None else reading.p_actual_kw,
            p_setpoint_kw=None if reading is None else reading.p_setpoint_kw,
            soc=None if reading is None else reading.soc,
            p_max_kw=None if reading is None else reading.p_max_kw,
            energy_needed_kwh=None if reading is None else reading.energy_needed_kwh,
            status=None if reading is None else reading.status,
            online=fleet.online[row],
            freshness=FRESHNESS[fresh],
            telemetry_at=None if reading is None else instant(reading.at_ms),
            age_s=None if age_s == np.inf else age_s,
            lease=_lease_out(lease, acknowledged, now_ms),
            override=None if override is None or override.until.timestamp() * 1000.0 <= now_ms else
            override_out(override),
        )  # fmt: skip

    def _filtered(self, query: DevicesQuery) -> Ints:
        """The rows that are asked for, by id."""
        roll, fleet = self._roll.current(), self._fleet
        rows = roll.by_id
        if query.type is not None:
            rows = rows[fleet.kinds(rows) == KIND_CODE[query.type]]
        if query.origin is not None:
            rows = rows[roll.origin[rows] == ORIGINS.index(query.origin)]
        if query.enrolment is not None:
            rows = rows[roll.enrolment[rows] == ENROLMENTS.index(query.enrolment)]
        if query.feeder_id is not None:
            wanted = self._loop.below(query.feeder_id)
            codes = [code for code, feeder_id in enumerate(roll.feeder_ids) if feeder_id in wanted]
            rows = rows[np.isin(roll.feeder[rows], codes)]
        if query.freshness is not None:
            fresh = freshness_codes(fleet, rows, self._clock.monotonic_s(), self._params)
            rows = rows[fresh == FRESHNESS.index(query.freshness)]
        if query.gateway_id is not None:
            behind = [row for row in rows.tolist() if fleet.devices[row].gateway_id == query.gateway_id]
            rows = np.array(behind, dtype=np.int64)
        if query.q:
            part = query.q.lower()
            found = [row for row in rows.tolist() if _names(fleet.devices[row], part)]
            rows = np.array(found, dtype=np.int64)
        return rows

    def _id(self, row: int) -> str:
        return self._fleet.devices[row].device_id

    def _sorted(self, rows: Sequence[int], name: str, down: bool) -> list[int]:
        """Sort rows that stand by id; what is not known comes last, equals stay by id."""
        if name == "device_id":
            return list(rows[::-1] if down else rows)
        at = np.array(rows, dtype=np.int64)
        values = self._column(name, at)
        if values is not None:
            ranked: list[int] = at[np.argsort(-values if down else values, kind="stable")].tolist()
            return ranked
        key = self._keys[name]
        values_of = {row: key(row) for row in rows}
        known = sorted((row for row in rows if values_of[row] is not None), key=values_of.__getitem__, reverse=down)
        return known + [row for row in rows if values_of[row] is None]

    def _column(self, name: str, rows: Ints) -> Floats | None:
        """What some rows are sorted by, NaN where it is not known; None: that is no column."""
        if name in _COLUMNS:
            return self._fleet.floats(name, rows)
        if name == "freshness":
            return freshness_codes(self._fleet, rows, self._clock.monotonic_s(), self._params).astype(np.float64)
        if name == "age_s":
            # Minus the instant it was heard at: in the order of the ages, and it stands still between two pages.
            heard_s = self._fleet.floats("received_s", rows)
            return np.where(np.isfinite(heard_s), -heard_s, np.nan)
        return None

    def _number(self, name: str) -> Callable[[int], float | None]:
        def number(row: int) -> float | None:
            column = self._column(name, np.array([row], dtype=np.int64))
            return None if column is None or np.isnan(column[0]) else float(column[0])

        return number

    def _sort_keys(self) -> dict[str, Callable[[int], Any]]:
        """What a list may be sorted by: name -> the value of a row; the first one is the default."""
        fleet = self._fleet
        return {
            "device_id": self._id,
            "type": lambda row: fleet.devices[row].kind.value,
            "feeder_id": lambda row: fleet.devices[row].feeder_id,
            "site_id": lambda row: fleet.devices[row].site_id,
            "origin": lambda row: fleet.devices[row].origin.value,
            "enrolment": lambda row: fleet.devices[row].enrolment.value,
            "dialect": lambda row: fleet.devices[row].dialect.value,
            **{name: self._number(name) for name in (*_COLUMNS, "freshness", "age_s")},
            "capacity_kwh": lambda row: fleet.devices[row].capacity_kwh,
            "ready_by": lambda row: _ready_ms(fleet.devices[row], fleet.readings[row], self._clock.now_ms()),
            "gateway_id": lambda row: fleet.devices[row].gateway_id,
            "p_max_kw": lambda row: _said(fleet.readings[row], "p_max_kw"),
            "status": lambda row: _said(fleet.readings[row], "status"),
            "online": lambda row: fleet.online[row],
            "telemetry_at": lambda row: _said(fleet.readings[row], "at_ms"),
            "lease_kw": self._lease_kw,
            "override_kind": self._override_kind,
        }

    def _lease_kw(self, row: int) -> float | None:
        lease = self._fleet.leases[row]
        return None if lease is None or lease.valid_until_ms <= self._clock.now_ms() else lease.p_setpoint_kw

    def _override_kind(self, row: int) -> str | None:
        override = self._loop.overrides.get(self._id(row))
        return None if override is None else override.kind.value


def _names(device: Device, part: str) -> bool:
    return part in device.device_id.lower() or (device.site_id is not None and part in device.site_id.lower())


def _said(reading: Telemetry | None, name: str) -> Any:
    return None if reading is None else getattr(reading, name)


def _ready_ms(device: Device, reading: Telemetry | None, now_ms: int) -> int | None:
    """When its energy is needed [epoch ms]: as an operator says until then, else as the device does."""
    if device.ready_by is not None:
        at_ms = round(device.ready_by.timestamp() * 1000.0)
        if at_ms > now_ms:
            return at_ms
    return None if reading is None else reading.ready_by_ms


def _instant(at_ms: int | None) -> Any:
    return None if at_ms is None else instant(at_ms)


def _lease_out(lease: Setpoint | None, acknowledged: bool, now_ms: int) -> LeaseOut | None:
    if lease is None or lease.valid_until_ms <= now_ms:
        return None
    return LeaseOut(
        p_setpoint_kw=lease.p_setpoint_kw,
        issued_at=instant(lease.issued_at_ms),
        valid_until=instant(lease.valid_until_ms),
        epoch=lease.epoch,
        seq=lease.seq,
        acknowledged=acknowledged,
        reason=lease.reason,
    )
