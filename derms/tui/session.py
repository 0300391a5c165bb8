"""One login at one controller: its stream, and what is asked for from time to time."""

import asyncio
import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from derms.api.schemas.alarms import AlarmHistoryQuery, AlarmLineOut, AlarmOut, AlarmsQuery
from derms.api.schemas.auth import MeOut
from derms.api.schemas.events import EventFilter, EventOut, EventsQuery
from derms.api.schemas.history import FeederHistoryOut, HistoryQuery
from derms.api.schemas.programs import ProgramOut, ProgramsQuery
from derms.api.schemas.telemetry import TelemetryOut, TelemetryQuery
from derms.client import ApiClient
from derms.contract import SimulationProfile
from derms.errors import AccessError, DermsError
from derms.tui.door import Door
from derms.tui.feed import Broken, Feed, Told, Word

_ALARMS_EVERY_S = 5.0
_LISTS_EVERY_S = 15.0
_BUCKETS = 240
"""Of what was before; about two a dot of a wide chart."""
_EVENTS = 200
"""The newest events that are listed."""


@dataclass(frozen=True, slots=True)
class Known:
    """Who is logged in."""

    me: MeOut


@dataclass(frozen=True, slots=True)
class Alarms:
    """The alarms that are not normal, and what became of alarms."""

    alarms: list[AlarmOut]
    lines: list[AlarmLineOut]


@dataclass(frozen=True, slots=True)
class Lists:
    """What changes seldom."""

    events: list[EventOut]
    programs: list[ProgramOut]
    simulation: SimulationProfile | None


@dataclass(frozen=True, slots=True)
class FeederPast:
    """What a feeder did before."""

    history: FeederHistoryOut


@dataclass(frozen=True, slots=True)
class DevicePast:
    """What a device did before."""

    telemetry: TelemetryOut


Heard: TypeAlias = Word | Known | Alarms | Lists | FeederPast | DevicePast


class Session:
    """Works until it is cancelled, or whoever asks is not known any more.

    Args:
        door: The way to the controller.
        post: Told of everything; must not wait.
        rng: Spreads attempts to come back.
    """

    def __init__(self, door: Door, post: Callable[[Heard], None], *, rng: random.Random) -> None:
        self._door = door
        self._post = post
        self._rng = rng
        self._feed: Feed | None = None
        self._client: ApiClient | None = None
        self._look = asyncio.Event()
        self._wanted: asyncio.Queue[tuple[str, str, float]] = asyncio.Queue(maxsize=16)
        self.live = False
        """The stream speaks."""

    @property
    def client(self) -> ApiClient | None:
        """For what somebody does; None: it is not open yet."""
        return self._client

    def hurry(self) -> None:
        """Try to come back now."""
        if self._feed is not None:
            self._feed.hurry()

    def look_again(self) -> None:
        """Ask for alarms and lists now: something was done."""
        self._look.set()

    def want_feeder(self, feeder_id: str, minutes: float) -> None:
        """Let the past of a feeder be fetched."""
        self._want("feeder", feeder_id, minutes)

    def want_device(self, device_id: str, minutes: float) -> None:
        """Let the past of a device be fetched."""
        self._want("device", device_id, minutes)

    async def run(self) -> None:
        """Work."""
        async with self._door.client() as client:
            self._client = client
            feed = self._feed = Feed(client, self._hear, rng=self._rng)
            helpers = [asyncio.create_task(self._poll(client)), asyncio.create_task(self._fetch(client))]
            try:
                await feed.run()
            finally:
                for helper in helpers:
                    helper.cancel()
                await asyncio.gather(*helpers, return_exceptions=True)
                self._client = None

    def _hear(self, word: Word) -> None:
        was = self.live
        if isinstance(word, Told):
            self.live = True
        elif isinstance(word, Broken):
            self.live = False
        if self.live and not was:
            self._look.set()
        self._post(word)

    async def _poll(self, client: ApiClient) -> None:
        loop = asyncio.get_running_loop()
        known, lists_at_s = False, 0.0
        while True:
            hurried = self._look.is_set()
            self._look.clear()
            if self.live:
                # What cannot be had is asked for again; the stream says that the controller is away, once.
                with contextlib.suppress(DermsError):
                    if not known:
                        self._post(Known(await client.me()))
                        known = True
                    page = await client.alarms(AlarmsQuery(limit=500))
                    lines = await client.alarm_history(AlarmHistoryQuery(limit=200))
                    self._post(Alarms(page.alarms, lines.lines))
                    if hurried or loop.time() >= lists_at_s:
                        self._post(await _lists(client))
                        lists_at_s = loop.time() + _LISTS_EVERY_S
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._look.wait(), _ALARMS_EVERY_S)

    def _want(self, kind: str, name: str, minutes: float) -> None:
        # When somebody runs through a long list, only the newest are worth it.
        if self._wanted.full():
            self._wanted.get_nowait()
        self._wanted.put_nowait((kind, name, minutes))

    async def _fetch(self, client: ApiClient) -> None:
        while True:
            kind, name, minutes = await self._wanted.get()
            with contextlib.suppress(DermsError):
                since = datetime.now(UTC) - timedelta(minutes=minutes)
                bucket_s = max(round(minutes * 60.0 / _BUCKETS / 5.0) * 5, 5)
                if kind == "feeder":
                    query = HistoryQuery(feeder_id=name, since=since, bucket_s=bucket_s)
                    self._post(FeederPast(await client.feeder_history(query)))
                else:
                    past = await client.telemetry(name, TelemetryQuery(since=since, bucket_s=bucket_s))
                    self._post(DevicePast(past))


async def _lists(client: ApiClient) -> Lists:
    page = await client.event_page(EventsQuery(state=EventFilter.ALL, sort="-start", limit=_EVENTS))
    programs = (await client.programs(ProgramsQuery(limit=_EVENTS))).programs
    simulation = None
    with contextlib.suppress(AccessError):
        simulation = (await client.simulation_mode()).mode
    return Lists(page.events, programs, simulation)
