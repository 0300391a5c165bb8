"""One controller with one fleet, under the eyes of its devices: ticks, leases, events and breaches on the wire."""

import asyncio
import itertools
import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from derms.api.schemas.events import EventIn
from derms.bench.breach import answers_ms, breaches
from derms.bench.daemon import Daemon, daemon
from derms.bench.fleet import fleet, until_known
from derms.bench.fleet_load import BASE_KW, Crowd, Heard, Tick
from derms.bench.loop_parts import ECHO_TOPIC, echoes_ms, paho_publishes_s
from derms.bench.served import local_broker, scratch_directory
from derms.client import ApiClient
from derms.mqtt import MqttLink, parse_broker_url

LIMIT_KW = 4.5
"""The feeder's import limit for each device [kW]; they want more."""
TIGHTER = 0.6
"""Each event leaves so much of what the devices draw as it is asked for: less than the least of them wants, so that
most leases change."""
_FULL, _FULL_S = 0.92, 60.0
"""Devices are let come up to this share of the limit, for so long at the most [s]: what rises is not steady."""
_EVENT_S = 3.0
_CUT_KW = 0.1
"""A tick that takes away so much of each device, in the mean, is an event's [kW]: leases move a little at any time."""
_BETWEEN_S = 6.0
"""From an event's end until the next one [s]."""
_CONNECTIONS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A fleet, and how long it is looked at."""

    devices: int
    every_s: float
    """Between two readings of a device."""
    tick_s: float
    gateways: int
    steady_s: float
    events: int
    breaches: int

    @property
    def name(self) -> str:
        """In words."""
        through = f" through {self.gateways:,} gateways" if self.gateways else ""
        return f"{self.devices:,} devices every {self.every_s:g} s{through}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What an event changed, as the devices saw it."""

    leases: int
    tick_to_last_ms: float
    asked_to_last_ms: float
    """From the request over HTTP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """All that was seen of a case."""

    case: Case
    late_ms: list[float]
    """Of each tick in the steady part."""
    changes: list[Change]
    breaches_ms: list[float]
    """From the meter's message leaving until the first lease that is lower; inf: it was not answered."""
    echo_ms: list[float]
    health_ms: list[float]
    """`GET /api/health` in the same run."""
    paho_s: float
    """paho alone publishing as many messages as there are devices."""
    rate: float
    """Samples a second that the broker acknowledged to the fleet."""
    processors: float
    """Of the controller's process in the steady part."""
    machine: float
    """Processes that wanted a processor, by the machine's load average."""


@dataclass(slots=True)
class _Marks:
    """Instants of the run [epoch ms]."""

    steady_from: float = 0.0
    steady_to: float = 0.0
    asked: list[float] = field(default_factory=list)


async def look(case: Case, say: Callable[[str], None]) -> Seen:
    """Run it.

    Raises:
        UnavailableError: There is no Mosquitto, or a part of it does not come up.
    """
    with scratch_directory() as home:
        async with (
            local_broker(home) as url,
            daemon(
                home, mqtt_url=url, control_interval_s=case.tick_s, feeder_policy="fair",
                feeder_import_limit_kw=LIMIT_KW * case.devices,
                stale_after_s=max(15.0, 3.0 * case.every_s), lost_after_s=max(60.0, 6.0 * case.every_s),
            ) as running,
        ):  # fmt: skip
            address = parse_broker_url(url)
            say(f"{case.name}: paho alone")
            paho_s = await paho_publishes_s(address, min(case.devices, 10_000)) * max(case.devices / 10_000, 1.0)
            crowd = Crowd(
                host=address.host, port=address.port, devices=case.devices, gateways=case.gateways,
                connections=_CONNECTIONS, every_s=case.every_s,
            )  # fmt: skip
            async with fleet(crowd) as speaking:
                marks, steady = _Marks(), _Steady()
                async with ApiClient(running.api_url, token=running.token, timeout_s=60.0) as client:
                    await until_known(client, case.devices, lambda text: say(f"{case.name}: {text}"))
                    await _full(case, client, say)
                    await _steady(case, running, client, url, marks, steady, say)
                    left_ms = await breaches(
                        url, times=case.breaches, limit_kw=LIMIT_KW * case.devices, tick_s=case.tick_s,
                        level=speaking.level, say=lambda text: say(f"{case.name}: {text}"),
                    )  # fmt: skip
                    await _events(case, client, marks, say)
                heard = await speaking.end()
    return Seen(
        case=case,
        late_ms=lateness_ms(heard.ticks, marks.steady_from, marks.steady_to, 1000.0 * case.tick_s),
        changes=[change for asked in marks.asked if (change := changed(heard, asked, case.devices)) is not None],
        breaches_ms=answers_ms(heard.ticks, left_ms, LIMIT_KW * case.devices),
        echo_ms=steady.echo_ms,
        health_ms=steady.health_ms,
        paho_s=paho_s,
        rate=heard.acknowledged / heard.seconds,
        processors=steady.processors,
        machine=os.getloadavg()[0],
    )


