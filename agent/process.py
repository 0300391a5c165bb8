"""The composition root of one agent: its configuration in, its link, driver and runner wired, run until a signal."""

import asyncio
import random
import secrets
from pathlib import Path

from agent.config import AgentConfig
from agent.drivers import open_driver
from agent.runner import AgentRunner
from derms.contract import Topics, encode_status
from derms.mqtt import MqttLink, TlsFiles, Will, parse_broker_url
from derms.runtime import SystemClock, stop_on_signals


async def run_agent(config: AgentConfig, *, directory: Path = Path(), stop: asyncio.Event | None = None) -> AgentRunner:
    """Run until `stop`; without a broker go on, on default control, and keep trying.

    Args:
        config: The device and its broker.
        directory: What relative paths of the driver are relative to: where the configuration is.
        stop: Ends it; None: SIGTERM and SIGINT do.

    Returns:
        The runner, for its counters.

    Raises:
        ConfigError: The broker's URL, a certificate or the driver's table is wrong.
    """
    if stop is None:
        stop = asyncio.Event()
        stop_on_signals(stop)
    clock = SystemClock()
    # The jitter must differ between agents whose configuration says nothing of it.
    rng = random.Random(config.seed or secrets.randbits(64))
    topics = Topics(config.topic_prefix)
    link = MqttLink(
        parse_broker_url(config.url()),
        client_id=config.device_id,
        subscriptions=topics.agent_subscriptions(config.device_type, config.device_id, config.dialect),
        rng=rng,
        will=Will(topic=topics.status(config.device_id), payload=encode_status(False)),
        tls=TlsFiles(
            ca_file=_path(config.tls_ca_file),
            cert_file=_path(config.tls_cert_file),
            key_file=_path(config.tls_key_file),
        ),
        on_connect=lambda: runner.connected(),
    )
    runner = AgentRunner(
        device_id=config.device_id,
        driver=open_driver(config.driver, config.capabilities(), clock=clock, rng=rng, directory=directory),
        link=link,
        topics=topics,
        clock=clock,
        rng=rng,
        interval_s=config.publish_interval_seconds,
        dialect=config.dialect,
        site_id=config.site_id,
        feeder_id=config.feeder_id,
    )
    async with link:
        await runner.run(stop)
    return runner


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
