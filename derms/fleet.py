"""The live state of every device: columns, one row a device, owned by the event loop.

The only mutable picture of the world. `observe`, `commanded` and `heard` overwrite rows; `columns` copies out what
one feeder's tick may see. A row is never reused, so a row number is a device for the life of the process.
"""

import math
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from derms.columns import KIND_CODE, METER, PV, REVERT_S, STATUS_CODE, Bools, DeviceColumns, Floats, Ints, Override
from derms.model import (
    Device,
    DeviceKind,
    DeviceStatus,
    Enrolment,
    Outcome,
    OverrideKind,
    Setpoint,
    Telemetry,
)
from derms.pages import S, blank

_ACKNOWLEDGE_KW = 0.05
"""How close to its lease a device that names no lease must be to count as following it [kW]."""

_FLOATS = (
    "received_s", "p_actual_kw", "p_setpoint_kw", "soc", "available_kw", "p_import_max_kw", "p_export_max_kw",
    "p_min_kw", "p_step_kw", "capacity_kwh", "min_soc_reserve", "target_soc", "priority", "default_power_kw",
    "energy_needed_kwh", "override_kw", "override_until_s",
    "lease_kw", "lease_until_s", "told_at_s", "may_kw", "may_low_kw", "may_until_s", "acknowledged_s", "stagger",
)  # fmt: skip
_INTS = (
    *("kind", "status", "at_ms", "seq", "ready_by_ms", "wanted_by_ms", "spoke", "names_lease", "same_seq", "override"),
)
_OVERRIDE_CODE = {OverrideKind.HOLD: Override.HOLD, OverrideKind.BLOCK: Override.BLOCK}
_TOLD = [KIND_CODE[kind] for kind in (DeviceKind.PV, DeviceKind.BATTERY, DeviceKind.EV)]
"""Kinds that take setpoints."""


