"""From a power and a time to charging profiles: what a charger must be told, given what it was told. Pure.

::

    stack level 1   the lease   TxProfile in a transaction, TxDefaultProfile before one; ends with the lease
    stack level 0   default     TxDefaultProfile without an end

So a charger that hears nothing more falls from the lease to default control by itself, however the lease ends.
A charger that knows no profiles of a transaction is limited as a whole (`station`): ChargingStationMaxProfile, alike.
"""

import math
from dataclasses import dataclass
from typing import Literal

Purpose = Literal["transaction", "default", "station"]
RateUnit = Literal["A", "W"]

_RENEW_S = 1.0
"""A deadline that moved by less is not told again [s]."""
_TENTHS = 10
"""Limits have one decimal, by the protocol."""
_HAIR = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How a connector's limits are said."""

    unit: RateUnit
    phases: int
    voltage_v: float

    def limit(self, p_kw: float) -> float:
        """A power as a limit, never above it: tenths of an ampere for each phase, or whole tenths of a watt."""
        value = max(p_kw, 0.0) * 1000
        if self.unit == "A":
            value /= self.voltage_v * self.phases
        return math.floor(value * _TENTHS + _HAIR) / _TENTHS


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One charging profile, in no version's words yet."""

    profile_id: int
    stack_level: int
    purpose: Purpose
    limit: float
    unit: RateUnit
    phases: int
    seconds: int | None
    """None: without an end."""
    transaction: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a connector was told since it connected."""

    base: float | None = None
    """The limit of the profile without an end; None: it has none."""
    lease: float | None = None
    """The limit of the one with an end."""
    deadline_s: float = -math.inf
    """When that one ends [s]."""
    transaction: str | None = None
    """The transaction it is for."""
    known: bool = False
    """False: nothing is known of it, as after a connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """What to tell, in order, and what is then known."""

    clear: tuple[int, ...]
    """Profile ids to be taken back; that they are not there is no error."""
    install: tuple[Profile, ...]
    told: Told


class Plan:
    """The profiles of one connector.

    Args:
        connector: Its number, from 1.
        rate: How limits are said.
        default_kw: Its default control [kW]; None: it charges as it likes.
        station: Limit the station as a whole; for stations with one connector.
    """

    def __init__(self, *, connector: int, rate: Rate, default_kw: float | None, station: bool) -> None:
        self._rate = rate
        self._default_kw = default_kw
        self._purpose: Purpose = "station" if station else "default"
        self._base_id = 1000 + connector
        self._lease_id = 2000 + connector
        self._transaction_id = 3000 + connector

    def steps(
        self, told: Told, p_kw: float | None, seconds: float, *, transaction: str | None, now_s: float
    ) -> Steps | None:
        """What to tell for a power and a time; None: it was told already."""
        if math.isinf(seconds):
            return self._without_end(told, p_kw)
        base = None if self._default_kw is None else self._rate.limit(self._default_kw)
        lease = None if p_kw is None else self._rate.limit(p_kw)
        here = transaction if self._purpose == "default" else None
        deadline_s = now_s + seconds
        moved = abs(deadline_s - told.deadline_s) >= _RENEW_S
        same = told.lease == lease and told.transaction == here and not moved
        if told.known and same and told.base == base:
            return None
        clear, install = self._base_steps(told, base)
        if lease is not None:
            own_id, purpose = (self._lease_id, self._purpose) if here is None else (self._transaction_id, "transaction")
            left_s = max(1, math.floor(seconds))
            install = (*install, self._profile(own_id, 1, purpose, lease, left_s, here))
        return Steps(
            clear=clear,
            install=install,
            told=Told(base=base, lease=lease, deadline_s=deadline_s, transaction=here, known=True),
        )

    def _without_end(self, told: Told, p_kw: float | None) -> Steps | None:
        base = None if p_kw is None else self._rate.limit(p_kw)
        if told.known and told.lease is None and told.base == base:
            return None
        clear, install = self._base_steps(told, base)
        leases: tuple[int, ...] = (self._lease_id,)
        if self._purpose == "default":
            leases = (self._lease_id, self._transaction_id)
        if told.known and told.lease is None:
            leases = ()
        return Steps(clear=(*clear, *leases), install=install, told=Told(base=base, known=True))

    def _base_steps(self, told: Told, base: float | None) -> tuple[tuple[int, ...], tuple[Profile, ...]]:
        if told.known and told.base == base:
            return (), ()
        if base is None:
            return (self._base_id,), ()
        return (), (self._profile(self._base_id, 0, self._purpose, base, None, None),)

    def _profile(
        self, own_id: int, level: int, purpose: Purpose, limit: float, seconds: int | None, transaction: str | None
    ) -> Profile:
        return Profile(
            profile_id=own_id,
            stack_level=level,
            purpose=purpose,
            limit=limit,
            unit=self._rate.unit,
            phases=self._rate.phases,
            seconds=seconds,
            transaction=transaction,
        )
