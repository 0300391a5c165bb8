"""The endpoint that charging stations connect to. With `session`, `v16` and `v201` the only door to the libraries.

A station is whom its address ends with (`ws://host:9000/CP-1`), proven by its password. What it may send is bounded: in
size, in rate, in how long it may take to say who it is. A second connection of a station ends the first.
"""

import asyncio
import base64
import binascii
import hmac
import http
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from urllib.parse import unquote

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from agent.ocpp.config import OcppOptions
from agent.ocpp.session import Desk
from agent.ocpp.station import Station
from agent.ocpp.v16 import SUBPROTOCOL as V16
from agent.ocpp.v16 import Session16
from agent.ocpp.v201 import SUBPROTOCOL as V201
from agent.ocpp.v201 import Session201
from derms.errors import AddressInUseError, ConfigError, DeviceError
from derms.ports import Clock

_log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 64 * 1024
"""A longer message ends the connection."""
RATE_PER_S, BURST = 20.0, 200.0
"""Messages that a station may send: so many a second, and so many at once after a silence."""
MAX_QUEUED = 16
"""Messages read ahead; then TCP makes the station wait."""
_MAX_NAMES = 1000
"""Unknown stations that are remembered to keep the log quiet."""
_PING_S = 20.0
_CLOSE_S = 2.0


@dataclass(slots=True)
class _Allowance:
    """A bucket of messages that fills with time."""

    left: float = BURST
    at_s: float = 0.0

    def take(self, now_s: float) -> bool:
        self.left = min(BURST, self.left + (now_s - self.at_s) * RATE_PER_S)
        self.at_s = now_s
        self.left -= 1
        return self.left >= 0


