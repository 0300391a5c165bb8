"""A SunSpec inverter or battery as a driver.

Signs: SunSpec counts generation positive, here drawn power is positive; they are turned in `_measured` and `_wish` and
nowhere else. What was found out about the device is found out anew after every reconnection.
"""

import logging
import math
from dataclasses import dataclass, replace

from agent.driver import Capabilities, Reading
from agent.drivers.sunspec.chain import Place, Registers, find_models
from agent.drivers.sunspec.controls import Control, DerLimit, DerSetpoint, OldLimit, Plan, Wish
from agent.drivers.sunspec.measures import Measures, read_limits, read_measures
from derms.errors import DeviceFaultError
from derms.model import DeviceKind
from derms.ports import Clock

_log = logging.getLogger(__name__)

_RENEW_S = 1.0
"""A deadline that moved by less is not written again [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What is known of the device on this connection."""

    connection: int
    places: dict[int, Place]
    limit_w: float
    """What 100 % of its power is [W]."""
    charge_limit_w: float
    control: Control | None


class SunspecDriver:
    """Implements `agent.driver.Driver`.

    Args:
        registers: The device.
        capabilities: By configuration; PV or a battery.
        clock: Tells when a reversion must be written again.
        base: Where its map begins; None: looked for.
        reversion: Use its reversion timer.
    """

    def __init__(
        self,
        registers: Registers,
        capabilities: Capabilities,
        *,
        clock: Clock,
        base: int | None = None,
        reversion: bool = True,
    ) -> None:
        self._registers = registers
        self._capabilities = capabilities
        self._clock = clock
        self._base = base
        self._reversion = reversion
        self._reverts = reversion
        self._found: _Found | None = None
        self._deadline_s = math.nan

    def capabilities(self) -> Capabilities:
        """By configuration."""
        return self._capabilities

    async def read(self) -> Reading:
        """Measure: power, state of charge, status."""
        found = await self._look()
        try:
            return self._measured(await read_measures(self._registers, found.places), found)
        except DeviceFaultError:
            self._found = None  # perhaps it is another device by now
            raise

    async def apply(self, p_kw: float | None, seconds: float) -> None:
        """Write what is not so already, and see that it stands.

        The device's timer is left to run while the deadline stays where it is: it counts down with the lease.
        """
        found = await self._look()
        if found.control is None:
            if p_kw is None:
                return
            raise DeviceFaultError(
                f"{self._registers.where} takes no orders",
                why=f"a {self._capabilities.kind.value} needs model "
                f"{'704' if self._capabilities.kind is DeviceKind.BATTERY else '704 or 123'}; "
                f"it has {', '.join(map(str, sorted(found.places)))}",
                next_step="use the modbus driver with a map of your own",
            )
        try:
            await self._command(found, found.control, p_kw, seconds)
        except DeviceFaultError:
            self._found = None
            raise

    async def close(self) -> None:
        """Hang up. The device goes on, for as long as its timer says."""
        await self._registers.close()

    def _measured(self, measures: Measures, found: _Found) -> Reading:
        return Reading(
            p_actual_kw=0.0 - measures.generation_kw,
            soc=measures.soc,
            status=measures.status,
            p_max_kw=found.limit_w / 1000,
            capacity_kwh=measures.capacity_kwh,
        )

    def _wish(self, p_kw: float | None, seconds: float, found: _Found) -> Wish:
        default_kw = self._capabilities.default_power_kw
        return Wish(
            watts=None if p_kw is None else -1000 * p_kw,
            after_w=None if default_kw is None else -1000 * default_kw,
            seconds=seconds,
            limit_w=found.limit_w,
            charge_limit_w=found.charge_limit_w,
        )

    async def _look(self) -> _Found:
        """What the device has; asked again when the connection is another."""
        if self._found is not None and self._found.connection == self._registers.connections:
            return self._found
        self._found = None
        self._deadline_s = math.nan
        self._reverts = self._reversion
        places = await find_models(self._registers, self._base)
        limit_w, charge_limit_w = await self._limits(places)
        control = await self._control_of(places)
        self._found = _Found(
            connection=self._registers.connections,
            places=places,
            limit_w=limit_w,
            charge_limit_w=charge_limit_w,
            control=control,
        )
        _log.info(
            "found a SunSpec device",
            extra={
                "device": self._registers.where,
                "models": sorted(places),
                "limit_w": self._found.limit_w,
                "controls": control.model if control is not None else None,
            },
        )
        return self._found

    async def _limits(self, places: dict[int, Place]) -> tuple[float, float]:
        """What 100 % is, generating and charging [W]; by configuration where the device does not say."""
        c = self._capabilities
        limit_w, charge_limit_w = await read_limits(self._registers, places)
        return (
            limit_w or 1000 * max(c.p_export_max_kw, c.p_import_max_kw),
            charge_limit_w or limit_w or 1000 * c.p_import_max_kw,
        )

    async def _control_of(self, places: dict[int, Place]) -> Control | None:
        if self._capabilities.kind is DeviceKind.BATTERY:
            return DerSetpoint() if DerSetpoint.model in places else None
        if DerLimit.model in places and OldLimit.model in places:
            # some have the newer model without filling it
            block = await places[DerLimit.model].read(self._registers, DerLimit.words)
            try:
                DerLimit().plan(
                    block, Wish(watts=0, after_w=None, seconds=1, limit_w=1, charge_limit_w=1), reversion=True
                )
            except DeviceFaultError:
                return OldLimit()
        if DerLimit.model in places:
            return DerLimit()
        return OldLimit() if OldLimit.model in places else None

    async def _command(self, found: _Found, control: Control, p_kw: float | None, seconds: float) -> None:
        place = found.places[control.model]
        block = await place.read(self._registers, control.words)
        plan = control.plan(block, self._wish(p_kw, seconds, found), reversion=self._reverts)
        deadline_s = self._clock.monotonic_s() + seconds
        unmoved = deadline_s == self._deadline_s or abs(deadline_s - self._deadline_s) < _RENEW_S
        if plan.stands(block) and (unmoved or not plan.writes):
            return
        # a percentage is of a setting that an installer may have changed meanwhile
        limit_w, charge_limit_w = await self._limits(found.places)
        if (limit_w, charge_limit_w) != (found.limit_w, found.charge_limit_w):
            self._found = found = replace(found, limit_w=limit_w, charge_limit_w=charge_limit_w)
            plan = control.plan(block, self._wish(p_kw, seconds, found), reversion=self._reverts)
        await self._carry_out(plan, place)
        block = await place.read(self._registers, control.words)
        if not plan.stands(block):
            wrong = [(point.name, block.raw(point), raw) for point, raw in plan.expect if block.raw(point) != raw]
            name, stands, wanted = wrong[0]
            raise DeviceFaultError(
                f"{self._registers.where}: {name} is {stands} after it was set to {wanted}",
                why="the device took the write and did not follow it",
                next_step="check that remote control is enabled on it, and that nobody else commands it",
            )
        if self._reverts and not plan.reverts(block):
            self._without_reversion("its reversion registers do not keep what is written")
        self._deadline_s = deadline_s

    async def _carry_out(self, plan: Plan, place: Place) -> None:
        for write in plan.writes:
            if write.optional and not self._reverts:
                continue
            try:
                await self._registers.write(place.address + write.offset, write.words)
            except DeviceFaultError as error:
                if not write.optional:
                    raise
                self._without_reversion(str(error))

    def _without_reversion(self, why: str) -> None:
        """Go on without the device's timer: the agent's own enforcement is all there is."""
        self._reverts = False
        _log.warning(
            "the device does not revert by itself: when this agent dies, what it was told last stays in force",
            extra={"device": self._registers.where, "why": why},
        )
