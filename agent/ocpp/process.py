"""The composition root of the OCPP endpoint: a server for stations, and an agent for each of their connectors."""

import asyncio
import contextlib
import logging
import random
import secrets
from collections.abc import Callable
from pathlib import Path

from agent.config import AgentConfig
from agent.ocpp.config import OcppOptions
from agent.ocpp.profiles import Rate
from agent.ocpp.server import OcppServer
from agent.ocpp.station import Connector, ConnectorDriver, Station
from agent.runner import AgentRunner
from derms.contract import Topics, encode_status
from derms.mqtt import MqttLink, TlsFiles, Will, parse_broker_url
from derms.ports import Clock
from derms.runtime import SystemClock, stop_on_signals

_log = logging.getLogger(__name__)


async def serve_ocpp(
    options: OcppOptions, *, stop: asyncio.Event | None = None, listening: Callable[[int], None] = lambda _: None
) -> OcppServer:
    """Run until `stop`.

    Args:
        options: The configuration.
        stop: Ends it; None: SIGTERM and SIGINT do.
        listening: Called with the port once stations can connect.

    Returns:
        The server, for its counters.

    Raises:
        AddressInUseError: The port is taken.
        ConfigError: The broker's URL or a certificate is wrong.
    """
    if stop is None:
        stop = asyncio.Event()
        stop_on_signals(stop)
    clock, rng = SystemClock(), random.Random(secrets.randbits(64))
    stations = {station_id: _station(station_id, options) for station_id in options.station}
    agents = {
        place: _agent(config, stations[place[0]], place[1], options, clock=clock, rng=rng)
        for place, config in options.agents().items()
    }

    def changed(station_id: str) -> None:
        for (owner, _), (runner, _) in agents.items():
            if owner == station_id:
                runner.connected()

    server = OcppServer(options, stations, clock=clock, changed=changed)
    async with contextlib.AsyncExitStack() as stack:
        for _, link in agents.values():
            await stack.enter_async_context(link)
        port = await stack.enter_async_context(server.serving())
        _log.info(
            "Stations can connect",
            extra={
                "url": f"{'ws' if options.tls_cert_file is None else 'wss'}://{options.listen_host}:{port}/",
                "stations": len(stations),
            },
        )
        _warn(options)
        listening(port)
        async with asyncio.TaskGroup() as group:
            for runner, _ in agents.values():
                group.create_task(runner.run(stop))
            group.create_task(_until(stop))
    return server


def _warn(options: OcppOptions) -> None:
    """Say what is open to whom."""
    if options.listen_host in ("127.0.0.1", "::1", "localhost"):
        return
    if options.tls_cert_file is None:
        _log.warning("stations' passwords cross the network in the clear; give tls_cert_file and tls_key_file")
    open_ones = sorted(name for name, station in options.station.items() if station.password is None)
    if open_ones:
        _log.warning("stations without a password: anyone on the network may be them", extra={"stations": open_ones})


async def _until(stop: asyncio.Event) -> None:
    await stop.wait()


def _station(station_id: str, options: OcppOptions) -> Station:
    told = options.station[station_id]
    rate = Rate(unit=told.rate_unit, phases=told.phases, voltage_v=told.voltage_v)
    connectors = {number: Connector(number=number, rate=rate) for number in range(1, told.connectors + 1)}
    return Station(station_id=station_id, connectors=connectors)


def _agent(
    config: AgentConfig, station: Station, number: int, options: OcppOptions, *, clock: Clock, rng: random.Random
) -> tuple[AgentRunner, MqttLink]:
    """The agent of one connector, and its own connection to the broker."""
    topics = Topics(config.topic_prefix)
    link = MqttLink(
        parse_broker_url(config.url()),
        client_id=config.device_id,
        subscriptions=topics.agent_subscriptions(config.device_type, config.device_id, config.dialect),
        rng=rng,
        will=Will(topic=topics.status(config.device_id), payload=encode_status(False)),
        tls=TlsFiles(ca_file=None if config.tls_ca_file is None else Path(config.tls_ca_file)),
        on_connect=lambda: runner.connected(),
        log_changes=False,
    )
    runner = AgentRunner(
        device_id=config.device_id,
        driver=ConnectorDriver(
            station,
            station.connectors[number],
            config.capabilities(),
            clock=clock,
            whole_station=options.station[station.station_id].profile == "station",
        ),
        link=link,
        topics=topics,
        clock=clock,
        rng=rng,
        interval_s=config.publish_interval_seconds,
        dialect=config.dialect,
        site_id=config.site_id,
        feeder_id=config.feeder_id,
    )
    return runner, link
