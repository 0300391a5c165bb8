"""The composition root of the daemon: settings in, everything built, wired, run, and taken down in reverse.

::

    store ─ epoch ─ registry ─► fleet
    broker ─ link ─► ingest ─► fleet ─► loop ─► outbox ─► link
                        └────► recorder ◄─┘        API ─► loop, store
"""

import asyncio
import logging
import os
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from derms import __version__
from derms.alarms.guard import Alerts, raised_before
from derms.alarms.watch import Watched
from derms.api.app import build_app, ensure_port_free, new_id, serve_app, tls_context
from derms.api.services import Services
from derms.api.stream import Hub
from derms.auth import Authenticator, Credential, KeyRing, check_seeds, load_or_create_keys
from derms.broker import EmbeddedBroker
from derms.columns import Params
from derms.contract import Topics
from derms.control.dispatch import Outbox
from derms.control.ledger import Ledger
from derms.control.loop import ControlLoop
from derms.enrolment import FirstSight
from derms.fleet import Fleet
from derms.ingest import Ingest
from derms.log import log_unhandled
from derms.metrics import Metrics
from derms.model import Device, Enrolment, Outcome, Setpoint, Telemetry
from derms.mqtt import BrokerAddress, MqttLink, TlsFiles, parse_broker_url
from derms.ports import Clock
from derms.presence import Presence
from derms.recorder import Limits, Recorder
from derms.registrar import Registrar
from derms.registry import declared_fields, restore
from derms.runtime import SystemClock, running, stop_on_signals
from derms.settings import RETENTIONS, Settings
from derms.settings_access import revealed
from derms.spool import Spool
from derms.store import open_store
from derms.store.place import default_data_dir
from derms.store.postgres import PostgresStore
from derms.store.retention import Retention
from derms.store.rollup import LEVELS
from derms.store.upkeep import Keeping
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

_GAUGES_S = 1.0
_SESSION_EXPIRY_S = 3600
"""For how long the broker keeps what was not acknowledged while the controller is away [s]."""
_STORE_PATIENCE_S = 5.0
"""A write that takes longer goes to the spool [s]; until then the broker waits with what is unacknowledged."""
_DRAIN_S = 3.0
"""What the store is given at the end before the spool gets the rest [s]; SIGTERM promises an end within ten."""

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


async def serve(settings: Settings) -> None:
    """Run the daemon until SIGTERM or SIGINT.

    Raises:
        DermsError: It cannot start.
    """
    log_unhandled(asyncio.get_running_loop())
    stop, up = asyncio.Event(), asyncio.Event()
    stop_on_signals(stop)
    body = asyncio.create_task(_serve_until(settings, stop, up), name="serve")
    signalled = asyncio.create_task(stop.wait(), name="signals")
    await asyncio.wait({body, signalled}, return_when=asyncio.FIRST_COMPLETED)
    signalled.cancel()
    if not up.is_set() and not body.done():
        # In the middle of a start, which may wait for a database that never comes. Once up, it ends by itself.
        body.cancel()
    await asyncio.wait({body})
    if not body.cancelled():
        body.result()
    log.info("Stopped")


async def _serve_until(settings: Settings, stop: asyncio.Event, up: asyncio.Event) -> None:
    async with controller(settings, clock=SystemClock(), rng=random.Random()) as running_controller:
        log.info(
            "The controller runs",
            extra={"api": running_controller.api_url, "broker": running_controller.broker_url},
        )
        up.set()
        await stop.wait()


