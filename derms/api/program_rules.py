"""What a DR program must be, when it is made, amended and switched. Pure."""

from collections.abc import Set
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from derms.api.event_rules import check_feeders, check_line, check_magnitude, outside_of_time
from derms.api.schemas.programs import ProgramAmendIn, ProgramIn, ProgramState
from derms.errors import ConflictError, UsageError
from derms.model import DrProgram, ProgramKind

MAX_LENGTH = timedelta(days=3660)
_MAX_NAME = 120
_MAX_PRICE = 1e6
"""A price above this is a mistake [currency/kWh]."""


def state_of(program: DrProgram, now: datetime) -> ProgramState:
    """Where a program stands; its end is not inside."""
    if program.end <= now:
        return ProgramState.OVER
    if not program.active:
        return ProgramState.INACTIVE
    return ProgramState.WAITING if now < program.start else ProgramState.BEARING


def to_program(asked: ProgramIn, *, feeder_ids: Set[str], now: datetime, program_id: str) -> DrProgram:
    """Check what was asked for and make the program of it.

    Raises:
        UsageError: It cannot be meant.
        NotFoundError: A feeder does not exist.
    """
    return _checked(
        DrProgram(
            program_id=program_id,
            name=asked.name,
            kind=asked.kind,
            feeder_ids=check_feeders(asked.feeder_ids, feeder_ids),
            start=_utc(asked.start),
            end=_utc(asked.end),
            target_shed_kw=asked.target_shed_kw,
            incentive_per_kwh=asked.incentive_per_kwh,
            penalty_per_kwh=asked.penalty_per_kwh,
            active=asked.active,
        ),
        now,
    )


def amended(program: DrProgram, asked: ProgramAmendIn, *, feeder_ids: Set[str], now: datetime) -> DrProgram:
    """The program as it is asked to be.

    Raises:
        UsageError: It cannot be meant.
        NotFoundError: A feeder does not exist.
        ConflictError: It bears now, and what it asks for was taken when it began.
    """
    changes: dict[str, Any] = {
        name: value
        for name in asked.__struct_fields__
        if not isinstance(value := getattr(asked, name), msgspec.UnsetType)
    }
    if not changes:
        raise UsageError("the body changes nothing", why="it is empty", next_step="send the fields to change")
    if "feeder_ids" in changes:
        changes["feeder_ids"] = check_feeders(changes["feeder_ids"], feeder_ids)
    for edge in {"start", "end"} & changes.keys():
        changes[edge] = _utc(changes[edge])
    frozen = sorted(name for name in changes.keys() - {"name", "end"} if changes[name] != getattr(program, name))
    if frozen and state_of(program, now) is ProgramState.BEARING:
        raise ConflictError(
            f"{', '.join(frozen)} of {program.program_id} stay as they are",
            why="it bears now, and what is to be shed was taken when it began",
            next_step="deactivate it, amend it, and activate it again",
        )
    return _checked(replace(program, **changes), now)


def switched(program: DrProgram, active: bool, now: datetime) -> DrProgram:
    """The program, on or off.

    Raises:
        ConflictError: It is over.
    """
    if active and program.end <= now:
        raise ConflictError(
            f"{program.program_id} cannot be activated",
            why=f"it was over at {program.end.isoformat()}",
            next_step="amend its end first",
        )
    return replace(program, active=active)


def _checked(program: DrProgram, now: datetime) -> DrProgram:
    if not program.name.strip():
        raise UsageError("the name is empty", why="people must be able to call it something", next_step="name it")
    check_line("name", program.name, _MAX_NAME)
    if program.end <= program.start:
        raise UsageError(
            f"end is {program.end.isoformat()}",
            why=f"it must be after start, {program.start.isoformat()}",
            next_step="correct it",
        )
    if program.end <= now:
        raise UsageError(
            f"end is {program.end.isoformat()}", why=f"that is past, now is {now.isoformat()}", next_step="end later"
        )
    if program.end - program.start > MAX_LENGTH:
        raise UsageError(
            f"the program lasts {program.end - program.start}",
            why=f"at most {MAX_LENGTH.days} days are taken",
            next_step="end earlier",
        )
    _check_amounts(program)
    return program


def _check_amounts(program: DrProgram) -> None:
    prices = {"incentive_per_kwh": program.incentive_per_kwh, "penalty_per_kwh": program.penalty_per_kwh}
    check_magnitude("target_shed_kw", program.target_shed_kw)
    for name, value in prices.items():
        if not 0 <= value <= _MAX_PRICE:
            raise UsageError(f"{name} is {value:g}", why=f"it must be 0 to {_MAX_PRICE:g}", next_step="correct it")
    if program.kind is ProgramKind.FIXED_CAP:
        if program.target_shed_kw == 0:
            raise UsageError(
                "target_shed_kw is 0", why="a fixed cap says how much is to be shed", next_step="send more than 0"
            )
    elif program.target_shed_kw != 0:
        raise UsageError(
            f"target_shed_kw is {program.target_shed_kw:g}",
            why="what a price-elastic program sheds follows from its price",
            next_step="leave it out",
        )
    elif not any(prices.values()):
        raise UsageError(
            "the program has no price",
            why="what a price-elastic program sheds follows from it",
            next_step="send incentive_per_kwh or penalty_per_kwh",
        )


def _utc(at: datetime) -> datetime:
    try:
        return at.astimezone(UTC)
    except OverflowError as error:
        raise outside_of_time("the program") from error
