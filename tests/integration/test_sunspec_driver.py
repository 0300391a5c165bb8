"""The SunSpec driver against real Modbus servers."""

import asyncio
import contextlib
import math
import random
from collections.abc import AsyncIterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from pymodbus.constants import ExcCodes
from sunspec2.modbus.client import SunSpecModbusClientDeviceTCP

from agent.driver import Capabilities, Driver, Reading
from agent.drivers import open_driver
from derms.errors import DeviceError, DeviceFaultError
from derms.model import DeviceKind, DeviceStatus
from derms.runtime import SystemClock
from tests.brokers import until
from tests.inverters import Image, Inverter, ieee_1547, image, leaving_files_open

ARRAY = Capabilities(kind=DeviceKind.PV, p_export_max_kw=10, default_power_kw=None)
CAPPED = Capabilities(kind=DeviceKind.PV, p_export_max_kw=10, default_power_kw=-2.5)
BATTERY = Capabilities(kind=DeviceKind.BATTERY, p_import_max_kw=5, p_export_max_kw=5)
LIMIT = ("WMaxLimPctEna", "WMaxLimPct")
CAPACITY = {"ID": 702, "WMaxRtg": 5000, "WMax": 5000, "W_SF": 0}
CONTROLS = {
    "ID": 704, "WSetEna": 0, "WSetMod": 1, "WSet": 0, "WSetRvrt": 0, "WSetEnaRvrt": 0, "WSetRvrtTms": 0,
    "WSetRvrtRem": 0, "WSet_SF": 0,
}  # fmt: skip
STORE = {"ID": 713, "WHRtg": 100, "WHAvail": 42, "SoC": 425, "SoH": 1000, "Sta": 0, "WH_SF": 2, "Pct_SF": -1}


def driver(inverter: Inverter, capabilities: Capabilities = ARRAY, **options: Any) -> Driver:
    table = {"kind": "sunspec", "host": "127.0.0.1", "port": inverter.port, "timeout_s": 2.0, **options}
    return open_driver(table, capabilities, clock=SystemClock(), rng=random.Random(1))


@contextlib.asynccontextmanager
async def driving(
    map_: Image, capabilities: Capabilities = ARRAY, *, base: int = 40_000, **options: Any
) -> AsyncIterator[tuple[Inverter, Driver]]:
    async with Inverter(map_, base=base).serving() as inverter:
        device = driver(inverter, capabilities, **options)
        try:
            yield inverter, device
        finally:
            await device.close()


async def test_the_ieee_1547_device_is_read_and_limited() -> None:
    async with driving(ieee_1547()) as (inverter, device):
        assert len(inverter.map.words) == 614
        # the image generates 9800 W; here that is drawn power, negated
        assert await device.read() == Reading(p_actual_kw=-9.8, status=DeviceStatus.OK, p_max_kw=10.0)
        await device.apply(-4.0, 90)
        assert [inverter.get(704, name) for name in LIMIT] == [1, 400]  # 40.0 % of 10 kW
        assert (
            88
            <= inverter.get(704, "WMaxLimPctRvrtRem")
            | inverter._words[inverter.map.offset(704, "WMaxLimPctRvrtRem") + 1]
            <= 90
        )


@pytest.mark.parametrize("scale", range(-4, 5))
async def test_values_are_exact_over_scale_factors(scale: int) -> None:
    for raw in (9800, -9800, 1, -1, 0, 32_767, -32_767):
        map_ = ieee_1547(m701={"W": raw, "W_SF": scale}, m702={"W_SF": 0}, m704={"WMaxLimPct_SF": scale})
        async with driving(map_) as (inverter, device):
            reading = await device.read()
            assert reading.p_actual_kw == float(-Fraction(raw) * Fraction(10) ** (scale - 3))
            if raw != 9800:
                continue
            for asked_kw in (-4.0, -3.333, -0.0, -10.0):
                await device.apply(asked_kw, 90)
                limit_kw = Fraction(inverter.get(704, "WMaxLimPct")) * Fraction(10) ** scale / 100 * 10
                # the largest limit that the register can say and that is not above the one asked for
                step_kw = Fraction(10) ** scale / 10
                most_kw = 0xFFFE * step_kw
                assert limit_kw <= -Fraction(asked_kw) + Fraction(1, 10**9)
                assert limit_kw > min(-Fraction(asked_kw), most_kw) - step_kw


