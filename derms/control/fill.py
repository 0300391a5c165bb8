"""Serve rounds on a forest: the highest level that fits, or one after the other, at every node. Pure.

Both kinds are solved bottom-up, all nodes of one depth at once: only where the sum below a node passes its room is
anything solved, with what the nodes below have left of each ceiling as the new ceiling. That is exact, because the
constraints are nested: a device ends at the lowest of the levels on its way to the root, and greedy service of nested
limits is greedy service of each limit in turn.

Source: Bertsekas and Gallager, Data Networks, section 6.5.2 (max-min fair flow: the bottleneck of each is the lowest
level on its path); Edmonds, Submodular Functions, Matroids and Certain Polyhedra (greedy service of nested limits).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from derms.columns import Bools, Floats, Ints
from derms.control.seats import Seats, sums_between
from derms.control.squeeze import Level, Queue, Slices
from derms.control.tree import Tree
from derms.control.wants import Round

_FULL = 1e-11
"""A node with less of its room left than this share is full."""


def serve(tree: Tree, node: Ints, room_kw: Floats, rounds: Sequence[Round]) -> Floats:
    """Serve rounds one after the other, each from the room the ones before it left.

    Args:
        tree: The nodes.
        node: Row of the node each device hangs on, shape (n,).
        room_kw: What each node can give to everything below it, shape (m,) [kW]; inf: no limit; below 0: nothing.
        rounds: What is asked; ceilings are finite.

    Returns:
        Grants of all rounds together, shape (n,) [kW]. Below every node they sum to its room at the most.
    """
    return serve_seated(Seats.of(tree, node), room_kw, rounds)


def serve_seated(seats: Seats, room_kw: Floats, rounds: Sequence[Round]) -> Floats:
    """Serve rounds on a layout that is there already; see `serve`."""
    left = np.fmax(room_kw, 0.0)[seats.node]
    total = np.zeros(seats.row.size)
    for asked in rounds:
        opened = seats.down_min(left) > 0.0
        if not opened.any():
            break
        who = asking(seats, asked, opened)
        row = seats.row[who]
        given, left = pour_to(seats, left, who, Pouring.of(asked, row))
        total[row] += given
    return total


@dataclass(frozen=True, slots=True)
class Pouring:
    """A `Round` by seat, or of some of the seats."""

    ceiling: Floats
    weight: Floats | None = None
    start: Floats | None = None
    rank: Floats | None = None

    @staticmethod
    def of(asked: Round, row: Ints) -> "Pouring":
        """The device rows `row` of a round."""
        ceiling, weight, start, rank = asked.ceiling_kw, asked.weight, asked.start, asked.rank
        return Pouring(ceiling[row], _at(weight, row), _at(start, row), _at(rank, row))

    def at(self, who: Ints) -> "Pouring":
        """The rows `who` of it."""
        return Pouring(self.ceiling[who], _at(self.weight, who), _at(self.start, who), _at(self.rank, who))

    def unsound(self) -> Bools | None:
        """Who has no sound weight or start, and cannot be served; None: all can."""
        weight, start = self.weight, self.start
        if weight is not None and weight.size and not (weight.min() > 0.0 and weight.max() < np.inf):
            wrong = ~((weight > 0.0) & (weight < np.inf))
            return wrong if start is None else wrong | ~np.isfinite(start)
        if start is not None and not np.isfinite(start).all():
            return ~np.isfinite(start)
        return None


def _at(value: Floats | None, who: Ints) -> Floats | None:
    return None if value is None else value[who]


def asking(seats: Seats, asked: Round, opened: Bools) -> Ints:
    """The seats that ask for something in a round below places that are all open, ascending."""
    return _below(seats, (asked.ceiling_kw > 0.0)[seats.row], opened)


def _below(seats: Seats, who: Bools, opened: Bools) -> Ints:
    """Which of some seats, shape (n,), are below places that are open, shape (m,); ascending."""
    return (who if opened.all() else who & opened[seats.place]).nonzero()[0]


def pour(seats: Seats, left: Floats, asked: Pouring) -> tuple[Floats, Floats]:
    """Serve one round of all seats.

    Args:
        seats: The layout.
        left: Room by place [kW], >= 0.
        asked: What to serve, by seat.

    Returns:
        Grants by seat [kW], and the room by place they leave; exactly 0 where a node bound.
    """
    given = np.zeros(seats.row.size)
    opened = seats.down_min(left) > 0.0
    if opened.any():
        who = _below(seats, asked.ceiling > 0.0, opened)
        if who.size:
            given[who], left = pour_to(seats, left, who, asked.at(who))
    return given, left


def pour_to(seats: Seats, left: Floats, who: Ints, asked: Pouring) -> tuple[Floats, Floats]:
    """Serve one round of some of the seats.

    Args:
        seats: The layout.
        left: Room by place [kW], >= 0.
        who: The seats, ascending; none of them below a node without room.
        asked: What to serve, one row for each of `who`; ceilings above 0.

    Returns:
        Grants of `who` [kW], and the room by place they leave; exactly 0 where a node bound.
    """
    wrong = asked.unsound()
    if wrong is not None:
        given, chosen = np.zeros(who.size), (~wrong).nonzero()[0]
        if chosen.size:
            given[chosen], left = pour_to(seats, left, who[chosen], asked.at(chosen))
        return given, left
    share = asked.ceiling.copy()
    edge = seats.edges(who)
    total = sums_between(share, edge)
    service: Level | Queue | None = None
    bound: list[Ints] = []
    for depth in reversed(seats.depths):
        full = total[depth.places] > left[depth.places]
        if full.any():
            over = depth.place[full]
            service = service or _service(asked)
            service.squeeze(share, Slices.of(edge[over], edge[seats.end[over]]), left[over])
            total[over] = left[over]
            bound.append(over)
        depth.add_up(total)
    if len(bound) > 1:
        # What a node was squeezed to may have been squeezed further by one above it.
        total = seats.up(sums_between(share, edge))
        for over in bound:
            within = left[over] - total[over] < _FULL * left[over]
            total[over] = np.where(within, left[over], total[over])
    return share, np.maximum(left - total, 0.0)


def _service(asked: Pouring) -> Level | Queue:
    if asked.rank is not None:
        return Queue(asked.rank, asked.ceiling)
    return Level.of(np.ones(asked.ceiling.size) if asked.weight is None else asked.weight, asked.start)
