"""What operators lay upon devices, each change with its audit line."""

from dataclasses import asdict
from datetime import datetime

from derms.errors import NotFoundError
from derms.model import Author, DeviceOverride
from derms.store.database import Database, replacing
from derms.store.rows import override_of

_COLUMNS = "device_id, kind, p_kw, reason, created_by, created_at, until"
_FOUND = f"SELECT {_COLUMNS} FROM device_overrides WHERE device_id = %(id)s"


class OverrideTables(Database):
    """Implements `OverrideStore`."""

    async def put_override(self, override: DeviceOverride, *, by: Author) -> None:
        """Commit an override, in place of one that is there, together with its line in the audit log.

        Raises:
            NotFoundError: The device is not registered.
            UsageError: A hold without a power, a block with one, an end that is not after its beginning.
        """
        values = asdict(override)
        async with self._audited("override.put", override.device_id, by) as change:
            change.before = await change.one(_FOUND, {"id": override.device_id}) or {}
            change.after = values
            await change.connection.execute(replacing("device_overrides", _COLUMNS).encode(), values)

    async def clear_override(self, device_id: str, *, by: Author) -> None:
        """Take an override off, together with its line in the audit log.

        Raises:
            NotFoundError: There is none upon that device.
        """
        async with self._audited("override.clear", device_id, by) as change:
            gone = await change.one(
                f"DELETE FROM device_overrides WHERE device_id = %(id)s RETURNING {_COLUMNS}", {"id": device_id}
            )
            if gone is None:
                raise NotFoundError(
                    f"there is no override upon the device {device_id!r}", next_step="there is nothing to be released"
                )
            change.before = gone

    async def live_overrides(self, now: datetime) -> list[DeviceOverride]:
        """Those that have not ended at `now`, by device; the end is not inside."""
        rows = await self._select(
            f"SELECT {_COLUMNS} FROM device_overrides WHERE until > %(now)s ORDER BY device_id", {"now": now}
        )
        return [override_of(row) for row in rows]
