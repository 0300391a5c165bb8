"""What a controller that does not command does to be able to: it follows what others say, and reads what they left.

Who commands changes events, programs, overrides and the registry by itself; who does not reads them from the store,
a moment later, so that its answers are those of the feeder and not of the day it was started.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from derms.control.loop import ControlLoop
from derms.errors import ConfigError, StoreError
from derms.fleet import Fleet
from derms.leadership import Leadership
from derms.model import Device, DeviceOverride, DrEvent, DrProgram, Feeder, Setpoint
from derms.ports import (
    Authority,
    Clock,
    Duty,
    EventReader,
    MemoryStore,
    OverrideStore,
    ProgramStore,
    RegistryStore,
)

_LOOK_S = 0.5
"""How often a controller that does not command looks whether somebody has changed something [s]."""
_ANEW_S = 60.0
"""It reads everything again this often in any case [s]."""

log = logging.getLogger(__name__)


class LeftStore(RegistryStore, OverrideStore, EventReader, ProgramStore, MemoryStore, Protocol):
    """What a controller leaves behind."""

    async def live_setpoints(self, now: datetime) -> list[Setpoint]:
        """The newest lease of each device that has one which still lives at `now`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Left:
    """What is in the store."""

    feeders: list[Feeder]
    devices: list[Device]
    events: list[DrEvent]
    programs: list[DrProgram]
    overrides: list[DeviceOverride]


class Hearsay:
    """Takes in setpoints that others have sent: the leases that live are known before any is taken over.

    Args:
        fleet: Whose leases they are.
        loop: Knows which tree a device hangs in.
        authority: Says what is ours.
        heard: Told the epoch of each.
        clock: The controller's clocks.
    """

    def __init__(
        self, *, fleet: Fleet, loop: ControlLoop, authority: Authority, heard: Callable[[int], None], clock: Clock
    ) -> None:
        self._fleet = fleet
        self._loop = loop
        self._authority = authority
        self._heard = heard
        self._clock = clock

    def take(self, row: int, lease: Setpoint) -> None:
        """Take one in."""
        self._heard(lease.epoch)
        left_ms = min(lease.valid_until_ms - self._clock.now_ms(), lease.valid_until_ms - lease.issued_at_ms)
        root = self._loop.root_of(self._fleet.devices[row].feeder_id)
        commands = root is not None and self._authority.duty(root) is not Duty.STANDS_BY
        if commands and lease.epoch == self._authority.epoch:
            return  # our own
        now_s, left_s = self._clock.monotonic_s(), left_ms / 1000.0
        if not commands:
            if left_s > 0.0:
                self._fleet.overheard(row, lease, now_s=now_s, left_s=left_s)
            return
        assert root is not None
        if left_s > 0.0:
            self._fleet.feared(row, lease, now_s=now_s, left_s=left_s)
        else:
            self._fleet.tell_again([row])
        self._authority.outranked(root, lease.epoch)
        # Whoever connects now finds it retained in place of ours.
        self._loop.wake()


