"""The engine on a plant, second by second: the daemon's own fleet and tick, on the plant's clock.

The controller sees what is on the wire (telemetry, head meter) and nothing else; the trace is of what truly flowed.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from derms.bench.plant import Plant
from derms.bench.world import Site
from derms.columns import (
    AUTO,
    Bools,
    Constraint,
    Decision,
    Floats,
    Ints,
    Memory,
    NodeColumns,
    Params,
    Picture,
)
from derms.control.decide import decide
from derms.fleet import Fleet
from derms.model import Device, DeviceKind, Policy, Setpoint, Telemetry

_START_MS = 1_700_000_000_000
"""An instant as good as any [epoch ms]."""
_NODE = "head"


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What is done to a site while it runs; functions of the second."""

    limit_kw: Callable[[int], float] | None = None
    """The static limit; None: the site's."""
    event_kw: Callable[[int], float] | None = None
    """The import limit of a DR event that bears; inf: none does."""
    silent: Callable[[int], Bools] | None = None
    """Whose telemetry does not arrive, shape (chargers,)."""
    meter_silent: Callable[[int], bool] | None = None
    priority: Ints | None = None
    """Of each charger, 1..10; None: 5."""
    policy: Policy = Policy.DEFICIT


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What an observer sees, second by second; shapes (t,) and (t, n). All in kW."""

    limit_kw: Floats
    """In force: the static one and the event's."""
    load_kw: Floats
    """Truly through the head."""
    fixed_kw: Floats
    """Of that, what is not a charger."""
    demand_kw: Floats
    """Shape (t, n): what each charger's car would take."""
    drawn_kw: Floats
    """Shape (t, n)."""
    told_kw: Floats
    """Shape (t, n): the newest setpoint on the wire; 0 before the first."""
    headroom_kw: Floats
    """What the controller believes there is for chargers."""