@asynccontextmanager
async def controller(
    settings: Settings, *, clock: Clock, rng: random.Random, registrations: Sequence[Device] = ()
) -> AsyncIterator[Controller]:
    """Build and run the daemon while the body runs.

    Args:
        settings: What it is told.
        clock: The machine's clocks.
        rng: Jitter.
        registrations: Devices to be registered before the first message.

    Raises:
        DermsError: It cannot start; nothing half-made is left.
    """
    ensure_port_free(settings.api_host, settings.api_port)
    tls = None if settings.api_tls_files is None else tls_context(*settings.api_tls_files)
    keys = keys_of(settings)
    params = _params(settings)
    topics = Topics(settings.topic_prefix)
    metrics = Metrics(version=__version__)
    async with AsyncExitStack() as stack:
        data_dir = settings.data_dir or default_data_dir(os.environ, os.geteuid())
        store = await stack.enter_async_context(open_store(settings.database_url, data_dir, clock=clock, rng=rng))
        upkeep = store.upkeep(keeping_of(settings), metrics)
        stack.push_async_callback(upkeep.close)
        authenticator = await stack.enter_async_context(_authenticator(settings, keys, store, clock, metrics))
        if not authenticator.users.all():
            log.warning("Nobody may log in yet: make a token with `derms token --role admin`, and users with it")
        fleet, feeders = await restore(store, settings, registrations, clock)
        epoch = await store.next_epoch()
        broker_url, broker_note = settings.mqtt_url, ""
        protocol: Literal["auto", 4] = "auto"
        if broker_url is None:
            broker = EmbeddedBroker(data_dir / "broker", port=settings.embedded_broker_port)
            await stack.enter_async_context(broker)
            broker_url, broker_note, protocol = broker.url, broker.protocol_note, broker.link_protocol
            log.info("%s", broker_note)
        mqtt, store_state = LinkState(clock), LinkState(clock)
        presence = Presence(topics, settings.controller_id, epoch, clock)

        def met() -> None:
            mqtt.set(True)
            presence.announce()

        link = MqttLink(
            address_of(settings, broker_url),
            client_id=f"derms-{settings.controller_id}",
            subscriptions=topics.controller_subscriptions(),
            rng=rng,
            will=presence.will(),
            tls=TlsFiles(
                ca_file=settings.mqtt_ca_file, cert_file=settings.mqtt_cert_file, key_file=settings.mqtt_key_file
            ),
            manual_ack=True,
            session_expiry_s=_SESSION_EXPIRY_S,
            protocol=protocol,
            on_connect=met,
            on_disconnect=lambda: mqtt.set(False),
        )
        await stack.enter_async_context(link)
        recorder = Recorder(
            store=store,
            spool=Spool(settings.state_dir / "spool", max_bytes=settings.spool_max_mb << 20),
            on_safe=link.acknowledge,
            clock=clock,
            rng=rng,
            limits=Limits(write_s=_STORE_PATIENCE_S, drain_s=_DRAIN_S),
        )
        await stack.enter_async_context(recorder)
        registrar = Registrar(store)
        stack.push_async_callback(registrar.finish)
        outbox = Outbox(
            sink=link,
            topics=topics,
            on_sent=metrics.setpoints_sent_total.inc,
            on_failed=lambda row, lease: _undelivered(fleet, metrics, row, lease),
        )
        ledger = Ledger(fleet=fleet, store=store, clock=clock, epoch=epoch)
        stack.push_async_callback(ledger.finish)
        loop = ControlLoop(
            feeders=feeders,
            fleet=fleet,
            outbox=outbox,
            recorder=recorder,
            clock=clock,
            metrics=metrics,
            params=params,
            epoch=epoch,
            ledger=ledger,
        )
        for event in await store.unfinished_events(_now(clock)):
            loop.add_event(event)
        for program in await store.load_programs():
            loop.put_program(program)
        for override in await store.live_overrides(_now(clock)):
            loop.put_override(override)
        loop.recall(await store.load_memories())
        roll = Roll(fleet)
        tracking = LiveTracking(fleet=fleet, loop=loop, clock=clock, roll=roll)
        simulation = LiveSimulation(
            topics=topics, publish=lambda topic, payload: link.publish(topic, payload, qos=1, retain=True)
        )
        alarms = await raised_before(
            store,
            Watched(
                loop=loop,
                recorder=recorder,
                spool_max_bytes=settings.spool_max_mb << 20,
                broker_away=lambda: not mqtt.connected,
                interval_s=params.interval_s,
            ),
            _alerts(settings),
            clock=clock,
            metrics=metrics,
        )
        stack.push_async_callback(alarms.keeper.finish)
        ingest = Ingest(
            feed=link,
            fleet=fleet,
            recorder=recorder,
            topics=topics,
            clock=clock,
            metrics=metrics,
            first_sight=_first_sight(settings),
            feeder_ids=lambda: set(loop.feeders),
            on_registered=registrar.put,
            on_metered=loop.observed_load,
            on_sample=tracking.take,
        )
        health = LiveHealth(loop=loop, recorder=recorder, mqtt=mqtt, store=store_state, clock=clock, params=params)
        devices = LiveDevices(fleet=fleet, loop=loop, clock=clock, params=params, roll=roll)
        view = LiveFeeders(fleet=fleet, loop=loop, clock=clock, params=params, roll=roll)
        picture = LivePicture(devices=devices, feeders=view, health=health, clock=clock)
        hub = Hub(picture, epoch=epoch, metrics=metrics)
        loop.on_tick = hub.ticked
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
            cors_origins=settings.api_cors_origins,
        )
        app = build_app(services, metrics_enabled=settings.prometheus_enabled)
        await stack.enter_async_context(
            running({"recorder": recorder.run, "registrar": registrar.run, "ledger": ledger.run})
        )
        served = await stack.enter_async_context(
            serve_app(app, host=settings.api_host, port=settings.api_port, tls=tls)
        )
        await stack.enter_async_context(
            running(
                {
                    "ingest": ingest.run,
                    "outbox": outbox.run,
                    "control-loop": loop.run,
                    "stream": hub.run,
                    "presence": lambda: presence.run(link),
                    **alarms.tasks,
                    "logins": authenticator.run,
                    "upkeep": upkeep.run,
                    "gauges": lambda: _keep_gauges(metrics, recorder, store, mqtt, store_state, health, clock),
                }
            )
        )
        stack.enter_context(alarms.watchdog)
        yield Controller(
            api_url=served.url,
            broker_url=broker_url,
            broker_note=broker_note,
            authenticator=authenticator,
            services=services,
            store=store,
            recorder=recorder,
            setpoints_sent=lambda: outbox.sent,
        )


