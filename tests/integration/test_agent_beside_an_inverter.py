"""`derms agent run` as a process of its own, beside an inverter behind a real Modbus server, on a real broker."""

import json
from pathlib import Path
from typing import Any

import pytest
from pymodbus.constants import ExcCodes

from derms.model import DeviceKind
from tests.brokers import RunningBroker, until
from tests.controller import controlling
from tests.inverters import Inverter, ieee_1547
from tests.processes import Program, Programs

DEVICE = "roof-1"


def agent(programs: Programs, broker: RunningBroker, inverter: Inverter, directory: Path, **changes: Any) -> Program:
    config = {
        "device_id": DEVICE,
        "device_type": "pv",
        "p_max_kw": 10.0,
        "broker_port": broker.port,
        "publish_interval_seconds": 0.3,
        "driver": {"kind": "sunspec", "host": "127.0.0.1", "port": inverter.port, "timeout_s": 0.3},
        **changes,
    }
    file = directory / "agent.json"
    file.write_text(json.dumps(config))
    return programs.derms("agent", "run", "--config", file)


@pytest.mark.timeout(120)
async def test_an_inverter_whose_agent_is_killed_reverts_by_itself(
    any_broker: RunningBroker, programs: Programs, tmp_path: Path
) -> None:
    async with Inverter(ieee_1547()).serving() as inverter, controlling(any_broker, DeviceKind.PV) as controller:
        running = agent(programs, any_broker, inverter, tmp_path, default_power_kw=-3.0)
        said = await controller.until_it_says(DEVICE, status="ok")
        assert (said["p_actual_kw"], said["p_setpoint_kw"]) == (-9.8, None)
        # on its default control from the start, for as long as it takes
        assert [inverter.get(704, name) for name in ("WMaxLimPctEna", "WMaxLimPct")] == [1, 300]
        await controller.lease(DEVICE, -5.0, 6.0)
        await controller.until_it_says(DEVICE, applied={"epoch": 1, "seq": 1})
        assert [inverter.get(704, name) for name in ("WMaxLimPctEna", "WMaxLimPct")] == [1, 500]
        running.kill()
        asked = len(inverter.requests)
        assert 1 <= inverter.get_u32(704, "WMaxLimPctRvrtRem") <= 6  # the reversion runs
        assert inverter.get(704, "WMaxLimPct") == 500
        await until(lambda: inverter.get(704, "WMaxLimPct") == 300)
        assert inverter.get(704, "WMaxLimPctEna") == 1
        assert len(inverter.requests) == asked  # nobody told it


@pytest.mark.timeout(120)
async def test_an_agent_whose_inverter_fails_says_so_and_goes_on_when_it_is_back(
    any_broker: RunningBroker, programs: Programs, tmp_path: Path
) -> None:
    inverter = Inverter(ieee_1547())
    async with controlling(any_broker, DeviceKind.PV) as controller:
        async with inverter.serving():
            running = agent(programs, any_broker, inverter, tmp_path)
            await controller.until_it_says(DEVICE, status="ok", p_actual_kw=-9.8)
            await controller.lease(DEVICE, -5.0, 60.0)
            await controller.until_it_says(DEVICE, applied={"epoch": 1, "seq": 1})

            inverter.exception = ExcCodes.DEVICE_FAILURE
            said = await controller.until_it_says(DEVICE, status="fault", p_setpoint_kw=None)
            assert said["p_actual_kw"] == -9.8  # what was measured last, and not nothing
            assert "applied" not in said
            inverter.exception = None
            await controller.until_it_says(DEVICE, status="ok", applied={"epoch": 1, "seq": 1})

            inverter.mangle = lambda _: b"garbage, and more of it"
            await controller.until_it_says(DEVICE, status="fault")
            inverter.mangle = lambda _: b""
            await controller.until_it_says(DEVICE, status="unavailable")
            inverter.mangle = None
            await controller.until_it_says(DEVICE, status="ok", applied={"epoch": 1, "seq": 1})
            port = inverter.port
        await controller.until_it_says(DEVICE, status="unavailable")
        again = Inverter(ieee_1547())
        async with again.serving(port):
            await controller.until_it_says(DEVICE, status="ok", applied={"epoch": 1, "seq": 1})
            assert again.get(704, "WMaxLimPct") == 500  # another device by then, and told all of it
        assert running.running
        assert len(running.logged("the device fails")) == len(running.logged("the device works again")) >= 3
        assert running.terminate() == 0
