"""Other people's signs and units, turned once. Pure."""

from dataclasses import dataclass
from typing import Literal

Sign = Literal["load", "generation"]
"""What is positive: power drawn, as here, or power generated."""
Unit = Literal["W", "kW"]


@dataclass(frozen=True, slots=True)
class PowerWords:
    """How a device speaks of power."""

    unit: Unit = "kW"
    sign: Sign = "load"

    def to_kw(self, value: float) -> float:
        """A value of the device in kW, load convention."""
        kw = value / 1000 if self.unit == "W" else value
        return kw + 0.0 if self.sign == "load" else 0.0 - kw

    def from_kw(self, p_kw: float) -> float:
        """A power in the device's own words."""
        value = p_kw * 1000 if self.unit == "W" else p_kw
        return value + 0.0 if self.sign == "load" else 0.0 - value
