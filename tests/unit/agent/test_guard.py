"""A device that is silent, broken or slow, under guard."""

import asyncio
import math

from agent.driver import Capabilities, Reading
from agent.guard import GuardedDriver
from derms.errors import DeviceError, DeviceFaultError
from derms.model import DeviceKind, DeviceStatus
from tests.fakes_contract import run_virtually

BATTERY = Capabilities(kind=DeviceKind.BATTERY, p_import_max_kw=5, p_export_max_kw=5)


class Moody:
    """A device that does as the test says: a reading, an error, or None for silence."""

    def __init__(self, *moods: Reading | Exception | None) -> None:
        self.moods = list(moods)
        self.cancelled = 0
        self.asked: list[tuple[float | None, float]] = []

    def capabilities(self) -> Capabilities:
        return BATTERY

    async def read(self) -> Reading:
        return await self._mood()

    async def apply(self, p_kw: float | None, seconds: float) -> None:
        self.asked.append((p_kw, seconds))
        await self._mood()

    async def close(self) -> None:
        await self._mood()

    async def _mood(self) -> Reading:
        mood = self.moods.pop(0)
        if isinstance(mood, Exception):
            raise mood
        if mood is None:
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                self.cancelled += 1
        assert mood is not None
        return mood


GOOD = Reading(p_actual_kw=1.5, soc=0.4)


def test_a_failing_device_is_said_to_fail_and_its_last_measurement_is_kept() -> None:
    async def main() -> None:
        guard = GuardedDriver(
            Moody(DeviceError("away"), GOOD, DeviceError("away"), DeviceFaultError("garbage"), GOOD), device_id="b"
        )
        assert await guard.read() is None
        assert await guard.read() == GOOD
        assert await guard.read() == Reading(p_actual_kw=1.5, soc=0.4, status=DeviceStatus.UNAVAILABLE)
        assert await guard.read() == Reading(p_actual_kw=1.5, soc=0.4, status=DeviceStatus.FAULT)
        assert str(guard.last_error) == "garbage"
        assert await guard.read() == GOOD
        assert (guard.failures, guard.last_error) == (3, None)

    run_virtually(main())


def test_no_verb_is_waited_for_longer_than_the_timeout() -> None:
    async def main() -> None:
        device = Moody(GOOD, None, None, None)
        guard = GuardedDriver(device, device_id="b", timeout_s=3.0)
        assert await guard.read() == GOOD
        start_s = asyncio.get_running_loop().time()
        reading = await guard.read()
        assert reading is not None
        assert reading.status is DeviceStatus.UNAVAILABLE
        assert await guard.apply(2.0, math.inf) is False
        await guard.close()
        assert asyncio.get_running_loop().time() - start_s == 9.0
        assert device.cancelled == 3

    run_virtually(main())


def test_an_order_is_passed_on_and_its_outcome_told() -> None:
    async def main() -> None:
        device = Moody(GOOD, DeviceFaultError("refused"), GOOD)
        guard = GuardedDriver(device, device_id="b")
        assert [await guard.apply(-2.0, 90.0) for _ in range(3)] == [True, False, True]
        assert device.asked == [(-2.0, 90.0)] * 3

    run_virtually(main())
