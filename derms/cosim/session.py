"""One session: a line in, the columns of a tick, `decide`, an answer out.

The same `decide` as the daemon's, tree by tree, on the driver's clock.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeVar

import msgspec
import numpy as np
from msgspec import UNSET

from derms import __version__
from derms.columns import ADVISE, DeviceColumns, Ints, Memory, Picture
from derms.control.decide import decide
from derms.control.demand_response import constraints_on
from derms.control.layout import Layout
from derms.cosim.answer import Told, tick_answer
from derms.cosim.clock import EPOCH_MS, instant_ms
from derms.cosim.forest import plant
from derms.cosim.known import Known, datetime_of
from derms.cosim.pace import in_lockstep, params_for, step_of
from derms.cosim.said import REGISTRY, TELEMETRY, DeviceSaid, NodeSaid, Opening, TickSaid
from derms.cosim.wrong import Code, WrongLine, shown
from derms.model import Policy

PROTOCOL = 1
"""The version of the lines; it rises when a driver written for the one before would not work."""


@dataclass(slots=True)
class Tree:
    """One root and what is below it, as it is kept between ticks."""

    start: int
    """Its nodes are `start` .. `stop` of the forest's."""
    stop: int
    memory: Memory
    rows: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """Rows of the fleet, in the order of the memory."""
    node: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """The node each hangs on, counted from `start`."""
    names: list[str] = field(default_factory=list)
    """The ids of the devices in `rows`."""
    layout: Layout | None = None
    roster_version: int = -1
    """Of what is known, when all this was laid out."""


@dataclass(slots=True, kw_only=True)
class Session:
    """What a driver has opened."""

    known: Known
    policy: Policy
    trees: list[Tree]
    parameters: Mapping[str, float]
    """As given; the others follow the step."""
    lockstep: bool | None
    early: TickSaid
    """Measurements in the first line; they are made at the first tick."""
    last_ms: int | None = None
    step_s: float | None = None
    """Between the last two ticks [s]; None: there were no two."""
    before_s: float | None = None
    """Between the two before [s]."""
    loads_kw: dict[str, float] = field(default_factory=dict)
    """What each node drew at the last tick [kW]."""

    def greeting(self) -> dict[str, Any]:
        """The answer to the first line."""
        forest = self.known.forest
        dt_s = step_of(self.parameters, None)
        lockstep = in_lockstep(self.parameters, dt_s, self.lockstep)
        return {
            "ready": True,
            "derms": __version__,
            "protocol": PROTOCOL,
            "nodes": len(forest.ids),
            "devices": len(self.known.members),
            "policy": self.policy.value,
            "parameters": {**asdict(params_for(self.parameters, dt_s, lockstep=lockstep)), "lockstep": self.lockstep},
        }

    def tick(self, said: TickSaid) -> dict[str, Any]:
        """Take a line in, decide, and answer.

        Raises:
            WrongLine: It cannot be so; nothing has changed.
        """
        known, now_ms = self.known, instant_ms(said.now, "now")
        if self.last_ms is not None and now_ms <= self.last_ms:
            raise WrongLine(
                Code.BAD_TIME,
                f"now is {said.now}, which is not after the tick before",
                why="time goes forward, by a millisecond at least",
                next_step="say a later `now`",
            )
        line = known.judge(self._with_early(said), now_ms)
        # From here on nothing can be wrong any more.
        if self.last_ms is None:
            known.first_ms = now_ms
        late = known.take(line)
        dt_s = step_of(self.parameters, None if self.last_ms is None else (now_ms - self.last_ms) / 1000.0)
        self.before_s, self.step_s = self.step_s, None if self.last_ms is None else dt_s
        self.last_ms = now_ms
        loads = self.loads_kw or dict(
            zip(known.forest.ids, np.nan_to_num(known.forest.metered_kw).tolist(), strict=True)
        )
        told = [self._decide(tree, said.now, now_ms, dt_s, loads) for tree in self.trees]
        return tick_answer(said.now, told, late)

    def _with_early(self, said: TickSaid) -> TickSaid:
        """A tick's words; at the first one on top of what the first line said."""
        if self.last_ms is not None:
            return said
        stay = {key: device for key, device in self.early.devices.items() if key not in said.gone}
        return msgspec.structs.replace(
            said, nodes=_merged(self.early.nodes, said.nodes), devices=_merged(stay, said.devices)
        )

    def _decide(self, tree: Tree, now: float | str, now_ms: int, dt_s: float, loads: Mapping[str, float]) -> Told:
        known, forest = self.known, self.known.forest
        names = self._seated(tree)
        lockstep = in_lockstep(self.parameters, dt_s, self.lockstep)
        ids = forest.ids[tree.start : tree.stop]
        nodes = forest.columns(tree.start, tree.stop, now_ms)
        constraints = constraints_on(
            {key: row for row, key in enumerate(ids)},
            known.events.values(),
            known.programs.values(),
            datetime_of(now_ms),
            loads,
            forest.parents,
        )
        picture = Picture(
            dt_s=dt_s,
            nodes=nodes,
            constraints=constraints,
            devices=self._columns(tree, now_ms, lockstep=lockstep),
            policy=forest.policy[tree.start],
            lockstep=lockstep,
        )
        decision, tree.memory = decide(
            picture,
            tree.memory,
            params_for(self.parameters, dt_s, lockstep=lockstep, before_s=self.before_s),
            tree.layout,
        )
        for row in np.flatnonzero(decision.send).tolist():
            known.told(names[row], float(decision.target_kw[row]), float(decision.life_s[row]), now_ms)
        self.loads_kw = self.loads_kw | dict(zip(ids, decision.nodes.load_kw.tolist(), strict=True))
        return Told(
            now=now,
            now_ms=now_ms,
            nodes=ids,
            devices=names,
            leases=[known.fleet.leases[row] for row in tree.rows.tolist()],
            advised=forest.modes()[tree.start : tree.stop][tree.node] == ADVISE,
            remarks={name: known.members[name].remark for name in names if known.members[name].remark},
            columns=nodes,
            decision=decision,
        )

    def _seated(self, tree: Tree) -> list[str]:
        """Who is in a tree now, node by node, then by id; its rows and its memory are brought up to that."""
        if tree.roster_version == self.known.roster_version:
            return tree.names
        inside = range(tree.start, tree.stop)
        here = [(member.node, key) for key, member in self.known.members.items() if member.here]
        names = [key for node, key in sorted(here) if node in inside]
        members = [self.known.members[name] for name in names]
        rows = [member.row for member in members]
        anew = {member.row for member in members if not member.seated}
        before = {row: place for place, row in enumerate(tree.rows.tolist()) if row not in anew}
        index = np.array([before.get(row, -1) for row in rows], dtype=np.int64)
        tree.memory = tree.memory.aligned(index, np.arange(tree.stop - tree.start))
        tree.rows = np.array(rows, dtype=np.int64)
        node = np.array([member.node - tree.start for member in members], dtype=np.int64)
        if tree.layout is None or not np.array_equal(node, tree.node):
            parent = self.known.forest.columns(tree.start, tree.stop, 0).parent
            tree.node, tree.layout = node, Layout.of(parent, node)
        for member in members:
            member.seated = True
        tree.names, tree.roster_version = names, self.known.roster_version
        return names

    def _columns(self, tree: Tree, now_ms: int, *, lockstep: bool) -> DeviceColumns:
        known = self.known
        columns = known.fleet.columns(tree.rows, tree.node, now_s=known.clock_s(now_ms), now_ms=now_ms + EPOCH_MS)
        if not lockstep:
            return columns
        # What was heard since the setpoint was told shows it followed, for as long as it has been told.
        follows = np.isfinite(columns.lease_kw) & (columns.age_s < columns.told_s)
        # What answered its own words reached it, also if it has said nothing since: older setpoints are over.
        only = np.isfinite(columns.lease_kw) & (columns.age_s <= columns.told_s)
        return replace(
            columns,
            acknowledged_s=np.where(follows, columns.told_s, columns.acknowledged_s),
            may_kw=np.where(only, columns.lease_kw, columns.may_kw),
            may_low_kw=np.where(only, columns.lease_kw, columns.may_low_kw),
        )


