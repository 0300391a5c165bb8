"""Any Modbus device as a driver, by its register map. Signs, units and scales are turned here and nowhere else."""

import math
from collections.abc import Sequence
from typing import Protocol, assert_never

from agent.driver import Capabilities, Reading
from agent.drivers.modbus.map import PowerRegister, Register, RegisterMap, Setpoint, Setting, StatusRegister, Watchdog
from agent.drivers.modbus.registers import decoded, encoded, range_of, scaled, unscaled, words_of
from agent.drivers.units import PowerWords
from derms.errors import ConfigError, DeviceFaultError
from derms.model import DeviceKind, DeviceStatus
from derms.ports import Clock

_RENEW_S = 1.0
"""A deadline that moved by less is not written again [s]."""


class Registers(Protocol):
    """A device's registers; `agent.drivers.bus.ModbusBus` is one."""

    connections: int

    @property
    def where(self) -> str:
        """What messages call it."""
        ...

    async def read(self, address: int, count: int, *, inputs: bool = False) -> tuple[int, ...]:
        """Read registers; raises `DeviceError`."""
        ...

    async def write(self, address: int, words: Sequence[int], *, single: bool = False) -> None:
        """Write them; raises `DeviceError`."""
        ...

    async def close(self) -> None:
        """Hang up; the next request connects anew."""
        ...


