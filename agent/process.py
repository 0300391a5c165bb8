"""The composition root of one agent: its configuration in, its link, driver and runner wired, run until a signal."""

import asyncio
import logging
import os
import random
import secrets
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from agent.buffer import SampleBuffer
from agent.config import AgentConfig
from agent.drivers import open_driver
from agent.home_assistant import HomeAssistant
from agent.reporter import Pace
from agent.runner import AgentRunner
from derms.contract import Topics, encode_status
from derms.errors import StoreError
from derms.model import DeviceKind
from derms.mqtt import MqttLink, TlsFiles, Will, parse_broker_url
from derms.runtime import SystemClock, stop_on_signals
from derms.supervisor import Supervisor

_log = logging.getLogger(__name__)


async def run_agent(
    config: AgentConfig,
    *,
    directory: Path = Path(),
    stop: asyncio.Event | None = None,
    environment: Mapping[str, str] | None = None,
) -> AgentRunner:
    """Run until `stop`; without a broker go on, on default control, and keep trying.

    Args:
        config: The device and its broker.
        directory: What relative paths are relative to: where the configuration is.
        stop: Ends it; None: SIGTERM and SIGINT do.
        environment: What the service manager says; None: the process's.

    Returns:
        The runner, for its counters.

    Raises:
        ConfigError: The broker's URL, a certificate or the driver's table is wrong.
        ConflictError: Another agent of this device runs on this machine.
    """
    if stop is None:
        stop = asyncio.Event()
        stop_on_signals(stop)
    environment = os.environ if environment is None else environment
    clock = SystemClock()
    # The jitter must differ between agents whose configuration says nothing of it.
    rng = random.Random(config.seed or secrets.randbits(64))
    topics = Topics(config.topic_prefix)
    runner: AgentRunner
    link = agent_link(config, topics, rng=rng, directory=directory, on_connect=lambda: runner.connected())
    driver = open_driver(config.driver, config.capabilities(), clock=clock, rng=rng, directory=directory)
    supervisor = Supervisor(environment, clock=clock)

    def stepped() -> None:
        # After the first turn the device is on default control: that is what ready means here.
        supervisor.ready()
        supervisor.alive()
        supervisor.status("Connected to the broker" if link.connected else "Without the broker: on its own")

    # One thread for the disk: control never waits for a memory card.
    disk = ThreadPoolExecutor(1, thread_name_prefix="agent-buffer")

    async def aside(work: Callable[[], object]) -> object:
        return await asyncio.get_running_loop().run_in_executor(disk, work)

    buffer = await asyncio.to_thread(_open_buffer, config, environment, directory)
    try:
        runner = AgentRunner(
            device_id=config.device_id,
            driver=driver,
            link=link,
            topics=topics,
            clock=clock,
            rng=rng,
            interval_s=config.publish_interval_seconds,
            deadband_kw=config.deadband_kw(),
            dialect=config.dialect,
            site_id=config.site_id,
            feeder_id=config.feeder_id,
            # It begins at the wall clock's milliseconds, which no agent outruns: so a run goes on above the last one,
            # also where nothing of that is on disk, and is never taken for it.
            first_seq=max(clock.now_ms(), 0 if buffer is None else buffer.last_seq) + 1,
            buffer=buffer,
            aside=aside,
            pace=Pace(per_s=config.replay_per_second, within_s=config.reconnect_spread_seconds),
            home_assistant=_home_assistant(config, topics),
            on_step=stepped,
        )
        async with link:
            await runner.run(stop)
            supervisor.stopping()
    finally:
        if buffer is not None:
            await aside(buffer.close)
        disk.shutdown()
    return runner


def agent_link(
    config: AgentConfig, topics: Topics, *, rng: random.Random, directory: Path, **options: object
) -> MqttLink:
    """The agent's connection: its own setpoints in, heartbeats where the broker allows them, its status as last will.

    Args:
        config: Where the broker is.
        topics: Under which prefix.
        rng: Spreads the retries.
        directory: What relative paths of certificates are relative to.
        options: Further ones of `MqttLink`.
    """
    own = topics.agent_subscriptions(config.device_type, config.device_id, config.dialect)
    given: dict[str, object] = {
        "client_id": config.device_id,
        "subscriptions": [*own, (topics.controllers, 1)],
        "may_be_refused": [topics.controllers],
        "will": Will(topic=topics.status(config.device_id), payload=encode_status(False)),
        "return_within_s": config.reconnect_spread_seconds,
    }
    return MqttLink(
        parse_broker_url(config.url()),
        rng=rng,
        tls=TlsFiles(
            ca_file=_path(config.tls_ca_file, directory),
            cert_file=_path(config.tls_cert_file, directory),
            key_file=_path(config.tls_key_file, directory),
        ),
        **(given | options),  # type: ignore[arg-type]  # checked where they are written
    )


def state_directory(config: AgentConfig, environment: Mapping[str, str], directory: Path) -> Path:
    """Where the agent of this device keeps what it may not lose."""
    if config.state_dir is not None:
        base = directory / config.state_dir
    elif given := environment.get("STATE_DIRECTORY"):  # systemd's
        base = Path(given.split(":")[0])
    else:
        home = environment.get("XDG_STATE_HOME") or Path(environment.get("HOME") or Path.home(), ".local", "state")
        base = Path(home, "derms", "agent")
    return base / config.device_id


def _open_buffer(config: AgentConfig, environment: Mapping[str, str], directory: Path) -> SampleBuffer | None:
    if not config.buffer_mb:
        return None
    where = state_directory(config, environment, directory)
    try:
        return SampleBuffer(where, max_bytes=round(config.buffer_mb * 1_000_000))
    except StoreError as error:
        # The device must be kept safe all the same.
        _log.error(
            "samples cannot be kept on disk and are dropped while the broker is away", extra={"error": str(error)}
        )
        return None


def _home_assistant(config: AgentConfig, topics: Topics) -> HomeAssistant | None:
    if not config.ha_discovery:
        return None
    return HomeAssistant(
        device_id=config.device_id,
        kind=config.device_type,
        topics=topics,
        interval_s=config.publish_interval_seconds,
        stores=config.device_type in (DeviceKind.BATTERY, DeviceKind.EV),
        prefix=config.ha_prefix,
    )


def _path(text: str | None, directory: Path) -> Path | None:
    return None if text is None else directory / text
