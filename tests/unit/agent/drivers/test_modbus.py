"""The register map, and the driver that follows it."""

import math
from collections.abc import Sequence

import pytest

from agent.driver import Capabilities, Reading
from agent.drivers.modbus.driver import ModbusDriver
from agent.drivers.modbus.map import RegisterMap, parse_map
from agent.drivers.modbus.registers import RegisterType, WordOrder, decoded, encoded, scaled, unscaled
from derms.errors import ConfigError, DeviceFaultError
from derms.model import DeviceKind, DeviceStatus

BATTERY = Capabilities(kind=DeviceKind.BATTERY, p_import_max_kw=5, p_export_max_kw=5)
ARRAY = Capabilities(kind=DeviceKind.PV, p_export_max_kw=8, default_power_kw=None)
MAP = """
power:    {address: 10, type: int32, word_order: little, scale: 0.1, unit: W, sign: generation}
soc:      {address: 12, scale: 0.1, absent: [65535]}
capacity: {address: 13, unit: Wh}
available: {address: 14, table: input, unit: W, sign: generation}
status:   {address: 15, fault: [7, 8], unavailable: [2], local: [3]}
before:   [{address: 20, value: 1}]
setpoint: {address: 21, scale: 10, unit: W, sign: generation, minimum: -4000, maximum: 3000}
watchdog: {address: 22, write: seconds, every_s: 10, maximum_s: 600}
default:  [{address: 20, value: 0}]
"""


class Hand:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.s = 100.0

    def now_ms(self) -> int:
        return 0

    def monotonic_s(self) -> float:
        return self.s


class Memory:
    """Registers that keep what is written, unless they are deaf."""

    where = "the device"

    def __init__(self, holding: dict[int, int], inputs: dict[int, int] | None = None) -> None:
        self.holding, self.inputs = holding, inputs or {}
        self.connections = 1
        self.deaf: set[int] = set()
        self.written: list[tuple[int, tuple[int, ...], bool]] = []

    async def read(self, address: int, count: int, *, inputs: bool = False) -> tuple[int, ...]:
        table = self.inputs if inputs else self.holding
        return tuple(table[address + i] for i in range(count))

    async def write(self, address: int, words: Sequence[int], *, single: bool = False) -> None:
        self.written.append((address, tuple(words), single))
        for i, word in enumerate(words):
            if address + i not in self.deaf:
                self.holding[address + i] = word

    async def close(self) -> None:
        pass

    def take(self) -> list[tuple[int, int]]:
        """Address and first word of what was written since last asked."""
        taken = [(address, words[0]) for address, words, _ in self.written]
        self.written.clear()
        return taken


def read_map(text: str = MAP) -> RegisterMap:
    return parse_map(text.encode(), name="map.yaml")


def device(text: str = MAP, capabilities: Capabilities = BATTERY, **changes: int) -> tuple[ModbusDriver, Memory, Hand]:
    # 12,345 in two words, the low one first: 1,234.5 W
    holding = {10: 12_345, 11: 0, 12: 425, 13: 9500, 15: 0, 20: 0, 21: 0, 22: 0, 23: 0}
    memory = Memory(holding | {int(key[1:]): value for key, value in changes.items()}, {14: 2750})
    clock = Hand()
    return ModbusDriver(memory, read_map(text), capabilities, clock=clock), memory, clock


@pytest.mark.parametrize(
    ("kind", "order", "words", "raw"),
    [
        ("int16", "big", (0xFFFE,), -2),
        ("uint16", "big", (0xFFFE,), 65_534),
        ("int32", "big", (0xFFFF, 0xFFFE), -2),
        ("int32", "little", (0xFFFE, 0xFFFF), -2),
        ("uint32", "big", (1, 2), 65_538),
        ("uint32", "little", (2, 1), 65_538),
        ("float32", "big", (0x4120, 0x0000), 10.0),
        ("float32", "little", (0x0000, 0x4120), 10.0),
    ],
)
def test_numbers_go_in_and_out_of_registers(
    kind: RegisterType, order: WordOrder, words: tuple[int, ...], raw: float
) -> None:
    assert decoded(words, kind, order) == raw
    assert encoded(raw, kind, order) == words


@pytest.mark.parametrize(
    ("raw", "scale", "value"),
    [(333, 0.1, 33.3), (12_345, 0.001, 12.345), (7, 10.0, 70.0), (-3, 0.01, -0.03), (5, 0.3, 1.5)],
)
def test_scaling_is_exact_for_powers_of_ten(raw: int, scale: float, value: float) -> None:
    assert scaled(raw, scale) == value
    assert unscaled(value, scale, "int16") == raw