def open_session(said: Opening) -> Session:
    """Begin a session with its first line.

    Raises:
        WrongLine: It cannot be so.
    """
    forest = plant(said.nodes, said.policy)
    for key, node in said.nodes.items():
        _no_instant(node.metered_at, f"node {key}: metered_at")
    for key, device in said.devices.items():
        _no_instant(device.at, f"device {key}: at")
    known = Known(forest=forest)
    line = known.judge(_tick(devices=said.devices), 0)
    joining = {
        key: replace(change, heard_ms=None, said=_only(change.said, REGISTRY)) for key, change in line.changes.items()
    }
    known.take(replace(line, changes=joining))
    return Session(
        known=known,
        policy=said.policy,
        trees=[Tree(start, stop, Memory.empty(0, stop - start)) for start, stop in forest.trees()],
        parameters=said.parameters,
        lockstep=said.lockstep,
        early=_tick(
            nodes={key: _only(node, ("metered_kw",)) for key, node in said.nodes.items()},
            devices={key: _only(change.said, (*TELEMETRY, "override")) for key, change in line.changes.items()},
        ),
    )


def _tick(nodes: dict[str, NodeSaid] | None = None, devices: dict[str, DeviceSaid] | None = None) -> TickSaid:
    return TickSaid(now=0.0, nodes=nodes or {}, devices=devices or {}, events=[], programs=[], gone=[])


def _no_instant(said: object, where: str) -> None:
    if isinstance(said, float | str):
        raise WrongLine(
            Code.BAD_TIME,
            f"{where} is {shown(said)}",
            why="the first line has no `now`; what it measures counts as measured at the first tick",
            next_step="leave it out",
        )


_Said = TypeVar("_Said", NodeSaid, DeviceSaid)


def _only(said: _Said, names: tuple[str, ...]) -> _Said:
    """A part of what is said."""
    return type(said)(**{name: getattr(said, name) for name in names})


def _merged(early: Mapping[str, _Said], said: Mapping[str, _Said]) -> dict[str, _Said]:
    """What was said early, with what is said now on top of it."""
    both = dict(early)
    for key, now in said.items():
        before = both.get(key)
        words = {name: word for name in now.__struct_fields__ if (word := getattr(now, name)) is not UNSET}
        both[key] = now if before is None else msgspec.structs.replace(before, **words)
    return both
