"""What a SunSpec device measures and says of itself."""

from collections.abc import Mapping
from dataclasses import dataclass

from agent.drivers.sunspec.chain import Place, Registers
from agent.drivers.sunspec.models import (
    BasicSettings,
    BasicStorage,
    Battery,
    DerCapacity,
    DerControl,
    DerMeasurement,
    FloatInverter,
    Inverter,
    Nameplate,
    StorageCapacity,
)
from agent.drivers.sunspec.points import Block, Point
from derms.errors import DeviceFaultError
from derms.model import DeviceStatus

_TO_KILO = -3
_DER, _INVERTERS, _FLOATS = 701, (101, 102, 103), (111, 112, 113)
_OLD_RESTING, _OLD_FAULT = (1, 2), 7  # St: OFF, SLEEPING; FAULT
_DER_RESTING, _DER_FAULT = (0, 1), 6  # InvSt: OFF, SLEEPING; FAULT
_BATTERY_FAULT, _STORAGE_ERROR, _LOCAL, _DISCONNECTED = 99, 2, 1, 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """One look at a device, in SunSpec's sign."""

    generation_kw: float
    """Positive: generation, discharging [kW]."""
    status: DeviceStatus
    soc: float | None = None
    """0..1."""
    capacity_kwh: float | None = None


async def read_measures(registers: Registers, places: Mapping[int, Place]) -> Measures:
    """Measure.

    Raises:
        DeviceError: It does not answer.
        DeviceFaultError: It does not say its power, or says what cannot be.
    """
    power_kw, status = await _read_power(registers, places)
    soc, capacity_kwh, storage_status = await _read_storage(registers, places)
    worst = storage_status if status is DeviceStatus.OK else status
    if worst is DeviceStatus.OK and 715 in places:
        block = await places[715].read(registers, 3)
        worst = DeviceStatus.LOCAL if block.raw(DerControl.LOCAL) == _LOCAL else worst
    return Measures(generation_kw=power_kw, status=worst, soc=soc, capacity_kwh=capacity_kwh)


async def read_limits(registers: Registers, places: Mapping[int, Place]) -> tuple[float | None, float | None]:
    """What the device calls 100 %: generating, and charging [W]; None: it does not say.

    The setting counts, where there is one; else the rating.
    """
    if 702 in places:
        block = await places[702].read(registers, 46)
        limit_w = _first(block, DerCapacity.LIMIT, DerCapacity.RATING)
        return limit_w, _first(block, DerCapacity.CHARGE_LIMIT, DerCapacity.CHARGE_RATING)
    if 121 in places and (limit_w := _first(await places[121].read(registers, 23), BasicSettings.LIMIT)):
        return limit_w, None
    if 120 in places:
        return _first(await places[120].read(registers, 5), Nameplate.RATING), None
    return None, None


def _first(block: Block, *points: Point) -> float | None:
    """The first of the points that the device has, and that is not 0."""
    return next((value for point in points if (value := block.value(point))), None)


async def _read_power(registers: Registers, places: Mapping[int, Place]) -> tuple[float, DeviceStatus]:
    if _DER in places:
        block = await places[_DER].read(registers, 118)
        state, resting, faulty = block.raw(DerMeasurement.STATE), _DER_RESTING, _DER_FAULT
        status = DeviceStatus.OK
        if block.raw(DerMeasurement.CONNECTION) == _DISCONNECTED and state not in resting:
            status = DeviceStatus.UNAVAILABLE
        if state == faulty or (state is None and block.raw(DerMeasurement.ALARMS)):
            status = DeviceStatus.FAULT
        return _power_kw(registers, block, DerMeasurement.POWER, idle=state in resting), status
    for models, kind in ((_INVERTERS, Inverter), (_FLOATS, FloatInverter)):
        model = next((model for model in models if model in places), None)
        if model is not None:
            block = await places[model].read(registers, 49)
            state = block.raw(kind.STATE)
            status = DeviceStatus.FAULT if state == _OLD_FAULT else DeviceStatus.OK
            return _power_kw(registers, block, kind.POWER, idle=state in _OLD_RESTING), status
    raise DeviceFaultError(
        f"{registers.where} measures no power",
        why=f"none of the models 701, 101-103 and 111-113 is among {', '.join(map(str, sorted(places)))}",
        next_step="use the modbus driver with a map of your own",
    )


def _power_kw(registers: Registers, block: Block, point: Point, *, idle: bool) -> float:
    power_kw = block.value(point, shift=_TO_KILO)
    if power_kw is not None:
        return power_kw
    if idle:
        return 0.0  # it says that it is off or asleep, and measures nothing then
    raise DeviceFaultError(
        f"{registers.where} does not say its power",
        why=f"{point.name} of model {block.model}, or its scale factor, is not implemented",
        next_step="wait until it has started, or use the modbus driver with a map of your own",
    )


async def _read_storage(
    registers: Registers, places: Mapping[int, Place]
) -> tuple[float | None, float | None, DeviceStatus]:
    """State of charge 0..1, capacity [kWh], status."""
    soc: float | None = None
    capacity_kwh: float | None = None
    status = DeviceStatus.OK
    if 713 in places:
        block = await places[713].read(registers, 9)
        soc, capacity_kwh = _soc(block, StorageCapacity.SOC_PCT), block.value(StorageCapacity.RATING_WH, shift=_TO_KILO)
        if block.raw(StorageCapacity.STATE) == _STORAGE_ERROR:
            status = DeviceStatus.FAULT
    if 802 in places:
        block = await places[802].read(registers, 64)
        soc = _soc(block, Battery.SOC_PCT) if soc is None else soc
        capacity_kwh = capacity_kwh or block.value(Battery.RATING_WH, shift=_TO_KILO)
        if block.raw(Battery.STATE) == _BATTERY_FAULT:
            status = DeviceStatus.FAULT
        elif status is DeviceStatus.OK and block.raw(Battery.LOCAL) == _LOCAL:
            status = DeviceStatus.LOCAL
    if soc is None and 124 in places:
        soc = _soc(await places[124].read(registers, 26), BasicStorage.SOC_PCT)
    return soc, capacity_kwh or None, status


def _soc(block: Block, point: Point) -> float | None:
    soc = block.value(point, shift=-2)
    if soc is not None and not 0 <= soc <= 1:
        raise DeviceFaultError(
            f"model {block.model}: {point.name} is {100 * soc:g} %",
            why="a state of charge lies in 0..100 %",
            next_step="check the device",
        )
    return soc
