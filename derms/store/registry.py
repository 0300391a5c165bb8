"""Feeders and devices."""

from collections.abc import Sequence
from dataclasses import asdict

from derms.model import Device, Feeder
from derms.store.database import Database
from derms.store.rows import device_of, feeder_of

FEEDER_COLUMNS = (
    "feeder_id, name, parent_id, import_limit_kw, export_limit_kw, margin_kw, assumed_unmetered_kw, mode, policy"
)
DEVICE_COLUMNS = (
    "device_id, kind, feeder_id, site_id, origin, enrolment, dialect, soc_in_percent, p_import_max_kw, "
    "p_export_max_kw, p_min_kw, p_step_kw, capacity_kwh, min_soc_reserve, target_soc, priority, default_power_kw, "
    "ready_by, gateway_id"
)


class RegistryTables(Database):
    """Implements `RegistryStore`."""

    async def load_feeders(self) -> list[Feeder]:
        """All feeders, by id."""
        rows = await self._select(f"SELECT {FEEDER_COLUMNS} FROM feeders ORDER BY feeder_id")
        return [feeder_of(row) for row in rows]

    async def load_devices(self) -> list[Device]:
        """All registrations, retired ones too, by id."""
        rows = await self._select(f"SELECT {DEVICE_COLUMNS} FROM devices ORDER BY device_id")
        return [device_of(row) for row in rows]

    async def save_feeders(self, feeders: Sequence[Feeder]) -> None:
        """Insert or replace several, parents first, in one transaction.

        Raises:
            NotFoundError: A parent does not exist.
            UsageError: A value is out of its range.
        """
        await self._replace("feeders", FEEDER_COLUMNS, [asdict(feeder) for feeder in feeders])

    async def save_devices(self, devices: Sequence[Device]) -> None:
        """Insert or replace several, in one transaction.

        Raises:
            NotFoundError: A feeder does not exist.
            UsageError: A value is out of its range.
        """
        await self._replace("devices", DEVICE_COLUMNS, [asdict(device) for device in devices])
