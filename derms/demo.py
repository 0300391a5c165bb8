"""The composition root of `derms demo`: broker, database, daemon and a simulated feeder in one process."""

import asyncio
import logging
import os
import random
import secrets
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from derms.api.schemas.devices import DeviceOut
from derms.api.schemas.events import EventIn, EventOut
from derms.api.schemas.feeders import FeederSummaryOut
from derms.client import ApiClient
from derms.contract import Topics
from derms.demo_report import PATIENCE_S, DemoReport, judge, window_of
from derms.errors import AddressInUseError
from derms.model import Role
from derms.mqtt import parse_broker_url
from derms.runtime import SystemClock, running, wait_first
from derms.serve.daemon import Controller, controller
from derms.settings import Settings
from derms.settings_access import AuthUser
from derms.settings_load import load_settings
from sim.runner import check_speed, run_fleet
from sim.scenario import Scenario, demo_scenario
from sim.world import SimWorld

_EVENT_SHARE = 0.75
"""Of the limit: what the demo's DR event allows."""
_POLL_S = 0.5
_API_PORT = 8080
_BROKER_PORT = 1883
_DRAIN_S = 5.0
"""What the recorder is given to write what it holds, before the report counts rows [s]."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What `derms demo` was asked for."""

    duration_s: float | None
    """None: until stopped."""
    devices: int = 60
    seed: int = 1
    speed: float = 60.0
    interval_s: float = 2.0
    """Between control ticks [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What there is to show now."""

    elapsed_s: float
    simulated_s: float
    """On the simulated day's clock, since its midnight [s]."""
    feeder: FeederSummaryOut
    devices: list[DeviceOut]
    true_head_kw: float
    """What flows through the head, as the physics knows it [kW]."""
    stored: int
    sent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What is up, before the first moment."""

    api_url: str
    broker_url: str
    broker_note: str
    username: str
    password: str
    scenario: Scenario


class Demo:
    """Runs the demo.

    Args:
        options: What was asked for.
        on_stage: Told once when everything is up.
        on_moment: Told twice a second.
        on_event: Told each DR event that is created.
    """

    def __init__(
        self,
        options: DemoOptions,
        *,
        on_stage: Callable[[Stage], None],
        on_moment: Callable[[Moment], None],
        on_event: Callable[[EventOut], None],
    ) -> None:
        self._options = options
        self._on_stage = on_stage
        self._on_moment = on_moment
        self._on_event = on_event
        self._clock = SystemClock()
        self._events: list[EventOut] = []

    async def run(self, stop: asyncio.Event) -> DemoReport:
        """Run until stopped, or for the time that was asked for.

        Raises:
            DermsError: Something cannot start.
        """
        options = self._options
        check_speed(options.speed)
        scenario = await asyncio.to_thread(demo_scenario, options.seed, options.devices)
        password = secrets.token_urlsafe(12)
        user = AuthUser(username="demo", password=password, role=Role.OPERATOR)  # type: ignore[arg-type]  # a text becomes a secret
        async with _own_directory() as directory:
            rng = random.Random(options.seed)
            async with AsyncExitStack() as stack:
                daemon = await self._started(stack, scenario, directory, user, rng)
                client = await stack.enter_async_context(ApiClient(daemon.api_url))
                await client.login(user.username, password)
                self._on_stage(
                    Stage(
                        api_url=daemon.api_url,
                        broker_url=daemon.broker_url,
                        broker_note=daemon.broker_note,
                        username=user.username,
                        password=password,
                        scenario=scenario,
                    )
                )
                return await self._play(scenario, daemon, client, rng, stop)

    async def _started(
        self, stack: AsyncExitStack, scenario: Scenario, directory: Path, user: AuthUser, rng: random.Random
    ) -> Controller:
        """Bring the daemon up, on the announced ports where they are free."""

        async def up(*, api_port: int, broker_port: int) -> Controller:
            settings = _settings(scenario, self._options, directory, user, api_port=api_port, broker_port=broker_port)
            return await stack.enter_async_context(
                controller(settings, clock=self._clock, rng=rng, registrations=scenario.devices)
            )

        try:
            return await up(api_port=_free_or_any(_API_PORT), broker_port=_free_or_any(_BROKER_PORT))
        except* AddressInUseError:
            # Between our look and the start, which takes a second or so: another demo, most likely.
            log.debug("A port was taken meanwhile; the system chooses")
        return await up(api_port=0, broker_port=0)

    async def _play(
        self,
        scenario: Scenario,
        daemon: Controller,
        client: ApiClient,
        rng: random.Random,
        stop: asyncio.Event,
    ) -> DemoReport:
        world = SimWorld(scenario, clock=self._clock, speed=self._options.speed)
        over = asyncio.Event()

        async def simulate() -> None:
            await run_fleet(
                world,
                address=parse_broker_url(daemon.broker_url),
                topics=Topics(),
                stop=over,
                clock=self._clock,
                rng=rng,
            )

        async with running({"simulation": simulate}):
            await self._watch(world, daemon, client, stop)
            over.set()
        counts = await self._counts(daemon)
        return self._report(world, counts)

    async def _watch(self, world: SimWorld, daemon: Controller, client: ApiClient, stop: asyncio.Event) -> None:
        """Show moments and create events until it is over."""
        duration_s = self._options.duration_s
        start_s = self._clock.monotonic_s()
        plan = _event_plan(duration_s)
        while not stop.is_set():
            elapsed_s = self._clock.monotonic_s() - start_s
            if duration_s is not None and elapsed_s >= duration_s:
                return
            if plan and elapsed_s >= plan[0][0]:
                _, lasting_s = plan.pop(0)
                await self._create_event(world.scenario, client, lasting_s)
            feeder = (await client.feeder_summary())[0]
            self._on_moment(
                Moment(
                    elapsed_s=elapsed_s,
                    simulated_s=(world.scenario.start_s + world.simulated_s) % 86_400.0,
                    feeder=feeder,
                    devices=await client.devices(),
                    true_head_kw=world.heads[-1].head_kw,
                    stored=daemon.recorder.stored,
                    sent=daemon.setpoints_sent(),
                )
            )
            await wait_first(stop, timeout_s=_POLL_S)

    async def _create_event(self, scenario: Scenario, client: ApiClient, lasting_s: float) -> None:
        limit_kw = scenario.feeder.import_limit_kw
        assert limit_kw is not None
        event = await client.create_event(
            EventIn(
                feeder_id=scenario.feeder.feeder_id,
                duration_s=lasting_s,
                import_limit_kw=round(_EVENT_SHARE * limit_kw),
                reason="demo: the substation asks for relief",
            )
        )
        self._events.append(event)
        self._on_event(event)

    async def _counts(self, daemon: Controller) -> dict[str, int]:
        """What the database holds, once everything that was put is there."""
        await daemon.recorder.quiet(_DRAIN_S)
        return await daemon.store.counts()

    def _report(self, world: SimWorld, counts: dict[str, int]) -> DemoReport:
        scenario = world.scenario
        limit_kw = scenario.feeder.import_limit_kw
        assert limit_kw is not None
        heads = list(world.heads)
        windows = tuple(window_of(event, heads) for event in self._events)
        judged = judge(heads, limit_kw, windows)
        return DemoReport(
            limit_kw=limit_kw,
            uncontrolled_peak_kw=scenario.uncontrolled_peak_kw,
            peak_kw=max(sample.head_kw for sample in heads),
            held=judged.longest_over_s <= PATIENCE_S and all(w.compliant_after_s is not None for w in windows),
            longest_over_s=judged.longest_over_s,
            over_share=judged.over_share,
            used_share=judged.used_share,
            windows=windows,
            samples_stored=counts["telemetry"],
            setpoints_sent=counts["setpoints"],
            devices=len(scenario.members),
        )


def _event_plan(duration_s: float | None) -> list[tuple[float, float]]:
    """When to create events and how long they last [s]."""
    if duration_s is None:
        return [(20.0 + 90.0 * number, 30.0) for number in range(1000)]
    return [(0.45 * duration_s, 0.3 * duration_s)]


def _settings(
    scenario: Scenario, options: DemoOptions, directory: Path, user: AuthUser, *, api_port: int, broker_port: int
) -> Settings:
    """The daemon's settings, whatever the environment says of a real one."""
    return load_settings(
        isolated=True,
        data_dir=directory,
        state_dir=directory / "state",
        api_port=api_port,
        embedded_broker_port=broker_port,
        controller_id="controller-demo",
        auth_users=(user,),
        control_interval_s=options.interval_s,
        lease_s=max(20.0, 3.0 * options.interval_s + 5.0),
        stale_after_s=6.0,
        lost_after_s=30.0,
        feeder_id=scenario.feeder.feeder_id,
        feeder_name=scenario.feeder.name,
        feeder_import_limit_kw=scenario.feeder.import_limit_kw,
        feeder_margin_kw=scenario.feeder.margin_kw,
    )


def _free_or_any(port: int) -> int:
    """The port when it is free, so that examples work as they stand; else 0, one that the system chooses."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
    return port


@asynccontextmanager
async def _own_directory() -> AsyncIterator[Path]:
    """A directory for this run only, gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="derms-demo-"))
    log.debug("The demo lives in %s", directory, extra={"pid": os.getpid()})
    try:
        yield directory
    finally:
        await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)
