"""Small fleets for the engine's tests: a picture from a list of rows, and a plant that obeys."""

from dataclasses import dataclass, replace

import numpy as np

from derms.columns import (
    KIND_CODE,
    REVERT_S,
    STATUS_CODE,
    Constraint,
    Decision,
    DeviceColumns,
    Floats,
    Memory,
    NodeColumns,
    Override,
    Params,
    Picture,
)
from derms.control.decide import decide
from derms.model import DeviceKind, DeviceStatus, Policy

PARAMS = Params(interval_s=2.0, lease_s=20.0, stale_after_s=6.0, lost_after_s=30.0)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One device as a tick may see it; a healthy charger at rest unless said otherwise."""

    node: int = 0
    kind: DeviceKind = DeviceKind.EV
    p_actual_kw: float = 0.0
    soc: float = 0.4
    age_s: float = 1.0
    spoke: bool = True
    status: DeviceStatus = DeviceStatus.OK
    available_kw: float = np.nan
    ready_in_s: float = np.nan
    energy_needed_kwh: float = np.nan
    p_import_max_kw: float = 7.0
    p_export_max_kw: float = 0.0
    p_min_kw: float = 0.0
    p_step_kw: float = 0.0
    capacity_kwh: float = 60.0
    min_soc_reserve: float = 0.2
    target_soc: float = 0.8
    priority: float = 5.0
    default_power_kw: float = 0.0
    override: Override = Override.NONE
    override_kw: float = np.nan
    lease_kw: float = np.nan
    lease_left_s: float = -np.inf
    told_s: float = np.inf
    may_kw: float = np.nan
    may_low_kw: float = np.nan
    may_left_s: float = -np.inf
    acknowledged_s: float = -np.inf
    stagger: float = 0.0
    controllable: bool = True


def columns(rows: list[Row]) -> DeviceColumns:
    def column(name: str) -> Floats:
        return np.array([getattr(row, name) for row in rows], dtype=np.float64)

    return DeviceColumns(
        node=np.array([row.node for row in rows], dtype=np.int64),
        override=np.array([row.override for row in rows], dtype=np.int64),
        kind=np.array([KIND_CODE[row.kind] for row in rows], dtype=np.int64),
        controllable=np.array([row.controllable and row.kind in ("ev", "battery", "pv") for row in rows], dtype=bool),
        status=np.array([STATUS_CODE[row.status] for row in rows], dtype=np.int64),
        spoke=np.array([row.spoke for row in rows], dtype=bool),
        **{
            name: column(name)
            for name in (
                "age_s", "p_actual_kw", "soc", "available_kw", "ready_in_s", "energy_needed_kwh", "p_import_max_kw",
                "p_export_max_kw", "p_min_kw", "p_step_kw", "capacity_kwh", "min_soc_reserve", "target_soc", "priority",
                "default_power_kw", "override_kw", "lease_kw", "lease_left_s", "told_s", "may_kw", "may_low_kw",
                "may_left_s", "acknowledged_s", "stagger",
            )
        },
    )  # fmt: skip


def feeder(import_limit_kw: float = np.inf, **changes: float) -> NodeColumns:
    """A tree of one node."""
    return nodes({"import_limit_kw": import_limit_kw, **changes})


def nodes(*told: dict[str, float]) -> NodeColumns:
    """A tree from what is said of each node, parents first; `parent` is 0 for all but the first unless said."""
    usual = {
        "import_limit_kw": np.inf, "export_limit_kw": np.inf, "margin_kw": 0.0, "assumed_unmetered_kw": 0.0,
        "metered_kw": np.nan, "metered_age_s": np.inf,
    }  # fmt: skip
    columns = {
        name: np.array([node.get(name, value) for node in told], dtype=np.float64) for name, value in usual.items()
    }
    return NodeColumns(
        parent=np.array([node.get("parent", -1 if not row else 0) for row, node in enumerate(told)], dtype=np.int64),
        mode=np.array([node.get("mode", 0) for node in told], dtype=np.int64),
        **columns,
    )


def tick(
    rows: list[Row],
    state: NodeColumns,
    *,
    policy: Policy = Policy.DEFICIT,
    constraints: tuple[Constraint, ...] = (),
    memory: Memory | None = None,
    dt_s: float = 2.0,
    params: Params = PARAMS,
) -> tuple[Decision, Memory]:
    picture = Picture(dt_s=dt_s, nodes=state, constraints=constraints, devices=columns(rows), policy=policy)
    return decide(picture, memory or Memory.empty(len(rows), state.parent.size), params)


@dataclass
class Plant:
    """Devices that do at once what their lease says, behind an ideal head meter; SOC rises with what they take."""

    rows: list[Row]
    state: NodeColumns
    params: Params = PARAMS
    metered: bool = True
    background_kw: float = 0.0
    memory: Memory | None = None
    constraints: tuple[Constraint, ...] = ()
    policy: Policy = Policy.DEFICIT

    def head_kw(self) -> float:
        return self.background_kw + sum(row.p_actual_kw for row in self.rows)

    def picture(self) -> Picture:
        """What the next tick sees."""
        state = self.state
        if self.metered:
            state = replace(state, metered_kw=state.metered_kw.copy(), metered_age_s=state.metered_age_s.copy())
            state.metered_kw[0], state.metered_age_s[0] = self.head_kw(), 0.5
        return Picture(
            dt_s=self.params.interval_s,
            nodes=state,
            constraints=self.constraints,
            devices=columns(self.rows),
            policy=self.policy,
        )

    def step(self) -> Decision:
        dt_s = self.params.interval_s
        memory = self.memory or Memory.empty(len(self.rows), self.state.parent.size)
        decision, self.memory = decide(self.picture(), memory, self.params)
        self.rows = [self._obey(index, row, decision, dt_s) for index, row in enumerate(self.rows)]
        return decision

    def _obey(self, index: int, row: Row, decision: Decision, dt_s: float) -> Row:
        target = float(decision.target_kw[index])
        if not np.isfinite(target) or row.kind is DeviceKind.PV:
            return row
        left_s = float(decision.life_s[index]) if decision.send[index] else row.lease_left_s - dt_s
        leased = target if decision.send[index] else row.lease_kw
        soc = row.soc + leased * dt_s / 3600.0 / row.capacity_kwh
        same = leased == row.lease_kw and np.isfinite(row.acknowledged_s)
        return replace(
            row,
            p_actual_kw=leased,
            lease_kw=leased,
            may_kw=leased,
            may_low_kw=leased,
            may_left_s=left_s + REVERT_S,
            lease_left_s=left_s,
            told_s=dt_s if leased != row.lease_kw else row.told_s + dt_s,
            acknowledged_s=row.acknowledged_s + dt_s if same else 1.0,
            soc=min(soc, 1.0),
        )