async def test_pysunspec2_reads_from_the_device_what_the_driver_wrote() -> None:
    async with driving(ieee_1547()) as (inverter, device):
        await device.apply(-6.2, 3000)

        def other_side() -> dict[str, Any]:
            client = SunSpecModbusClientDeviceTCP(slave_id=1, ipaddr="127.0.0.1", ipport=inverter.port, timeout=5)
            with leaving_files_open():
                client.scan()
            points = client.models[704][0].points
            return {name: points[name].cvalue for name in points}

        seen = await asyncio.to_thread(other_side)
        assert (seen["WMaxLimPctEna"], seen["WMaxLimPct"]) == (1, 62.0)
        assert (seen["WMaxLimPctRvrtTms"], seen["WMaxLimPctEnaRvrt"]) == (3000, 0)
        assert 2990 <= seen["WMaxLimPctRvrtRem"] <= 3000


@pytest.mark.parametrize(
    ("capabilities", "models", "p_kw", "registers"),
    [
        # ours: drawn is positive. SunSpec: generated is positive.
        (ARRAY, [{"ID": 701, "W": 2500, "W_SF": 0}], -2.5, None),
        (ARRAY, [{"ID": 701, "W": -12, "W_SF": 0}], 0.012, None),
        (ARRAY, [{"ID": 103, "W": 250, "W_SF": 1, "St": 4}], -2.5, None),
        (ARRAY, [{"ID": 102, "W": -3, "W_SF": 0, "St": 4}], 0.003, None),
        (ARRAY, [{"ID": 101, "W": 25, "W_SF": 2, "St": 4}], -2.5, None),
        (ARRAY, [{"ID": 113, "W": 2500.5, "St": 4}], -2.5005, None),
        (BATTERY, [{"ID": 701, "W": -3000, "W_SF": 0}, CAPACITY, CONTROLS], 3.0, (3.0, -3000)),
        (BATTERY, [{"ID": 701, "W": 3000, "W_SF": 0}, CAPACITY, CONTROLS], -3.0, (-1.25, 1250)),
        (BATTERY, [{"ID": 701, "W": 3000, "W_SF": 0}, CAPACITY, CONTROLS | {"WSet_SF": 1}], -3.0, (2.519, -251)),
    ],
)
async def test_signs_and_units_are_turned_once(
    capabilities: Capabilities, models: list[dict[str, Any]], p_kw: float, registers: tuple[float, int] | None
) -> None:
    async with driving(image(*models), capabilities) as (inverter, device):
        assert (await device.read()).p_actual_kw == p_kw
        if registers is not None:
            asked_kw, raw = registers
            await device.apply(asked_kw, 60)
            words = [inverter._words[inverter.map.offset(704, "WSet") + i] for i in (0, 1)]
            assert (
                int.from_bytes(bytes([*words[0].to_bytes(2, "big"), *words[1].to_bytes(2, "big")]), signed=True) == raw
            )
            assert [inverter.get(704, name) for name in ("WSetEna", "WSetMod", "WSetEnaRvrt")] == [1, 1, 1]


async def test_a_battery_tells_its_charge_its_capacity_and_its_faults() -> None:
    measured = {"ID": 701, "W": 0, "W_SF": 0, "InvSt": 3}
    async with driving(image(measured, CAPACITY, CONTROLS, STORE), BATTERY) as (inverter, device):
        reading = await device.read()
        assert (reading.soc, reading.capacity_kwh, reading.status) == (0.425, 10.0, DeviceStatus.OK)
        inverter.put(713, "Sta", 2)
        assert (await device.read()).status is DeviceStatus.FAULT
        inverter.put(713, "SoC", 1200)
        with pytest.raises(DeviceFaultError, match=r"SoC is 120 %; a state of charge lies in 0\.\.100 %"):
            await device.read()
    battery = {"ID": 802, "SoC": 87, "SoC_SF": 0, "WHRtg": 13, "WHRtg_SF": 3, "State": 3, "LocRemCtl": 1}
    async with driving(image(measured, battery), BATTERY) as (inverter, device):
        reading = await device.read()
        assert (reading.soc, reading.capacity_kwh, reading.status) == (0.87, 13.0, DeviceStatus.LOCAL)
        inverter.put(802, "State", 99)
        assert (await device.read()).status is DeviceStatus.FAULT


@pytest.mark.parametrize(
    ("model", "status"),
    [
        ({"ID": 701, "W": 5, "W_SF": 0, "InvSt": 6}, DeviceStatus.FAULT),
        ({"ID": 701, "W": 5, "W_SF": 0, "InvSt": 3, "ConnSt": 0}, DeviceStatus.UNAVAILABLE),
        ({"ID": 701, "W": 5, "W_SF": 0, "InvSt": 1, "ConnSt": 0}, DeviceStatus.OK),
        ({"ID": 701, "W": 5, "W_SF": 0, "Alrm": 1}, DeviceStatus.FAULT),
        ({"ID": 103, "W": 5, "W_SF": 0, "St": 7}, DeviceStatus.FAULT),
        ({"ID": 103, "St": 2}, DeviceStatus.OK),  # asleep, it measures nothing
    ],
)
async def test_the_state_of_an_inverter_becomes_its_status(model: dict[str, Any], status: DeviceStatus) -> None:
    async with driving(image(model)) as (_, device):
        assert (await device.read()).status is status


