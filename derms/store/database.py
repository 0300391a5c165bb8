"""What every part of the store stands on: reading, replacing rows, changing with a line in the audit log."""

import contextlib
import json
import random
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from derms.errors import ConflictError, DermsError, NotFoundError, UsageError
from derms.model import Author
from derms.ports import Clock
from derms.store.bulk import DATA_ERRORS
from derms.store.link import Connection, Link

READ_S = 10.0
WRITE_S = 30.0


class Database:
    """One PostgreSQL database, a connection for everything but the bulk writes, and one for long reads.

    Args:
        url: `postgresql://...`.
        clock: The pauses between attempts to connect.
        rng: For the jitter of those pauses.
    """

    def __init__(self, url: str, *, clock: Clock, rng: random.Random) -> None:
        self._link = Link(url, clock=clock, rng=rng)
        self._reports = Link(url, clock=clock, rng=rng)

    @property
    def where(self) -> str:
        """The server and the database, without secrets."""
        return self._link.where

    async def close(self) -> None:
        """Give up the connections."""
        await self._reports.close()
        await self._link.close()

    async def ping(self) -> None:
        """Ask the server for anything at all.

        Raises:
            StoreError: It does not answer.
        """
        async with self._link.use(READ_S) as connection:
            await connection.execute("SELECT 1")

    async def _select(self, statement: str, values: Mapping[str, object] | None = None) -> list[dict[str, Any]]:
        async with self._link.use(READ_S) as connection, connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(statement.encode(), values)
            return await cursor.fetchall()

    async def _replace(self, table: str, columns: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows, or replace those with the same first column, in one transaction."""
        async with self._link.use(WRITE_S) as connection:
            with _translated("a row"):
                async with connection.transaction(), connection.cursor() as cursor:
                    await cursor.executemany(replacing(table, columns, "updated_at = now()").encode(), rows)

    @contextlib.asynccontextmanager
    async def _audited(self, action: str, subject: str, by: Author) -> AsyncIterator["Change"]:
        """A transaction that commits what is done in it together with one line in the audit log, or neither.

        Args:
            action: What is done, `noun.verb`.
            subject: The id of what it is done to.
            by: Who does it.

        Yields:
            Its connection, and what the line is to say was there before and after.
        """
        async with self._link.use(READ_S) as connection:
            with _translated(repr(subject)):
                async with connection.transaction():
                    change = Change(connection)
                    yield change
                    before, after = as_json(change.before), as_json(change.after)
                    await connection.execute(
                        "INSERT INTO audit_log (actor, action, subject, request_id, remote, before, after) "
                        "VALUES (%s, %s, %s, %s, %s, %s, %s)",
                        [by.username, action, subject, by.request_id, by.remote, before, after],
                    )


@dataclass(slots=True)
class Change:
    """What is done in one transaction, and what its line in the audit log says of it."""

    connection: Connection
    before: Mapping[str, object] = field(default_factory=dict)
    """What was there; read at the end of the transaction."""
    after: Mapping[str, object] = field(default_factory=dict)
    """What is there now."""

    async def one(self, statement: str, values: Mapping[str, object]) -> dict[str, Any] | None:
        """The first row of a statement, or None where there is none."""
        async with self.connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(statement.encode(), values)
            return await cursor.fetchone()


def replacing(table: str, columns: str, *more: str) -> str:
    """The statement that inserts a row, or replaces the one with the same first column.

    Args:
        table: Where.
        columns: Their names, with commas; the values go by the same names.
        more: Further assignments for a row that is replaced.
    """
    key, *others = columns.split(", ")
    marks = ", ".join(f"%({column})s" for column in [key, *others])
    changes = ", ".join([*(f"{column} = excluded.{column}" for column in others), *more])
    return f"INSERT INTO {table} ({columns}) VALUES ({marks}) ON CONFLICT ({key}) DO UPDATE SET {changes}"


@contextlib.contextmanager
def _translated(subject: str) -> Iterator[None]:
    """Say in our own words what the database has against what is to be stored."""
    try:
        yield
    except DATA_ERRORS as error:
        raise _meaning(error, subject) from error


def _meaning(error: Exception, subject: str) -> DermsError:
    words = str(error).split("\n", 1)[0]
    match error:
        case psycopg.errors.UniqueViolation():
            detail = error.diag.message_detail or words
            return ConflictError(f"{subject} cannot be stored", why=detail, next_step="choose another id or name")
        case psycopg.errors.ForeignKeyViolation():
            detail = error.diag.message_detail or words
            return NotFoundError(
                f"the {_named_in(detail)} named does not exist", why=detail, next_step="create it first"
            )
        case _:
            return UsageError("the database refuses a value", why=words, next_step="correct it")


def _named_in(detail: str) -> str:
    return "device" if 'table "devices"' in detail else "feeder"


def as_json(state: Mapping[str, object]) -> Jsonb:
    """What the audit log holds of a state: all of it that is known."""
    return Jsonb({key: value for key, value in state.items() if value is not None}, dumps=_json)


def _json(value: object) -> str:
    return json.dumps(value, default=str)
