"""A driver under guard: bounded in time, never failing its caller, honest about what is not known.

The device may be silent, broken or unplugged for days: its agent goes on, says so, and asks again. What was measured
last is repeated with the status that explains it; a device that was never measured has no power to report.
"""

import asyncio
import dataclasses
import logging

from agent.driver import Capabilities, Driver, Reading
from derms.errors import DeviceError, DeviceFaultError
from derms.model import DeviceStatus

_log = logging.getLogger(__name__)

TIMEOUT_S = 10.0
"""No verb of any driver is waited for longer [s]; a driver's own timeouts are shorter."""


class GuardedDriver:
    """A device's driver as its agent uses it. Owned by one task.

    Args:
        driver: The device.
        device_id: For the log.
        timeout_s: The longest wait for a verb [s].
    """

    def __init__(self, driver: Driver, *, device_id: str, timeout_s: float = TIMEOUT_S) -> None:
        self._driver = driver
        self._device_id = device_id
        self._timeout_s = timeout_s
        self._last: Reading | None = None
        self._failing: dict[str, bool] = {}
        self.failures = 0
        """Verbs that failed."""
        self.last_error: DeviceError | None = None
        """Why the newest verb failed; None: it did not."""

    def capabilities(self) -> Capabilities:
        """The driver's."""
        return self._driver.capabilities()

    async def read(self) -> Reading | None:
        """Measure now.

        Returns:
            What was measured; when that fails the last measurement with status `fault` (it answers, wrongly) or
            `unavailable` (it does not); None: it has never been measured.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                reading = await self._driver.read()
        except (DeviceError, TimeoutError) as error:
            failure = self._fail("read", error)
            if self._last is None:
                return None
            fault = isinstance(failure, DeviceFaultError)
            status = DeviceStatus.FAULT if fault else DeviceStatus.UNAVAILABLE
            return dataclasses.replace(self._last, status=status)
        self._succeed("read")
        self._last = reading
        return reading

    async def apply(self, p_kw: float | None, seconds: float) -> bool:
        """Ask for a power; see `agent.driver.Driver.apply`.

        Returns:
            Whether the device took it.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._driver.apply(p_kw, seconds)
        except (DeviceError, TimeoutError) as error:
            self._fail("apply", error)
            return False
        self._succeed("apply")
        return True

    async def close(self) -> None:
        """Let go of the device, within the timeout."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._driver.close()
        except (DeviceError, TimeoutError) as error:
            _log.info("the device did not let go", extra={"device_id": self._device_id, "error": str(error)})

    def _fail(self, verb: str, error: DeviceError | TimeoutError) -> DeviceError:
        if isinstance(error, DeviceError):
            failure = error
        else:
            failure = DeviceError(f"the device did not {verb} within {self._timeout_s:g} s", next_step="check it")
        self.failures += 1
        self.last_error = failure
        if not self._failing.get(verb, False):
            self._failing[verb] = True
            _log.warning(
                "the device fails; it is asked again until it does not",
                extra={"device_id": self._device_id, "verb": verb, "error": str(failure)},
            )
        return failure

    def _succeed(self, verb: str) -> None:
        self.last_error = None
        if self._failing.get(verb, False):
            self._failing[verb] = False
            _log.info("the device works again", extra={"device_id": self._device_id, "verb": verb})
