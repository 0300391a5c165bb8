"""The same answers, slowly and obviously: plain Python, exact fractions, one event or one device after the other."""

from collections.abc import Sequence
from fractions import Fraction
from math import inf, isfinite


def path(parent: Sequence[int], node: int) -> list[int]:
    """The node and everything above it."""
    way = [node]
    while parent[way[-1]] >= 0:
        way.append(parent[way[-1]])
    return way


def by_level(
    parent: Sequence[int],
    node: Sequence[int],
    left: list[Fraction | None],
    ceiling: Sequence[float],
    weight: Sequence[float],
    start: Sequence[float],
) -> list[Fraction]:
    """Raise one level for all; a device stops at its ceiling, or when any node above it is full.

    `left` (None: no limit) is used up in place.
    """
    share = [Fraction(0) for _ in node]
    rising = {i for i in range(len(node)) if ceiling[i] > 0 and weight[i] > 0}
    above = [path(parent, n) for n in node]
    level = min((Fraction(start[i]) for i in rising), default=Fraction(0))
    while True:
        rising -= {i for i in rising if share[i] >= Fraction(ceiling[i]) or any(left[v] == 0 for v in above[i])}
        if not rising:
            return share
        started = [i for i in rising if Fraction(start[i]) <= level]
        ahead = [Fraction(start[i]) - level for i in rising if Fraction(start[i]) > level]
        ahead += [(Fraction(ceiling[i]) - share[i]) / Fraction(weight[i]) for i in started]
        for v in range(len(parent)):
            speed = sum((Fraction(weight[i]) for i in started if v in above[i]), Fraction(0))
            room = left[v]
            if room is not None and speed > 0:
                ahead.append(room / speed)
        step = min(ahead)
        level += step
        for i in started:
            share[i] += step * Fraction(weight[i])
            for v in above[i]:
                room = left[v]
                if room is not None:
                    left[v] = room - step * Fraction(weight[i])


def by_rank(
    parent: Sequence[int],
    node: Sequence[int],
    left: list[Fraction | None],
    ceiling: Sequence[float],
    rank: Sequence[float],
) -> list[Fraction]:
    """Each in turn takes all it can; equals: the smaller first, then by node as a depth-first walk meets them."""
    share = [Fraction(0) for _ in node]
    places = depth_first(parent)
    for i in sorted(range(len(node)), key=lambda i: (-rank[i], ceiling[i], places[node[i]], i)):
        way = path(parent, node[i])
        rooms = [room for v in way if (room := left[v]) is not None]
        share[i] = min([Fraction(max(ceiling[i], 0.0)), *rooms])
        for v in way:
            room = left[v]
            if room is not None:
                left[v] = room - share[i]
    return share


def depth_first(parent: Sequence[int]) -> dict[int, int]:
    """When a depth-first walk that takes children by row meets each node."""
    met: dict[int, int] = {}

    def walk(v: int) -> None:
        met[v] = len(met)
        for child in range(len(parent)):
            if parent[child] == v:
                walk(child)

    for v in range(len(parent)):
        if parent[v] < 0:
            walk(v)
    return met


def rooms(room_kw: Sequence[float]) -> list[Fraction | None]:
    """Rooms as fractions; below 0 there is none, inf is no limit."""
    return [Fraction(max(room, 0.0)) if isfinite(room) else (None if room == inf else Fraction(0)) for room in room_kw]
