"""What no controller could have prevented, and nothing else. The observer subtracts it from an excess.

1. **In the dark**, while the broker is away or the controller is down (and, after a restart, until every device has
   had time to speak once): what rose since it began of that which nobody controls, load, sun, devices that do as they
   like, PV whose leases are over, and what the limit fell meanwhile. What cars and batteries draw in the dark was
   settled by their leases and defaults: that is the controller's, and is not excused. That they no longer draw it once
   their leases are over, and so leave the sun to the grid, is: no lease outlives the dark.
2. **Where it cannot be done**: while the controller's record names a shortfall at the node, only what those that hear
   and obey could still have given counts as an excess: what EVs draw, and what batteries could yet discharge.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from derms.columns import Bools, Ints
from tests.scenarios.observer import Forest
from tests.scenarios.physics import Devices, Floats


@dataclass(slots=True)
class _Dark:
    """How things stood when it began."""

    background_kw: Floats
    powers_kw: Floats
    import_kw: Floats
    export_kw: Floats


class Excuses:
    """Told at every step how things stand; asked only when there is an excess."""

    def __init__(self, devices: Devices, forest: Forest, node: Ints, *, hearing_s: float) -> None:
        self._devices, self._forest, self._node = devices, forest, node
        self._hearing_s = hearing_s
        self._dark: _Dark | None = None
        self._until_s = -np.inf

    def watch(
        self, now_s: float, *, broker_away: bool, controller_down: bool, background_kw: Floats,
        limits_kw: Callable[[], tuple[Floats, Floats]],
    ) -> None:  # fmt: skip
        """Note when it grows dark, and when light."""
        if broker_away or controller_down:
            if self._dark is None:
                self._dark = _Dark(background_kw.copy(), self._devices.p_kw.copy(), *limits_kw())
            self._until_s = max(self._until_s, now_s + (self._hearing_s if controller_down else 0.0))
        elif now_s > self._until_s:
            self._dark = None

    def excused_kw(
        self, background_kw: Floats, load_kw: Floats, limits_kw: tuple[Floats, Floats], shortfall_kw: Floats
    ) -> tuple[Floats, Floats]:
        """What of the import and of the export at each node is excused, shape (m,) each [kW]."""
        upper, lower = limits_kw
        excused_import, excused_export = np.zeros_like(load_kw), np.zeros_like(load_kw)
        if self._dark is not None:
            free = self._devices.is_load | self._devices.is_pv | np.isfinite(self._devices.defies_kw)
            with np.errstate(invalid="ignore"):
                excused_import = np.maximum(self._moved_kw(free, background_kw), 0.0)
                excused_import += np.fmax(self._dark.import_kw - upper, 0.0)
                excused_export = np.maximum(-self._moved_kw(free | self._devices.unleased, background_kw), 0.0)
                excused_export += np.fmax(self._dark.export_kw - lower, 0.0)
        could = self._sums(self._could_give_kw())
        beyond = np.where(shortfall_kw > 0.0, np.maximum(load_kw - upper - could, 0.0), 0.0)
        return np.maximum(excused_import, beyond), excused_export

    def _moved_kw(self, free: Bools, background_kw: Floats) -> Floats:
        """By how much the load of each node has risen in the dark through what is free, shape (m,) [kW]."""
        assert self._dark is not None
        moved = self._sums(np.where(free, self._devices.p_kw - self._dark.powers_kw, 0.0))
        return moved + self._forest.sums(background_kw - self._dark.background_kw)

    def _sums(self, powers_kw: Floats) -> Floats:
        own = np.bincount(self._node, weights=powers_kw, minlength=len(self._forest.ids)).astype(np.float64)
        return self._forest.sums(own)

    def _could_give_kw(self) -> Floats:
        """By how much each could still come down, shape (n,) [kW]."""
        devices = self._devices
        obeys = ~(np.isfinite(devices.defies_kw) | devices.deaf | devices.is_pv | devices.is_load)
        reserve = np.array([told.reserve for told in devices.told])
        least = np.where(devices.is_battery & (devices.soc > reserve), -devices.export_kw, 0.0)
        return np.where(obeys & devices.plugged, np.maximum(devices.p_kw - least, 0.0), 0.0)
