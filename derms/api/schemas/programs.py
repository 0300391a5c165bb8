"""Demand-response programs."""

from enum import StrEnum

import msgspec

from derms.api.paging import PageQuery
from derms.api.schemas.common import Instant
from derms.model import DrProgram, ProgramKind


class ProgramState(StrEnum):
    """Where a DR program stands."""

    INACTIVE = "inactive"
    """It is switched off."""
    WAITING = "waiting"
    """It is switched on, and its window has not begun."""
    BEARING = "bearing"
    """It bears on its feeders now."""
    OVER = "over"


class ProgramOut(msgspec.Struct, frozen=True, kw_only=True):
    """One DR program."""

    program_id: str
    name: str
    kind: ProgramKind
    feeder_ids: list[str]
    """Empty: all feeders."""
    start: Instant
    end: Instant
    """The first instant that is outside."""
    target_shed_kw: float
    """Of a fixed cap: to be taken once, from the feeders together [kW]."""
    incentive_per_kwh: float
    """What shedding earns [currency/kWh]."""
    penalty_per_kwh: float
    """What not shedding costs [currency/kWh]."""
    active: bool
    """Whether it is switched on."""
    state: ProgramState


def program_out(program: DrProgram, state: ProgramState) -> ProgramOut:
    """A program as the API shows it."""
    return ProgramOut(
        program_id=program.program_id,
        name=program.name,
        kind=program.kind,
        feeder_ids=list(program.feeder_ids),
        start=program.start,
        end=program.end,
        target_shed_kw=program.target_shed_kw,
        incentive_per_kwh=program.incentive_per_kwh,
        penalty_per_kwh=program.penalty_per_kwh,
        active=program.active,
        state=state,
    )


class ProgramsQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which DR programs, sorted by `program_id`, `name`, `start` or `end`."""

    state: ProgramState | None = None
    """Where they stand; null: all."""
    kind: ProgramKind | None = None
    feeder_id: str | None = None
    """Only those that bear on this feeder by its name; those for all feeders do too."""


class ProgramsOut(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /api/programs`."""

    programs: list[ProgramOut]
    next_cursor: str | None = None
    """For the next page; null: this was the last."""


class ProgramIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`POST /api/programs`: a fixed cap has a `target_shed_kw`, a price-elastic one an incentive or a penalty."""

    name: str
    kind: ProgramKind
    feeder_ids: list[str] = []
    """Empty: all feeders."""
    start: Instant
    end: Instant
    """After `start` and after now."""
    target_shed_kw: float = 0.0
    incentive_per_kwh: float = 0.0
    penalty_per_kwh: float = 0.0
    active: bool = False
    """Whether it is switched on at once."""


class ProgramAmendIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`PATCH /api/programs/{program_id}`: what stands there replaces what was; its kind stays."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    feeder_ids: list[str] | msgspec.UnsetType = msgspec.UNSET
    start: Instant | msgspec.UnsetType = msgspec.UNSET
    end: Instant | msgspec.UnsetType = msgspec.UNSET
    target_shed_kw: float | msgspec.UnsetType = msgspec.UNSET
    incentive_per_kwh: float | msgspec.UnsetType = msgspec.UNSET
    penalty_per_kwh: float | msgspec.UnsetType = msgspec.UNSET
