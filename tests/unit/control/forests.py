"""Forests of nodes with devices, for the tests of the kernel."""

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from derms.columns import Floats, Ints
from derms.control.tree import Tree


@dataclass(frozen=True)
class Forest:
    """Nodes, their room, and the node each device hangs on."""

    parent: list[int]
    room_kw: list[float]
    node: list[int]

    @property
    def tree(self) -> Tree:
        return Tree.of(np.array(self.parent, dtype=np.int64))

    @property
    def nodes(self) -> Ints:
        return np.array(self.node, dtype=np.int64)

    @property
    def room(self) -> Floats:
        return np.array(self.room_kw, dtype=np.float64)


def powers(top: float = 20.0) -> st.SearchStrategy[float]:
    """Powers [kW], 0 often among them, and round ones, so that sums meet exactly."""
    return st.one_of(st.just(0.0), st.integers(0, int(top)).map(float), st.floats(1e-3, top))


@st.composite
def forests(draw: st.DrawFn, *, devices: int = 10, lowest: float = 0.0, unlimited: bool = True) -> Forest:
    """Deep, wide, many-rooted; room may be none, unlimited, or below 0."""
    size = draw(st.integers(1, 7))
    parent = [-1] + [draw(st.integers(-1, row - 1)) for row in range(1, size)]
    kinds = [powers()] + ([st.just(np.inf)] if unlimited else []) + ([st.floats(lowest, 0.0)] if lowest < 0.0 else [])
    room = [draw(st.one_of(*kinds)) for _ in range(size)]
    node = draw(st.lists(st.integers(0, size - 1), max_size=devices))
    return Forest(parent, room, node)
