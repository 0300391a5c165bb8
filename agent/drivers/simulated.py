"""A device where there is none: stands in for hardware in `derms agent run`. Pure but for its own state; no clock.

Small on purpose (the feeder simulator has the honest physics of a whole street): a store that loses on the way in
and out and tapers towards its ends, an array under a passing sun, a household. Energy is conserved:
`stored = bought * efficiency - sold / efficiency`.
"""

import dataclasses
import math
import random
from collections.abc import Callable

from agent.driver import Capabilities, Model, Reading
from derms.model import DeviceKind
from derms.ports import Clock

EFFICIENCY = 0.95
"""One way, between the meter and the cells."""
TAPER_SOC = 0.85
"""Charging power falls linearly from here to nothing at full; discharging likewise over the same width at empty."""
_DAY_S = 86_400.0
_CLOUD_S = 60.0
_BATTERY_KWH, _CAR_KWH = 10.0, 60.0


class StorageModel:
    """A battery, or a car that stays plugged in.

    Args:
        capabilities: Its rating; `capacity_kwh` must be given.
        soc: Where it starts, 0..1.
    """

    def __init__(self, capabilities: Capabilities, *, soc: float = 0.5) -> None:
        self._capabilities = capabilities
        self._capacity_kwh = capabilities.capacity_kwh or _BATTERY_KWH
        self._stored_kwh = soc * self._capacity_kwh
        self._wanted_kw = 0.0
        self._p_kw = 0.0

    def capabilities(self) -> Capabilities:
        """What the device can do."""
        return self._capabilities

    def read(self) -> Reading:
        """The power now, and what is stored."""
        return Reading(p_actual_kw=self._p_kw, soc=self._stored_kwh / self._capacity_kwh)

    def apply(self, p_kw: float | None, seconds: float) -> None:
        """Live through `seconds` as asked before, then do as asked now; None: charge as fast as it will."""
        hours = seconds / 3600
        lived_kw = self._possible(self._wanted_kw, hours)
        gain = EFFICIENCY if lived_kw > 0 else 1 / EFFICIENCY
        stored_kwh = self._stored_kwh + lived_kw * gain * hours
        # Only rounding is cut off here: `_possible` leaves room.
        self._stored_kwh = min(max(stored_kwh, 0.0), self._capacity_kwh)
        self._wanted_kw = self._capabilities.p_import_max_kw if p_kw is None else p_kw
        self._p_kw = self._possible(self._wanted_kw, 0.0)

    def _possible(self, p_kw: float, hours: float) -> float:
        """The power that rating, taper, smallest power and the room that is left allow [kW]."""
        c = self._capabilities
        soc = self._stored_kwh / self._capacity_kwh
        width = 1 - TAPER_SOC
        if p_kw > 0:
            power_kw = min(p_kw, c.p_import_max_kw * min(1.0, (1 - soc) / width))
            if hours > 0:
                power_kw = min(power_kw, (self._capacity_kwh - self._stored_kwh) / EFFICIENCY / hours)
            return 0.0 if power_kw < c.p_min_kw else power_kw
        power_kw = min(-p_kw, c.p_export_max_kw * min(1.0, soc / width))
        if hours > 0:
            power_kw = min(power_kw, self._stored_kwh * EFFICIENCY / hours)
        return 0.0 - power_kw


class SourceModel:
    """PV, a household or a meter: a power that comes by itself; PV obeys a cap.

    Args:
        capabilities: Its kind and rating.
        p_free_kw: What it would do now by itself [kW], load convention.
    """

    def __init__(self, capabilities: Capabilities, p_free_kw: Callable[[], float]) -> None:
        self._capabilities = capabilities
        self._p_free_kw = p_free_kw
        self._cap_kw: float | None = None

    def capabilities(self) -> Capabilities:
        """What the device can do."""
        return self._capabilities

    def read(self) -> Reading:
        """What it does now, and for PV what it could do."""
        free_kw = self._p_free_kw()
        if self._capabilities.kind is not DeviceKind.PV:
            return Reading(p_actual_kw=free_kw)
        p_kw = free_kw if self._cap_kw is None else max(free_kw, self._cap_kw)
        return Reading(p_actual_kw=p_kw, p_max_kw=0.0 - free_kw)

    def apply(self, p_kw: float | None, seconds: float) -> None:
        """Set the cap; a household takes no orders."""
        self._cap_kw = None if p_kw is None else min(p_kw, 0.0)


def simulated_model(capabilities: Capabilities, *, clock: Clock, rng: random.Random) -> Model:
    """The stand-in for a device.

    Args:
        capabilities: What it is.
        clock: Tells the sun where to stand.
        rng: Clouds and habits.
    """
    kind = capabilities.kind
    if kind in (DeviceKind.BATTERY, DeviceKind.EV):
        if capabilities.capacity_kwh is None:
            capacity_kwh = _CAR_KWH if kind is DeviceKind.EV else _BATTERY_KWH
            capabilities = dataclasses.replace(capabilities, capacity_kwh=capacity_kwh)
        return StorageModel(capabilities, soc=rng.uniform(0.2, 0.6))
    phase = rng.uniform(0, 1000)
    rating_kw = max(capabilities.p_import_max_kw, capabilities.p_export_max_kw)

    def free_kw() -> float:
        now_s = clock.now_ms() / 1000
        hour = now_s % _DAY_S / 3600
        # Three slow waves that never meet again pass for clouds, and for what people do at home.
        waves = sum(math.sin(2 * math.pi * (now_s / (_CLOUD_S * n) + phase * n)) for n in (1, math.pi, 7.3)) / 3
        if kind is DeviceKind.PV:
            sun = max(0.0, math.sin(math.pi * (hour - 6) / 12))
            return 0.0 - rating_kw * sun * (0.8 + 0.2 * waves)
        evening = math.exp(-(((hour - 19) / 3) ** 2))
        return rating_kw * (0.15 + 0.35 * evening) * (1 + 0.3 * waves)

    return SourceModel(capabilities, free_kw)
