"""Where the devices of one tree hang, worked out once and used by every step of a tick. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from derms.columns import Bools, Floats, Ints
from derms.control.fill import serve_seated
from derms.control.seats import Seats
from derms.control.tree import Tree
from derms.control.wants import Round


@dataclass(frozen=True, slots=True)
class Layout:
    """Worth keeping for as long as the nodes and what hangs on them stay the same."""

    tree: Tree
    node: Ints
    """Row of the node each device hangs on, shape (n,)."""
    seats: Seats

    @staticmethod
    def of(parent: Ints, node: Ints) -> "Layout":
        """Lay out devices that hang on `node`, shape (n,), of a forest with these parents, shape (m,)."""
        tree = Tree.of(parent)
        return Layout(tree, node, Seats.of(tree, node))

    def sums(self, value: Floats) -> Floats:
        """Sum device values, shape (n,), into every node above them, shape (m,)."""
        return self.tree.subtree(self.node, value)

    def below(self, nodes: Bools) -> Bools:
        """Which devices, shape (n,), hang below any of some nodes, shape (m,)."""
        if not nodes.any():
            return np.zeros(self.node.size, dtype=bool)
        return self.tree.down_any(nodes)[self.node]

    def above(self, devices: Bools) -> Bools:
        """Which nodes, shape (m,), have any of some devices, shape (n,), below them."""
        if not devices.any():
            return np.zeros(self.tree.parent.size, dtype=bool)
        return self.sums(devices.astype(np.float64)) > 0.0

    def serve(self, room_kw: Floats, rounds: Sequence[Round]) -> Floats:
        """Serve rounds from the room of each node, shape (m,) [kW]; see `derms.control.fill`."""
        return serve_seated(self.seats, room_kw, rounds)
