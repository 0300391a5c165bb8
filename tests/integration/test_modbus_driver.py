"""The driver of plain registers against a real Modbus server."""

import contextlib
import math
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from agent.driver import Capabilities, Driver, Reading
from agent.drivers import open_driver
from derms.errors import ConfigError, DeviceFaultError
from derms.model import DeviceKind
from derms.runtime import SystemClock

ARRAY = Capabilities(kind=DeviceKind.PV, p_export_max_kw=8, default_power_kw=None)
MAP = """
power:    {address: 200, table: input, type: int32, scale: 0.1, unit: W, sign: generation}
setpoint: {address: 100, type: uint16, unit: "%", scale: 0.1, sign: generation, minimum: 0, maximum: 100, single: true}
default:  [{address: 100, value: 1000, single: true}]
watchdog: {address: 101, write: counter, every_s: 1}
"""


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[tuple[int, list[tuple[int, int, list[int] | None]]]]:
    """Holding registers at 100 and input registers at 200; the port, and what is asked."""
    asked: list[tuple[int, int, list[int] | None]] = []

    async def note(function: int, _start: int, address: int, _count: int, _now: list[int], values: Any) -> None:
        asked.append((function, address, None if values is None else list(values)))

    words, bits = DataType.REGISTERS, [SimData(0, values=False, datatype=DataType.BITS)]
    holding = [SimData(100, values=[1000, 0, 0], datatype=words)]
    inputs = [SimData(200, values=[0, 12_345], datatype=words)]
    device = SimDevice(3, (bits, list(bits), holding, inputs), action=note)
    server = ModbusTcpServer(device, address=("127.0.0.1", 0))
    await server.serve_forever(background=True)
    sockets: list[Any] = getattr(server.transport, "sockets", [])
    try:
        yield sockets[0].getsockname()[1], asked
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]  # pymodbus leaves it untyped


def driver(port: int, directory: Path, text: str = MAP) -> Driver:
    (directory / "map.yaml").write_text(text)
    table = {"kind": "modbus", "host": "127.0.0.1", "port": port, "unit": 3, "timeout_s": 2.0, "map": "map.yaml"}
    return open_driver(table, ARRAY, clock=SystemClock(), rng=random.Random(1), directory=directory)


async def test_a_map_drives_a_device_by_both_tables_and_function_6(tmp_path: Path) -> None:
    async with serving() as (port, asked):
        device = driver(port, tmp_path)
        assert await device.read() == Reading(p_actual_kw=-1.2345)
        await device.apply(-2.0, 60)  # a quarter of 8 kW
        assert (6, 100, [250]) in asked
        assert (16, 101, [1]) in asked
        await device.apply(None, math.inf)
        assert (6, 100, [1000]) in asked
        await device.close()


async def test_a_map_that_does_not_fit_the_device_is_a_fault_that_names_the_registers(tmp_path: Path) -> None:
    async with serving() as (port, _):
        device = driver(port, tmp_path, MAP.replace("address: 200", "address: 300"))
        with pytest.raises(DeviceFaultError, match=r"unit 3 refuses to read 300\.\.301; illegal data address \(2\)"):
            await device.read()
        await device.close()


def test_a_map_that_is_not_there_is_told_at_the_start(tmp_path: Path) -> None:
    table = {"kind": "modbus", "host": "127.0.0.1", "map": "none.yaml"}
    with pytest.raises(ConfigError, match=r"cannot read the register map .*none\.yaml; No such file"):
        open_driver(table, ARRAY, clock=SystemClock(), rng=random.Random(1), directory=tmp_path)
