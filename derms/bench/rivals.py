"""Plain rules for scale: first come, earliest deadline, and equal shares, which is what the predecessor did.

They know no more than a rule of thumb does. Equal shares: what the newest readings leave is divided evenly among all
who want, at once, with no ramp and no margin; who would get less than its smallest power gets nothing, and its share is
lost.
"""

import numpy as np

from derms.bench.rig import Rig
from derms.bench.sessions import RIVALS, Run, drive
from derms.bench.weeks import Week
from derms.columns import Floats, Ints

EQUAL = "equal shares"
NAMES = (*RIVALS, EQUAL)
_DONE_KWH = 1e-6


def run_rival(week: Week, limit_kw: float, name: str) -> Run:
    """Drive a plain rule through a week; what it gives is rounded down to what a charger can do.

    Args:
        week: The sessions, on the grid.
        limit_kw: What they may draw together [kW].
        name: One of `NAMES`.
    """

    def serve(present: Ints, now_s: float, left_kwh: Floats, drawn_kw: Floats, told_kw: Floats) -> Floats:
        cap = np.where(left_kwh > _DONE_KWH, week.p_max_kw[present], 0.0)
        if name == EQUAL:
            given = evenly(cap, limit_kw)
        else:
            order = np.argsort(-RIVALS[name](week, present, now_s, left_kwh), kind="stable")
            given = np.empty_like(cap)
            given[order] = np.clip(limit_kw - (np.cumsum(cap[order]) - cap[order]), 0.0, cap[order])
        return lawful(given, week.p_min_kw[present], week.p_step_kw[present])

    return drive(week, limit_kw, serve)


def evenly(cap_kw: Floats, room_kw: float) -> Floats:
    """Divide room evenly, nobody above its cap, shape (n,) [kW]."""
    given, left = np.zeros_like(cap_kw), max(room_kw, 0.0)
    order = [row for row in np.argsort(cap_kw, kind="stable").tolist() if cap_kw[row] > 0.0]
    for place, row in enumerate(order):
        given[row] = min(cap_kw[row], left / (len(order) - place))
        left -= given[row]
    return given


def lawful(p_kw: Floats, minimum_kw: Floats, step_kw: Floats) -> Floats:
    """Down to a power that a charger can do, shape (n,) [kW]."""
    step = np.where(step_kw > 0.0, step_kw, 1.0)
    whole = np.where(step_kw > 0.0, np.floor(p_kw / step + 1e-9) * step, p_kw)
    return np.where(whole >= minimum_kw - 1e-9, whole, 0.0)


class EqualRig(Rig):
    """A site under equal shares: of the limit less what the head meter shows beside the chargers, at every tick."""

    def _tick(self, t: int, static_kw: float, event_kw: float) -> None:
        """Tell every charger its share of what the newest readings leave."""
        size = self._site.chargers
        seen = self.fleet.columns(self._rows[:size], node=self._node[:size], now_s=float(t), now_ms=0)
        drawn = np.nan_to_num(seen.p_actual_kw)
        wants = np.where(
            np.nan_to_num(seen.available_kw) > 0.0, np.where(seen.soc < 1.0, seen.p_import_max_kw, 0.0), 0.0
        )
        metered = 0.0 if np.isnan(self._meter[0]) else self._meter[0] - float(drawn.sum())
        given = lawful(evenly(wants, min(static_kw, event_kw) - metered), seen.p_min_kw, np.zeros(size))
        for row in np.flatnonzero(given != self._told_kw).tolist():
            self.plant.command(t, row, float(given[row]), np.inf)
        self._told_kw = given
