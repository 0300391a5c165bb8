"""A store in memory, and values to put into it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from derms.errors import ConflictError, NotFoundError, StoreError, UsageError
from derms.model import (
    AlarmLine,
    AlarmRecord,
    AlarmState,
    Author,
    DecisionRecord,
    Device,
    DeviceKind,
    DeviceOverride,
    DrEvent,
    DrProgram,
    Feeder,
    FeederMode,
    OverrideKind,
    ProgramKind,
    Setpoint,
    Telemetry,
)
from derms.ports import EventsWanted, HistoryWanted, MemoryRecord, Once, RecordBatch, Sample
from derms.reports import DeviceHour
from tests.fakes_reports import FakeReports

T0_MS = 1_767_225_600_000
"""2026-01-01 00:00 UTC."""
T0 = datetime(2026, 1, 1, tzinfo=UTC)


class FakeStore(FakeReports):
    """The store ports on dicts; `before_write` may wait or raise to stand for trouble."""

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
        self.programs: dict[str, DrProgram] = {}
        self.once: dict[tuple[str, str], Once] = {}
        self.overrides: dict[str, DeviceOverride] = {}
        self.memories: dict[str, MemoryRecord] = {}
        self.alarms: dict[str, AlarmRecord] = {}
        self.alarm_lines: list[AlarmLine] = []
        self.hours: dict[tuple[str, str, datetime, int], DeviceHour] = {}
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
        for memory in batch.memories:
            known = self.memories.get(memory.feeder_id)
            if known is None or (memory.epoch, memory.at_ms) >= (known.epoch, known.at_ms):
                self.memories[memory.feeder_id] = memory
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

    async def save_feeders(self, feeders: Sequence[Feeder]) -> None:
        if self.away:
            raise StoreError("the fake is away")
        saved = dict(self.feeders)
        for feeder in feeders:
            saved[feeder.feeder_id] = feeder
            if feeder.parent_id is not None and feeder.parent_id not in saved:
                raise NotFoundError(f"no feeder {feeder.parent_id}")
        self.feeders = saved

    async def save_devices(self, devices: Sequence[Device]) -> None:
        if self.away:
            raise StoreError("the fake is away")
        for device in devices:
            if device.feeder_id not in self.feeders:
                raise NotFoundError(f"no feeder {device.feeder_id}")
        self.devices |= {device.device_id: device for device in devices}

    async def add_device(self, device: Device, *, by: Author) -> None:
        if device.device_id in self.devices:
            raise ConflictError(f"device {device.device_id} exists")
        await self.save_devices([device])
        self.audit.append((by.username, device.device_id, by.request_id))

    async def change_device(self, device: Device, fields: Collection[str], *, action: str, by: Author) -> None:
        known = self.devices.get(device.device_id)
        changed = device if known is None else replace(known, **{name: getattr(device, name) for name in fields})
        await self.save_devices([changed])
        self.audit.append((by.username, device.device_id, by.request_id))

    async def add_feeder(self, feeder: Feeder, *, by: Author) -> None:
        if feeder.feeder_id in self.feeders:
            raise ConflictError(f"feeder {feeder.feeder_id} exists")
        await self.save_feeders([feeder])
        self.audit.append((by.username, feeder.feeder_id, by.request_id))

    async def change_feeder(self, feeder: Feeder, fields: Collection[str], *, by: Author) -> None:
        known = self.feeders.get(feeder.feeder_id)
        changed = feeder if known is None else replace(known, **{name: getattr(feeder, name) for name in fields})
        await self.save_feeders([changed])
        self.audit.append((by.username, feeder.feeder_id, by.request_id))

    async def note(self, action: str, subject: str, *, after: Mapping[str, object], by: Author) -> None:
        if self.away:
            raise StoreError("the fake is away")
        self.audit.append((by.username, subject, by.request_id))

    async def add_event(self, event: DrEvent, *, by: Author, once: Once | None = None) -> None:
        if event.event_id in self.events or (once is not None and (by.username, once.key) in self.once):
            raise ConflictError(f"event {event.event_id} exists, or its key was used")
        self.events[event.event_id] = event
        if once is not None:
            self.once[by.username, once.key] = once
        self.audit.append((by.username, event.event_id, by.request_id))

    async def change_event(
        self, event_id: str, action: str, change: Callable[[DrEvent], DrEvent], *, by: Author
    ) -> DrEvent:
        self.events[event_id] = change(await self.find_event(event_id))
        self.audit.append((by.username, event_id, by.request_id))
        return self.events[event_id]

    async def remove_event(self, event_id: str, check: Callable[[DrEvent], None], *, by: Author) -> None:
        check(await self.find_event(event_id))
        del self.events[event_id]
        self.audit.append((by.username, event_id, by.request_id))

    async def find_event(self, event_id: str) -> DrEvent:
        if event_id not in self.events:
            raise NotFoundError(f"no event {event_id}", next_step="name another")
        return self.events[event_id]

    async def list_events(self, wanted: EventsWanted) -> list[DrEvent]:
        def place(event: DrEvent) -> tuple[datetime, str]:
            return getattr(event, wanted.sort), event.event_id

        found = [
            event
            for event in self.events.values()
            if event.state_at(wanted.now) in wanted.states
            and (wanted.feeder_id is None or wanted.feeder_id in event.feeder_ids)
            and (wanted.after is None or (place(event) < wanted.after if wanted.down else place(event) > wanted.after))
        ]
        return sorted(found, key=place, reverse=wanted.down)[: wanted.limit]

    async def answered(self, username: str, key: str) -> Once | None:
        return self.once.get((username, key))

    async def unfinished_events(self, now: datetime) -> list[DrEvent]:
        open_events = [event for event in self.events.values() if event.cancelled_at is None and event.end > now]
        return sorted(open_events, key=lambda event: (event.start, event.event_id))

    async def add_program(self, program: DrProgram, *, by: Author) -> None:
        if any(
            program.name == known.name or program.program_id == known.program_id for known in self.programs.values()
        ):
            raise ConflictError(f"program {program.program_id} exists")
        self.programs[program.program_id] = program
        self.audit.append((by.username, program.program_id, by.request_id))

    async def change_program(
        self, program_id: str, action: str, change: Callable[[DrProgram], DrProgram], *, by: Author
    ) -> DrProgram:
        after = change(self._program(program_id))
        if any(one.name == after.name and one.program_id != program_id for one in self.programs.values()):
            raise ConflictError(f"the name {after.name} is taken")
        self.programs[program_id] = after
        self.audit.append((by.username, program_id, by.request_id))
        return after

    async def delete_program(self, program_id: str, *, by: Author) -> None:
        del self.programs[self._program(program_id).program_id]
        self.audit.append((by.username, program_id, by.request_id))

    async def load_programs(self) -> list[DrProgram]:
        return sorted(self.programs.values(), key=lambda program: program.program_id)

    async def put_override(self, override: DeviceOverride, *, by: Author) -> None:
        if override.device_id not in self.devices:
            raise NotFoundError(f"no device {override.device_id}")
        if (override.kind is OverrideKind.HOLD) != (override.p_kw is not None) or override.until <= override.created_at:
            raise UsageError("a hold has a power, a block has none, and either ends after it began")
        self.overrides[override.device_id] = override
        self.audit.append((by.username, override.device_id, by.request_id))

    async def clear_override(self, device_id: str, *, by: Author) -> None:
        if self.overrides.pop(device_id, None) is None:
            raise NotFoundError(f"no override upon {device_id}")
        self.audit.append((by.username, device_id, by.request_id))

    async def live_overrides(self, now: datetime) -> list[DeviceOverride]:
        live = [override for override in self.overrides.values() if override.until > now]
        return sorted(live, key=lambda override: override.device_id)

    async def live_setpoints(self, now: datetime) -> list[Setpoint]:
        newest: dict[str, Setpoint] = {}
        for lease in sorted(self.setpoints.values(), key=lambda one: (one.epoch, one.seq)):
            if lease.valid_until_ms > now.timestamp() * 1000:
                newest[lease.device_id] = lease
        return [newest[device_id] for device_id in sorted(newest)]

    async def load_memories(self) -> list[MemoryRecord]:
        return sorted(self.memories.values(), key=lambda memory: memory.feeder_id)

    async def load_alarms(self) -> list[AlarmRecord]:
        return sorted(self.alarms.values(), key=lambda one: (one.kind, one.subject))

    async def keep_alarms(self, records: Sequence[AlarmRecord], lines: Sequence[AlarmLine]) -> None:
        if self.away:
            raise StoreError("the fake is away")
        for record in records:
            self._keep_alarm(record)
        for line in lines:
            self.alarm_lines.append(replace(line, number=len(self.alarm_lines) + 1))

    async def change_alarm(self, before: AlarmRecord, after: AlarmRecord, action: str, *, by: Author) -> None:
        if self.away:
            raise StoreError("the fake is away")
        self._keep_alarm(after)
        self.audit.append((by.username, after.alarm_id, by.request_id))

    def _keep_alarm(self, record: AlarmRecord) -> None:
        if record.state is AlarmState.NORMAL:
            self.alarms.pop(record.alarm_id, None)
        else:
            self.alarms[record.alarm_id] = record

    async def alarm_history(self, wanted: HistoryWanted) -> list[AlarmLine]:
        found = [
            line
            for line in reversed(self.alarm_lines)
            if wanted.kind in (None, line.kind)
            and wanted.subject in (None, line.subject)
            and (wanted.before is None or line.number < wanted.before)
        ]
        return found[: wanted.limit]

    def _program(self, program_id: str) -> DrProgram:
        if program_id not in self.programs:
            raise NotFoundError(f"no program {program_id}")
        return self.programs[program_id]


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


def decision(tick: int = 0, **changes: Any) -> DecisionRecord:
    made = DecisionRecord(
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
        envelope_kw=41.5,
        envelope_in_s=30.0,
        load_kw=27.5,
        pv_kw=-1.0,
        battery_kw=2.0,
        ev_kw=3.0,
        base_kw=4.0,
        deferred_kw=5.5,
        curtailed_kw=0.0,
    )
    return replace(made, **changes)


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


def program(program_id: str = "cap-1", **changes: Any) -> DrProgram:
    values: dict[str, Any] = {
        "program_id": program_id,
        "name": f"Program {program_id}",
        "kind": ProgramKind.FIXED_CAP,
        "feeder_ids": ("feeder-1", "feeder-2"),
        "start": T0,
        "end": T0 + timedelta(days=30),
        "target_shed_kw": 20.0,
    }
    return DrProgram(**(values | changes))


def override(device_id: str = "ev-1", *, until_h: float = 1, **changes: Any) -> DeviceOverride:
    values: dict[str, Any] = {
        "device_id": device_id,
        "kind": OverrideKind.HOLD,
        "p_kw": 3.5,
        "reason": "inspection",
        "created_by": "alice",
        "created_at": T0 - timedelta(minutes=1),
        "until": T0 + timedelta(hours=until_h),
    }
    return DeviceOverride(**(values | changes))


def memory(feeder_id: str = "feeder-1", *, at_s: float = 0, epoch: int = 1, payload: bytes = b"{}") -> MemoryRecord:
    return MemoryRecord(feeder_id=feeder_id, at_ms=T0_MS + round(at_s * 1000), epoch=epoch, payload=payload)