class ModbusDriver:
    """Implements `agent.driver.Driver`.

    Args:
        registers: The device.
        found: What its registers mean.
        capabilities: By configuration.
        clock: Tells when something must be written again.

    Raises:
        ConfigError: The map does not say what to write for the device's default control.
    """

    def __init__(self, registers: Registers, found: RegisterMap, capabilities: Capabilities, *, clock: Clock) -> None:
        if found.setpoint is not None and found.default is None and capabilities.default_power_kw is None:
            raise ConfigError(
                "the register map has a setpoint and no default",
                why=f"a {capabilities.kind.value} without default_power_kw runs freely when nobody commands it, "
                "and the map must say what to write for that",
                next_step="add default to the map (such as lifting the limit), or default_power_kw to the config",
            )
        self._registers = registers
        self._map = found
        self._capabilities = capabilities
        self._clock = clock
        self._connection = 0
        self._written: tuple[int | float | None, float] | None = None
        self._fed: tuple[float, float] | None = None
        self._count = 0

    def capabilities(self) -> Capabilities:
        """By configuration."""
        return self._capabilities

    async def read(self) -> Reading:
        """Measure what the map names."""
        m = self._map
        power_kw = await self._power_kw(m.power)
        if power_kw is None:
            raise DeviceFaultError(
                f"{self._registers.where} does not know its power",
                why=f"register {m.power.address} holds what the map calls absent",
                next_step="wait until it has started, or correct `absent`",
            )
        soc = None if m.soc is None else await self._number(m.soc)
        if soc is not None and m.soc is not None and m.soc.unit == "%":
            soc = soc / 100
        if soc is not None and not 0 <= soc <= 1:
            raise DeviceFaultError(
                f"{self._registers.where}: its state of charge is {100 * soc:g} %",
                why="it lies in 0..100 %",
                next_step="check scale and unit of soc in the map",
            )
        available_kw = None if m.available is None else await self._power_kw(m.available)
        capacity = None if m.capacity is None else await self._number(m.capacity)
        in_wh = m.capacity is not None and m.capacity.unit == "Wh"
        return Reading(
            p_actual_kw=power_kw,
            soc=soc,
            status=DeviceStatus.OK if m.status is None else await self._status(m.status),
            p_max_kw=None if available_kw is None else abs(available_kw),
            capacity_kwh=capacity / 1000 if capacity is not None and in_wh else capacity or None,
        )

    async def apply(self, p_kw: float | None, seconds: float) -> None:
        """Write the setpoint and feed the watchdog while a lease lives; else write the default."""
        setpoint = self._map.setpoint
        if self._capabilities.kind in (DeviceKind.LOAD, DeviceKind.METER):
            return
        if setpoint is None:
            if p_kw is None:
                return
            raise DeviceFaultError(
                f"{self._registers.where} takes no orders", why="its map has no setpoint", next_step="add one"
            )
        if self._registers.connections != self._connection:
            self._written, self._fed = None, None
        if math.isinf(seconds) and self._map.default is not None:
            await self._write_default(self._map.default)
        elif p_kw is not None:
            await self._write_setpoint(setpoint, p_kw)
        if self._map.watchdog is not None and not math.isinf(seconds):
            await self._feed(self._map.watchdog, seconds)
        self._connection = self._registers.connections

    async def close(self) -> None:
        """Hang up. The device goes on until its own watchdog bites."""
        await self._registers.close()

    async def _number(self, register: Register) -> float | None:
        """A scaled number; None: the device does not know."""
        words = await self._registers.read(register.address, words_of(register.type), inputs=register.table == "input")
        raw = decoded(words, register.type, register.word_order)
        return None if raw in register.absent else scaled(raw, register.scale)

    async def _power_kw(self, register: PowerRegister) -> float | None:
        value = await self._number(register)
        return None if value is None else PowerWords(register.unit, register.sign).to_kw(value)

    async def _status(self, register: StatusRegister) -> DeviceStatus:
        value = await self._number(register)
        for status, values in (
            (DeviceStatus.FAULT, register.fault),
            (DeviceStatus.UNAVAILABLE, register.unavailable),
            (DeviceStatus.LOCAL, register.local),
        ):
            if value in values:
                return status
        return DeviceStatus.OK

    def _raw(self, setpoint: Setpoint, p_kw: float) -> int | float:
        match setpoint.unit:
            case "%":
                c = self._capabilities
                share = 100 * p_kw / max(c.p_import_max_kw, c.p_export_max_kw)
                value = share if setpoint.sign == "load" else 0.0 - share
            case "W" | "kW":
                value = PowerWords(setpoint.unit, setpoint.sign).from_kw(p_kw)
            case _:
                assert_never(setpoint.unit)
        return unscaled(min(max(value, setpoint.minimum), setpoint.maximum), setpoint.scale, setpoint.type)

    async def _write_setpoint(self, setpoint: Setpoint, p_kw: float) -> None:
        raw = self._raw(setpoint, p_kw)
        words = encoded(raw, setpoint.type, setpoint.word_order)
        now_s = self._clock.monotonic_s()
        if self._written is not None and self._written[0] == raw:
            if setpoint.readable and await self._stands(setpoint, words):
                return
            if not setpoint.readable and now_s - self._written[1] < setpoint.rewrite_s:
                return
        self._written = None
        for setting in self._map.before:
            await self._write(setting)
        await self._registers.write(setpoint.address, words, single=setpoint.single)
        if setpoint.readable and not await self._stands(setpoint, words):
            raise DeviceFaultError(
                f"{self._registers.where}: the setpoint register {setpoint.address} does not keep what is written",
                why=f"it was set to {raw}",
                next_step="check that remote control is enabled (`before`); for a write-only one say readable: false",
            )
        self._written = (raw, now_s)

    async def _stands(self, setpoint: Setpoint, words: Sequence[int]) -> bool:
        return await self._registers.read(setpoint.address, len(words)) == tuple(words)

    async def _write_default(self, settings: Sequence[Setting]) -> None:
        setpoint = self._map.setpoint
        assert setpoint is not None, "the map was checked"
        now_s = self._clock.monotonic_s()
        if self._written is not None and self._written[0] is None and now_s - self._written[1] < setpoint.rewrite_s:
            return
        self._written = None
        for setting in settings:
            await self._write(setting)
        self._written = (None, now_s)

    async def _write(self, setting: Setting) -> None:
        words = encoded(setting.value, setting.type, setting.word_order)
        await self._registers.write(setting.address, words, single=setting.single)

    async def _feed(self, watchdog: Watchdog, seconds: float) -> None:
        now_s = self._clock.monotonic_s()
        deadline_s = now_s + seconds
        if self._fed is not None:
            fed_s, end_s = self._fed
            moved = watchdog.write == "seconds" and abs(deadline_s - end_s) >= _RENEW_S
            if not moved and now_s - fed_s < watchdog.every_s:
                return
        low, high = range_of(watchdog.type)
        match watchdog.write:
            case "seconds":
                value: float = max(1, math.floor(min(seconds, watchdog.maximum_s, high)))
            case "counter":
                self._count += 1
                value = low + self._count % int(min(high, 2**15))
            case int():
                value = watchdog.write
            case _:
                assert_never(watchdog.write)
        words = encoded(value, watchdog.type, watchdog.word_order)
        await self._registers.write(watchdog.address, words, single=watchdog.single)
        self._fed = (now_s, deadline_s)