def _params(settings: Settings) -> Params:
    return Params(
        interval_s=settings.control_interval_s,
        lease_s=settings.lease_s,
        stale_after_s=settings.stale_after_s,
        lost_after_s=settings.lost_after_s,
        horizon_s=settings.horizon_s,
        ramp_up_s=settings.ramp_up_s,
        recovery_s=settings.recovery_s,
        rebound_s=settings.rebound_s,
    )


def keeping_of(settings: Settings) -> Keeping:
    """How samples and their buckets are kept."""
    days = [getattr(settings, name) for name in RETENTIONS]
    buckets = {level.table: kept for level, kept in zip(LEVELS, days[1:], strict=True)}
    return Keeping(raw_hours=settings.telemetry_raw_h, retention=Retention(samples=days[0], buckets=buckets))


def _first_sight(settings: Settings) -> FirstSight:
    return FirstSight(
        default_feeder_id=settings.feeder_id,
        enrolment=Enrolment.ACTIVE if settings.registration == "open" else Enrolment.QUARANTINED,
        priority=settings.default_priority,
        min_soc_reserve=settings.min_soc_reserve,
        target_soc=settings.target_soc,
    )


def keys_of(settings: Settings) -> KeyRing:
    """What signs tokens: the setting, or the file in the state directory, which is made where there is none.

    Raises:
        ConfigError: It is weak, or the file cannot be read or made.
    """
    given = settings.jwt_secret
    return load_or_create_keys(settings.jwt_secret_file) if given is None else KeyRing(given.get_secret_value())


def seeds_of(settings: Settings) -> list[Credential]:
    """The users of the setting.

    Raises:
        ConfigError: One stands there twice, or has not one password or hash.
    """
    seeds = [
        Credential(
            username=user.username,
            role=user.role,
            password=revealed(user.password),
            password_hash=revealed(user.password_hash),
        )
        for user in settings.auth_users
    ]
    check_seeds(seeds)
    return seeds


def _authenticator(
    settings: Settings, keys: KeyRing, store: PostgresStore, clock: Clock, metrics: Metrics
) -> Authenticator:
    return Authenticator(
        keys,
        store=store,
        clock=clock,
        access_ttl_s=settings.access_token_ttl_s,
        session_ttl_s=settings.token_ttl_h * 3600.0,
        seeds=seeds_of(settings),
        on_login=lambda result: metrics.logins_total.labels(result=result).inc(),
    )


def address_of(settings: Settings, url: str) -> BrokerAddress:
    """The broker, with the login that the settings give beside the URL.

    Raises:
        ConfigError: The URL is wrong.
    """
    address = parse_broker_url(url)
    if settings.mqtt_username is not None:
        address = replace(address, username=settings.mqtt_username)
    if settings.mqtt_password is not None:
        address = replace(address, password=settings.mqtt_password.get_secret_value())
    return address


def _offered(ingest: Ingest, reading: Telemetry) -> tuple[Outcome, str]:
    taken = ingest.offer(reading)
    return taken.outcome, taken.detail


def _alerts(settings: Settings) -> Alerts | None:
    url = settings.alert_webhook_url
    if url is None:
        return None
    return Alerts(url=url.get_secret_value(), source=settings.controller_id, cooldown_s=settings.alert_cooldown_s)


def _undelivered(fleet: Fleet, metrics: Metrics, row: int, lease: Setpoint) -> None:
    metrics.setpoint_publish_failures_total.inc()
    fleet.undelivered(row, lease)


async def _keep_gauges(
    metrics: Metrics,
    recorder: Recorder,
    store: PostgresStore,
    mqtt: LinkState,
    store_state: LinkState,
    health: LiveHealth,
    clock: Clock,
) -> None:
    """Carry the recorder's counts into the metrics, and its state into the health."""
    metrics.leader.set(1)
    before = {"stored": 0, "refused": 0, "spooled": 0, "lost": 0}
    while True:
        now = {
            "stored": recorder.stored - store.refused,
            "refused": store.refused,
            "spooled": recorder.spooled,
            "lost": recorder.lost,
        }
        for result, count in now.items():
            # A row is refused a moment before its batch counts as stored.
            metrics.recorder_rows_total.labels(result=result).inc(max(count - before[result], 0))
            before[result] = max(count, before[result])
        metrics.recorder_queue_rows.set(recorder.queued)
        metrics.spool_bytes.set(recorder.spool_bytes)
        metrics.store_connected.set(not recorder.store_away)
        metrics.mqtt_connected.set(mqtt.connected)
        store_state.set(not recorder.store_away)
        asleep_s = clock.monotonic_s()
        await asyncio.sleep(_GAUGES_S)
        health.lag_s = max(clock.monotonic_s() - asleep_s - _GAUGES_S, 0.0)
        metrics.event_loop_lag_seconds.set(health.lag_s)


def _now(clock: Clock) -> datetime:
    return datetime.fromtimestamp(clock.now_ms() / 1000.0, tz=UTC)
