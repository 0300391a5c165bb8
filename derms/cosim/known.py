"""Everything that has been said and told so far. A line is judged as a whole before anything of it is taken in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
from msgspec import UNSET

from derms.cosim.clock import EPOCH_MS, instant_ms
from derms.cosim.forest import Forest, metered_ms
from derms.cosim.roster import Change, Member, heard, judged
from derms.cosim.said import EventSaid, NodeSaid, OverrideSaid, OverrideWord, ProgramSaid, TickSaid
from derms.cosim.wrong import Code, WrongLine, near
from derms.fleet import Fleet
from derms.model import DeviceKind, DrEvent, DrProgram, OverrideKind, Setpoint

_FIRST = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A line that can be taken in."""

    now_ms: int
    nodes: Mapping[str, NodeSaid]
    metered_ms: Mapping[str, int]
    gone: Sequence[str]
    changes: Mapping[str, Change]
    events: Sequence[DrEvent]
    programs: Sequence[DrProgram]


@dataclass(slots=True, kw_only=True)
class Known:
    """Nodes, devices, events, and the daemon's own bookkeeping of readings and leases."""

    forest: Forest
    fleet: Fleet = field(default_factory=Fleet)
    members: dict[str, Member] = field(default_factory=dict)
    events: dict[str, DrEvent] = field(default_factory=dict)
    programs: dict[str, DrProgram] = field(default_factory=dict)
    first_ms: int = 0
    """The first tick, where the session's own clock starts [ms]."""
    setpoints: int = 0
    roster_version: int = 0
    """Rises when a device comes, goes or moves."""

    def judge(self, line: TickSaid, now_ms: int) -> Judged:
        """Judge what a line says.

        Raises:
            WrongLine: It cannot be so.
        """
        for key, node in line.nodes.items():
            self.forest.check(key, "nodes")
            if node.parent is not UNSET:
                raise WrongLine(
                    Code.UNKNOWN_FIELD,
                    f"node {key}: parent",
                    why="the tree is the first line's",
                    next_step="start another session to change it",
                )
        for key in line.gone:
            if key not in self.members:
                raise WrongLine(
                    Code.UNKNOWN_DEVICE,
                    f"gone: there is no device {key!r}",
                    why="only a device that was here can go",
                    next_step=near(key, self.members),
                )
        back = {key for key in line.gone if key in line.devices and line.devices[key].type is not UNSET}
        last_words = set(line.gone) - back
        changes = {
            key: judged(key, said, self.members.get(key), leaves=key in back, forest=self.forest, now_ms=now_ms)
            for key, said in line.devices.items()
        }
        return Judged(
            now_ms=now_ms,
            nodes=line.nodes,
            metered_ms={key: metered_ms(node, key, now_ms) for key, node in line.nodes.items()},
            gone=line.gone,
            changes={key: change for key, change in changes.items() if key not in last_words},
            events=[self._event(said, now_ms) for said in line.events],
            programs=[self._program(said, now_ms) for said in line.programs],
        )

    def take(self, line: Judged) -> list[str]:
        """Take a line in.

        Returns:
            Devices whose reading was older than the one before, and so was not taken.
        """
        for key, node in line.nodes.items():
            self.forest.take(key, node, line.metered_ms[key])
        for key in line.gone:
            self.members[key].leave()
            self.roster_version += 1
        late = [key for key, change in line.changes.items() if not self._take(key, change, line.now_ms)]
        self.events.update((event.event_id, event) for event in line.events)
        self.programs.update((program.program_id, program) for program in line.programs)
        at = datetime_of(line.now_ms)
        self.events = {key: event for key, event in self.events.items() if event.end > at}
        self.programs = {key: program for key, program in self.programs.items() if program.end > at}
        return late

    def clock_s(self, at_ms: int) -> float:
        """An instant on the session's own clock [s]."""
        return (at_ms - self.first_ms) / 1000.0

    def told(self, name: str, p_kw: float, life_s: float, now_ms: int) -> None:
        """Note a setpoint that goes out."""
        member = self.members[name]
        self.setpoints += 1
        lease = Setpoint(
            device_id=name,
            kind=member.device.kind,
            p_setpoint_kw=p_kw + 0.0,  # + 0.0: nothing is 0, not -0
            issued_at_ms=now_ms + EPOCH_MS,
            valid_until_ms=now_ms + EPOCH_MS + round(life_s * 1000.0),
            epoch=1,
            seq=self.setpoints,
        )
        self.fleet.commanded(member.row, lease, now_s=self.clock_s(now_ms))

    def _event(self, said: EventSaid, now_ms: int) -> DrEvent:
        where = f"event {said.id}"
        for key in said.nodes or ():
            self.forest.check(key, where)
        start_ms = now_ms if said.start is None else instant_ms(said.start, f"{where}: start")
        end_ms = instant_ms(said.end, f"{where}: end")
        return DrEvent(
            event_id=said.id,
            feeder_ids=tuple(said.nodes or self.forest.roots),
            start=datetime_of(start_ms),
            end=datetime_of(end_ms),
            import_limit_kw=said.import_limit_kw,
            export_limit_kw=said.export_limit_kw,
            shed_kw=said.shed_kw,
            created_at=datetime_of(now_ms),
        )

    def _program(self, said: ProgramSaid, now_ms: int) -> DrProgram:
        where = f"program {said.id}"
        for key in said.nodes or ():
            self.forest.check(key, where)
        return DrProgram(
            program_id=said.id,
            name=said.id,
            kind=said.kind,
            feeder_ids=tuple(said.nodes or self.forest.roots),
            start=datetime_of(now_ms if said.start is None else instant_ms(said.start, f"{where}: start")),
            end=datetime_of(instant_ms(said.end, f"{where}: end")),
            target_shed_kw=said.target_shed_kw or 0.0,
            incentive_per_kwh=said.incentive_per_kwh or 0.0,
            penalty_per_kwh=said.penalty_per_kwh or 0.0,
            active=True,
        )

    def _take(self, key: str, change: Change, now_ms: int) -> bool:
        """Take in what is said of one device; False: the reading in it is older than the one before."""
        member = self.members.get(key)
        if member is None or change.joins:
            member = self._join(key, change, member)
        elif change.device is not None:
            member.device = change.device
            member.node = self.forest.row[change.device.feeder_id]
            self.roster_version += 1
            self.fleet.register(change.device)
        if change.said.override is not UNSET:
            self._override(member, change.said.override, change.override_until_ms)
        if change.heard_ms is None:
            return True
        if change.heard_ms <= member.at_ms:
            return False
        heard(member, change, change.heard_ms)
        setpoint_kw = change.said.p_setpoint_kw
        reading = member.reading(self._assumed_kw(member, now_ms), None if setpoint_kw is UNSET else setpoint_kw)
        self.fleet.observe(member.row, reading, now_s=self.clock_s(change.heard_ms))
        return True

    def _join(self, key: str, change: Change, before: Member | None) -> Member:
        assert change.device is not None
        # It is announced with its default control, so it need not be feared at its rating before it speaks.
        row = self.fleet.register(change.device, spoke=True)
        if before is not None:
            self.fleet.begin_anew(row)
        member = Member(device=change.device, row=row, node=self.forest.row[change.device.feeder_id])
        self.members[key] = member
        self.roster_version += 1
        return member

    def _override(self, member: Member, said: OverrideSaid | None, until_ms: int | None) -> None:
        if said is None or said.kind is OverrideWord.RELEASE:
            member.remark = ""
            self.fleet.override(member.row, None)
            return
        member.remark = said.reason or ""
        until_s = np.inf if until_ms is None else self.clock_s(until_ms)
        self.fleet.override(member.row, OverrideKind(said.kind.value), p_kw=said.p_kw, until_s=until_s)

    def _assumed_kw(self, member: Member, now_ms: int) -> float:
        """The power of a device that does not say it: a charger or battery is taken to follow its setpoint [kW]."""
        if member.device.kind in (DeviceKind.PV, DeviceKind.LOAD):
            return np.nan
        lease = self.fleet.leases[member.row]
        if lease is not None and lease.valid_until_ms > now_ms + EPOCH_MS:
            return lease.p_setpoint_kw
        return member.device.default_power_kw


def datetime_of(at_ms: int) -> datetime:
    """An instant where the engine wants a date; only its order means anything."""
    return _FIRST + timedelta(milliseconds=at_ms + EPOCH_MS)
