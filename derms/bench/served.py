"""A real controller to be measured from outside, in this process, with its own database, a broker, and a fleet."""

import asyncio
import contextlib
import logging
import os
import random
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

from derms.bench.api_load import Load
from derms.errors import UnavailableError
from derms.model import Device, DeviceKind, Role
from derms.runtime import SystemClock, collect_seldom
from derms.serve.daemon import Controller, controller
from derms.settings_load import load_settings

INTERVAL_S = 5.0
"""Of the control loop, and between two readings of a device [s]."""
_BROKER_CONF = """listener {port} 127.0.0.1
allow_anonymous true
max_inflight_messages 20000
max_queued_messages 1000000
set_tcp_nodelay true
"""
_RATINGS = {DeviceKind.EV: 7.4, DeviceKind.BATTERY: 5.0, DeviceKind.PV: 8.0}


@contextlib.asynccontextmanager
async def served(devices: int, *, limit_kw: float, gateways: int = 0) -> AsyncIterator[tuple[Controller, list[Device]]]:
    """Run a controller with so many devices registered; nobody speaks for them yet.

    Args:
        devices: How many.
        limit_kw: The feeder's import limit.
        gateways: How many gateways speak for them, in turns; 0: each speaks for itself.

    Raises:
        UnavailableError: There is no Mosquitto.
    """
    fleet = _fleet(devices, gateways)
    # What it has to say of a fleet that does not obey is no part of a report.
    logging.getLogger("derms").addHandler(logging.NullHandler())
    async with contextlib.AsyncExitStack() as stack:
        scratch = stack.enter_context(scratch_directory())
        settings = load_settings(
            isolated=True,
            mqtt_url=await stack.enter_async_context(local_broker(scratch)),
            data_dir=scratch / "data",
            state_dir=scratch / "state",
            api_port=0,
            control_interval_s=INTERVAL_S,
            feeder_import_limit_kw=limit_kw,
            jwt_secret=random.SystemRandom().randbytes(32).hex(),
        )
        running = await stack.enter_async_context(
            controller(settings, clock=SystemClock(), rng=random.Random(1), registrations=fleet)
        )
        collect_seldom()  # as `derms serve` does
        yield running, fleet


def load_of(
    running: Controller, fleet: Sequence[Device], *, requests: int = 0, readers: int = 0, stream_s: float = 0.0
) -> Load:
    """What is done to it: the fleet speaks as often as the control loop ticks."""
    return Load(
        api_url=running.api_url,
        token=running.authenticator.issue("bench", Role.VIEWER).token,
        broker_url=running.broker_url,
        devices=[(one.device_id, one.kind.value, _RATINGS[one.kind]) for one in fleet],
        interval_s=INTERVAL_S,
        requests=requests,
        readers=readers,
        stream_s=stream_s,
    )


@contextlib.asynccontextmanager
async def local_broker(scratch: Path) -> AsyncIterator[str]:
    """A Mosquitto on loopback that holds much and saves nothing: what one writes to disk is not measured here.

    Args:
        scratch: Where its configuration is written.

    Yields:
        Its URL.

    Raises:
        UnavailableError: There is no Mosquitto.
    """
    program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        raise UnavailableError("there is no mosquitto", why="the fleet speaks through it", next_step="install it")
    port = free_port()
    config = scratch / "mosquitto.conf"
    config.write_text(_BROKER_CONF.format(port=port))
    config.chmod(0o644)
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(program, "-c", str(config), stdout=quiet, stderr=quiet)
    try:
        yield f"mqtt://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextlib.contextmanager
def scratch_directory() -> Iterator[Path]:
    """A directory that is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="derms-bench-") as directory:
        # As root the embedded database runs as another user, who must get in.
        Path(directory).chmod(0o711)
        yield Path(directory)


def _fleet(devices: int, gateways: int = 0) -> list[Device]:
    """Seven cars, two batteries and one PV array in ten."""
    kinds = [*[DeviceKind.EV] * 7, *[DeviceKind.BATTERY] * 2, DeviceKind.PV]
    return [
        Device(
            device_id=f"{kinds[number % 10]}-{number:05d}",
            kind=kinds[number % 10],
            feeder_id="feeder-1",
            p_import_max_kw=0.0 if kinds[number % 10] is DeviceKind.PV else _RATINGS[kinds[number % 10]],
            p_export_max_kw=0.0 if kinds[number % 10] is DeviceKind.EV else _RATINGS[kinds[number % 10]],
            p_min_kw=1.4 if kinds[number % 10] is DeviceKind.EV else 0.0,
            capacity_kwh=None if kinds[number % 10] is DeviceKind.PV else 40.0,
            gateway_id=f"gw-{number % gateways}" if gateways else None,
        )
        for number in range(devices)
    ]
