"""A real fleet and control loop on a clock that is set by hand, with a store in memory behind them; nothing is sent."""

import contextlib
import random
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from derms.columns import Params
from derms.contract import Topics
from derms.control.dispatch import Outbox
from derms.control.loop import ControlLoop
from derms.enrolment import FirstSight
from derms.errors import BrokerError
from derms.fleet import Fleet
from derms.ingest import Ingest
from derms.leadership import Alone
from derms.metrics import Metrics
from derms.model import Device, DeviceKind, Enrolment, Feeder, Outcome, Setpoint, Telemetry
from derms.ports import Clock
from derms.recorder import Recorder
from derms.spool import Spool
from derms.view.devices import LiveDevices
from derms.view.feeders import LiveFeeders
from derms.view.registry import LiveRegistry
from derms.view.roll import Roll
from derms.view.simulation import LiveSimulation
from derms.view.tracking import LiveTracking
from derms.view.why import LiveWhy
from tests.fakes_store import FakeStore
from tests.plant import Bus

PARAMS = Params(interval_s=2.0, lease_s=20.0, stale_after_s=6.0, lost_after_s=30.0)
FEEDERS = (
    Feeder(feeder_id="feeder-1", name="North", import_limit_kw=20.0, margin_kw=1.0),
    Feeder(feeder_id="feeder-2", parent_id="feeder-1", import_limit_kw=12.0),
    Feeder(feeder_id="feeder-3"),
)


class Nowhere:
    """A sink that takes nothing, as nobody runs the outbox."""

    async def publish_many(
        self,
        messages: Iterable[tuple[str, bytes]],
        *,
        retain: bool = False,
        expires_s: int | None = None,
        still: Callable[[], bool] | None = None,
    ) -> Sequence[BrokerError | None]:
        return [None for _ in messages]


def _ignore(row: int, lease: Setpoint) -> None:
    """Nothing is sent, so nothing fails."""


class LiveController:
    """What the API's views stand on."""

    def __init__(self, spool: Path, clock: Clock, metrics: Metrics) -> None:
        self.clock = clock
        self.store = FakeStore()
        self.store.feeders = {feeder.feeder_id: feeder for feeder in FEEDERS}
        self.fleet = Fleet()
        self.written: list[Device] = []
        self.declared = {"feeder-1": frozenset({"import_limit_kw"})}
        self.recorder = Recorder(
            store=self.store, spool=Spool(spool), on_safe=lambda _: None, clock=clock, rng=random.Random(1)
        )
        self.loop = ControlLoop(
            feeders=FEEDERS,
            fleet=self.fleet,
            outbox=Outbox(sink=Nowhere(), topics=Topics(), on_sent=lambda _: None, on_failed=_ignore),
            recorder=self.recorder,
            clock=clock,
            metrics=metrics,
            params=PARAMS,
            authority=Alone(7),
        )
        self.roll = Roll(self.fleet)
        self.devices = LiveDevices(fleet=self.fleet, loop=self.loop, clock=clock, params=PARAMS, roll=self.roll)
        self.feeders = LiveFeeders(fleet=self.fleet, loop=self.loop, clock=clock, params=PARAMS, roll=self.roll)
        self.why = LiveWhy(fleet=self.fleet, loop=self.loop, params=PARAMS)
        self.tracking = LiveTracking(fleet=self.fleet, loop=self.loop, clock=clock, roll=self.roll)
        self.published: list[tuple[str, bytes]] = []
        self.broker_away = False
        self.simulation = LiveSimulation(topics=Topics(), publish=self._publish)
        self.ingest = Ingest(
            feed=Bus(),
            fleet=self.fleet,
            recorder=self.recorder,
            topics=Topics(),
            clock=clock,
            metrics=metrics,
            first_sight=FirstSight(default_feeder_id="feeder-1", enrolment=Enrolment.ACTIVE),
            feeder_ids=lambda: set(self.loop.feeders),
            on_registered=self.written.append,
            on_metered=self.loop.observed_load,
            on_sample=self.tracking.take,
        )
        self.registry = LiveRegistry(fleet=self.fleet, loop=self.loop, on_registered=self.written.append)

    async def _publish(self, topic: str, payload: bytes) -> None:
        if self.broker_away:
            raise BrokerError("the broker is away")
        self.published.append((topic, payload))

    def offer(self, reading: Telemetry) -> tuple[Outcome, str]:
        """As `derms.serve` does it."""
        taken = self.ingest.offer(reading)
        return taken.outcome, taken.detail

    def register(
        self, device_id: str, kind: DeviceKind = DeviceKind.EV, feeder_id: str = "feeder-1", **said: Any
    ) -> int:
        """A device that is registered here and in the store."""
        rating = {"p_import_max_kw": 7.0} if kind is not DeviceKind.PV else {"p_export_max_kw": 7.0}
        device = Device(**{"device_id": device_id, "kind": kind, "feeder_id": feeder_id, **rating, **said})
        self.store.devices[device_id] = device
        return self.fleet.register(device)

    def hear(self, device_id: str, p_actual_kw: float = 0.0, **said: Any) -> None:
        """A reading of now."""
        row = self.fleet.row(device_id)
        assert row is not None
        reading = Telemetry(
            **{
                "device_id": device_id,
                "kind": self.fleet.devices[row].kind,
                "at_ms": self.clock.now_ms(),
                "p_actual_kw": p_actual_kw,
                **said,
            }
        )
        self.fleet.observe(row, reading, now_s=self.clock.monotonic_s())
        self.tracking.take(row, reading, self.clock.now_ms())


@contextlib.contextmanager
def live_controller(clock: Clock, metrics: Metrics) -> Iterator[LiveController]:
    """A controller that leaves nothing behind."""
    with tempfile.TemporaryDirectory(prefix="derms-live-") as directory:
        yield LiveController(Path(directory) / "spool", clock, metrics)