def test_a_number_that_is_none_is_a_fault() -> None:
    with pytest.raises(DeviceFaultError, match="a register holds nan"):
        decoded((0x7FC0, 0), "float32", "big")


async def test_a_map_is_followed_in_reading() -> None:
    driver, _, _ = device()
    assert await driver.read() == Reading(
        p_actual_kw=-1.2345, soc=0.425, status=DeviceStatus.OK, p_max_kw=2.75, capacity_kwh=9.5
    )


@pytest.mark.parametrize(
    ("unit", "sign", "raw", "p_kw"),
    [("W", "load", 1500, 1.5), ("W", "generation", 1500, -1.5), ("kW", "load", 3, 3.0), ("kW", "generation", -3, 3.0)],
)
async def test_signs_and_units_are_turned_once(unit: str, sign: str, raw: int, p_kw: float) -> None:
    text = f"power: {{address: 10, type: int16, unit: {unit}, sign: {sign}}}\n" + (
        f"setpoint: {{address: 21, unit: {unit}, sign: {sign}, minimum: -5000, maximum: 5000}}"
    )
    driver, memory, _ = device(text, r10=raw & 0xFFFF)
    assert (await driver.read()).p_actual_kw == p_kw
    await driver.apply(p_kw, 60)
    assert memory.take() == [(21, raw & 0xFFFF)]


@pytest.mark.parametrize(
    ("word", "status"),
    [(0, DeviceStatus.OK), (7, DeviceStatus.FAULT), (2, DeviceStatus.UNAVAILABLE), (3, DeviceStatus.LOCAL)],
)
async def test_a_status_is_looked_up(word: int, status: DeviceStatus) -> None:
    driver, _, _ = device(r15=word)
    assert (await driver.read()).status is status


async def test_what_the_device_does_not_know_is_not_made_up() -> None:
    driver, _, _ = device(r12=65_535)
    assert (await driver.read()).soc is None
    driver, _, _ = device("power: {address: 12, unit: W, sign: load, absent: [425]}")
    with pytest.raises(DeviceFaultError, match="does not know its power; register 12 holds what the map calls absent"):
        await driver.read()
    driver, _, _ = device(r12=1200)
    with pytest.raises(DeviceFaultError, match="its state of charge is 120 %"):
        await driver.read()


async def test_a_lease_is_written_once_its_watchdog_fed_and_its_end_is_the_default() -> None:
    driver, memory, clock = device()
    await driver.apply(1.5, 90)  # drawing 1.5 kW is generating -1500 W, -150 in the register
    assert memory.take() == [(20, 1), (21, 0x10000 - 150), (22, 90)]
    clock.s += 2
    await driver.apply(1.5, 88)
    assert memory.take() == []
    clock.s += 9
    await driver.apply(1.5, 79)
    assert memory.take() == [(22, 79)]
    await driver.apply(1.5, 90)  # renewed
    assert memory.take() == [(22, 90)]
    await driver.apply(-1.0, 3600)
    assert memory.take() == [(20, 1), (21, 100), (22, 600)]
    await driver.apply(0.0, math.inf)
    assert memory.take() == [(20, 0)]
    clock.s += 30
    await driver.apply(0.0, math.inf)
    assert memory.take() == []
    clock.s += 31
    await driver.apply(0.0, math.inf)
    assert memory.take() == [(20, 0)]


async def test_bounds_cut_off_towards_nothing_and_the_grid_is_not_exceeded() -> None:
    driver, memory, _ = device()
    for p_kw, raw in ((-5.0, 300), (5.0, -400), (-0.019, 1), (-0.0199, 1), (0.009, 0)):
        await driver.apply(p_kw, 60)
        # generation positive, in steps of 10 W, from -4000 to 3000 W
        assert memory.holding[21] == raw & 0xFFFF, p_kw


async def test_a_setpoint_in_percent_is_of_the_rating() -> None:
    text = """
power: {address: 10, type: int16, unit: W, sign: generation}
setpoint: {address: 21, type: uint16, unit: "%", scale: 0.1, sign: generation, minimum: 0, maximum: 100, single: true}
default: [{address: 21, value: 1000, single: true}]
"""
    driver, memory, _ = device(text, ARRAY)
    await driver.apply(-2.0, 60)  # of 8 kW
    assert memory.written == [(21, (250,), True)]
    memory.take()
    await driver.apply(None, math.inf)
    assert memory.take() == [(21, 1000)]