async def test_a_power_that_is_not_implemented_is_a_fault_and_not_zero() -> None:
    async with driving(image({"ID": 103, "St": 4})) as (_, device):
        with pytest.raises(DeviceFaultError, match="does not say its power; W of model 103, or its scale factor"):
            await device.read()


async def test_the_device_reverts_by_itself_and_a_renewed_lease_starts_its_timer_anew() -> None:
    async with driving(ieee_1547(), CAPPED) as (inverter, device):
        await device.apply(-5.0, 20)
        assert [inverter.get(704, name) for name in LIMIT] == [1, 500]
        written = len(inverter.writes)
        await device.apply(-5.0, 19.9)  # 0.1 s later, the same end
        assert len(inverter.writes) == written
        await device.apply(-5.0, 60)
        assert len(inverter.writes) > written
        await device.apply(-5.0, 1)
        await until(lambda: inverter.get(704, "WMaxLimPct") == 250)  # its default control, 2.5 of 10 kW
        assert inverter.get(704, "WMaxLimPctEna") == 1


async def test_default_control_stays_without_a_timer_and_a_free_array_is_released() -> None:
    async with driving(ieee_1547(), CAPPED) as (inverter, device):
        await device.apply(-2.5, math.inf)
        assert [inverter.get(704, name) for name in (*LIMIT, "WMaxLimPctEnaRvrt")] == [1, 250, 1]
        assert inverter.get_u32(704, "WMaxLimPctRvrtTms") == 0
        assert inverter.get_u32(704, "WMaxLimPctRvrtRem") == 0
    async with driving(ieee_1547()) as (inverter, device):
        await device.apply(-1.0, 60)
        await device.apply(None, math.inf)
        assert inverter.get(704, "WMaxLimPctEna") == 0
        written = len(inverter.writes)
        await device.apply(None, math.inf)
        assert len(inverter.writes) == written


async def test_an_inverter_that_was_restarted_is_told_again() -> None:
    async with driving(ieee_1547()) as (inverter, device):
        await device.apply(-5.0, 60)
        inverter.put(704, "WMaxLimPctEna", 0)
        await device.apply(-5.0, 60)
        assert inverter.get(704, "WMaxLimPctEna") == 1


async def test_a_setting_that_is_changed_meanwhile_counts_from_the_next_lease() -> None:
    async with driving(ieee_1547()) as (inverter, device):
        await device.apply(-4.0, 60)
        inverter.put(702, "WMax", 8000)
        await device.apply(-4.0, 90)  # renewed
        assert inverter.get(704, "WMaxLimPct") == 500  # of 8 kW
        assert (await device.read()).p_max_kw == 8.0


async def test_an_older_inverter_is_limited_by_model_123() -> None:
    old = [
        {"ID": 103, "W": 400, "W_SF": 1, "St": 4},
        {"ID": 121, "WMax": 800, "WMax_SF": 1},
        {"ID": 64_123},
        {"ID": 123, "WMaxLimPct": 100, "WMaxLimPct_SF": 0, "WMaxLim_Ena": 0, "WMaxLimPct_RvrtTms": 0},
    ]
    async with driving(image(*[model for model in old if model["ID"] != 64_123])) as (inverter, device):
        await device.apply(-2.0, 2)
        assert [inverter.get(123, name) for name in ("WMaxLim_Ena", "WMaxLimPct", "WMaxLimPct_RvrtTms")] == [1, 25, 2]
        assert (await device.read()).p_max_kw == 8.0
        await until(lambda: inverter.get(123, "WMaxLim_Ena") == 0)


async def test_a_device_without_a_timer_is_commanded_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    map_ = image({"ID": 701, "W": 0, "W_SF": 0}, CAPACITY, {"ID": 704, "WMaxLimPct_SF": -1, "WMaxLimPctEna": 0})
    async with driving(map_) as (inverter, device):
        inverter.refused = frozenset({inverter.map.offset(704, "WMaxLimPctRvrt")})
        await device.apply(-2.0, 60)
        assert [inverter.get(704, name) for name in LIMIT] == [1, 400]
        assert caplog.text.count("does not revert by itself") == 1
    async with driving(map_, reversion=False) as (inverter, device):
        await device.apply(-2.0, 60)
        assert [count for _, count in inverter.writes] == [1, 1]


