"""A store in memory, and values to put into it."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from derms.errors import ConflictError, NotFoundError, StoreError
from derms.model import DecisionRecord, Device, DeviceKind, DrEvent, Feeder, FeederMode, Setpoint, Telemetry
from derms.ports import RecordBatch, Sample

T0_MS = 1_767_225_600_000
"""2026-01-01 00:00 UTC."""
T0 = datetime(2026, 1, 1, tzinfo=UTC)


class FakeStore:
    """The three store ports on dicts; `before_write` may wait or raise to stand for trouble."""

    def __init__(self, before_write: Callable[[], Any] | None = None) -> None:
        self.before_write = before_write
        self.samples: dict[object, Sample] = {}
        self.setpoints: dict[object, Setpoint] = {}
        self.decisions: dict[object, DecisionRecord] = {}
        self.batches: list[int] = []
        self.order: list[int | None] = []
        self.feeders: dict[str, Feeder] = {}
        self.devices: dict[str, Device] = {}
        self.events: dict[str, DrEvent] = {}
        self.audit: list[tuple[str, str, str]] = []
        self.away = False
        self.attempts = 0

    async def write(self, batch: RecordBatch) -> None:
        self.attempts += 1
        if self.before_write is not None:
            await self.before_write()
        if self.away:
            raise StoreError("the fake is away")
        for sample in batch.samples:
            said = sample.telemetry
            self.samples.setdefault((said.device_id, said.at_ms, said.seq), sample)
            self.order.append(said.seq)
        for setpoint in batch.setpoints:
            self.setpoints.setdefault(
                (setpoint.device_id, setpoint.issued_at_ms, setpoint.epoch, setpoint.seq), setpoint
            )
        for record in batch.decisions:
            self.decisions.setdefault((record.feeder_id, record.at_ms, record.epoch, record.tick), record)
        self.batches.append(len(batch))

    async def counts(self) -> dict[str, int]:
        return {
            "telemetry": len(self.samples),
            "setpoints": len(self.setpoints),
            "decisions": len(self.decisions),
            "audit_log": len(self.audit),
        }

    async def load_feeders(self) -> list[Feeder]:
        return sorted(self.feeders.values(), key=lambda feeder: feeder.feeder_id)

    async def load_devices(self) -> list[Device]:
        return sorted(self.devices.values(), key=lambda device: device.device_id)

    async def save_feeder(self, feeder: Feeder) -> None:
        if feeder.parent_id is not None and feeder.parent_id not in self.feeders:
            raise NotFoundError(f"no feeder {feeder.parent_id}")
        self.feeders[feeder.feeder_id] = feeder

    async def save_devices(self, devices: Sequence[Device]) -> None:
        if self.away:
            raise StoreError("the fake is away")
        for device in devices:
            if device.feeder_id not in self.feeders:
                raise NotFoundError(f"no feeder {device.feeder_id}")
        self.devices |= {device.device_id: device for device in devices}

    async def add_event(self, event: DrEvent, *, actor: str, request_id: str) -> None:
        if event.event_id in self.events:
            raise ConflictError(f"event {event.event_id} exists")
        self.events[event.event_id] = event
        self.audit.append((actor, event.event_id, request_id))

    async def unfinished_events(self, now: datetime) -> list[DrEvent]:
        open_events = [event for event in self.events.values() if event.cancelled_at is None and event.end > now]
        return sorted(open_events, key=lambda event: (event.start, event.event_id))


def sample(seq: int | None = 0, *, device_id: str = "ev-1", at_ms: int | None = None, **said: Any) -> Sample:
    values: dict[str, Any] = {
        "device_id": device_id,
        "kind": DeviceKind.EV,
        "at_ms": T0_MS + 1000 * (seq or 0) if at_ms is None else at_ms,
        "p_actual_kw": 3.5,
        "seq": seq,
    }
    telemetry = Telemetry(**(values | said))
    return Sample(telemetry=telemetry, received_ms=telemetry.at_ms + 40, feeder_id="feeder-1")


def setpoint(seq: int = 0, **changes: Any) -> Setpoint:
    issued_at_ms = T0_MS + 1000 * seq
    values: dict[str, Any] = {
        "device_id": "ev-1",
        "kind": DeviceKind.EV,
        "p_setpoint_kw": 2.0,
        "issued_at_ms": issued_at_ms,
        "valid_until_ms": issued_at_ms + 90_000,
        "epoch": 1,
        "seq": seq,
        "reason": "feeder-1 import limit",
    }
    return Setpoint(**(values | changes))


def decision(tick: int = 0) -> DecisionRecord:
    return DecisionRecord(
        feeder_id="feeder-1",
        at_ms=T0_MS + 2000 * tick,
        epoch=1,
        tick=tick,
        mode=FeederMode.AUTO,
        import_limit_kw=50.0,
        limit_source="static",
        measured_kw=None,
        background_kw=20.0,
        reserved_kw=0.0,
        headroom_kw=30.0,
        commanded_kw=28.0,
        shortfall_kw=0.0,
        setpoints_sent=4,
        duration_ms=0.4,
    )


def event(event_id: str = "dr-1", *, start_h: float = 1, end_h: float = 2, cancelled: bool = False) -> DrEvent:
    return DrEvent(
        event_id=event_id,
        feeder_ids=("feeder-1",),
        start=T0 + timedelta(hours=start_h),
        end=T0 + timedelta(hours=end_h),
        import_limit_kw=30.0,
        reason="evening peak",
        created_by="alice",
        created_at=T0,
        cancelled_at=T0 if cancelled else None,
    )
