"""A plant whose devices obey after a delay, and the fleet that hears of it: for properties over several ticks.

Power, leases and loads are plain Python, as they would be in the field; what the controller may know of them goes
through `derms.fleet`, as in the daemon.
"""

from dataclasses import dataclass, field
from math import inf

import numpy as np
from hypothesis import strategies as st

from derms.columns import Constraint, Decision, Floats, Ints, Memory, NodeColumns, Params, Picture
from derms.control.decide import decide
from derms.control.tree import Tree
from derms.fleet import Fleet
from derms.model import Device, DeviceKind, OverrideKind, Policy, Setpoint, Telemetry
from tests.unit.control.forests import forests
from tests.unit.control.reference import path

EV, BATTERY, PV, LOAD = DeviceKind.EV, DeviceKind.BATTERY, DeviceKind.PV, DeviceKind.LOAD
PARAMS = Params(interval_s=2.0, lease_s=20.0, stale_after_s=6.0, lost_after_s=30.0)
FALL_S = 10.0
"""A whole rating is crossed in this time on the way to default control [s]."""
AGE_S = 0.5
"""Of every reading, also of head meters [s]."""


@dataclass(frozen=True)
class Lease:
    """As one device has it."""

    from_s: float
    until_s: float
    p_kw: float
    seq: int


@dataclass
class Thing:
    """One device in the field."""

    device: Device
    node: int
    delay_s: float = 0.0
    """From the tick that tells it until it does so [s]."""
    sun_kw: float = 0.0
    """What PV could make now; what a load draws [kW]."""
    takes_kw: float = inf
    """The car's own limit [kW]."""
    soc: float = 0.4
    silent_s: tuple[float, float] = (inf, inf)
    """Neither heard nor reached from one instant to the other [s]."""
    leases: list[Lease] = field(default_factory=list)

    def lease_at(self, now_s: float) -> Lease | None:
        """The newest that it has begun to follow."""
        return max((lease for lease in self.leases if lease.from_s <= now_s), key=lambda lease: lease.seq, default=None)

    def alive(self, now_s: float) -> Lease | None:
        lease = self.lease_at(now_s)
        return lease if lease is not None and now_s < lease.until_s else None

    def silent(self, now_s: float) -> bool:
        return self.silent_s[0] <= now_s < self.silent_s[1]

    def power_kw(self, now_s: float) -> float:
        """What it draws [kW]: its lease, then default control, ramped; load convention."""
        if self.device.kind is LOAD:
            return self.sun_kw
        lease = self.lease_at(now_s)
        if self.device.kind is PV:
            asked = -inf if lease is None or now_s >= lease.until_s else lease.p_kw
            return max(-self.sun_kw, asked)
        default = self.device.default_power_kw
        asked = default if lease is None else lease.p_kw
        if lease is not None and now_s >= lease.until_s:
            rating = max(self.device.p_import_max_kw, self.device.p_export_max_kw)
            moved = rating * (now_s - lease.until_s) / FALL_S
            asked = max(default, asked - moved) if asked > default else min(default, asked + moved)
        asked = min(asked, self.takes_kw)
        if 0.0 < asked < self.device.p_min_kw - 1e-9 or (asked < 0.0 and self.soc <= self.device.min_soc_reserve):
            return 0.0
        return asked


@dataclass
class Yard:
    """A forest of nodes with what hangs on it."""

    parent: list[int]
    things: list[Thing]
    import_kw: list[float]
    export_kw: list[float]
    metered: list[bool]
    background_kw: list[float]
    """What nobody controls and no telemetry knows, at each node itself [kW]; known as `assumed` where no meter is."""
    policy: Policy = Policy.DEFICIT
    params: Params = PARAMS
    margin_kw: float = 0.0
    constraints: tuple[Constraint, ...] = ()
    now_s: float = 0.0
    fleet: Fleet = field(default_factory=Fleet)
    memory: Memory = field(init=False)
    picture: Picture = field(init=False)
    """What the last tick saw."""
    decision: Decision = field(init=False)
    sent: int = 0

    def __post_init__(self) -> None:
        self.memory = Memory.empty(len(self.things), len(self.parent))
        for thing in self.things:
            self.fleet.register(thing.device)

    @property
    def tree(self) -> Tree:
        return Tree.of(np.array(self.parent, dtype=np.int64))

    @property
    def at(self) -> Ints:
        """The node of each thing."""
        return np.array([thing.node for thing in self.things], dtype=np.int64)

    def below(self, node: int) -> list[int]:
        """The rows of all things below a node."""
        return [row for row, thing in enumerate(self.things) if node in path(self.parent, thing.node)]

    def load_kw(self, node: int, now_s: float) -> float:
        """What flows through a node [kW]."""
        own = sum(kw for at, kw in enumerate(self.background_kw) if node in path(self.parent, at))
        return own + sum(self.things[row].power_kw(now_s) for row in self.below(node))

    def loads_kw(self, now_s: float) -> Floats:
        return np.array([self.load_kw(node, now_s) for node in range(len(self.parent))])

    def override(self, row: int, kind: OverrideKind | None, p_kw: float | None = None) -> None:
        self.fleet.override(row, kind, p_kw=p_kw, until_s=inf)

    def tick(self) -> Decision:
        """Report, decide, and send."""
        seen_s, now_ms = self.now_s - AGE_S, round(self.now_s * 1000) + 10**12
        for row, thing in enumerate(self.things):
            if not thing.silent(seen_s):
                self.fleet.observe(row, _reading(thing, seen_s), now_s=seen_s)
        rows = np.arange(len(self.things))
        self.picture = Picture(
            dt_s=self.params.interval_s,
            nodes=self._nodes(seen_s),
            constraints=self.constraints,
            devices=self.fleet.columns(rows, self.at, now_s=self.now_s, now_ms=now_ms),
            policy=self.policy,
        )
        self.decision, self.memory = decide(self.picture, self.memory, self.params)
        for row in np.flatnonzero(self.decision.send).tolist():
            self._send(row, now_ms)
        return self.decision

    def _send(self, row: int, now_ms: int) -> None:
        self.sent += 1
        thing, life_s = self.things[row], float(self.decision.life_s[row])
        lease = Setpoint(device_id=thing.device.device_id, kind=thing.device.kind, issued_at_ms=now_ms, epoch=1,
                         p_setpoint_kw=round(float(self.decision.target_kw[row]), 6) + 0.0, seq=self.sent,
                         valid_until_ms=now_ms + round(life_s * 1000))  # fmt: skip
        self.fleet.commanded(row, lease, now_s=self.now_s)
        if not thing.silent(self.now_s):
            thing.leases.append(Lease(self.now_s + thing.delay_s, self.now_s + life_s, lease.p_setpoint_kw, self.sent))

    def wait(self) -> None:
        """Until the next tick."""
        for thing in self.things:
            if thing.device.capacity_kwh:
                kwh = thing.power_kw(self.now_s + AGE_S) * self.params.interval_s / 3600.0
                thing.soc = min(max(thing.soc + kwh / thing.device.capacity_kwh, 0.0), 1.0)
        self.now_s += self.params.interval_s

    def run(self, ticks: int) -> Decision:
        """Some ticks, and stand at the last one."""
        for _ in range(ticks):
            self.tick()
            self.wait()
        return self.tick()

    def _nodes(self, seen_s: float) -> NodeColumns:
        metered = np.array(self.metered, dtype=bool)
        return NodeColumns(
            parent=np.array(self.parent, dtype=np.int64),
            mode=np.zeros(len(self.parent), dtype=np.int64),
            import_limit_kw=np.array(self.import_kw),
            export_limit_kw=np.array(self.export_kw),
            margin_kw=np.full(len(self.parent), self.margin_kw),
            assumed_unmetered_kw=np.array(self.background_kw),
            metered_kw=np.where(metered, self.loads_kw(seen_s), np.nan),
            metered_age_s=np.where(metered, AGE_S, np.inf),
        )


