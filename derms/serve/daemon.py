"""The composition root of the daemon: settings in, everything built, wired, run, and taken down in reverse.

::

    store ─ registry ─► fleet             leadership ─► loop, outbox, link (may it still be said?)
    broker ─ link ─► ingest ─► fleet ─► loop ─► outbox ─► link
                        └────► recorder ◄─┘        API ─► loop, store
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from derms.alarms.guard import Guard, raised_before
from derms.alarms.watch import Watched
from derms.api.app import build_app, new_id, serve_app
from derms.api.services import Services
from derms.api.stream import Hub
from derms.auth import Authenticator
from derms.control.dispatch import Outbox
from derms.control.ledger import Ledger
from derms.control.loop import ControlLoop
from derms.errors import StandbyError
from derms.fleet import Fleet
from derms.ingest import Ingest
from derms.instance import Instance
from derms.kinds import ServeRole
from derms.leadership import Leadership
from derms.metrics import Metrics
from derms.model import Device, Outcome, Setpoint, Telemetry
from derms.ports import Clock, Duty
from derms.presence import Presence
from derms.recorder import Limits, Recorder
from derms.registrar import Registrar
from derms.registry import declared_fields, restore
from derms.runtime import running
from derms.serve.claims import claim_name
from derms.serve.gauges import Gauges
from derms.serve.ground import Ground, ground
from derms.serve.lane import MeterLane
from derms.serve.manager import Manager
from derms.serve.parts import (
    alerts,
    announce,
    authenticator_of,
    first_sight,
    keeping_of,
    params_of,
)
from derms.settings import Settings
from derms.settings_access import revealed
from derms.spool import Spool
from derms.store.postgres import PostgresStore
from derms.succession import Hearsay, Succession
from derms.supervisor import Supervisor
from derms.view.devices import LiveDevices
from derms.view.feeders import LiveFeeders
from derms.view.health import LiveHealth
from derms.view.links import LinkState
from derms.view.picture import LivePicture
from derms.view.previews import LivePreviews
from derms.view.registry import LiveRegistry
from derms.view.roll import Roll
from derms.view.simulation import LiveSimulation
from derms.view.tracking import LiveTracking
from derms.view.why import LiveWhy

_STORE_PATIENCE_S = 5.0
"""A write that takes longer has failed [s]; its rows are on disk by then."""
_DRAIN_S = 3.0
"""What the store is given at the end before the spool gets the rest [s]; SIGTERM promises an end within ten."""
_SETTLED_S = 0.3
"""So long after the broker is met, what it had retained has come in [s]: the leases of those before us."""
_A_MOMENT_S = 0.005
"""A timer may be early by its resolution [s]."""
_UNHURRIED_S = 0.5
"""A controller that stands by stores what it hears too, but lets the one that commands go first [s]."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Controller:
    """A running daemon, as its owner sees it."""

    api_url: str
    broker_url: str
    broker_note: str
    """What kind of broker it is; empty for one of the user's own."""
    authenticator: Authenticator
    services: Services
    store: PostgresStore
    recorder: Recorder
    setpoints_sent: Callable[[], int]
    """How many leases the broker has acknowledged."""


@asynccontextmanager
async def controller(
    settings: Settings,
    *,
    clock: Clock,
    rng: random.Random,
    registrations: Sequence[Device] = (),
    supervisor: Supervisor | None = None,
) -> AsyncIterator[Controller]:
    """Build and run the daemon while the body runs.

    Args:
        settings: What it is told.
        clock: The machine's clocks.
        rng: Jitter.
        registrations: Devices to be registered before the first message.
        supervisor: The service manager; None: there is none.

    Raises:
        DermsError: It cannot start; nothing half-made is left.
    """
    async with (
        ground(settings, clock=clock, rng=rng) as here,
        controller_on(
            here, settings, clock=clock, rng=rng, registrations=registrations, supervisor=supervisor
        ) as running_controller,
    ):
        yield running_controller


