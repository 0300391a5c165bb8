"""What the devices of a scenario truly do: the real rules of the agent for leases, numpy for power and energy.

The rules judge each setpoint that arrives (`agent.endpoint.Endpoint`); what they then ask for is worked out in
columns, one row a device, so that a day of 500 devices can be walked through second by second.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agent.driver import Capabilities
from agent.endpoint import RAMP_S, Endpoint, Verdict
from derms.model import DeviceKind, Setpoint
from tests.scenarios.story import Device

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Devices:
    """The true devices; every array has shape (n,)."""

    def __init__(self, told: Sequence[Device]) -> None:
        self.told = list(told)
        self.ids = [device.id for device in told]
        size = len(told)

        def column(name: str) -> Floats:
            return np.array([getattr(device, name) for device in told], dtype=np.float64).reshape(size)

        self.kind = np.array([device.kind.value for device in told], dtype=object).reshape(size)
        self.is_pv = self.kind == DeviceKind.PV.value
        self.is_battery = self.kind == DeviceKind.BATTERY.value
        self.is_load = self.kind == DeviceKind.LOAD.value
        self.rating_kw, self.export_kw = column("rating_kw"), column("export_kw")
        self.min_kw, self.capacity_kwh = column("min_kw"), column("capacity_kwh")
        self.default_kw, self.accepts_kw = column("default_kw"), column("accepts_kw")
        self.natural_kw = column("natural_kw")
        """What PV could make now, what a load draws."""
        self.soc = np.array([0.0 if d.soc is None else d.soc for d in told], dtype=np.float64).reshape(size)
        self.asked_kwh = np.array(
            [np.inf if d.energy_kwh is None else d.energy_kwh for d in told], dtype=np.float64
        ).reshape(size)
        self.ready_by_s = np.array(
            [np.inf if d.ready_by_s is None else d.ready_by_s for d in told], dtype=np.float64
        ).reshape(size)
        """When the driver says it leaves; inf: it does not say."""
        self.taken_kwh = np.zeros(size)
        """Charged since the session began."""
        self.plugged = np.ones(size, dtype=bool)
        """It is there at all: a car at the charger, a load switched on."""
        self.defies_kw = np.full(size, np.nan)
        """What it draws whatever it is told; NaN: it obeys."""
        self.deaf = np.zeros(size, dtype=bool)
        self.p_kw = np.zeros(size)
        self.wish_kw = np.zeros(size)
        """What its rules ask of it: the lease, or its way to the default control."""
        self._lease_kw = self.default_kw.copy()
        self._deadline_s = np.full(size, -np.inf)
        self._leased = np.zeros(size, dtype=bool)
        self.unleased = np.ones(size, dtype=bool)
        """On its default control, or falling to it."""
        self._ramp_kw_per_s = np.maximum((self.rating_kw + self.export_kw) / RAMP_S, 1e-9)
        self.endpoints = [Endpoint(device_id=device.id, capabilities=_capabilities(device)) for device in told]
        self.row = {device.id: row for row, device in enumerate(told)}

    def offer(self, lease: Setpoint, *, now_ms: int, now_s: float) -> Verdict | None:
        """Hand a setpoint over; None: nobody heard it."""
        row = self.row[lease.device_id]
        if self.deaf[row]:
            return None
        endpoint = self.endpoints[row]
        verdict = endpoint.offer(lease, now_ms=now_ms, monotonic_s=now_s)
        if verdict is Verdict.ACCEPTED:
            following = endpoint.following(now_s)
            assert following is not None
            self._lease_kw[row], self._deadline_s[row] = following.p_kw, following.deadline_s
            self._leased[row] = True
        return verdict

    def step(self, now_s: float, dt_s: float) -> None:
        """Let `dt_s` seconds end at `now_s`."""
        self.wish_kw = wish = self._wishes(now_s)
        draw = np.where(wish < self.min_kw - 1e-9, np.minimum(wish, 0.0), wish)
        can_take = (self.soc < 1.0) & (self.taken_kwh < self.asked_kwh - 1e-9)
        draw = np.where(can_take, np.minimum(draw, self.accepts_kw), np.minimum(draw, 0.0))
        draw = np.where(self.soc <= 0.0, np.maximum(draw, 0.0), draw)
        # Without a lease PV runs freely; under one the lease is a cap.
        self.unleased = ~self._leased | (now_s >= self._deadline_s)
        cap = np.where(self.unleased, self.natural_kw, np.minimum(self.natural_kw, np.maximum(-wish, 0.0)))
        power = np.where(self.is_pv, -cap, np.where(self.is_load, self.natural_kw, draw))
        power = np.where(np.isfinite(self.defies_kw), self.defies_kw, power)
        self.p_kw = np.where(self.plugged, power, 0.0)
        energy = self.p_kw * dt_s / 3600.0
        stores = ~(self.is_pv | self.is_load)
        self.soc = np.where(stores, np.clip(self.soc + energy / self.capacity_kwh, 0.0, 1.0), self.soc)
        self.taken_kwh += np.where(stores, np.maximum(energy, 0.0), 0.0)

    def _wishes(self, now_s: float) -> Floats:
        """`Endpoint.target` of all, in columns."""
        moved = np.maximum(now_s - self._deadline_s, 0.0) * self._ramp_kw_per_s
        moved = np.where(np.isfinite(moved), moved, np.inf)
        gap = self.default_kw - self._lease_kw
        fallen = np.where(np.abs(gap) <= moved, self.default_kw, self._lease_kw + np.sign(gap) * np.fmin(moved, 1e9))
        wish = np.where(now_s < self._deadline_s, self._lease_kw, fallen)
        return np.where((wish > 0.0) & (wish < self.min_kw), 0.0, wish)


def _capabilities(device: Device) -> Capabilities:
    runs_free = device.kind in (DeviceKind.PV, DeviceKind.LOAD)
    return Capabilities(
        kind=device.kind,
        p_import_max_kw=device.rating_kw,
        p_export_max_kw=device.export_kw,
        p_min_kw=device.min_kw,
        capacity_kwh=device.capacity_kwh,
        default_power_kw=None if runs_free else device.default_kw,
    )
