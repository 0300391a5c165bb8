"""Devices."""

from derms.api.schemas.devices import DeviceOut, DevicesOut
from derms.client.base import Caller


class DeviceCalls(Caller):
    """Devices."""

    async def devices(self) -> list[DeviceOut]:
        """All devices."""
        return (await self.call("GET", "/api/devices", DevicesOut)).devices
