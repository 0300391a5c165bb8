"""What is changed in the registry, told to the live controller: the write side of the API's picture."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from derms.control.loop import ControlLoop
from derms.fleet import Fleet
from derms.model import Device, DeviceOverride, Feeder


class LiveRegistry:
    """Implements `derms.api.view.RegistryDesk`.

    Args:
        fleet: Knows the devices.
        loop: Knows the feeders, and is woken by every change.
        on_registered: Told each registration that has changed, so that one that was on its way to the store with the
            older values is followed by the newer.
    """

    def __init__(self, *, fleet: Fleet, loop: ControlLoop, on_registered: Callable[[Device], None]) -> None:
        self._fleet = fleet
        self._loop = loop
        self._on_registered = on_registered

    def device(self, device_id: str) -> Device | None:
        """The registration as it is now."""
        row = self._fleet.row(device_id)
        return None if row is None else self._fleet.devices[row]

    def add_device(self, device: Device) -> None:
        """Take a registration in that was made beforehand."""
        # Its default control is known, so it need not be feared at its rating.
        self._register(device)

    def as_changed(self, device_id: str, changes: Mapping[str, Any]) -> Device:
        """The registration as it would be; nothing is changed."""
        device = self.device(device_id)
        assert device is not None, "looked up before"
        return replace(device, **changes)

    def change_device(self, device_id: str, changes: Mapping[str, Any]) -> None:
        """Change a registration; what was learnt of the device meanwhile stays."""
        self._register(self.as_changed(device_id, changes))

    def put_override(self, override: DeviceOverride) -> None:
        """Lay an override upon a device."""
        self._loop.put_override(override)

    def release(self, device_id: str) -> None:
        """Take an override off."""
        self._loop.release(device_id)

    def feeders(self) -> dict[str, Feeder]:
        """The feeders as they are now."""
        return {key: state.feeder for key, state in self._loop.feeders.items()}

    def put_feeder(self, feeder: Feeder) -> None:
        """Add or replace a feeder."""
        self._loop.set_feeders((self.feeders() | {feeder.feeder_id: feeder}).values())

    def _register(self, device: Device) -> None:
        self._fleet.register(device, spoke=True)
        self._on_registered(device)
        self._loop.wake()
