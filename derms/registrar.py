"""Registrations on their way to the store: the newest of each device, retried until they are there.

Full-policy: at most one pending registration a device, so no larger than the fleet. The live registration is in
`Fleet`; control never waits for this.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence

from derms.errors import NotFoundError, StoreError, UsageError
from derms.model import Device
from derms.ports import RegistryStore

_GATHER_S = 0.1
"""Wait this long for more, so that a fleet that appears at once is one transaction [s]."""
_RETRY_S = 5.0
_FINISH_S = 2.0
_MOST = 2_000
"""Registrations in one transaction: 50,000 that come at once would take longer than the store is given."""

log = logging.getLogger(__name__)


def in_parts(devices: Sequence[Device]) -> list[Sequence[Device]]:
    """Cut registrations into transactions."""
    return [devices[start : start + _MOST] for start in range(0, len(devices), _MOST)]


class Registrar:
    """Writes registrations behind the fleet."""

    def __init__(self, store: RegistryStore) -> None:
        """Prepare an empty queue."""
        self._store = store
        self._pending: dict[str, Device] = {}
        self._filled = asyncio.Event()

    def put(self, device: Device) -> None:
        """Queue a registration; never waits."""
        self._pending[device.device_id] = device
        self._filled.set()

    async def run(self) -> None:
        """Write until cancelled."""
        failing = False
        while True:
            await self._filled.wait()
            await asyncio.sleep(_RETRY_S if failing else _GATHER_S)
            try:
                await self.flush()
            except StoreError as error:
                if not failing:
                    log.error("Registrations cannot be written, will try again: %s", error)
                failing = True
                continue
            if failing:
                log.info("Registrations are written again")
            failing = False

    async def finish(self) -> None:
        """Write what is still queued, if the store takes it; `run` has ended by now."""
        try:
            async with asyncio.timeout(_FINISH_S):
                await self.flush()
        except (StoreError, TimeoutError):
            log.error("Registrations are not written", extra={"devices": sorted(self._pending)[:20]})

    async def flush(self) -> None:
        """Write what is queued.

        Raises:
            StoreError: It stays queued.
        """
        for batch in in_parts(list(self._pending.values())):
            try:
                await self._store.save_devices(batch)
            except (NotFoundError, UsageError):
                await self._save_singly(batch)
            for device in batch:
                if self._pending.get(device.device_id) is device:
                    del self._pending[device.device_id]
        if not self._pending:
            self._filled.clear()

    async def _save_singly(self, devices: Iterable[Device]) -> None:
        """Find the one that can never be stored; it lives on in the fleet only."""
        for device in devices:
            try:
                await self._store.save_devices([device])
            except (NotFoundError, UsageError) as error:
                log.error("A registration cannot be stored: %s", error, extra={"device": device.device_id})
