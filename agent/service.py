"""One agent as a process: configuration -> driver, link, runner. What `derms agent run` calls."""

import asyncio
import random
from pathlib import Path

from agent.config import AgentConfig
from agent.drivers.simulated import simulated_driver
from agent.runner import AgentRunner
from derms.contract import Topics, encode_status
from derms.mqtt import MqttLink, TlsFiles, Will, parse_broker_url
from derms.ports import Clock

_INBOX_SIZE = 100
"""Setpoints are few; a device that is flooded reads no further until it has judged these."""


async def run_agent(config: AgentConfig, *, clock: Clock, stop: asyncio.Event) -> AgentRunner:
    """Run the configured device until `stop`; without a broker it goes on, on default control, and keeps trying.

    Returns:
        The runner, for its counters.

    Raises:
        ConfigError: The broker's URL or a TLS file is wrong.
    """
    topics = Topics(config.topic_prefix)
    rng = random.Random(f"{config.seed}/{config.device_id}")
    link = MqttLink(
        parse_broker_url(config.url()),
        client_id=f"{config.topic_prefix}-{config.device_id}",
        subscriptions=topics.agent_subscriptions(config.device_type, config.device_id, config.dialect),
        rng=rng,
        will=Will(topic=topics.status(config.device_id), payload=encode_status(False)),
        tls=TlsFiles(
            ca_file=_path(config.tls_ca_file),
            cert_file=_path(config.tls_cert_file),
            key_file=_path(config.tls_key_file),
        ),
        inbox_size=_INBOX_SIZE,
        on_connect=lambda: runner.connected(),
    )
    runner = AgentRunner(
        device_id=config.device_id,
        driver=simulated_driver(config, clock=clock, rng=rng),
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


def _path(name: str | None) -> Path | None:
    return None if name is None else Path(name).expanduser()