class Rig:
    """A site under control. Owned by one run."""

    def __init__(self, site: Site, params: Params, script: Script) -> None:
        self.plant = Plant(site)
        self.params = params
        self.script = script
        self.fleet = Fleet()
        self.decision: Decision | None = None
        self._site = site
        self._seq = 0
        self._meter = (np.nan, -np.inf)
        self._told_kw = np.zeros(site.chargers)
        self._pv_row = site.chargers
        for row in range(site.chargers):
            self.fleet.register(self._charger(row))
        self.fleet.register(
            Device(device_id="pv", kind=DeviceKind.PV, feeder_id=_NODE, p_export_max_kw=max(site.pv_kw, 1.0))
        )
        reporting = site.chargers + (1 if site.pv_reported and site.pv_kw > 0.0 else 0)
        self._rows: Ints = np.arange(reporting, dtype=np.int64)
        self._node: Ints = np.zeros(reporting, dtype=np.int64)
        self.memory = Memory.empty(reporting, 1)

    def run(self) -> Trace:
        """Live through the whole duration."""
        site, plant = self._site, self.plant
        seconds = [self._second(t) for t in range(site.duration_s)]
        head = np.array([second[0] for second in seconds], dtype=np.float64)
        rows = np.array([second[1] for second in seconds], dtype=np.float64)
        del plant
        return Trace(
            limit_kw=head[:, 0],
            load_kw=head[:, 1],
            fixed_kw=head[:, 2],
            headroom_kw=head[:, 3],
            demand_kw=rows[:, 0],
            drawn_kw=rows[:, 1],
            told_kw=rows[:, 2],
        )

    def _second(self, t: int) -> tuple[tuple[float, ...], Floats]:
        site, plant, script = self._site, self.plant, self.script
        plant.step(t)
        static = site.limit_kw if script.limit_kw is None else script.limit_kw(t)
        event = np.inf if script.event_kw is None else script.event_kw(t)
        self._report(t)
        if t % site.tick_s == 0:
            self._tick(t, static, event)
        headroom = np.inf if self.decision is None else float(np.min(self.decision.nodes.headroom_kw))
        head = (min(static, event), plant.load_kw, plant.fixed_kw, headroom)
        return head, np.stack((plant.demand_kw, plant.p_kw, self._told_kw))

    def _report(self, t: int) -> None:
        """Let what is due this second arrive."""
        site, plant, script = self._site, self.plant, self.script
        silent = np.zeros(site.chargers, dtype=bool) if script.silent is None else script.silent(t)
        due = np.flatnonzero(((t + plant.chargers.phase_s) % site.telemetry_s == 0) & ~silent)
        for row in due.tolist():
            self.fleet.observe(row, self._reading(row, t), now_s=float(t))
        if self._rows.size > site.chargers and not bool(silent.all()):
            reading = Telemetry(
                device_id="pv", kind=DeviceKind.PV, at_ms=_START_MS + t * 1000, p_actual_kw=-float(plant.pv_kw[t])
            )
            self.fleet.observe(self._pv_row, reading, now_s=float(t))
        metered = plant.metered_kw()
        if t % site.meter_s == 0 and not (script.meter_silent is not None and script.meter_silent(t)):
            self._meter = (metered, float(t))

    def _tick(self, t: int, static_kw: float, event_kw: float) -> None:
        metered, at_s = self._meter
        columns = self.fleet.columns(self._rows, node=self._node, now_s=float(t), now_ms=_START_MS + t * 1000)
        picture = Picture(
            dt_s=float(self._site.tick_s),
            nodes=NodeColumns(
                parent=np.array([-1]),
                mode=np.array([AUTO]),
                import_limit_kw=np.array([static_kw]),
                export_limit_kw=np.array([np.inf]),
                margin_kw=np.array([0.0]),
                assumed_unmetered_kw=np.array([0.0]),
                metered_kw=np.array([metered]),
                metered_age_s=np.array([t - at_s]),
            ),
            constraints=(Constraint(source="event", import_limit_kw=event_kw),) if np.isfinite(event_kw) else (),
            devices=columns,
            policy=self.script.policy,
        )
        self.decision, self.memory = decide(picture, self.memory, self.params)
        for row in np.flatnonzero(self.decision.send).tolist():
            self._send(t, row, self.decision)

    def _send(self, t: int, row: int, decision: Decision) -> None:
        self._seq += 1
        now_ms = _START_MS + t * 1000
        lease = Setpoint(
            device_id=self.fleet.devices[row].device_id,
            kind=self.fleet.devices[row].kind,
            p_setpoint_kw=float(np.floor(decision.target_kw[row] * 1e6 + 1e-3)) / 1e6,
            issued_at_ms=now_ms,
            valid_until_ms=now_ms + round(float(decision.life_s[row]) * 1000),
            epoch=1,
            seq=self._seq,
        )
        self.fleet.commanded(row, lease, now_s=float(t))
        if row < self._site.chargers:
            self._told_kw[row] = lease.p_setpoint_kw
            self.plant.command(t, row, lease.p_setpoint_kw, t + float(decision.life_s[row]))

    def _charger(self, row: int) -> Device:
        chargers, priority = self.plant.chargers, self.script.priority
        return Device(
            device_id=f"ev-{row:03d}",
            kind=DeviceKind.EV,
            feeder_id=_NODE,
            p_import_max_kw=float(chargers.rating_kw[row]),
            p_min_kw=float(chargers.minimum_kw[row]),
            p_step_kw=self._site.amp_kw,
            priority=5 if priority is None else int(priority[row]),
            target_soc=1.0,
        )

    def _reading(self, row: int, t: int) -> Telemetry:
        plant = self.plant
        there = bool(plant.present[row])
        leaves = float(plant.leaves_s[row])
        return Telemetry(
            device_id=f"ev-{row:03d}",
            kind=DeviceKind.EV,
            at_ms=_START_MS + t * 1000,
            p_actual_kw=float(plant.p_kw[row]),
            p_setpoint_kw=plant.following_kw(row, t),
            soc=float(plant.soc[row]) if there else None,
            p_max_kw=float(plant.chargers.rating_kw[row]) if there else 0.0,
            capacity_kwh=float(plant.capacity_kwh()[row]) if there else None,
            ready_by_ms=_START_MS + round(leaves * 1000)
            if there and self._site.departs and np.isfinite(leaves)
            else None,
        )
