"""What a charger's sampled values say: power, state of charge, energy. Pure.

Chargers differ in what they measure: some say their power, some only the current of each phase, some only the energy so
far. The first of these that is there counts. Power in kW, drawn is positive; energy in kWh.

Source: Open Charge Alliance, OCPP 1.6 edition 2, SampledValue; OCPP 2.0.1 edition 3, SampledValueType.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_LINES = ("L1", "L2", "L3")
_MOST_KW = 1_000_000.0
_SHORTEST_S, _LONGEST_S = 1.0, 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One sampled value, in base units (W, Wh, A, V, %)."""

    measurand: str
    value: float
    phase: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one message says; None: nothing of it."""

    power_kw: float | None = None
    soc: float | None = None
    """0..1."""
    energy_kwh: float | None = None
    """The meter's register, imported."""


def samples_of(meter_values: Iterable[Mapping[str, Any]]) -> list[Sample]:
    """The sampled values of the newest moment in a message of either version, keys in snake case.

    What is no finite number, or of a unit that nobody knows, is left out.
    """
    found: list[Sample] = []
    for moment in meter_values:
        fresh = [sample for value in moment.get("sampled_value", ()) if (sample := _sample(value)) is not None]
        found = fresh or found
    return found


def measured(samples: Iterable[Sample], *, voltage_v: float, phases: int) -> Measured:
    """What samples of one moment say.

    Args:
        samples: From `samples_of`.
        voltage_v: Between a phase and neutral, where no voltage is measured [V].
        phases: Over how many a current without a phase flows.
    """
    by: dict[str, dict[str | None, float]] = {}
    for sample in samples:
        by.setdefault(sample.measurand, {})[_line(sample.phase)] = sample.value
    imported = _total(by.get("Power.Active.Import", {}))
    exported = _total(by.get("Power.Active.Export", {}))
    power_w = imported
    if exported is not None:
        power_w = (imported or 0.0) - exported
    if power_w is None:
        power_w = _power_of_currents(by.get("Current.Import", {}), by.get("Voltage", {}), voltage_v, phases)
    energy_wh = _total(by.get("Energy.Active.Import.Register", {}))
    soc_pct = by.get("SoC", {}).get(None)
    return Measured(
        power_kw=None if power_w is None or abs(power_w) > 1000 * _MOST_KW else power_w / 1000,
        soc=None if soc_pct is None or not 0 <= soc_pct <= 100 else soc_pct / 100,
        energy_kwh=None if energy_wh is None or energy_wh < 0 else energy_wh / 1000,
    )


def power_between(before_kwh: float, after_kwh: float, seconds: float) -> float | None:
    """The mean power between two readings of an energy register [kW]; None: they are too close, too far, or turned."""
    if not _SHORTEST_S <= seconds <= _LONGEST_S or after_kwh < before_kwh:
        return None
    return (after_kwh - before_kwh) / (seconds / 3600)


_KILO = {"kW": ("W", 3), "kWh": ("Wh", 3), "kvar": ("var", 3), "kVA": ("VA", 3), "kvarh": ("varh", 3)}
_KNOWN = ("W", "Wh", "A", "V", "Percent")
_USUAL = {"Power": "W", "Energy": "Wh", "Current": "A", "Voltage": "V", "SoC": "Percent"}


def _sample(value: Mapping[str, Any]) -> Sample | None:
    measurand = str(value.get("measurand") or "Energy.Active.Import.Register")
    usual = _USUAL.get(measurand.partition(".")[0])
    of_measure = value.get("unit_of_measure") or {}
    unit = value.get("unit") or of_measure.get("unit") or usual
    unit, exponent = _KILO.get(str(unit), (unit, 0))
    try:
        number = float(value["value"]) * 10.0 ** (exponent + int(of_measure.get("multiplier") or 0))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    if not math.isfinite(number) or unit != usual or unit not in _KNOWN:
        return None
    return Sample(measurand=measurand, value=number, phase=value.get("phase"))


def _line(phase: str | None) -> str | None:
    """`L1-N` is L1; what is between two phases or of neutral is kept apart."""
    if phase is None:
        return None
    line, _, other = phase.partition("-")
    return line if other in ("", "N") else phase


def _total(values: Mapping[str | None, float]) -> float | None:
    """The total that is said, or the sum of the phases."""
    if None in values:
        return values[None]
    lines = [values[line] for line in _LINES if line in values]
    return sum(lines) if lines else None


def _power_of_currents(
    currents: Mapping[str | None, float], voltages: Mapping[str | None, float], voltage_v: float, phases: int
) -> float | None:
    usual_v = voltages.get(None, voltage_v)
    lines = [currents[line] * voltages.get(line, usual_v) for line in _LINES if line in currents]
    if lines:
        return sum(lines)
    return currents[None] * usual_v * phases if None in currents else None
