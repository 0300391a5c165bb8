"""Devices."""

from msgspec.structs import replace

from derms.api.schemas.devices import DeviceIn, DeviceOut, DevicePatch, DevicesOut, DevicesQuery
from derms.api.schemas.overrides import OverrideIn, OverrideOut
from derms.api.schemas.why import WhyOut
from derms.client.base import Caller, part


class DeviceCalls(Caller):
    """Devices."""

    async def devices(self, query: DevicesQuery | None = None) -> list[DeviceOut]:
        """All devices that are asked for, from all pages; None: every one."""
        query = query or DevicesQuery()
        found: list[DeviceOut] = []
        while True:
            page = await self.device_page(query)
            found += page.devices
            if page.next_cursor is None:
                return found
            query = replace(query, cursor=page.next_cursor)

    async def device_page(self, query: DevicesQuery) -> DevicesOut:
        """One page of them."""
        return await self.call("GET", "/api/devices", DevicesOut, query=query)

    async def device(self, device_id: str) -> DeviceOut:
        """One device."""
        return await self.call("GET", f"/api/devices/{part(device_id)}", DeviceOut)

    async def why(self, device_id: str) -> WhyOut:
        """Why it has the setpoint it has."""
        return await self.call("GET", f"/api/devices/{part(device_id)}/why", WhyOut)

    async def create_device(self, device: DeviceIn) -> DeviceOut:
        """Register a device before it speaks. Needs the role operator."""
        return await self.call("POST", "/api/devices", DeviceOut, body=device)

    async def change_device(self, device_id: str, patch: DevicePatch) -> DeviceOut:
        """Change a registration. Needs the role operator."""
        return await self.call("PATCH", f"/api/devices/{part(device_id)}", DeviceOut, body=patch)

    async def adopt_device(self, device_id: str, patch: DevicePatch | None = None) -> DeviceOut:
        """Take a quarantined or retired device in. Needs the role operator."""
        return await self.call(
            "POST", f"/api/devices/{part(device_id)}/adopt", DeviceOut, body=patch or DevicePatch()
        )  # fmt: skip

    async def retire_device(self, device_id: str) -> None:
        """Retire a device. Needs the role admin."""
        await self.call("DELETE", f"/api/devices/{part(device_id)}", type(None))

    async def put_override(self, device_id: str, override: OverrideIn) -> OverrideOut:
        """Hold a device at a power, or block it. Needs the role operator."""
        return await self.call("PUT", f"/api/devices/{part(device_id)}/override", OverrideOut, body=override)

    async def release_override(self, device_id: str) -> None:
        """Take the override off. Needs the role operator."""
        await self.call("DELETE", f"/api/devices/{part(device_id)}/override", type(None))
