"""What people change in the registry, each change with its audit line.

Of a row that is there only the columns that were changed are written: what the controller learns meanwhile (a dialect,
that a device speaks percent) is written by others, and must not be undone.
"""

from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

from derms.model import Author, Device, Feeder
from derms.store.database import Database
from derms.store.registry import DEVICE_COLUMNS, FEEDER_COLUMNS


class RegistrationTables(Database):
    """Implements `RegistrationStore`."""

    async def add_device(self, device: Device, *, by: Author) -> None:
        """Commit a registration made beforehand.

        Raises:
            ConflictError: The id exists.
            NotFoundError: The feeder does not exist.
            UsageError: A value is out of its range.
        """
        await self._add("devices", DEVICE_COLUMNS, asdict(device), "device.create", by)

    async def change_device(self, device: Device, fields: Collection[str], *, action: str, by: Author) -> None:
        """Commit some fields of a registration; one that has not reached the store yet is stored whole.

        Raises:
            NotFoundError: The feeder does not exist.
            UsageError: A value is out of its range.
        """
        await self._change("devices", DEVICE_COLUMNS, asdict(device), fields, action, by)

    async def add_feeder(self, feeder: Feeder, *, by: Author) -> None:
        """Commit a new feeder.

        Raises:
            ConflictError: The id exists.
            NotFoundError: The parent does not exist.
            UsageError: A value is out of its range.
        """
        await self._add("feeders", FEEDER_COLUMNS, asdict(feeder), "feeder.create", by)

    async def change_feeder(self, feeder: Feeder, fields: Collection[str], *, by: Author) -> None:
        """Commit some fields of a feeder.

        Raises:
            NotFoundError: The parent does not exist.
            UsageError: A value is out of its range.
        """
        await self._change("feeders", FEEDER_COLUMNS, asdict(feeder), fields, "feeder.change", by)

    async def note(self, action: str, subject: str, *, after: Mapping[str, object], by: Author) -> None:
        """Commit a line in the audit log for what leaves no other trace here."""
        async with self._audited(action, subject, by) as change:
            change.after = after

    async def _add(self, table: str, columns: str, values: Mapping[str, Any], action: str, by: Author) -> None:
        key = columns.split(", ", 1)[0]
        marks = ", ".join(f"%({column})s" for column in columns.split(", "))
        async with self._audited(action, values[key], by) as change:
            change.after = _without(values, key)
            await change.connection.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})".encode(), values)

    async def _change(
        self, table: str, columns: str, values: Mapping[str, Any], fields: Collection[str], action: str, by: Author
    ) -> None:
        names = columns.split(", ")
        key = names[0]
        written = [name for name in names if name in fields]
        marks = ", ".join(f"%({name})s" for name in names)
        sets = ", ".join([*(f"{name} = excluded.{name}" for name in written), "updated_at = now()"])
        async with self._audited(action, values[key], by) as change:
            found = await change.one(f"SELECT {columns} FROM {table} WHERE {key} = %({key})s FOR UPDATE", values)
            change.before = {name: found[name] for name in written} if found else {}
            change.after = {name: values[name] for name in written} if found else _without(values, key)
            await change.connection.execute(
                f"INSERT INTO {table} ({columns}) VALUES ({marks}) ON CONFLICT ({key}) DO UPDATE SET {sets}".encode(),
                values,
            )


def _without(values: Mapping[str, Any], key: str) -> dict[str, object]:
    """The audit log names the subject by itself."""
    return {name: value for name, value in values.items() if name != key}
