"""The API's application and its server; it owns nothing but the routes."""

import asyncio
import contextlib
import logging
import socket
import ssl
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from derms.api import (
    alarms,
    audit,
    auth,
    devices,
    docs,
    events,
    feeders,
    health,
    history,
    outcomes,
    overrides,
    programs,
    simulation,
    stream,
    telemetry,
    tracking,
    users,
)
from derms.api.listening import listen_error
from derms.api.middleware import add_routes, guarded_app, still_may
from derms.api.routes import Route
from derms.api.services import Services
from derms.api.stream import Hub

IDLE_TIMEOUT_S = 10.0
"""A connection without a whole request head is dropped after it, idle or trickling [s]."""
STALLED_S = 30.0
"""A client that takes nothing of its answer for so long is dropped by the kernel [s]."""
MAX_CONNECTIONS = 900
"""Further ones are hung up on: the broker and the database need descriptors too."""
MAX_LINE_BYTES = 8190
"""Of a request's first line, and of each header."""
MAX_HEADERS = 128
SHUTDOWN_TIMEOUT_S = 2.0
"""What running requests are given when the server stops, and again when they are cancelled [s]."""

_log = logging.getLogger(__name__)


def new_id() -> str:
    """Random, short, and unique for all that matters."""
    return uuid.uuid4().hex[:12]


def build_app(services: Services, *, metrics_enabled: bool = True, vital_only: bool = False) -> web.Application:
    """Put the routes together.

    Args:
        services: All that stands behind them.
        metrics_enabled: Whether `/metrics` exists.
        vital_only: Only health, readiness and metrics.
    """
    app = guarded_app(
        services.authenticator, services.metrics, send_on=services.send_on, cors_origins=services.cors_origins
    )
    app.on_shutdown.append(lambda _: _closed(services.stream))
    routes = vital_routes if vital_only else routes_of
    add_routes(app, routes(services, metrics_enabled=metrics_enabled))
    return app


async def _closed(hub: Hub) -> None:
    """Readers of the stream never leave by themselves, and the server waits for running requests."""
    hub.close()


def vital_routes(services: Services, *, metrics_enabled: bool = True) -> list[Route]:
    """How it is."""
    return [*health.routes(services), *(health.metrics_routes(services) if metrics_enabled else [])]


def routes_of(services: Services, *, metrics_enabled: bool = True) -> list[Route]:
    """Every route there is."""
    described = [
        *vital_routes(services, metrics_enabled=metrics_enabled),
        *auth.routes(services),
        *users.routes(services),
        *audit.routes(services),
        *devices.routes(services),
        *overrides.routes(services),
        *feeders.routes(services),
        *history.routes(services),
        *tracking.routes(services),
        *telemetry.routes(services),
        *simulation.routes(services),
        *events.routes(services),
        *outcomes.routes(services),
        *programs.routes(services),
        *alarms.routes(services),
        *stream.routes(services.stream, still_may(services.authenticator)),
    ]
    return [*described, *docs.routes(described)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """Where the API listens."""

    host: str
    port: int
    url: str


@contextlib.asynccontextmanager
async def serve_app(
    app: web.Application,
    *,
    host: str,
    port: int,
    tls: ssl.SSLContext | None = None,
    idle_timeout_s: float = IDLE_TIMEOUT_S,
    stalled_s: float = STALLED_S,
    max_connections: int = MAX_CONNECTIONS,
) -> AsyncIterator[Served]:
    """Serve the app while the body runs.

    Args:
        app: What to serve.
        host: Address to listen on.
        port: TCP port; 0: one the system chooses.
        tls: None: plain HTTP.
        idle_timeout_s: `IDLE_TIMEOUT_S` [s].
        stalled_s: `STALLED_S` [s].
        max_connections: `MAX_CONNECTIONS`.

    Raises:
        AddressInUseError: The port is taken.
        ConfigError: The address cannot be listened on.
    """
    server_log = logging.getLogger(f"{__name__}.server")
    server_log.addFilter(_is_ours)
    runner = web.AppRunner(
        app,
        access_log=None,
        logger=server_log,
        keepalive_timeout=idle_timeout_s,
        shutdown_timeout=SHUTDOWN_TIMEOUT_S,
        handle_signals=False,
        max_line_size=MAX_LINE_BYTES,
        max_field_size=MAX_LINE_BYTES,
        max_headers=MAX_HEADERS,
    )
    await runner.setup()
    listener: asyncio.Server | None = None
    try:
        try:
            listener = await asyncio.get_running_loop().create_server(
                _bounded(runner, max_connections),
                host,
                port,
                ssl=tls,
                ssl_handshake_timeout=idle_timeout_s if tls else None,
                backlog=128,
            )
        except (OSError, UnicodeError) as error:
            raise listen_error(error, host, port) from error
        for listening in listener.sockets:
            # What is accepted inherits it.
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(stalled_s * 1000))
        bound = int(listener.sockets[0].getsockname()[1])
        shown = f"[{host}]" if ":" in host else host
        url = f"{'https' if tls else 'http'}://{shown}:{bound}"
        _log.info("The API listens.", extra={"url": url})
        yield Served(host=host, port=bound, url=url)
    finally:
        if listener is not None:
            listener.close()
        await runner.cleanup()
        server_log.removeFilter(_is_ours)


class _HangUp(asyncio.Protocol):
    """Speaks to nobody."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Leave at once."""
        assert isinstance(transport, asyncio.Transport)
        transport.abort()


def _bounded(runner: web.AppRunner, most: int) -> Callable[[], asyncio.BaseProtocol]:
    server = runner.server
    assert server is not None
    return lambda: server() if len(server.connections) < most else _HangUp()


def _is_ours(record: logging.LogRecord) -> bool:
    """Not a request that is no HTTP: anyone on the network can send those, as many as they like."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))
