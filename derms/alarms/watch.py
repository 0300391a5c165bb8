"""Looks once a second at what is wrong; a task of its own beside the control loop, which it also watches."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from derms.alarms.desk import AlarmDesk
from derms.alarms.machine import Condition
from derms.alarms.notices import Notices
from derms.alarms.rules import DaemonKind
from derms.alarms.sources import of_engine, of_events, of_links, of_loop, of_spool
from derms.control.loop import ControlLoop
from derms.metrics import Metrics
from derms.model import AlarmRecord
from derms.ports import Clock, Duty
from derms.recorder import Recorder

LOOK_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What is looked at."""

    loop: ControlLoop
    recorder: Recorder
    spool_max_bytes: int
    broker_away: Callable[[], bool]
    interval_s: float
    """Between two ticks [s]."""
    guards: Callable[[], bool] = lambda: True
    """Whether it is for this controller to raise alarms; where another one commands it is for that one."""


class AlarmWatch:
    """Carries what is wrong to the desk, what is new to the notices, and counts into the metrics."""

    def __init__(
        self, watched: Watched, *, desk: AlarmDesk, notices: Notices | None, clock: Clock, metrics: Metrics
    ) -> None:
        """Prepare; nothing is looked at before `run`."""
        self._watched = watched
        self._desk = desk
        self._notices = notices
        self._clock = clock
        self._metrics = metrics
        self._started_s = clock.monotonic_s()
        self.beat_s = self._started_s
        """When it last looked, by the clock that only goes forward [s]; read by the watchdog's thread."""

    def silent_s(self) -> float:
        """Since the loop's last tick, or the start [s]; read by the watchdog's thread too."""
        tick_s = self._watched.loop.last_tick_s
        return self._clock.monotonic_s() - (self._started_s if tick_s is None else tick_s)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """Look once."""
        now_s = self.beat_s = self._clock.monotonic_s()
        if not self._watched.guards():
            # Not its alarms any more: the last count would stand for as long as another controller commands.
            self._count([])
            return
        now = datetime.fromtimestamp(self._clock.now_ms() / 1000.0, tz=UTC)
        self._desk.take(self._conditions(now), now, now_s)
        records = self._desk.records()
        if self._notices is not None:
            self._notices.look(records, now, now_s)
        self._count(records)

    def _count(self, records: list[AlarmRecord]) -> None:
        """Set the gauges of the daemon's own kinds; the engine's are counted by the loop, tick by tick."""
        for kind in DaemonKind:
            count = sum(record.active for record in records if record.kind == kind)
            self._metrics.alarms.labels(kind.value).set(count)

    def _conditions(self, now: datetime) -> Iterator[Condition]:
        watched = self._watched
        yield from of_engine(tree for tree in watched.loop.trees if tree.duty is not Duty.STANDS_BY)
        yield from of_loop(self.silent_s(), watched.interval_s)
        yield from of_links(broker_away=watched.broker_away(), store_away=watched.recorder.store_away)
        yield from of_spool(
            watched.recorder.spool_bytes, watched.spool_max_bytes, disk_failed=watched.recorder.disk_failed
        )
        yield from of_events(watched.loop.events.values(), watched.loop.feeders, now)
