"""How the daemon does."""

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from derms.api.schemas.health import HealthOut
from derms.client.base import Caller

_HTTPS_PORT = 443


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The daemon's health, and what the answer itself tells."""

    health: HealthOut
    said_at: datetime | None
    """The server's clock, to the second; None: it did not say."""


class HealthCalls(Caller):
    """How the daemon does."""

    async def health(self) -> HealthOut:
        """How the daemon does; needs no token."""
        return await self.call("GET", "/api/health", HealthOut)

    async def seen(self) -> Seen:
        """How the daemon does, and its clock; needs no token."""
        async with self.opened("GET", "/api/health") as response:
            date = response.headers.get("date", "")
        said_at = None
        with contextlib.suppress(ValueError):
            said_at = parsedate_to_datetime(date)
        return Seen(health=await self.health(), said_at=said_at)

    async def certificate_until(self) -> datetime | None:
        """When the server's certificate ends, by a connection of its own; None: it speaks plain HTTP, or has none.

        Raises:
            OSError: No connection, or the certificate is not trusted.
            TimeoutError: No answer.
        """
        import ssl

        where = urlsplit(self.url)
        if where.scheme != "https" or where.hostname is None:
            return None
        tls = self._tls if self._tls is not None else ssl.create_default_context()
        async with asyncio.timeout(self._timeout_s):
            _, writer = await asyncio.open_connection(where.hostname, where.port or _HTTPS_PORT, ssl=tls)
            certificate = writer.get_extra_info("peercert") or {}
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        until = certificate.get("notAfter")
        return None if until is None else datetime.fromtimestamp(ssl.cert_time_to_seconds(until), UTC)