@asynccontextmanager
async def controller_on(
    here: Ground,
    settings: Settings,
    *,
    clock: Clock,
    rng: random.Random,
    registrations: Sequence[Device] = (),
    supervisor: Supervisor | None = None,
) -> AsyncIterator[Controller]:
    """As `controller`, on ground that is there."""
    params = params_of(settings)
    commanding, storing = ServeRole.CONTROL in settings.roles, ServeRole.INGEST in settings.roles
    only_stores = settings.roles == (ServeRole.INGEST,)
    instance, me, store, wires, mqtt = here.instance, here.me, here.store, here.wires, here.mqtt
    topics, metrics = here.topics, here.metrics
    announce(settings, metrics)
    async with AsyncExitStack() as stack:
        # Loading may have taken long, and whoever says nothing for a while is taken to be gone.
        await claim_name(store.leases, me, instance.formerly)
        upkeep = store.upkeep(keeping_of(settings), metrics)
        stack.push_async_callback(upkeep.close)
        authenticator = await stack.enter_async_context(authenticator_of(settings, here.keys, store, clock, metrics))
        if not authenticator.users.all():
            log.warning("Nobody may log in yet: make a token with `derms token --role admin`, and users with it")
        fleet, feeders = await restore(store, settings, registrations, clock)
        store_state = LinkState(clock)

        # What is asked and told before it is made, below, is asked and told only once everything runs.
        leadership = Leadership(
            store=store.leases,
            me=me,
            formerly=instance.formerly,
            lease_s=settings.leader_lease_s,
            poll_s=min(settings.leader_lease_s / 8.0, 1.0),
            clock=clock,
            roots=lambda: loop.roots,
            able=lambda: commanding and settled(),
            take_over=lambda roots: succession.take_over(roots),
            on_change=lambda: duty_changed(),
            spreads=settings.spread_feeders,
        )
        presence = Presence(topics, settings.controller_id, leadership, clock)
        heard_since_s = float("-inf")

        def settled() -> bool:
            """Whether what the broker had retained has come in."""
            since_s = min(mqtt.age_s(), clock.monotonic_s() - heard_since_s)
            return mqtt.connected and since_s >= _SETTLED_S

        def met() -> None:
            presence.announce()
            left_s = max(_SETTLED_S - mqtt.age_s(), 0.0)
            asyncio.get_running_loop().call_later(left_s + _A_MOMENT_S, leadership.pulse)

        wires.on_met = met

        limits = Limits(write_s=_STORE_PATIENCE_S, drain_s=_DRAIN_S)
        recorder = Recorder(
            store=store,
            spool=Spool(settings.state_dir / "spool", max_bytes=settings.spool_max_mb << 20),
            on_safe=wires.telemetry.acknowledge,
            on_refused=wires.telemetry.refuse,
            clock=clock,
            rng=rng,
            limits=limits,
        )
        await stack.enter_async_context(recorder)
        registrar = Registrar(store)
        stack.push_async_callback(registrar.finish)
        outbox = Outbox(
            sink=wires.orders,
            topics=topics,
            on_sent=metrics.setpoints_sent_total.inc,
            on_failed=lambda row, lease: _undelivered(fleet, metrics, row, lease),
        )
        ledger = Ledger(fleet=fleet, store=store, clock=clock, epoch=_run_number(instance))
        stack.push_async_callback(ledger.finish)
        loop = ControlLoop(
            feeders=feeders,
            fleet=fleet,
            outbox=outbox,
            recorder=recorder,
            clock=clock,
            metrics=metrics,
            params=params,
            authority=leadership,
            ledger=ledger,
        )
        roll = Roll(fleet)
        tracking = LiveTracking(fleet=fleet, loop=loop, clock=clock, roll=roll)
        simulation = LiveSimulation(
            topics=topics, publish=lambda topic, payload: wires.orders.publish(topic, payload, qos=1, retain=True)
        )

        def guards() -> bool:
            """Whether alarms are for this process to raise; where not, it shows those that are stored."""
            return commanding and leadership.guards

        alarms = await raised_before(
            store,
            Watched(
                loop=loop,
                recorder=recorder,
                spool_max_bytes=settings.spool_max_mb << 20,
                broker_away=lambda: not mqtt.connected,
                interval_s=params.interval_s,
                guards=guards,
            ),
            alerts(settings),
            clock=clock,
            metrics=metrics,
        )
        stack.push_async_callback(alarms.keeper.finish)
        succession = Succession(
            store=store,
            fleet=fleet,
            loop=loop,
            clock=clock,
            on_registered=registrar.put,
            on_followed=lambda: _alarms_followed(guards, alarms),
        )
        hearsay = Hearsay(fleet=fleet, loop=loop, authority=leadership, heard=leadership.heard, clock=clock)
        ingest = Ingest(
            feed=wires.telemetry,
            fleet=fleet,
            recorder=recorder,
            topics=topics,
            clock=clock,
            metrics=metrics,
            first_sight=first_sight(settings),
            feeder_ids=lambda: set(loop.feeders),
            on_registered=lambda device: _registered(device, loop, leadership, registrar),
            on_metered=loop.observed_load,
            on_sample=tracking.take,
            on_lease=hearsay.take,
            stores=storing,
        )
        lane = MeterLane(link=wires.glance, fleet=fleet, topics=topics, ingest=ingest)
        health = LiveHealth(
            loop=loop,
            leadership=leadership,
            recorder=recorder,
            mqtt=mqtt,
            store=store_state,
            clock=clock,
            params=params,
            lease_s=settings.leader_lease_s,
        )
        devices = LiveDevices(fleet=fleet, loop=loop, clock=clock, params=params, roll=roll)
        view = LiveFeeders(fleet=fleet, loop=loop, clock=clock, params=params, roll=roll)
        picture = LivePicture(devices=devices, feeders=view, health=health, clock=clock)
        hub = Hub(picture, epoch=_run_number(instance), metrics=metrics)
        manager = Manager(supervisor or Supervisor({}, clock=clock), health, ticked=hub.ticked)
        loop.on_tick = manager.ticked

        def duty_changed() -> None:
            recorder.linger_s = limits.linger_s if leadership.commands else _UNHURRIED_S
            if not leadership.commands:
                metrics.forget_feeders()
            presence.announce()
            loop.wake()

        services = Services(
            clock=clock,
            metrics=metrics,
            authenticator=authenticator,
            devices=devices,
            why=LiveWhy(fleet=fleet, loop=loop, params=params),
            feeders=view,
            registry=LiveRegistry(fleet=fleet, loop=loop, on_registered=registrar.put),
            registrations=store,
            overrides=store,
            declared=declared_fields(settings),
            reports=store,
            tracking=tracking,
            offer=lambda reading: _offered(ingest, reading),
            stored=lambda: recorder.samples_safe(2.0 * _STORE_PATIENCE_S - 2.0),
            simulation=simulation,
            health=health,
            stream=hub,
            events=store,
            audit=store,
            on_event=loop.add_event,
            on_event_gone=loop.drop_event,
            programs=store,
            on_program=loop.put_program,
            on_program_gone=loop.drop_program,
            outcomes=store,
            alarms=alarms.desk,
            alarm_store=store,
            previews=LivePreviews(fleet=fleet, loop=loop, clock=clock, params=params),
            new_id=new_id,
            scrape_token=revealed(settings.prometheus_token),
            send_on=lambda: _send_on(leadership, commanding=commanding),
            cors_origins=settings.api_cors_origins,
        )
        gauges = Gauges(
            metrics=metrics,
            recorder=recorder,
            store=store,
            mqtt=mqtt,
            store_state=store_state,
            health=health,
            leadership=leadership,
            outbox=outbox,
            clock=clock,
        )
        app = build_app(services, metrics_enabled=settings.prometheus_enabled, vital_only=only_stores)
        await stack.enter_async_context(
            running({"recorder": recorder.run, "registrar": registrar.run, "ledger": ledger.run})
        )
        await succession.begin()
        await leadership.look()
        if wires.orders.waiting:  # it came in while this was made
            if wires.orders.inbox_full:
                heard_since_s = clock.monotonic_s()  # there is more of it than waits here
            await ingest.overhear_once(wires.orders)
        met()
        served = await stack.enter_async_context(
            serve_app(app, host=settings.api_host, port=settings.api_port, tls=here.tls)
        )
        stack.push_async_callback(leadership.finish)
        await stack.enter_async_context(
            running(
                {
                    "ingest": ingest.run,
                    "hearsay": lambda: ingest.overhear(wires.orders),
                    **({"meters": lane.run} if commanding else {}),
                    "leadership": leadership.run,
                    "succession": lambda: succession.follow(leadership),
                    "outbox": outbox.run,
                    "control-loop": loop.run,
                    "stream": hub.run,
                    "presence": lambda: presence.run(wires.orders),
                    **alarms.tasks,
                    "logins": authenticator.run,
                    "upkeep": upkeep.run,
                    "gauges": gauges.run,
                    "manager": manager.run,
                }
            )
        )
        stack.enter_context(alarms.watchdog)
        yield Controller(
            api_url=served.url,
            broker_url=here.broker_url,
            broker_note=here.broker_note,
            authenticator=authenticator,
            services=services,
            store=store,
            recorder=recorder,
            setpoints_sent=lambda: outbox.sent,
        )


