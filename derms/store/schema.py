"""The numbered migrations, and which of them a database still needs. Pure, but for reading the package's files.

A migration that was ever applied somewhere is never edited: what comes after goes into the next number.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

from derms.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One file `NNNN_name.sql`."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """What tells an edited file from the one that was applied."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def load_migrations() -> list[Migration]:
    """Read the package's migrations, in order."""
    folder = resources.files("derms.store") / "migrations"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    return [
        Migration(number=int(file.name[:4]), name=file.name.removesuffix(".sql"), sql=file.read_text("utf-8"))
        for file in files
    ]


def pending(applied: Mapping[int, str], migrations: Sequence[Migration]) -> list[Migration]:
    """Which migrations a database still needs.

    Args:
        applied: What the database says it has: number -> checksum.
        migrations: What this program has, in order.

    Raises:
        ConfigError: The database is newer than this program, or a file was edited after it was applied.
    """
    known = {migration.number for migration in migrations}
    newer = sorted(set(applied) - known)
    if newer:
        raise ConfigError(
            f"the database has migration {newer[-1]:04d}",
            why=f"this version of derms knows them up to {max(known, default=0):04d}",
            next_step="upgrade derms, or restore the backup made before the upgrade",
        )
    for migration in migrations:
        if applied.get(migration.number, migration.checksum) != migration.checksum:
            raise ConfigError(
                f"migration {migration.name} is not the one this database was made with",
                why="a migration must not change once it was applied",
                next_step="put the original file back, and add a migration with the next number",
            )
    return [migration for migration in migrations if migration.number not in applied]
