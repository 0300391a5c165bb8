"""Trees of feeders as the loop keeps them between ticks, and what others may see of them."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from derms.columns import MODE_CODE, Decision, Floats, Ints, Memory, NodeColumns, Picture
from derms.control.alarm_kinds import Alarm
from derms.control.forest import parents_of
from derms.control.layout import Layout
from derms.model import Feeder
from derms.ports import Duty


@dataclass(slots=True)
class TreeState:
    """One tree of feeders as the loop keeps it between ticks."""

    feeders: tuple[Feeder, ...]
    """Parents first."""
    memory: Memory
    rows: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """Fleet rows of its devices: in the order of the nodes, and of their ids."""
    device_ids: list[str] = field(default_factory=list)
    """Of `rows`."""
    node: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """The node each of them hangs on."""
    layout: Layout | None = None
    """Of `node` in this tree."""
    registry_version: int = -1
    """Of the fleet when `rows` was made."""
    last_s: float | None = None
    remembered_s: float = -np.inf
    """When its memory was last written down."""
    picture: Picture | None = None
    decision: Decision | None = None
    decided_ms: int = 0
    ticks: int = 0
    duty: Duty = Duty.STANDS_BY
    """At its last tick."""
    failing: bool = False
    alarms: tuple[Alarm, ...] = ()
    """The pending ones among them."""
    over: set[str] = field(default_factory=set)
    """Feeders above a limit, or whose limit cannot be held."""


@dataclass(frozen=True, slots=True)
class NodeView:
    """What the last tick found for one feeder, everything below it included."""

    import_limit_kw: float
    """In force [kW]; inf: none."""
    export_limit_kw: float
    import_source: str
    export_source: str
    measured_kw: float
    """Fresh head meter [kW]; NaN: none."""
    background_kw: float
    load_kw: float
    reserved_kw: float
    headroom_kw: float
    """For flexible devices to import [kW]; inf: no limit."""
    export_headroom_kw: float
    """For PV to generate [kW]; inf: no limit."""
    commanded_kw: float
    shortfall_kw: float
    export_shortfall_kw: float
    envelope_import_kw: float
    envelope_import_s: float
    envelope_export_kw: float
    envelope_export_s: float
    default_over_kw: float


@dataclass(frozen=True, slots=True)
class FeederTick:
    """One feeder in its tree."""

    tree: TreeState
    node: int

    @property
    def feeder(self) -> Feeder:
        """Its registration."""
        return self.tree.feeders[self.node]

    @property
    def decided_ms(self) -> int:
        """When it was last decided [epoch ms]."""
        return self.tree.decided_ms

    @property
    def ticks(self) -> int:
        """How often it was decided in this run."""
        return self.tree.ticks

    @property
    def view(self) -> NodeView | None:
        """What the last tick found; None before the first one."""
        decision = self.tree.decision
        if decision is None:
            return None
        at, node = decision.nodes, self.node
        return NodeView(
            import_limit_kw=float(at.import_limit_kw[node]),
            export_limit_kw=float(at.export_limit_kw[node]),
            import_source=at.import_source[node],
            export_source=at.export_source[node],
            measured_kw=float(at.measured_kw[node]),
            background_kw=float(at.background_kw[node]),
            load_kw=float(at.load_kw[node]),
            reserved_kw=float(at.reserved_kw[node]),
            headroom_kw=float(at.headroom_kw[node]),
            export_headroom_kw=float(at.export_headroom_kw[node]),
            commanded_kw=float(at.commanded_kw[node]),
            shortfall_kw=float(at.shortfall_kw[node]),
            export_shortfall_kw=float(at.export_shortfall_kw[node]),
            envelope_import_kw=float(at.envelope_import_kw[node]),
            envelope_import_s=float(at.envelope_import_s[node]),
            envelope_export_kw=float(at.envelope_export_kw[node]),
            envelope_export_s=float(at.envelope_export_s[node]),
            default_over_kw=float(at.default_over_kw[node]),
        )


def nodes_of(feeders: tuple[Feeder, ...], metered_kw: Floats, metered_age_s: Floats) -> NodeColumns:
    """The columns of a tree.

    Args:
        feeders: Parents first.
        metered_kw: The head meters, shape (m,) [kW]; NaN: none.
        metered_age_s: Their age, shape (m,) [s].
    """

    def limit(values: Iterable[float | None]) -> Floats:
        return np.array([np.inf if value is None else value for value in values], dtype=np.float64)

    return NodeColumns(
        parent=np.array(parents_of(feeders), dtype=np.int64),
        mode=np.array([MODE_CODE[feeder.mode] for feeder in feeders], dtype=np.int64),
        import_limit_kw=limit(feeder.import_limit_kw for feeder in feeders),
        export_limit_kw=limit(feeder.export_limit_kw for feeder in feeders),
        margin_kw=np.array([feeder.margin_kw for feeder in feeders], dtype=np.float64),
        assumed_unmetered_kw=np.array([feeder.assumed_unmetered_kw for feeder in feeders], dtype=np.float64),
        metered_kw=metered_kw,
        metered_age_s=metered_age_s,
    )
