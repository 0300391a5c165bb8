"""One connection to PostgreSQL that comes back by itself, and what its errors mean.

A call on a lost connection tries once to connect; while that fails, later calls are refused at once until a jittered
pause has passed, so that whoever has a spool uses it instead of waiting.
"""

import asyncio
import contextlib
import random
import re
import select
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus

from derms.errors import ConfigError, DermsError, StoreError
from derms.ports import Clock

_CONNECT_S = 5
_CANCEL_S = 0.5
"""What a server is given to hear that a query is given up [s]."""
_LONGEST_PAUSE_S = 10.0
_OPTIONS = {
    "connect_timeout": _CONNECT_S,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
    "application_name": "derms",
}
# Set after connecting, because a pooler refuses them in the start message.
_SESSION = (
    "SELECT set_config('statement_timeout', '30s', false), set_config('lock_timeout', '10s', false), "
    "set_config('idle_in_transaction_session_timeout', '60s', false), set_config('timezone', 'UTC', false)"
)
# Errors met while connecting carry no code, only the server's or the library's words.
_HOPELESS = re.compile(
    r"password authentication failed|no password supplied|(role|database) \"[^\"]*\" does not exist"
    r"|no pg_hba\.conf entry|is not permitted to log in|permission denied for database|authentication method"
    r"|does not support SSL|certificate verify failed|invalid port number|invalid (sslmode|connection option)",
)


class Connection(psycopg.AsyncConnection[Any]):
    """A connection that hangs up on a query that is given up.

    The library waits twice 5 s more for a server that does not answer, which is more than its callers have.
    """

    async def cancel_safe(self, *, timeout: float = _CANCEL_S) -> None:
        """Ask the server to stop the query, and close the connection whatever comes of it."""
        try:
            await super().cancel_safe(timeout=min(timeout, _CANCEL_S))
        finally:
            self.pgconn.finish()


class Link:
    """A connection for one purpose, used by one caller at a time.

    Args:
        url: `postgresql://...`; checked here.
        clock: To measure the pauses.
        rng: For their jitter.
        prepare: Run on every new connection.

    Raises:
        ConfigError: The URL is not one.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        rng: random.Random,
        prepare: Callable[[Connection], Awaitable[None]] | None = None,
    ) -> None:
        self._parameters = _parsed(url)
        self._clock = clock
        self._rng = rng
        self._prepare = prepare
        self._lock = asyncio.Lock()
        self._connection: Connection | None = None
        self._pause_s = 0.1
        self._not_before_s = float("-inf")
        self._last_error: DermsError | None = None
        self._met = False
        """It let us in once: what it says later may pass, and is waited out."""

    @property
    def where(self) -> str:
        """The server and the database, without secrets."""
        host = self._parameters.get("host") or self._parameters.get("hostaddr") or "the local socket"
        return f"{self._parameters.get('dbname') or 'the default database'} at {host}"

    @contextlib.asynccontextmanager
    async def use(self, timeout_s: float) -> AsyncIterator[Connection]:
        """Have the connection alone, in autocommit mode; it is closed when left in the middle of something.

        Args:
            timeout_s: For all of it, the wait for an earlier caller too.

        Raises:
            StoreError: No connection, a failed statement, or no answer in time.
            ConfigError: The server never let us in, and what it says will not pass by itself.
        """
        try:
            async with asyncio.timeout(timeout_s), self._lock:
                connection = await self._connected()
                try:
                    yield connection
                except BaseException:
                    if connection.info.transaction_status is not TransactionStatus.IDLE:
                        await connection.close()
                    raise
        except TimeoutError as error:
            raise StoreError(
                f"the database did not answer within {timeout_s:g} s", why=self.where, next_step="look at its load"
            ) from error
        except psycopg.Error as error:
            raise StoreError(
                "the database refused", why=_words(error), next_step=f"look at the log of {self.where}"
            ) from error

    async def close(self) -> None:
        """Give the connection up."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def _connected(self) -> Connection:
        if self._connection is not None and not await _is_dead(self._connection):
            return self._connection
        if self._last_error is not None and self._clock.monotonic_s() < self._not_before_s:
            raise self._last_error
        try:
            self._connection = await self._connect()
        except (StoreError, ConfigError) as error:
            self._last_error = error
            self._not_before_s = self._clock.monotonic_s() + self._pause_s * self._rng.uniform(0.5, 1.5)
            self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)
            raise
        self._pause_s = 0.1
        self._last_error = None
        return self._connection

    async def _connect(self) -> Connection:
        try:
            connection = await Connection.connect(
                **{**_OPTIONS, **self._parameters}, autocommit=True, prepare_threshold=None
            )
        except psycopg.Error as error:
            words = _words(error)
            if not self._met and _HOPELESS.search(str(error)):
                raise ConfigError(
                    f"the database {self.where} does not let us in", why=words, next_step="check DERMS_DATABASE_URL"
                ) from error
            raise StoreError(
                f"the database {self.where} cannot be reached",
                why=words,
                next_step="start it, or check DERMS_DATABASE_URL",
            ) from error
        self._met = True
        try:
            await connection.execute(_SESSION)
            if self._prepare is not None:
                await self._prepare(connection)
        except BaseException:
            await connection.close()
            raise
        return connection


async def _is_dead(connection: Connection) -> bool:
    """Whether the server hung up while nobody looked (it was restarted, say): better found before it is used."""
    poll = select.poll()  # select() knows no descriptors above 1023
    if not connection.closed:
        poll.register(connection.fileno(), select.POLLIN)
    while not connection.closed and poll.poll(0):  # its last words come first, then the end of the stream
        try:
            connection.pgconn.consume_input()
        except psycopg.Error:
            await connection.close()
    return connection.closed


def _parsed(url: str) -> dict[str, Any]:
    if url.startswith(("postgresql://", "postgres://")):
        with contextlib.suppress(psycopg.Error):
            return dict(conninfo_to_dict(url))
    # Neither the URL nor what the library says of it is repeated: both may hold the password.
    raise ConfigError(
        "the database URL cannot be read",
        why="it must look like postgresql://user:password@host:5432/database",
        next_step="correct DERMS_DATABASE_URL (special characters in the password are percent-encoded)",
    )


def _words(error: psycopg.Error) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if error.sqlstate else lines[-1]) if lines else type(error).__name__
