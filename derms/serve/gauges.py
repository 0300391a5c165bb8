"""Carries counts and states into the metrics and the health, once a second."""

import asyncio
from dataclasses import dataclass

from derms.control.dispatch import Outbox
from derms.leadership import Leadership
from derms.metrics import Metrics
from derms.ports import Clock
from derms.recorder import Recorder
from derms.store.postgres import PostgresStore
from derms.view.health import LiveHealth
from derms.view.links import LinkState

_GAUGES_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """What is looked at, and what is told."""

    metrics: Metrics
    recorder: Recorder
    store: PostgresStore
    mqtt: LinkState
    store_state: LinkState
    health: LiveHealth
    leadership: Leadership
    outbox: Outbox
    clock: Clock

    async def run(self) -> None:
        """Look until cancelled."""
        before: dict[str, int] = {}
        while True:
            self._look(before)
            asleep_s = self.clock.monotonic_s()
            await asyncio.sleep(_GAUGES_S)
            self.health.lag_s = max(self.clock.monotonic_s() - asleep_s - _GAUGES_S, 0.0)
            self.metrics.event_loop_lag_seconds.set(self.health.lag_s)

    def _look(self, before: dict[str, int]) -> None:
        metrics, recorder = self.metrics, self.recorder
        # A row is refused a moment before its batch counts as stored.
        rows = {
            "stored": recorder.stored - self.store.refused,
            "refused": self.store.refused,
            "spooled": recorder.spooled,
            "lost": recorder.lost,
        }
        for result, count in rows.items():
            metrics.recorder_rows_total.labels(result=result).inc(_risen(before, result, count))
        metrics.takeovers_total.inc(_risen(before, "takeovers", self.leadership.takeovers))
        metrics.setpoints_withheld_total.inc(_risen(before, "withheld", self.outbox.withheld))
        metrics.leader.set(self.leadership.commands)
        metrics.epoch.set(self.leadership.epoch)
        metrics.recorder_queue_rows.set(recorder.queued)
        metrics.spool_bytes.set(recorder.spool_bytes)
        metrics.store_connected.set(not recorder.store_away)
        if recorder.store_away and self.store_state.connected:
            metrics.store_outages_total.inc()
        metrics.mqtt_connected.set(self.mqtt.connected)
        self.store_state.set(not recorder.store_away)


def _risen(before: dict[str, int], name: str, count: int) -> int:
    """By how much a count has risen since it was last looked at."""
    risen = max(count - before.get(name, 0), 0)
    before[name] = max(count, before.get(name, 0))
    return risen