@pytest.mark.parametrize(
    ("models", "capabilities", "said"),
    [
        ([CAPACITY, {"ID": 704, "WMaxLimPct": 100}], ARRAY, "WMaxLimPct has no scale factor"),
        ([CAPACITY], ARRAY, "a pv needs model 704 or 123; it has 1, 701, 702"),
        ([CAPACITY], BATTERY, "a battery needs model 704; it has 1, 701, 702"),
    ],
)
async def test_a_device_that_cannot_be_commanded_says_why(
    models: list[dict[str, Any]], capabilities: Capabilities, said: str
) -> None:
    async with driving(image({"ID": 701, "W": 0, "W_SF": 0}, *models), capabilities) as (_, device):
        with pytest.raises(DeviceFaultError) as caught:
            await device.apply(-1.0, 60)
        assert said in str(caught.value)
        assert (await device.read()).p_actual_kw == 0.0


async def test_a_device_that_takes_a_write_and_ignores_it_is_a_fault() -> None:
    async with driving(ieee_1547()) as (inverter, device):
        inverter.stuck = True
        with pytest.raises(DeviceFaultError, match="WMaxLimPct is 1000 after it was set to 400; the device took"):
            await device.apply(-4.0, 60)


@pytest.mark.parametrize("base", [0, 50_000])
async def test_the_other_bases_are_found(base: int) -> None:
    async with driving(ieee_1547(), base=base) as (_, device):
        assert (await device.read()).p_actual_kw == -9.8


async def test_exceptions_garbage_silence_and_hanging_up_are_told_apart_and_outlived() -> None:
    async with driving(ieee_1547(), timeout_s=0.5) as (inverter, device):
        assert (await device.read()).p_actual_kw == -9.8
        inverter.exception = ExcCodes.DEVICE_BUSY
        with pytest.raises(DeviceFaultError, match=r"refuses to read 40070\.\.40187; device busy \(6\)"):
            await device.read()
        inverter.exception = None
        assert (await device.read()).p_actual_kw == -9.8
        for mangle in (
            lambda _: b"\x00" * 40,
            lambda data: data[:-3],
            lambda data: b"HTTP/1.1 400 Bad Request\r\n\r\n",
        ):
            inverter.mangle = mangle
            with pytest.raises(DeviceFaultError):
                await device.read()
            with pytest.raises(DeviceFaultError):
                await device.apply(-3.0, 60)
            inverter.mangle = None
            assert (await device.read()).p_actual_kw == -9.8
        inverter.mangle = lambda _: b""
        with pytest.raises(DeviceError, match="does not answer") as caught:
            await device.read()
        assert not isinstance(caught.value, DeviceFaultError)
        inverter.mangle = None
        await device.apply(-3.0, 60)
        assert inverter.get(704, "WMaxLimPct") == 300


async def test_an_answer_that_comes_too_late_is_nobodys_answer() -> None:
    async with driving(ieee_1547()) as (inverter, device):
        await device.read()
        reading = asyncio.create_task(device.read())
        held: list[bytes] = []

        def hold(data: bytes) -> bytes:
            held.append(data)
            return b""

        inverter.mangle = hold
        await until(lambda: bool(held))
        reading.cancel()
        await asyncio.wait([reading])
        inverter.mangle = None
        inverter.put(701, "W", 100)
        assert (await device.read()).p_actual_kw == -0.1


async def test_a_device_that_is_not_there_is_away_and_comes_back() -> None:
    inverter = Inverter(ieee_1547())
    async with inverter.serving():
        port = inverter.port
    device = driver(inverter)
    with pytest.raises(DeviceError, match="cannot be reached; no connection within 2 s"):
        await device.read()
    async with Inverter(ieee_1547()).serving(port):
        assert (await device.read()).p_actual_kw == -9.8
    await device.close()


async def test_an_inverter_on_a_serial_line_is_driven_alike() -> None:
    inverter = Inverter(ieee_1547(), unit=7)
    async with inverter.serving_rtu() as line:
        table = {"kind": "sunspec", "serial_port": line, "baud": 115_200, "unit": 7, "timeout_s": 1.0}
        device = open_driver(table, ARRAY, clock=SystemClock(), rng=random.Random(1))
        assert (await device.read()).p_actual_kw == -9.8
        await device.apply(-4.0, 90)
        assert [inverter.get(704, name) for name in LIMIT] == [1, 400]
        inverter.mangle = lambda data: data[:-1] + b"\x00"
        with pytest.raises(DeviceFaultError, match="bytes that are no answer"):
            await device.read()
        inverter.mangle = None
        assert (await device.read()).p_actual_kw == -9.8
        await device.close()


async def test_a_serial_port_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no port")
    for port, said in (
        ("/dev/ttyNONE9", "there is no /dev/ttyNONE9; check"),
        (str(tmp_path / "file"), "cannot be opened"),
    ):
        device = open_driver({"kind": "sunspec", "serial_port": port}, ARRAY, clock=SystemClock(), rng=random.Random(1))
        with pytest.raises(DeviceError) as caught:
            await device.read()
        assert said in str(caught.value)
        await device.close()
