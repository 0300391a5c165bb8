"""What operators lay upon devices, each change with its audit line."""

from dataclasses import asdict
from datetime import datetime

from derms.errors import NotFoundError
from derms.model import DeviceOverride
from derms.store.database import Database, replacing
from derms.store.rows import override_of

_COLUMNS = "device_id, kind, p_kw, reason, created_by, created_at, until"


class OverrideTables(Database):
    """Implements `OverrideStore`."""

    async def put_override(self, override: DeviceOverride, *, actor: str, request_id: str) -> None:
        """Commit an override, in place of one that is there, together with its line in the audit log.

        Raises:
            NotFoundError: The device is not registered.
            UsageError: A hold without a power, a block with one, an end that is not after its beginning.
        """
        values = asdict(override)
        detail = {key: value for key, value in values.items() if key != "device_id"}
        async with self._audited(
            "override.put", override.device_id, actor=actor, request_id=request_id, detail=detail
        ) as connection:
            await connection.execute(replacing("device_overrides", _COLUMNS).encode(), values)

    async def clear_override(self, device_id: str, *, actor: str, request_id: str) -> None:
        """Take an override off, together with its line in the audit log.

        Raises:
            NotFoundError: There is none upon that device.
        """
        async with self._audited(
            "override.clear", device_id, actor=actor, request_id=request_id, detail={}
        ) as connection:
            gone = await connection.execute("DELETE FROM device_overrides WHERE device_id = %s", [device_id])
            if gone.rowcount == 0:
                raise NotFoundError(
                    f"there is no override upon the device {device_id!r}", next_step="there is nothing to be released"
                )

    async def live_overrides(self, now: datetime) -> list[DeviceOverride]:
        """Those that have not ended at `now`, by device; the end is not inside."""
        rows = await self._select(
            f"SELECT {_COLUMNS} FROM device_overrides WHERE until > %(now)s ORDER BY device_id", {"now": now}
        )
        return [override_of(row) for row in rows]
