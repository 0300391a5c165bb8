"""Applies the numbered migrations, one transaction each, under a lock."""

import logging

from derms.store.link import Link
from derms.store.schema import load_migrations, pending

_log = logging.getLogger(__name__)

_MIGRATE_S = 600.0
MIGRATION_LOCK = 0x6465726D73  # "derms"


async def migrate(link: Link) -> list[str]:
    """Bring the schema to this program's version; several processes may try at once.

    Returns:
        The names of the migrations applied.

    Raises:
        ConfigError: The database is newer than this program, or its history was edited.
        StoreError: Not reachable, or a migration failed and was rolled back.
    """
    migrations = load_migrations()
    done: list[str] = []
    async with link.use(_MIGRATE_S) as connection:
        while True:
            async with connection.transaction():
                await connection.execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '60s'")
                await connection.execute("SELECT pg_advisory_xact_lock(%s)", [MIGRATION_LOCK])
                await connection.execute(
                    "CREATE TABLE IF NOT EXISTS schema_migrations (number integer PRIMARY KEY, name text NOT NULL,"
                    " checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
                )
                rows = await connection.execute("SELECT number, checksum FROM schema_migrations")
                todo = pending(dict(await rows.fetchall()), migrations)
                if not todo:
                    return done
                if len(todo) > 1:
                    # The last one's commit flushes the log, and so these with it: they are lost together or not at all.
                    await connection.execute("SET LOCAL synchronous_commit = off")
                await connection.execute(todo[0].sql.encode())
                await connection.execute(
                    "INSERT INTO schema_migrations (number, name, checksum) VALUES (%s, %s, %s)",
                    [todo[0].number, todo[0].name, todo[0].checksum],
                )
            done.append(todo[0].name)
            _log.info("applied a migration", extra={"migration": todo[0].name})