@dataclass(slots=True)
class Fleet:
    """Rows and ids, registrations, newest readings and leases."""

    devices: list[Device] = field(default_factory=list)
    """Registrations by row."""
    readings: list[Telemetry | None] = field(default_factory=list)
    """The newest reading by row."""
    leases: list[Setpoint | None] = field(default_factory=list)
    """The newest lease by row, whether or not it still lives."""
    online: list[bool | None] = field(default_factory=list)
    """The device's retained status by row; None: it never said."""
    _row: dict[str, int] = field(default_factory=dict)
    registry_version: int = 0
    """Rises with every change of a registration."""
    _leaving: set[int] = field(default_factory=set)
    """Rows retired or quarantined while a lease of theirs may still be followed: till then their room is kept."""
    _rows_of: dict[str, Ints] = field(default_factory=dict)
    """`rows_of` of every feeder, as of `_rows_version`."""
    _rows_version: int = -1
    _floats: dict[str, Floats] = field(default_factory=lambda: {name: np.full(64, np.nan) for name in _FLOATS})
    _ints: dict[str, Ints] = field(default_factory=lambda: {name: np.full(64, -1, dtype=np.int64) for name in _INTS})
    _cells: dict[str, Any] = field(init=False)
    """The same columns, to be read and written one number at a time: a memoryview takes half as long as numpy."""

    def __post_init__(self) -> None:
        """Look at the columns."""
        self._look()

    def __len__(self) -> int:
        """The number of registered devices."""
        return len(self.devices)

    def row(self, device_id: str) -> int | None:
        """The row of a device, or None."""
        return self._row.get(device_id)

    def register(self, device: Device, *, spoke: bool = False) -> int:
        """Add a registration, or replace the one with its id.

        Args:
            device: The registration.
            spoke: It has spoken in an earlier run.

        Returns:
            Its row.
        """
        row = self._row.get(device.device_id)
        if row is None:
            row = len(self.devices)
            self._row[device.device_id] = row
            self.devices.append(device)
            self.readings.append(None)
            self.leases.append(None)
            self.online.append(None)
            self._grow(row + 1)
            self._blank(row, spoke=spoke)
        self.devices[row] = device
        f, i = self._floats, self._ints
        f["p_import_max_kw"][row] = device.p_import_max_kw
        f["p_export_max_kw"][row] = device.p_export_max_kw
        f["p_min_kw"][row] = device.p_min_kw
        f["p_step_kw"][row] = device.p_step_kw
        f["capacity_kwh"][row] = np.nan if device.capacity_kwh is None else device.capacity_kwh
        f["min_soc_reserve"][row] = device.min_soc_reserve
        f["target_soc"][row] = device.target_soc
        f["priority"][row] = device.priority
        f["default_power_kw"][row] = device.default_power_kw
        f["stagger"][row] = zlib.crc32(device.device_id.encode()) / 2.0**32
        i["kind"][row] = KIND_CODE[device.kind]
        i["wanted_by_ms"][row] = -1 if device.ready_by is None else round(device.ready_by.timestamp() * 1000.0)
        if device.enrolment is Enrolment.ACTIVE:
            self._leaving.discard(row)
        elif np.isfinite(f["may_until_s"][row]):
            self._leaving.add(row)
        self.registry_version += 1
        return row

    def begin_anew(self, row: int) -> None:
        """Forget what was heard of and told to a known device: another car stands there."""
        self.readings[row] = self.leases[row] = None
        self._blank(row, spoke=True)
        self.register(self.devices[row])

    def _blank(self, row: int, *, spoke: bool) -> None:
        for floats in self._floats.values():
            floats[row] = np.nan
        for ints in self._ints.values():
            ints[row] = -1
        for name in ("received_s", "lease_until_s", "may_until_s", "told_at_s", "override_until_s"):
            self._floats[name][row] = -np.inf
        self._floats["acknowledged_s"][row] = np.inf
        self._ints["status"][row] = STATUS_CODE[DeviceStatus.OK]
        self._ints["spoke"][row] = spoke

    def let_go(self, *, now_s: float) -> None:
        """Forget devices that were retired, once no lease of theirs can still be followed."""
        gone = {row for row in self._leaving if self._floats["may_until_s"][row] <= now_s}
        if gone:
            self._leaving -= gone
            self.registry_version += 1

    def override(self, row: int, kind: OverrideKind | None, *, p_kw: float | None = None, until_s: float = 0.0) -> None:
        """Lay an override upon a device, or take it off.

        Args:
            row: The device's row.
            kind: What kind; None releases it.
            p_kw: Where it is held [kW].
            until_s: When it ends, on the controller's monotonic clock [s].
        """
        self._ints["override"][row] = Override.NONE if kind is None else _OVERRIDE_CODE[kind]
        self._floats["override_kw"][row] = np.nan if p_kw is None else p_kw
        self._floats["override_until_s"][row] = -np.inf if kind is None else until_s

    def observe(self, row: int, reading: Telemetry, *, now_s: float) -> Outcome:
        """Take a reading in.

        Args:
            row: The device's row.
            reading: The reading.
            now_s: The controller's monotonic clock [s].

        Returns:
            ACCEPTED, or DUPLICATE / OUT_OF_ORDER, which change nothing.
        """
        cell = self._cells
        newest_ms = cell["at_ms"][row]
        if reading.at_ms < newest_ms and not self._stepped_back(row, reading):
            return Outcome.OUT_OF_ORDER
        if reading.at_ms == newest_ms and (reading.seq is None or reading.seq == cell["seq"][row]):
            return Outcome.DUPLICATE
        if reading.dialect is not self.devices[row].dialect:
            self.devices[row] = replace(self.devices[row], dialect=reading.dialect)
        self.readings[row] = reading
        cell["spoke"][row] = 1
        cell["at_ms"][row] = reading.at_ms
        cell["seq"][row] = -1 if reading.seq is None else reading.seq
        cell["status"][row] = STATUS_CODE[reading.status]
        cell["ready_by_ms"][row] = -1 if reading.ready_by_ms is None else reading.ready_by_ms
        cell["received_s"][row] = now_s
        cell["p_actual_kw"][row] = reading.p_actual_kw
        cell["p_setpoint_kw"][row] = math.nan if reading.p_setpoint_kw is None else reading.p_setpoint_kw
        cell["soc"][row] = math.nan if reading.soc is None else reading.soc
        cell["available_kw"][row] = math.nan if reading.p_max_kw is None else reading.p_max_kw
        cell["energy_needed_kwh"][row] = math.nan if reading.energy_needed_kwh is None else reading.energy_needed_kwh
        if reading.capacity_kwh is not None and reading.kind is DeviceKind.EV:
            # The charger is registered, the car that stands at it changes.
            cell["capacity_kwh"][row] = reading.capacity_kwh
        if reading.applied_seq is not None:
            # From now on only this counts: a device that can name its lease and names another follows another.
            cell["names_lease"][row] = 1
        if not math.isfinite(cell["acknowledged_s"][row]) and self._follows(row, reading):
            cell["acknowledged_s"][row] = now_s
            cell["may_kw"][row] = cell["may_low_kw"][row] = cell["lease_kw"][row]
            cell["may_until_s"][row] = cell["lease_until_s"][row] + REVERT_S
        return Outcome.ACCEPTED

    def _stepped_back(self, row: int, reading: Telemetry) -> bool:
        """Whether a device counts on while its clock was set back; else it would be unheard until that catches up."""
        last = self._cells["seq"][row]
        return reading.seq is not None and last >= 0 and reading.seq > last

    def _follows(self, row: int, reading: Telemetry) -> bool:
        """Whether a reading shows the device under its newest lease."""
        lease = self.leases[row]
        if lease is None:
            return False
        if self._cells["names_lease"][row] == 1:
            # Any of the leases that have told this power in a row: who reacts slowly names an older one for ever.
            first = self._cells["same_seq"][row]
            named = -1 if reading.applied_seq is None else reading.applied_seq
            return reading.applied_epoch == lease.epoch and first <= named <= lease.seq
        if reading.p_setpoint_kw is not None:
            return abs(reading.p_setpoint_kw - lease.p_setpoint_kw) <= _ACKNOWLEDGE_KW
        # It names neither lease nor setpoint: all there is to see is that it draws no more than it may.
        return reading.p_actual_kw <= lease.p_setpoint_kw + _ACKNOWLEDGE_KW

    def commanded(self, row: int, lease: Setpoint, *, now_s: float) -> None:
        """Note a lease that is going out; until it is seen followed, older ones may still be."""
        cell = self._cells
        until_s = now_s + (lease.valid_until_ms - lease.issued_at_ms) / 1000.0
        alive = cell["may_until_s"][row] > now_s
        # The same power again changes nothing in what the device may draw: it stays acknowledged.
        before = self.leases[row]
        same = alive and cell["lease_kw"][row] == lease.p_setpoint_kw
        if not (same and math.isfinite(cell["acknowledged_s"][row])):
            cell["acknowledged_s"][row] = math.inf
        if not (same and before is not None and before.epoch == lease.epoch):
            cell["same_seq"][row] = lease.seq
        device = self.devices[row]
        # Without a lease PV makes what the sun gives, whatever its default control says.
        free_kw = -device.p_export_max_kw if device.kind is DeviceKind.PV else device.default_power_kw
        high_kw, low_kw = (cell["may_kw"][row], cell["may_low_kw"][row]) if alive else (free_kw, free_kw)
        cell["may_kw"][row] = max(lease.p_setpoint_kw, high_kw)
        cell["may_low_kw"][row] = min(lease.p_setpoint_kw, low_kw)
        cell["may_until_s"][row] = max(until_s + REVERT_S, cell["may_until_s"][row])
        if cell["lease_kw"][row] != lease.p_setpoint_kw or not cell["lease_until_s"][row] > now_s:
            cell["told_at_s"][row] = now_s
        cell["lease_kw"][row] = lease.p_setpoint_kw
        cell["lease_until_s"][row] = until_s
        self.leases[row] = lease

    def all_commanded(self, rows: Ints, leases: Sequence[Setpoint], *, now_s: float) -> None:
        """Note a lease for each of some rows, none twice: as `commanded`, but in a fraction of the time for many."""
        f, seqs = self._floats, self._ints["same_seq"]
        p_kw = np.array([lease.p_setpoint_kw for lease in leases])
        until_s = now_s + np.array([lease.valid_until_ms - lease.issued_at_ms for lease in leases]) / 1000.0
        before = [self.leases[row] for row in rows.tolist()]
        ours = [old is not None and old.epoch == new.epoch for old, new in zip(before, leases, strict=True)]
        alive = f["may_until_s"][rows] > now_s
        unchanged = f["lease_kw"][rows] == p_kw
        same = alive & unchanged
        f["acknowledged_s"][rows[~(same & np.isfinite(f["acknowledged_s"][rows]))]] = np.inf
        anew = (~(same & ours)).nonzero()[0]
        seqs[rows[anew]] = [leases[index].seq for index in anew.tolist()]
        is_pv = self._ints["kind"][rows] == PV
        free_kw = np.where(is_pv, -f["p_export_max_kw"][rows], f["default_power_kw"][rows])
        f["may_kw"][rows] = np.fmax(p_kw, np.where(alive, f["may_kw"][rows], free_kw))
        f["may_low_kw"][rows] = np.fmin(p_kw, np.where(alive, f["may_low_kw"][rows], free_kw))
        f["may_until_s"][rows] = np.fmax(until_s + REVERT_S, f["may_until_s"][rows])
        f["told_at_s"][rows[~(unchanged & (f["lease_until_s"][rows] > now_s))]] = now_s
        f["lease_kw"][rows] = p_kw
        f["lease_until_s"][rows] = until_s
        for row, lease in zip(rows.tolist(), leases, strict=True):
            self.leases[row] = lease

    def undelivered(self, row: int, lease: Setpoint) -> None:
        """The broker did not take a lease: let the next tick send again. It may have arrived all the same."""
        if self.leases[row] is lease:
            self._floats["lease_until_s"][row] = -np.inf

    def tell_again(self, rows: Ints | list[int]) -> None:
        """Let the next tick send every lease of some rows again; what the devices may do meanwhile stays reserved."""
        self._floats["lease_until_s"][rows] = -np.inf

    def overheard(self, row: int, lease: Setpoint, *, now_s: float, left_s: float) -> None:
        """Take over a lease that another controller has given, as if it were ours; not where a newer one is known.

        Args:
            row: The device's row.
            lease: The lease.
            now_s: The controller's monotonic clock [s].
            left_s: For how long it still lives [s].
        """
        known = self.leases[row]
        if known is not None and (known.epoch, known.seq) >= (lease.epoch, lease.seq):
            return
        may_until_s = self._floats["may_until_s"][row]
        self.commanded(row, lease, now_s=now_s)
        self._floats["lease_until_s"][row] = now_s + left_s
        self._floats["may_until_s"][row] = max(now_s + left_s + REVERT_S, may_until_s)
        if self.devices[row].enrolment is not Enrolment.ACTIVE:
            self._leaving.add(row)
            self.registry_version += 1

    def feared(self, row: int, lease: Setpoint, *, now_s: float, left_s: float) -> None:
        """Note a lease that is not ours and may be followed all the same: keep its room, and say ours again."""
        f = self._floats
        alive = f["may_until_s"][row] > now_s
        f["may_kw"][row] = max(lease.p_setpoint_kw, f["may_kw"][row]) if alive else lease.p_setpoint_kw
        f["may_low_kw"][row] = min(lease.p_setpoint_kw, f["may_low_kw"][row]) if alive else lease.p_setpoint_kw
        f["may_until_s"][row] = max(now_s + left_s + REVERT_S, f["may_until_s"][row])
        f["acknowledged_s"][row] = np.inf
        f["lease_until_s"][row] = -np.inf

    def heard(self, row: int, *, online: bool) -> None:
        """Note a device's retained status."""
        self.online[row] = online

    def age_s(self, row: int, *, now_s: float) -> float:
        """Since the newest reading arrived [s]; inf: none in this run."""
        return float(now_s - self._floats["received_s"][row])

    def glance(self, *, now_s: float) -> tuple[Floats, Bools, Ints, Floats, Floats]:
        """Of every row: age of the newest reading [s], lease acknowledged; override, its power [kW] and its end [s]."""
        n, f = len(self.devices), self._floats
        return (
            now_s - f["received_s"][:n],
            np.isfinite(f["acknowledged_s"][:n]),
            self._ints["override"][:n],
            f["override_kw"][:n],
            f["override_until_s"][:n],
        )

    def spoke(self, row: int) -> bool:
        """Whether the device has ever spoken, in this run or an earlier one."""
        return bool(self._ints["spoke"][row] == 1)

    def acknowledged(self, row: int) -> bool:
        """Whether the device was seen following its newest lease."""
        return bool(np.isfinite(self._floats["acknowledged_s"][row]))

    def kinds(self, rows: Ints) -> Ints:
        """The kind codes of some rows, shape (n,)."""
        return self._ints["kind"][rows]

    def floats(self, name: str, rows: Ints) -> Floats:
        """A copy of one column of numbers, NaN where it is not known; shape (n,)."""
        return self._floats[name][rows]

    def ints(self, name: str, rows: Ints) -> Ints:
        """A copy of one column of codes or instants, -1 where it is not known; shape (n,)."""
        return self._ints[name][rows]

    def _stays(self, rows: Ints) -> Bools:
        """Whom nobody has retired, shape (n,)."""
        return ~np.isin(rows, list(self._leaving)) if self._leaving else np.ones(rows.shape, dtype=np.bool_)

    def rows_of(self, feeder_id: str) -> Ints:
        """The rows of a feeder's devices that are neither retired nor quarantined, or are just leaving; by id."""
        if self._rows_version != self.registry_version:
            found: dict[str, list[int]] = {}
            # In order of id, not of arrival: sums of floats depend on their order, and a decision must not.
            for row in sorted(range(len(self.devices)), key=lambda row: self.devices[row].device_id):
                if self.devices[row].enrolment is Enrolment.ACTIVE or row in self._leaving:
                    found.setdefault(self.devices[row].feeder_id, []).append(row)
            self._rows_of = {key: np.array(rows, dtype=np.int64) for key, rows in found.items()}
            self._rows_version = self.registry_version
        return self._rows_of.get(feeder_id, np.empty(0, dtype=np.int64))

    def head_meters(self) -> list[Device]:
        """The registrations of all meters, whatever their enrolment."""
        rows = np.flatnonzero(self._ints["kind"][: len(self)] == METER)
        return [self.devices[row] for row in rows.tolist()]

    def meters(self, rows: Ints, node: Ints, nodes: int, *, now_s: float) -> tuple[Floats, Floats]:
        """The newest head meter reading of each node and its age.

        Args:
            rows: Row numbers, shape (n,).
            node: The node each hangs on, shape (n,).
            nodes: How many nodes there are.
            now_s: The controller's monotonic clock [s].

        Returns:
            Power [kW] and age [s], shape (nodes,) each; NaN and inf where there is no meter.
        """
        power, age = np.full(nodes, np.nan), np.full(nodes, np.inf)
        at = np.flatnonzero(self._ints["kind"][rows] == METER)
        # Oldest first, so that where a node has several the newest stays.
        at = at[np.argsort(self._floats["received_s"][rows[at]], kind="stable")]
        power[node[at]] = self._floats["p_actual_kw"][rows[at]]
        age[node[at]] = now_s - self._floats["received_s"][rows[at]]
        return power, age

    def columns(self, rows: Ints, node: Ints, *, now_s: float, now_ms: int) -> DeviceColumns:
        """Copy out what a tick may see of some rows.

        Args:
            rows: Row numbers, shape (n,).
            node: The node each hangs on, shape (n,).
            now_s: The controller's monotonic clock [s].
            now_ms: The controller's wall clock [epoch ms].
        """
        f = {name: column[rows] for name, column in self._floats.items()}
        i = {name: column[rows] for name, column in self._ints.items()}
        alive = f["lease_until_s"] > now_s
        may_alive = f["may_until_s"] > now_s
        overridden = f["override_until_s"] > now_s
        ready_by_ms = np.where(i["wanted_by_ms"] > now_ms, i["wanted_by_ms"], i["ready_by_ms"])
        return DeviceColumns(
            node=node,
            kind=i["kind"],
            controllable=np.isin(i["kind"], _TOLD) & self._stays(rows),
            status=i["status"],
            spoke=i["spoke"] == 1,
            age_s=now_s - f["received_s"],
            p_actual_kw=f["p_actual_kw"],
            soc=f["soc"],
            available_kw=f["available_kw"],
            ready_in_s=np.where(ready_by_ms > 0, (ready_by_ms - now_ms) / 1000.0, np.nan),
            energy_needed_kwh=f["energy_needed_kwh"],
            p_import_max_kw=f["p_import_max_kw"],
            p_export_max_kw=f["p_export_max_kw"],
            p_min_kw=f["p_min_kw"],
            p_step_kw=f["p_step_kw"],
            capacity_kwh=f["capacity_kwh"],
            min_soc_reserve=f["min_soc_reserve"],
            target_soc=f["target_soc"],
            priority=f["priority"],
            default_power_kw=f["default_power_kw"],
            override=np.where(overridden, i["override"], Override.NONE),
            override_kw=np.where(overridden, f["override_kw"], np.nan),
            lease_kw=np.where(alive | may_alive, f["lease_kw"], np.nan),
            lease_left_s=f["lease_until_s"] - now_s,
            told_s=now_s - f["told_at_s"],
            may_kw=np.where(may_alive, f["may_kw"], np.nan),
            may_low_kw=np.where(may_alive, f["may_low_kw"], np.nan),
            may_left_s=f["may_until_s"] - now_s,
            acknowledged_s=np.where(np.isfinite(f["acknowledged_s"]), now_s - f["acknowledged_s"], -np.inf),
            stagger=f["stagger"],
        )

    def resume(self, leases: Iterable[Setpoint], *, now_s: float, now_ms: int) -> int:
        """Take over leases of an earlier run that still live, so that their room is not given away.

        Returns:
            How many were taken over.
        """
        count = 0
        for lease in leases:
            row = self._row.get(lease.device_id)
            left_s = (lease.valid_until_ms - now_ms) / 1000.0
            if row is None or left_s <= 0.0:
                continue
            self.overheard(row, lease, now_s=now_s, left_s=left_s)
            count += 1
        return count

    def _grow(self, rows: int) -> None:
        """Double the columns when they are full."""
        size = self._ints["kind"].size
        if rows <= size:
            return
        for name, column in self._floats.items():
            self._floats[name] = _doubled(column)
        for key, whole in self._ints.items():
            self._ints[key] = _doubled(whole)
        self._look()

    def _look(self) -> None:
        columns: dict[str, Any] = {**self._floats, **self._ints}
        self._cells = {name: memoryview(column) for name, column in columns.items()}


def _doubled(column: NDArray[S]) -> NDArray[S]:
    """A column with as much room again, which takes no memory before it is blanked for a device."""
    longer = blank((2 * column.size,), column.dtype)
    longer[: column.size] = column
    return longer