def _reading(thing: Thing, now_s: float) -> Telemetry:
    alive, storage = thing.alive(now_s), thing.device.kind in (EV, BATTERY)
    return Telemetry(
        device_id=thing.device.device_id,
        kind=thing.device.kind,
        at_ms=round(now_s * 1000) + 10**12,
        p_actual_kw=thing.power_kw(now_s),
        p_setpoint_kw=None if alive is None else alive.p_kw,
        soc=thing.soc if storage else None,
        applied_epoch=None if alive is None else 1,
        applied_seq=None if alive is None else alive.seq,
    )


@st.composite
def things(draw: st.DrawFn, row: int, node: int, *, delays: tuple[float, ...], defaults: tuple[float, ...]) -> Thing:
    """A device of any kind."""
    kind = draw(st.sampled_from([EV, EV, EV, BATTERY, PV, LOAD]))
    rating = draw(st.sampled_from([3.7, 7.4, 11.0]))
    minimum = draw(st.sampled_from([0.0, 1.4, 4.1])) if kind is EV and rating > 4.1 else 0.0
    default = draw(st.sampled_from(defaults)) if kind in (EV, BATTERY) else 0.0
    if kind is EV:
        default = max(default, minimum) if default > 0.0 else 0.0
    return Thing(
        device=Device(
            device_id=f"{kind.value}-{row:02}",
            kind=kind,
            feeder_id="any",
            p_import_max_kw=rating if kind in (EV, BATTERY) else 0.0,
            p_export_max_kw=rating if kind in (PV, BATTERY) else 0.0,
            p_min_kw=minimum,
            p_step_kw=draw(st.sampled_from([0.0, 0.0, 0.23])) if kind is EV else 0.0,
            capacity_kwh=60.0 if kind in (EV, BATTERY) else None,
            priority=draw(st.integers(1, 10)),
            default_power_kw=default,
        ),
        node=node,
        delay_s=draw(st.sampled_from(delays)),
        sun_kw=draw(st.integers(0, 10)) * rating / 10.0 if kind in (PV, LOAD) else 0.0,
        soc=draw(st.sampled_from([0.15, 0.3, 0.5, 0.79, 0.95])),
    )


@st.composite
def yards(
    draw: st.DrawFn,
    *,
    devices: int = 8,
    delays: tuple[float, ...] = (0.0, 1.0, 3.0),
    defaults: tuple[float, ...] = (0.0, 1.4),
    policies: tuple[Policy, ...] = tuple(Policy),
    directions: str = "both",
) -> Yard:
    """Any forest of nodes, most of them without a head meter, with devices of all kinds."""
    forest = draw(forests(devices=devices))
    count = len(forest.parent)
    limits = st.sampled_from([inf, inf, 0.0, 2.0, 5.0, 11.0])
    return Yard(
        parent=forest.parent,
        things=[draw(things(row, node, delays=delays, defaults=defaults)) for row, node in enumerate(forest.node)],
        import_kw=[inf] * count if directions == "export" else forest.room_kw,
        export_kw=[inf] * count if directions == "import" else [draw(limits) for _ in range(count)],
        metered=[draw(st.booleans()) for _ in range(count)],
        background_kw=[draw(st.sampled_from([0.0, 0.0, 1.5, 4.0])) for _ in range(count)],
        policy=draw(st.sampled_from(policies)),
        margin_kw=draw(st.sampled_from([0.0, 0.5])),
    )
