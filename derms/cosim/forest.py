"""The nodes of a session: rows, parents first, and what has been said of each.

Nodes are in the order of a walk from the roots, siblings by id: what the first line's order was changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from msgspec import UNSET, UnsetType, structs

from derms.columns import MODE_CODE, Floats, Ints, NodeColumns
from derms.control.tree import Tree
from derms.cosim.clock import instant_ms
from derms.cosim.said import NodeSaid
from derms.cosim.wrong import Code, WrongLine, near
from derms.model import FeederMode, Policy

_DEFAULT = {"import_limit_kw": np.inf, "export_limit_kw": np.inf, "margin_kw": 0.0, "assumed_unmetered_kw": 0.0}
"""What counts where nothing, or null, was said."""


@dataclass(slots=True)
class Forest:
    """Every node, and its head meter's newest reading."""

    ids: tuple[str, ...]
    parent: Ints
    row: Mapping[str, int]
    parents: Mapping[str, str | None]
    roots: tuple[str, ...]
    policy: list[Policy]
    """By row; a root's counts for everything below it."""
    mode: Ints
    metered_kw: Floats
    metered_ms: Ints
    usual: Policy
    """The session's policy."""
    said: dict[str, Floats] = field(default_factory=dict)
    """Limits, margin and assumed load by name, shape (m,)."""

    def trees(self) -> list[tuple[int, int]]:
        """Where each root's tree begins and ends, in rows."""
        starts = [self.row[root] for root in self.roots]
        return list(zip(starts, [*starts[1:], len(self.ids)], strict=True))

    def columns(self, start: int, stop: int, now_ms: int) -> NodeColumns:
        """Copy out what a tick may see of one tree."""
        metered_kw = self.metered_kw[start:stop].copy()
        age_s = (now_ms - self.metered_ms[start:stop]) / 1000.0
        limits = {name: column[start:stop].copy() for name, column in self.said.items()}
        return NodeColumns(
            parent=np.maximum(self.parent[start:stop] - start, -1),
            mode=self.mode[start:stop].copy(),
            metered_kw=metered_kw,
            metered_age_s=np.where(np.isfinite(metered_kw), age_s, np.inf),
            **limits,
        )

    def modes(self) -> Ints:
        """The least active mode on the way from each node to its root, shape (m,)."""
        least = -Tree.of(self.parent).down_min(-self.mode.astype(np.float64))
        return least.astype(np.int64)

    def take(self, node_id: str, said: NodeSaid, metered_ms: int) -> None:
        """Note what a line says of a node.

        Args:
            node_id: Which one.
            said: What is said.
            metered_ms: When the meter was read, if it was [ms].
        """
        row = self.row[node_id]
        for name, default in _DEFAULT.items():
            value: float | UnsetType | None = getattr(said, name)
            if value is not UNSET:
                self.said[name][row] = default if value is None else value
        if said.mode is not UNSET:
            self.mode[row] = MODE_CODE[FeederMode.AUTO if said.mode is None else said.mode]
        if said.policy is not UNSET:
            self.policy[row] = self.usual if said.policy is None else said.policy
        if said.metered_kw is None:
            self.metered_kw[row] = np.nan
        elif metered_ms >= self.metered_ms[row]:
            if said.metered_kw is not UNSET:
                self.metered_kw[row] = said.metered_kw
            if said.metered_kw is not UNSET or said.metered_at is not UNSET:
                self.metered_ms[row] = metered_ms

    def check(self, node_id: str, where: str) -> None:
        """Judge a name.

        Raises:
            WrongLine: There is no such node.
        """
        if node_id not in self.row:
            raise WrongLine(
                Code.UNKNOWN_NODE,
                f"{where}: there is no node {node_id!r}",
                why="nodes are named in the first line",
                next_step=near(node_id, self.ids),
            )


def metered_ms(said: NodeSaid, node_id: str, now_ms: int) -> int:
    """When a node's meter was read [ms]: as said, else now.

    Raises:
        WrongLine: Not an instant, or one that is still to come.
    """
    if said.metered_at is UNSET or said.metered_at is None:
        return now_ms
    return not_later(instant_ms(said.metered_at, f"node {node_id}: metered_at"), now_ms, f"node {node_id}: metered_at")


def not_later(at_ms: int, now_ms: int, where: str) -> int:
    """An instant of a measurement.

    Raises:
        WrongLine: It is still to come.
    """
    if at_ms > now_ms:
        raise WrongLine(
            Code.BAD_TIME,
            f"{where} is {(at_ms - now_ms) / 1000.0:g} s after `now`",
            why="nothing can be measured before it is",
            next_step="say an instant up to `now`, or leave it out: then it is `now`",
        )
    return at_ms


def plant(nodes: Mapping[str, NodeSaid], policy: Policy) -> Forest:
    """Make the forest of the first line. Its meters are read at the first tick.

    Raises:
        WrongLine: A parent is no node, or parents go round in a circle.
    """
    parents: dict[str, str | None] = {
        key: said.parent if isinstance(said.parent, str) else None for key, said in nodes.items()
    }
    for key, parent in parents.items():
        if parent is not None and parent not in nodes:
            raise WrongLine(
                Code.UNKNOWN_NODE,
                f"node {key}: its parent {parent!r} is no node",
                why="parents are nodes of the first line, or null for a root",
                next_step=near(parent, nodes),
            )
    ids = _walk(parents)
    row = {key: place for place, key in enumerate(ids)}
    forest = Forest(
        ids=ids,
        parent=np.array([-1 if (up := parents[key]) is None else row[up] for key in ids], dtype=np.int64),
        row=row,
        parents=parents,
        roots=tuple(key for key in ids if parents[key] is None),
        policy=[policy] * len(ids),
        usual=policy,
        mode=np.full(len(ids), MODE_CODE[FeederMode.AUTO], dtype=np.int64),
        metered_kw=np.full(len(ids), np.nan),
        metered_ms=np.full(len(ids), np.iinfo(np.int64).min // 2, dtype=np.int64),
        said={name: np.full(len(ids), default) for name, default in _DEFAULT.items()},
    )
    for key, said in nodes.items():
        forest.take(key, structs.replace(said, metered_kw=UNSET, metered_at=UNSET), 0)
    return forest


def _walk(parents: Mapping[str, str | None]) -> tuple[str, ...]:
    """Every node after its parent."""
    children: dict[str | None, list[str]] = {}
    for key in sorted(parents, reverse=True):
        children.setdefault(parents[key], []).append(key)
    order: list[str] = []
    waiting = list(children.get(None, ()))
    while waiting:
        key = waiting.pop()
        order.append(key)
        waiting.extend(children.get(key, ()))
    if len(order) < len(parents):
        lost = sorted(parents.keys() - set(order))
        raise WrongLine(
            Code.CYCLE,
            f"the nodes {', '.join(lost[:5])}{', ...' if len(lost) > 5 else ''} hang on each other",
            why="every node's parents must end at a root, a node without a parent",
            next_step="take the parent away from one of them",
        )
    return tuple(order)