class OcppServer:
    """Talks to stations.

    Args:
        options: The configuration.
        stations: The configured stations, by identity.
        clock: For answers and allowances.
        changed: Called with a station's identity when something of it changed.
    """

    def __init__(
        self,
        options: OcppOptions,
        stations: Mapping[str, Station],
        *,
        clock: Clock,
        changed: Callable[[str], None],
    ) -> None:
        self._options = options
        self._stations = stations
        self._clock = clock
        self._changed = changed
        self._desk = Desk(
            clock=clock,
            heartbeat_s=options.heartbeat_s,
            sample_s=options.sample_s,
            tokens=None if options.tokens is None else frozenset(options.tokens),
        )
        self._open: dict[str, ServerConnection] = {}
        self._named: set[str] = set()
        self._server: Server | None = None
        self.refused = 0
        """Connections that were not let in."""
        self.cut_off = 0
        """Connections that were ended for what they sent."""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[int]:
        """Listen; the port, while the body runs.

        Raises:
            AddressInUseError: The port is taken.
            ConfigError: A certificate is wrong.
        """
        host, port = self._options.listen_host, self._options.listen_port
        context = self._tls()
        try:
            server = await serve(
                self._talk,
                host,
                port,
                ssl=context,
                subprotocols=[Subprotocol(V201), Subprotocol(V16)],
                compression=None,  # a small message could become a large one
                process_request=self._let_in,
                max_size=MAX_MESSAGE_BYTES,
                max_queue=MAX_QUEUED,
                open_timeout=10.0,
                ping_interval=_PING_S,
                ping_timeout=_PING_S,
                close_timeout=_CLOSE_S,
                server_header=None,
                logger=_silent(),
            )
        except OSError as error:
            raise AddressInUseError(
                f"{host}:{port} cannot be listened on",
                why=error.strerror or str(error),
                next_step="choose another listen_port, or stop who has it",
            ) from error
        self._server = server
        try:
            yield next(iter(server.sockets)).getsockname()[1]
        finally:
            server.close()
            await server.wait_closed()

    def _tls(self) -> ssl.SSLContext | None:
        cert, key = self._options.tls_cert_file, self._options.tls_key_file
        if cert is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(cert, key)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"tls_cert_file = {cert} cannot be used with its key",
                why=str(error)[:160],
                next_step="give a certificate and its key as PEM files that this user may read",
            ) from error
        return context

    # ------------------------------------------------------------------ the door

    def _let_in(self, connection: ServerConnection, request: Request) -> Response | None:
        """Decide on a connection before it is one."""
        station_id = _identity(request.path)
        if self._server is not None and len(self._server.handlers) > self._options.max_connections:
            return self._turn_away(connection, http.HTTPStatus.SERVICE_UNAVAILABLE, station_id, "too many connections")
        options = self._options.station.get(station_id)
        if options is None:
            if self._options.unknown == "refuse" or not station_id:
                return self._turn_away(connection, http.HTTPStatus.NOT_FOUND, station_id, "it is not in the file")
            return None
        if options.password is not None and not _proves(request.headers, station_id, options.password):
            return self._turn_away(connection, http.HTTPStatus.UNAUTHORIZED, station_id, "its password is wrong")
        return None

    def _turn_away(self, connection: ServerConnection, status: http.HTTPStatus, station_id: str, why: str) -> Response:
        self.refused += 1
        self._say_once(f"{station_id} {why}", "a station was not let in", station_id, why)
        response = connection.respond(status, f"{status.phrase}\n")
        if status is http.HTTPStatus.UNAUTHORIZED:
            response.headers["WWW-Authenticate"] = 'Basic realm="ocpp", charset="UTF-8"'
        return response

    def _say_once(self, key: str, message: str, station_id: str, why: str) -> None:
        if len(self._named) >= _MAX_NAMES:
            self._named.clear()
        if key not in self._named:
            self._named.add(key)
            _log.warning(message, extra={"station": station_id[:64], "reason": why})

    # ------------------------------------------------------------------ the talk

    async def _talk(self, connection: ServerConnection) -> None:
        assert connection.request is not None, "it was let in"
        station_id = _identity(connection.request.path)
        known = self._stations.get(station_id)
        station = known or Station(station_id=station_id, connectors={})
        desk = replace(self._desk, quarantined=known is None, changed=lambda: self._changed(station_id))
        kind = Session201 if connection.subprotocol == V201 else Session16
        session = kind(station, connection, desk)
        before, self._open[station_id] = self._open.get(station_id), connection
        if before is not None:
            _hang_up(before)
        station.connect(session, now_s=self._clock.monotonic_s())
        if known is None:
            self._say_once(station_id, "a station in quarantine is connected", station_id, "it is not in the file")
        else:
            _log.info("a station is connected", extra={"station": station_id, "speaks": connection.subprotocol})
        configuring = asyncio.create_task(session.configure()) if known is not None else None
        try:
            await self._listen(connection, session, station_id)
        except ConnectionClosed:
            pass
        finally:
            if configuring is not None:
                configuring.cancel()
            station.disconnect(session)
            if self._open.get(station_id) is connection:
                del self._open[station_id]
            self._changed(station_id)
            if known is not None:
                _log.info("a station is gone", extra={"station": station_id})

    async def _listen(self, connection: ServerConnection, session: Session16 | Session201, station_id: str) -> None:
        allowance = _Allowance(at_s=self._clock.monotonic_s())
        async for raw in connection:
            if not isinstance(raw, str):
                why, code = "a message is bytes, not text", 1003
            elif not allowance.take(self._clock.monotonic_s()):
                why, code = f"more than {RATE_PER_S:g} messages a second", 1008
            else:
                try:
                    await session.hear(raw)
                    continue
                except DeviceError as error:
                    why, code = error.what, 1008
            self.cut_off += 1
            self._say_once(f"{station_id} {why}", "a station was cut off", station_id, why)
            await connection.close(code, why[:100])
            return


def _identity(path: str) -> str:
    """Whom an address names: its last part."""
    return unquote(path.partition("?")[0].rstrip("/").rpartition("/")[2])[:255]


def _proves(headers: Headers, station_id: str, password: str) -> bool:
    """Whether a request carries the station's name and password."""
    kind, _, coded = headers.get("Authorization", "").partition(" ")
    if kind.lower() != "basic":
        return False
    try:
        given = base64.b64decode(coded, validate=True)
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(given, f"{station_id}:{password}".encode())


def _hang_up(connection: ServerConnection) -> None:
    """End a connection whose station has another, without waiting for it."""
    transport: asyncio.Transport | None = getattr(connection, "transport", None)
    if transport is not None:
        transport.abort()


def _silent() -> logging.Logger:
    """Strangers can make the library log as they like; what matters is logged here."""
    logger = logging.getLogger("derms.ocpp.websockets")
    logger.setLevel(logging.CRITICAL)
    return logger
