"""Domain values to rows of the log tables, and rows of the registry back to domain values. Pure.

Instants go to the server as whole microseconds since 2000-01-01 UTC: that is what a `timestamptz` is in the binary
protocol, so epoch milliseconds need no `datetime` on the way, and lose nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from derms.model import (
    DecisionRecord,
    Device,
    DeviceKind,
    DeviceOverride,
    Dialect,
    DrEvent,
    DrProgram,
    Enrolment,
    Feeder,
    FeederMode,
    Origin,
    OverrideKind,
    Policy,
    ProgramKind,
    Setpoint,
)
from derms.ports import MemoryRecord, Sample

Row = tuple[object, ...]

MS_PER_DAY = 86_400_000
FIRST_DAY = 10_957
"""2000-01-01, in days since 1970: an older measurement is a broken clock."""
LAST_DAY = 84_006
"""2200-01-01, likewise."""
_PG_EPOCH_MS = FIRST_DAY * MS_PER_DAY
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogTable:
    """A table that bulk writes go to."""

    name: str
    columns: tuple[str, ...]
    types: tuple[str, ...]
    """How each column travels, as PostgreSQL names it."""
    to_row: Callable[[Any], Row]
    """One domain value to one row."""
    at_ms: Callable[[Any], int]
    """The instant that says in which partition a value belongs [epoch ms]."""
    part: str
    """How long its partitions are, in PostgreSQL's words."""

    @property
    def staging(self) -> str:
        """The session's temporary table of the same shape."""
        return f"staging_{self.name}"


def _instant(at_ms: int) -> int:
    return (at_ms - _PG_EPOCH_MS) * 1000


def _sample(sample: Sample) -> Row:
    said = sample.telemetry
    if not FIRST_DAY <= said.at_ms // MS_PER_DAY < LAST_DAY:
        raise ValueError(f"measured at {said.at_ms} ms, which is no date of this or the next century")
    return (
        said.device_id,
        _instant(said.at_ms),
        -1 if said.seq is None else said.seq,
        _instant(sample.received_ms),
        sample.feeder_id,
        said.p_actual_kw,
        said.p_setpoint_kw,
        said.soc,
        said.p_max_kw,
        said.capacity_kwh,
        None if said.ready_by_ms is None else _instant(said.ready_by_ms),
        said.applied_epoch,
        said.applied_seq,
        said.status.value,
        said.energy_needed_kwh,
    )


def _setpoint(setpoint: Setpoint) -> Row:
    return (
        setpoint.device_id,
        _instant(setpoint.issued_at_ms),
        setpoint.epoch,
        setpoint.seq,
        _instant(setpoint.valid_until_ms),
        setpoint.kind.value,
        setpoint.p_setpoint_kw,
        setpoint.reason,
    )


def _decision(record: DecisionRecord) -> Row:
    return (
        record.feeder_id,
        _instant(record.at_ms),
        record.epoch,
        record.tick,
        record.mode.value,
        record.import_limit_kw,
        record.limit_source,
        record.measured_kw,
        record.background_kw,
        record.reserved_kw,
        record.headroom_kw,
        record.commanded_kw,
        record.shortfall_kw,
        record.setpoints_sent,
        record.duration_ms,
        record.envelope_kw,
        record.envelope_in_s,
        record.load_kw,
        record.export_limit_kw,
        record.export_source,
        record.export_shortfall_kw,
        record.pv_kw,
        record.battery_kw,
        record.ev_kw,
        record.base_kw,
        record.deferred_kw,
        record.curtailed_kw,
    )


def _table(name: str, to_row: Callable[[Any], Row], at_ms: Callable[[Any], int], part: str, columns: str) -> LogTable:
    pairs = [column.split(":") for column in columns.split()]
    return LogTable(
        name=name,
        to_row=to_row,
        at_ms=at_ms,
        part=part,
        columns=tuple(pair[0] for pair in pairs),
        types=tuple(pair[1] for pair in pairs),
    )