async def test_a_device_that_was_restarted_or_reconnected_is_told_again() -> None:
    driver, memory, _ = device()
    await driver.apply(1.5, 90)
    memory.take()
    memory.holding[21] = 0
    await driver.apply(1.5, 90)
    assert memory.take() == [(20, 1), (21, 0x10000 - 150)]
    memory.connections += 1
    await driver.apply(1.5, 90)
    assert memory.take() == [(20, 1), (21, 0x10000 - 150), (22, 90)]


async def test_a_register_that_does_not_keep_what_is_written_is_a_fault_unless_it_is_write_only() -> None:
    driver, memory, clock = device()
    memory.deaf.add(21)
    with pytest.raises(DeviceFaultError, match="the setpoint register 21 does not keep what is written"):
        await driver.apply(1.5, 90)
    text = MAP.replace("maximum: 3000}", "maximum: 3000, readable: false, rewrite_s: 20}")
    driver, memory, clock = device(text)
    memory.deaf.add(21)
    await driver.apply(1.5, 90)
    memory.take()
    clock.s += 5
    await driver.apply(1.5, 85)
    assert memory.take() == []
    clock.s += 16
    await driver.apply(1.5, 69)
    assert (21, 0x10000 - 150) in memory.take()


@pytest.mark.parametrize(("write", "values"), [("counter", [1, 2, 3]), ("17", [17, 17, 17])])
async def test_a_watchdog_is_fed_with_what_the_map_says(write: str, values: list[int]) -> None:
    driver, memory, clock = device(MAP.replace("write: seconds", f"write: {write}"))
    fed = []
    for _ in range(3):
        await driver.apply(1.5, 90)
        fed += [word for address, word in memory.take() if address == 22]
        clock.s += 10
    assert fed == values
    await driver.apply(0.0, math.inf)
    assert 22 not in [address for address, _ in memory.take()]  # no lease, no food


def test_an_array_that_may_run_freely_needs_a_default_in_its_map() -> None:
    text = "power: {address: 1, unit: W, sign: load}\n" + (
        "setpoint: {address: 2, unit: W, sign: generation, minimum: 0, maximum: 8000}"
    )
    with pytest.raises(ConfigError, match="has a setpoint and no default; a pv without default_power_kw runs freely"):
        device(text, ARRAY)


POWER = "power: {address: 1, unit: W, sign: load}\n"
SETPOINT = POWER + "setpoint: {address: 1, unit: W, sign: load, "


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no map"),
        ("- 1", "holds no map"),
        ("power: {address: 1", "line 1, column"),
        ("power: {address: 1, unit: W, sign: load, address: 2}", "the key 'address' stands twice"),
        ("power: &a {address: 1, unit: W, sign: load}\nsoc: *a", "anchors and aliases are not taken"),
        ("power: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("[" * 50, "nested deeper than 8"),
        ("soc: {address: 1}", "power is wrong; it is required"),
        (POWER + "sco: {address: 1}", "unknown key 'sco'; every key must have a reader; did you mean 'soc'?"),
        ("power: {address: 1, unit: W}", "power.sign = {\"address\": 1, \"unit\": \"W\"} is wrong; it is required"),
        ("power: {address: 1, unit: W, sign: load, sale: 2}", "unknown field `sale`"),
        ("power: {address: 70000, unit: W, sign: load}", "power.address"),
        ("power: {address: yes, unit: W, sign: load}", "Expected `int`, got `bool`"),
        ("power: {address: 65535, type: int32, unit: W, sign: load}", "a int32 does not fit behind it"),
        ("power: {address: 1, unit: W, sign: load, scale: 0}", "a scale is not 0"),
        ("power: {address: 1, unit: W, sign: load, scale: .nan}", "power.scale"),
        (POWER + "watchdog: {address: 1, write: 1}", "no setpoint; before, default and watchdog go with one"),
        (SETPOINT + "minimum: 5, maximum: 9}", "0 lies between them"),
        (SETPOINT + "minimum: 0, maximum: 40000}", "a int16 holds -32768..32767"),
        (SETPOINT + "type: uint16, minimum: -1, maximum: 9}", "holds 0..65535"),
        (SETPOINT + "minimum: 0, maximum: 9}\ndefault: [{address: 1, value: 1.5}]", "it does not fit uint16"),
        ("x" * 70_000, "holds no map"),
    ],
)  # fmt: skip
def test_a_map_that_cannot_be_meant_is_told_where(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_map(text)
    assert said in str(caught.value)