@dataclass(slots=True)
class _Steady:
    echo_ms: list[float] = field(default_factory=list)
    health_ms: list[float] = field(default_factory=list)
    processors: float = 0.0


async def _steady(
    case: Case, running: Daemon, client: ApiClient, url: str, marks: _Marks, found: _Steady, say: Callable[[str], None]
) -> None:
    """Nothing changes; a message goes round now and then, and a request that does nothing."""
    say(f"{case.name}: {case.steady_s:g} s of ticks")
    link = MqttLink(
        parse_broker_url(url), client_id="bench-echo", subscriptions=[(ECHO_TOPIC, 0)], rng=random.Random(1)
    )
    async with link:
        await link.wait_connected(30.0)
        marks.steady_from, used_s, began_s = time.time() * 1000.0, running.used_s, time.monotonic()
        while (passed_s := time.monotonic() - began_s) < case.steady_s:
            found.echo_ms += await echoes_ms(link, 5, 0.05)
            asked_s = time.perf_counter()
            await client.health()
            found.health_ms.append((time.perf_counter() - asked_s) * 1000.0)
        marks.steady_to = time.time() * 1000.0
        found.processors = (running.used_s - used_s) / passed_s


async def _full(case: Case, client: ApiClient, say: Callable[[str], None]) -> None:
    """Wait until the feeder lies at its limit."""
    until_s, load_kw = time.monotonic() + _FULL_S, 0.0
    while load_kw < _FULL * LIMIT_KW * case.devices and time.monotonic() < until_s:
        await asyncio.sleep(case.tick_s)
        load_kw = sum(feeder.load_kw for feeder in await client.feeder_summary())
    say(f"{case.name}: {load_kw / case.devices:.2f} of {LIMIT_KW:g} kW a device flow")


async def _events(case: Case, client: ApiClient, marks: _Marks, say: Callable[[str], None]) -> None:
    beside_kw = BASE_KW * case.devices
    for number in range(case.events):
        say(f"{case.name}: event {number + 1} of {case.events}")
        load_kw = sum(feeder.load_kw for feeder in await client.feeder_summary())
        limit_kw = beside_kw + TIGHTER * max(load_kw - beside_kw, beside_kw)
        marks.asked.append(time.time() * 1000.0)
        await client.create_event(EventIn(duration_s=_EVENT_S, import_limit_kw=limit_kw))
        await asyncio.sleep(_EVENT_S + max(_BETWEEN_S, 4.0 * case.tick_s))


def lateness_ms(ticks: Sequence[Tick], since_ms: float, until_ms: float, interval_ms: float) -> list[float]:
    """How much later than an interval after the last tick each tick was, by what its leases say [ms].

    Ticks that came before their time were asked for, and count as on time; one that sent nothing is not seen, and
    what it was late counts for the next.
    """
    instants = sorted(tick.issued_ms for tick in ticks if since_ms <= tick.issued_ms <= until_ms)
    late = []
    for before, after in itertools.pairwise(instants):
        gap_ms = after - before
        late.append(max(gap_ms - max(int(gap_ms / interval_ms), 1) * interval_ms, 0.0))
    return late


def changed(heard: Heard, asked_ms: float, devices: int) -> Change | None:
    """What came of a request: the leases of the first tick that took away as much as it asks for; None: none did."""
    least_kw = _CUT_KW * devices
    after = [
        tick for tick in heard.ticks
        if asked_ms <= tick.issued_ms <= asked_ms + 1000.0 * _EVENT_S and tick.cut_kw >= least_kw
    ]  # fmt: skip
    first = min(after, key=lambda tick: tick.issued_ms, default=None)
    if first is None:
        return None
    return Change(
        leases=first.leases,
        tick_to_last_ms=first.last_ms - first.issued_ms,
        asked_to_last_ms=first.last_ms - asked_ms,
    )