TELEMETRY = _table(
    "telemetry",
    _sample,
    lambda sample: int(sample.telemetry.at_ms),
    "day",
    "device_id:text at:int8 seq:int8 received_at:int8 feeder_id:text p_actual_kw:float8 p_setpoint_kw:float8 "
    "soc:float8 p_max_kw:float8 capacity_kwh:float8 ready_by:int8 applied_epoch:int8 applied_seq:int8 status:text "
    "energy_needed_kwh:float8",
)
SETPOINTS = _table(
    "setpoints",
    _setpoint,
    lambda setpoint: int(setpoint.issued_at_ms),
    "day",
    "device_id:text issued_at:int8 epoch:int8 seq:int8 valid_until:int8 kind:text p_setpoint_kw:float8 reason:text",
)
DECISIONS = _table(
    "decisions",
    _decision,
    lambda record: int(record.at_ms),
    "month",
    "feeder_id:text at:int8 epoch:int8 tick:int8 mode:text import_limit_kw:float8 limit_source:text "
    "measured_kw:float8 background_kw:float8 reserved_kw:float8 headroom_kw:float8 commanded_kw:float8 "
    "shortfall_kw:float8 setpoints_sent:int4 duration_ms:float8 envelope_kw:float8 envelope_in_s:float8 "
    "load_kw:float8 export_limit_kw:float8 export_source:text export_shortfall_kw:float8 pv_kw:float8 "
    "battery_kw:float8 ev_kw:float8 base_kw:float8 deferred_kw:float8 curtailed_kw:float8",
)
LOG_TABLES = (TELEMETRY, SETPOINTS, DECISIONS)


def feeder_of(row: Mapping[str, Any]) -> Feeder:
    """A row of `feeders`."""
    return Feeder(**{**row, "mode": FeederMode(row["mode"]), "policy": Policy(row["policy"])})


def device_of(row: Mapping[str, Any]) -> Device:
    """A row of `devices`."""
    enums = {
        "kind": DeviceKind(row["kind"]),
        "origin": Origin(row["origin"]),
        "enrolment": Enrolment(row["enrolment"]),
        "dialect": Dialect(row["dialect"]),
    }
    return Device(**{**row, **enums})


def event_of(row: Mapping[str, Any]) -> DrEvent:
    """A row of `events`."""
    return DrEvent(**_windowed(row))


def program_of(row: Mapping[str, Any]) -> DrProgram:
    """A row of `dr_programs`."""
    return DrProgram(**_windowed(row) | {"kind": ProgramKind(row["kind"])})


def override_of(row: Mapping[str, Any]) -> DeviceOverride:
    """A row of `device_overrides`."""
    return DeviceOverride(**{**row, "kind": OverrideKind(row["kind"])})


def memory_row(memory: MemoryRecord) -> dict[str, object]:
    """What a row of `engine_memory` is made of."""
    at = _UNIX_EPOCH + timedelta(milliseconds=memory.at_ms)
    return {"feeder_id": memory.feeder_id, "at": at, "epoch": memory.epoch, "memory": memory.payload}


def memory_of(row: Mapping[str, Any]) -> MemoryRecord:
    """A row of `engine_memory`."""
    return MemoryRecord(
        feeder_id=row["feeder_id"],
        at_ms=(row["at"] - _UNIX_EPOCH) // timedelta(milliseconds=1),
        epoch=row["epoch"],
        payload=row["memory"].encode(),
    )


def setpoint_of(row: Mapping[str, Any]) -> Setpoint:
    """A row of `setpoints`."""
    return Setpoint(
        device_id=row["device_id"],
        kind=DeviceKind(row["kind"]),
        p_setpoint_kw=row["p_setpoint_kw"],
        issued_at_ms=round(row["issued_at"].timestamp() * 1000),
        valid_until_ms=round(row["valid_until"].timestamp() * 1000),
        epoch=row["epoch"],
        seq=row["seq"],
        reason=row["reason"],
    )


def _windowed(row: Mapping[str, Any]) -> dict[str, Any]:
    renamed = {"start": row["starts_at"], "end": row["ends_at"], "feeder_ids": tuple(row["feeder_ids"])}
    return {key: value for key, value in row.items() if key not in ("starts_at", "ends_at")} | renamed


def days_of(table: LogTable, values: Sequence[object]) -> set[int]:
    """The days, counted from 1970, that values need a partition for."""
    days = {table.at_ms(value) // MS_PER_DAY for value in values}
    return {day for day in days if FIRST_DAY <= day < LAST_DAY}