class Succession:
    """Brings what this controller knows up to what the store holds.

    Args:
        store: Where everything is.
        fleet: The live state.
        loop: The control loop.
        leadership: Who commands.
        clock: The controller's clocks.
        on_registered: Told each registration that the one before us has not stored.
        on_followed: Reads further things that those who command keep in the store.
    """

    def __init__(
        self,
        *,
        store: LeftStore,
        fleet: Fleet,
        loop: ControlLoop,
        clock: Clock,
        on_registered: Callable[[Device], None],
        on_followed: Callable[[], Awaitable[None]],
    ) -> None:
        self._store = store
        self._fleet = fleet
        self._loop = loop
        self._clock = clock
        self._on_registered = on_registered
        self._on_followed = on_followed

    async def begin(self) -> None:
        """Read events, programs and overrides, so that the first answers are right, whoever commands.

        Raises:
            StoreError: They cannot be read.
        """
        self._apply(await self._read(devices=False))

    async def take_over(self, roots: Collection[str]) -> None:
        """Read all that the one before us left, so that the next tick goes on from there.

        Raises:
            StoreError: It cannot be read; nothing is sent then.
        """
        left = await self._read()
        now = self._now()
        leases = await self._store.live_setpoints(now)
        memories = [one for one in await self._store.load_memories() if one.feeder_id in roots]
        await self._on_followed()
        self._apply(left)
        now_s, now_ms = self._clock.monotonic_s(), self._clock.now_ms()
        resumed = self._fleet.resume(leases, now_s=now_s, now_ms=now_ms)
        self._loop.recall(memories)
        stored = {device.device_id for device in left.devices}
        for device in self._fleet.devices:
            if device.device_id not in stored:
                self._on_registered(device)
        self._loop.command_anew(roots)
        log.info(
            "What was left is taken over",
            extra={"feeders": sorted(roots), "devices": len(self._fleet), "leases": resumed,
                   "events": len(left.events), "memories": len(memories)},
        )  # fmt: skip

    async def follow(self, leadership: Leadership) -> None:
        """Read what others have changed, until cancelled.

        Who commands looks too: somebody may have been asked just before it took over. The registrations of devices,
        which may be many, it leaves alone where it commands everything.
        """
        seen: str | None = None
        read_s = float("-inf")
        while True:
            await asyncio.sleep(_LOOK_S)
            changes, now_s, rules = leadership.changes, self._clock.monotonic_s(), leadership.commands_all
            if changes is None or (changes == seen and (rules or now_s - read_s < _ANEW_S)):
                continue
            before = (self._loop.changes, self._fleet.registry_version)
            try:
                left = await self._read(devices=not rules)
                await self._on_followed()
            except StoreError as error:
                log.debug("What others have changed cannot be read: %s", error)
                continue
            if (self._loop.changes, self._fleet.registry_version) != before:
                continue  # somebody has changed something here meanwhile: what was read may be older
            self._apply(left)
            seen, read_s = changes, now_s

    async def _read(self, *, devices: bool = True) -> _Left:
        now = self._now()
        return _Left(
            feeders=await self._store.load_feeders(),
            devices=await self._store.load_devices() if devices else [],
            events=await self._store.unfinished_events(now),
            programs=await self._store.load_programs(),
            overrides=await self._store.live_overrides(now),
        )

    def _apply(self, left: _Left) -> None:
        """Make what is here what is there; what is the same already is left alone."""
        loop, fleet = self._loop, self._fleet
        known = {key: state.feeder for key, state in loop.feeders.items()}
        if {feeder.feeder_id: feeder for feeder in left.feeders} != known:
            try:
                loop.set_feeders(left.feeders)
            except ConfigError as error:
                log.error("The feeders in the store are no forest: %s", error)
        for device in left.devices:
            row = fleet.row(device.device_id)
            if row is None:
                fleet.register(device, spoke=True)
            elif _as_told(fleet.devices[row], device) != fleet.devices[row]:
                fleet.register(_as_told(fleet.devices[row], device), spoke=fleet.spoke(row))
        events = {event.event_id: event for event in left.events}
        for event_id in loop.events.keys() - events.keys():
            loop.drop_event(event_id)
        for event in events.values():
            if loop.events.get(event.event_id) != event:
                loop.add_event(event)
        programs = {program.program_id: program for program in left.programs}
        for program_id in loop.programs.keys() - programs.keys():
            loop.drop_program(program_id)
        for program in programs.values():
            if loop.programs.get(program.program_id) != program:
                loop.put_program(program)
        overrides = {override.device_id: override for override in left.overrides}
        for device_id in loop.overrides.keys() - overrides.keys():
            loop.release(device_id)
        for override in overrides.values():
            if loop.overrides.get(override.device_id) != override and fleet.row(override.device_id) is not None:
                loop.put_override(override)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now_ms() / 1000.0, tz=UTC)


def _as_told(here: Device, there: Device) -> Device:
    """A registration as it is in the store, with what was learnt here of how the device speaks."""
    return replace(there, dialect=here.dialect, soc_in_percent=here.soc_in_percent or there.soc_in_percent)
