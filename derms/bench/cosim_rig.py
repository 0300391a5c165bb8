"""The same plant, driven through `derms cosim`: what it knows of the engine is what `docs/cosimulation.md` says.

It gives no parameters at all: the length of a step shows from `now`, and everything else follows that.
"""

from typing import Any

import numpy as np

from derms.bench.plant import Plant
from derms.bench.rig import Rig, Script
from derms.bench.through_cosim import Ask, answered, in_process
from derms.bench.world import Site
from derms.columns import Bools, Params

_NODE = "head"


class CosimRig(Rig):
    """A site under the control of a co-simulation session. Owned by one run."""

    def __init__(self, site: Site, params: Params, script: Script) -> None:
        super().__init__(site, params, script)
        self._ask: Ask = in_process()
        self._followed: dict[int, tuple[float, float]] = {}
        devices = {self._name(row): self._registration(row) for row in range(self._rows.size)}
        answered(
            self._ask(
                {
                    "nodes": {_NODE: {"import_limit_kw": site.limit_kw}},
                    "devices": devices,
                    "policy": script.policy.value,
                }
            )
        )
        self._words: dict[str, dict[str, Any]] = {}
        self._metered: dict[str, Any] = {}

    def _report(self, t: int) -> None:
        """Let what is due this second be said in the next line."""
        site, plant, script = self._site, self.plant, self.script
        silent: Bools = np.zeros(site.chargers, dtype=bool) if script.silent is None else script.silent(t)
        due = np.flatnonzero(((t + plant.chargers.phase_s) % site.telemetry_s == 0) & ~silent)
        for row in due.tolist():
            self._words[self._name(row)] = self._measured(plant, row, t)
        if self._rows.size > site.chargers and not bool(silent.all()):
            self._words["pv"] = {"p_actual_kw": -float(plant.pv_kw[t]), "at": t}
        metered = plant.metered_kw()
        if t % site.meter_s == 0 and not (script.meter_silent is not None and script.meter_silent(t)):
            self._metered = {"metered_kw": metered, "metered_at": t}

    def _tick(self, t: int, static_kw: float, event_kw: float) -> None:
        node = {"import_limit_kw": min(static_kw, event_kw), **self._metered}
        answer = answered(self._ask({"now": t, "nodes": {_NODE: node}, "devices": self._words}))
        self._words, self._metered = {}, {}
        for row in range(self._site.chargers):
            said = answer["setpoints"].get(self._name(row))
            if said is None:
                continue
            told = (said["p_setpoint_kw"], said["valid_until"])
            if self._followed.get(row) != told:
                self._followed[row] = told
                self._told_kw[row] = told[0]
                self.plant.command(t, row, *told)

    def _measured(self, plant: Plant, row: int, t: int) -> dict[str, Any]:
        reading = self._reading(row, t)
        said: dict[str, Any] = {
            "at": t,
            "p_actual_kw": reading.p_actual_kw,
            "p_setpoint_kw": reading.p_setpoint_kw,
            "soc": reading.soc,
            "p_max_kw": reading.p_max_kw,
            "ready_by": float(plant.leaves_s[row]) if reading.ready_by_ms is not None else None,
        }
        return said if reading.capacity_kwh is None else {**said, "capacity_kwh": reading.capacity_kwh}

    def _registration(self, row: int) -> dict[str, Any]:
        device = self.fleet.devices[row]
        if row == self._pv_row:
            return {"type": "pv", "p_export_max_kw": device.p_export_max_kw}
        return {
            "type": "ev",
            "p_import_max_kw": device.p_import_max_kw,
            "p_min_kw": device.p_min_kw,
            "p_step_kw": device.p_step_kw,
            "priority": device.priority,
            "target_soc": device.target_soc,
        }

    def _name(self, row: int) -> str:
        return self.fleet.devices[row].device_id
