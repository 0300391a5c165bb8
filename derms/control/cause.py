"""The words of an explanation: what bounds a device, who set each bound, and the case they are worked out for. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum

import numpy as np

from derms.columns import (
    BATTERY,
    EV,
    PV,
    STATUS_CODE,
    Bools,
    Decision,
    DeviceColumns,
    Floats,
    Freshness,
    Ints,
    Override,
    Params,
    Picture,
    Reason,
)
from derms.control.bounds import in_whole_steps
from derms.control.limits import RECOVERY, STATIC
from derms.control.tree import Tree
from derms.model import DeviceStatus


class BoundKind(StrEnum):
    """What sort of bound, in the order in which a setpoint passes them."""

    RATING = "rating"
    CAPABILITY = "capability"
    STATUS = "status"
    ENERGY = "energy"
    UPTAKE = "uptake"
    OVERRIDE = "override"
    NODE = "node"
    EVENT = "event"
    """A DR event or program; it binds through the node it bears on."""
    RAMP = "ramp"
    MINIMUM = "minimum"
    LEASE = "lease"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """One bound on one device at one tick."""

    kind: BoundKind
    subject: str
    """Whose it is: the id of the device or of the node."""
    source: str
    """Who set it: `static`, the id of an event or program, `recovery`; else `registry`, `device`, `controller`, or
    the operator's name."""
    limit_kw: float | None = None
    """The most it allows, for PV the most negative [kW, load convention]; None: it does not limit."""
    binding: bool = False
    words: str
    """A plain sentence."""
    remedies: tuple[str, ...] = ()
    """What would change the answer; only where it binds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """Why one device has the setpoint it has."""

    device: str
    setpoint_kw: float | None
    """[kW, load convention]; None: it is told nothing."""
    bounds: tuple[Bound, ...]
    """In the order of `BoundKind`; nodes from the device's own up to the root. At most one binds."""
    words: str
    """The answer in one sentence."""

    @property
    def binding(self) -> Bound | None:
        """The bound that binds; None: it gets all it can take."""
        return next((bound for bound in self.bounds if bound.binding), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Who stands behind an event, a program or an override."""

    label: str
    """`event ev-42`, `program evenings`."""
    who: str = ""
    reason: str = ""
    until: datetime | None = None
    """When it ends; aware."""

    def text(self) -> str:
        """All of it in words."""
        told = [self.label]
        if self.who:
            told.append(f"by {self.who}")
        if self.reason:
            told.append(f"({self.reason})")
        return " ".join(told)

    def end_text(self) -> str:
        """When it ends, in words; empty where that is not known."""
        return "" if self.until is None else f"{self.until.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The names of the rows of a picture."""

    nodes: tuple[str, ...]
    devices: tuple[str, ...]
    sources: Mapping[str, Source] = field(default_factory=dict)
    """Events and programs by id."""
    overrides: Mapping[str, Source] = field(default_factory=dict)
    """Overrides by device id."""

    def source(self, source: str) -> Source:
        """What is known of the source of a limit."""
        if source == STATIC:
            return Source(label="its own limit")
        if source == RECOVERY:
            return Source(label="rising again after an event")
        return self.sources.get(source, Source(label=source))


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One device of one decision, and what is worked out once for all its bounds."""

    picture: Picture
    decision: Decision
    params: Params
    names: Names
    row: int
    tree: Tree
    path: tuple[int, ...]
    """Rows of the nodes from the device's own up to the root."""
    storage: Bools
    """EVs and batteries, shape (n,)."""
    flexible: Bools
    """Of those, the ones that were given a share, shape (n,)."""

    @staticmethod
    def of(picture: Picture, decision: Decision, params: Params, names: Names, row: int) -> "Case":
        """Work it out for one device row."""
        picture = replace(picture, devices=in_whole_steps(picture.devices))
        devices, parent = picture.devices, picture.nodes.parent
        path = [int(devices.node[row])]
        while parent[path[-1]] >= 0:
            path.append(int(parent[path[-1]]))
        storage = (devices.kind == EV) | (devices.kind == BATTERY)
        heard = (decision.freshness == Freshness.GOOD) & ~decision.disobedient
        return Case(
            picture=picture,
            decision=decision,
            params=params,
            names=names,
            row=row,
            tree=Tree.of(parent),
            path=tuple(path),
            storage=storage,
            flexible=storage & heard & np.isfinite(decision.target_kw),
        )

    @property
    def devices(self) -> DeviceColumns:
        """The columns."""
        return self.picture.devices

    @property
    def reason(self) -> Reason:
        """What bound it."""
        return Reason(int(self.decision.reason[self.row]))

    @property
    def kind(self) -> int:
        """Its code of `DeviceKind`."""
        return int(self.devices.kind[self.row])

    @property
    def is_pv(self) -> bool:
        """Whether it generates."""
        return self.kind == PV

    @property
    def shares(self) -> bool:
        """Whether it was given a share, or a cap on its generation."""
        return bool(self.flexible[self.row]) or (self.is_pv and bool(np.isfinite(self.setpoint_kw)))

    @property
    def device(self) -> str:
        """Its id."""
        return self.names.devices[self.row]

    @property
    def setpoint_kw(self) -> float:
        """NaN: none [kW]."""
        return float(self.decision.target_kw[self.row])

    @property
    def share_kw(self) -> float:
        """Before ramps [kW]."""
        return float(self.decision.share_kw[self.row])

    @property
    def hold_kw(self) -> float:
        """Where an operator holds it [kW]; NaN: nowhere."""
        return float(self.holds_kw[self.row])

    @property
    def holds_kw(self) -> Floats:
        """Where operators hold each, shape (n,) [kW]; NaN: nowhere."""
        return np.where(self.devices.override == Override.HOLD, self.devices.override_kw, np.nan)

    @property
    def blocked(self) -> Bools:
        """Whom operators have blocked, shape (n,)."""
        blocked: Bools = self.devices.override == Override.BLOCK
        return blocked

    def at(self, column: Floats | Ints) -> float:
        """Its value in a column."""
        return float(column[self.row])

    def says(self, status: DeviceStatus) -> bool:
        """Whether it reports a status."""
        return int(self.devices.status[self.row]) == STATUS_CODE[status]

    def below(self, node: int) -> Bools:
        """Which devices hang below a node, itself included; shape (n,)."""
        return self.tree.down_any(np.arange(self.tree.parent.size) == node)[self.devices.node]

    def binds(self, kind: BoundKind, node: int = -1) -> bool:
        """Whether it is this bound that binds; a node's binds at the node the decision names."""
        if kind is not self.binding_kind:
            return False
        return kind is not BoundKind.NODE or node == int(self.decision.reason_node[self.row])

    @property
    def binding_kind(self) -> BoundKind | None:
        """The kind of bound that the decision's reason means; None: nothing binds."""
        if not np.isfinite(self.setpoint_kw):
            return BoundKind.STATUS
        if self.reason is Reason.UNAVAILABLE:
            return BoundKind.STATUS if self.says(DeviceStatus.UNAVAILABLE) else BoundKind.CAPABILITY
        return _KIND_OF[self.reason]


_KIND_OF = {
    Reason.NONE: None,
    Reason.IMPORT_LIMIT: BoundKind.NODE,
    Reason.MINIMUM_POWER: BoundKind.MINIMUM,
    Reason.RAMP: BoundKind.RAMP,
    Reason.FULL: BoundKind.ENERGY,
    Reason.RELIEF: BoundKind.NODE,
    Reason.EXPORT_LIMIT: BoundKind.NODE,
    Reason.UPTAKE: BoundKind.UPTAKE,
    Reason.SILENT: BoundKind.STATUS,
    Reason.HELD: BoundKind.OVERRIDE,
    Reason.BLOCKED: BoundKind.OVERRIDE,
    Reason.DISOBEDIENT: BoundKind.STATUS,
    Reason.ABSORB: BoundKind.ENERGY,
}
