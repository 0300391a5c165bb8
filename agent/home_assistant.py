"""What Home Assistant is told, so that a device shows up there by itself: MQTT device discovery. Pure.

One retained message says which sensors there are, and a retained state of its own holds their values, so that they are
there at once after a restart of Home Assistant, and alike whatever dialect the device speaks to its controller. Power
keeps the load convention: what is drawn is positive.

Source: Home Assistant, "MQTT Discovery", section "Device discovery payload"; "MQTT Sensor".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from derms import __version__
from derms.contract import Topics
from derms.model import DeviceKind, Telemetry

_KINDS = {
    DeviceKind.PV: "PV inverter",
    DeviceKind.BATTERY: "Battery",
    DeviceKind.EV: "EV charger",
    DeviceKind.LOAD: "Load",
    DeviceKind.METER: "Meter",
}
_MISSED_REPORTS = 5
"""A value that was not renewed for so many intervals is unknown."""
_SHORTEST_EXPIRY_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeAssistant:
    """One device, as Home Assistant sees it."""

    device_id: str
    kind: DeviceKind
    topics: Topics
    interval_s: float
    """Between two reports [s]."""
    stores: bool = True
    """It has a state of charge."""
    prefix: str = "homeassistant"
    """Where Home Assistant looks for discovery messages."""

    def discovery(self) -> tuple[str, bytes]:
        """Topic and message that make the device known; to be retained."""
        components = {
            "power": self._sensor("power", "Power", "value_json.power_kw", _POWER),
            "setpoint": self._sensor("setpoint", "Setpoint", "value_json.setpoint_kw", _POWER),
            "status": self._sensor("status", "Status", "value_json.status", {"ent_cat": "diagnostic"}),
        }
        if self.stores:
            components["soc"] = self._sensor("soc", "State of charge", "value_json.soc_pct", _SOC)
        payload = {
            "dev": {
                "ids": [f"derms_{self.device_id}"],
                "name": self.device_id,
                "mf": "derms",
                "mdl": _KINDS[self.kind],
                "sw": __version__,
            },
            "o": {"name": "derms", "sw": __version__},
            "cmps": components,
            "stat_t": self.topics.home_assistant(self.device_id),
            "avty_t": self.topics.status(self.device_id),
            "qos": 1,
        }
        # Home Assistant passes over a topic with a dot in this place.
        name = self.device_id.replace(".", "_")
        return f"{self.prefix}/device/{name}/config", msgspec.json.encode(payload)

    def state(self, sample: Telemetry) -> tuple[str, bytes]:
        """Topic and message of the values; to be retained."""
        payload = {
            "power_kw": round(sample.p_actual_kw, 3),
            "setpoint_kw": None if sample.p_setpoint_kw is None else round(sample.p_setpoint_kw, 3),
            "soc_pct": None if sample.soc is None else round(sample.soc * 100, 1),
            "status": sample.status.value,
        }
        return self.topics.home_assistant(self.device_id), msgspec.json.encode(payload)

    def _sensor(self, key: str, name: str, value: str, more: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "p": "sensor",
            "name": name,
            "uniq_id": f"derms_{self.device_id}_{key}",
            "val_tpl": f"{{{{ {value} }}}}",
            "exp_aft": max(_SHORTEST_EXPIRY_S, round(self.interval_s * _MISSED_REPORTS)),
            **more,
        }


_POWER = {"dev_cla": "power", "stat_cla": "measurement", "unit_of_meas": "kW"}
_SOC = {"dev_cla": "battery", "stat_cla": "measurement", "unit_of_meas": "%"}