def _offered(ingest: Ingest, reading: Telemetry) -> tuple[Outcome, str]:
    taken = ingest.offer(reading)
    return taken.outcome, taken.detail


def _undelivered(fleet: Fleet, metrics: Metrics, row: int, lease: Setpoint) -> None:
    metrics.setpoint_publish_failures_total.inc()
    fleet.undelivered(row, lease)


def _registered(device: Device, loop: ControlLoop, leadership: Leadership, registrar: Registrar) -> None:
    """Store a registration, unless that is for another controller to do."""
    root = loop.root_of(device.feeder_id)
    if root is None or leadership.duty(root) is not Duty.STANDS_BY:
        registrar.put(device)


async def _alarms_followed(guards: Callable[[], bool], alarms: Guard) -> None:
    if not guards():
        await alarms.recall()


def _send_on(leadership: Leadership, *, commanding: bool) -> None:
    """Let who wants to change something ask the controller that commands."""
    if leadership.commands:
        return
    leader = next((one.leader for one in leadership.standings() if one.leader is not None), None)
    if leader is not None:
        raise StandbyError(
            f"{leadership.me.controller_id} stands by",
            why=f"{leader.controller_id} commands, and only that one changes anything",
            next_step=f"send it to {leader.url or 'that one'}",
            leader_url=leader.url,
        )
    if not commanding:
        raise StandbyError(
            f"{leadership.me.controller_id} only answers what is read",
            why="nobody commands now, and nothing is changed without that", next_step="try again in a moment",
        )  # fmt: skip
    if leadership.changes is None:
        raise StandbyError(
            f"{leadership.me.controller_id} does not know yet who commands", why="it has just begun",
            next_step="try again in a moment",
        )  # fmt: skip


def _run_number(instance: Instance) -> int:
    """A number of this run alone, of 60 bits."""
    return int(instance.name[:15], 16)
