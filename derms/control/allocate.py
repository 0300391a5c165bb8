"""Room -> targets: relief first, then who is on, then the policy's rounds, then whole steps. Pure.

::

    room < 0 ──► batteries below discharge ──► what they cannot give is the shortfall; nothing below charges
    room > 0 ──► smallest powers by turn ──► the policy's rounds ──► all caps ──► whole steps ──► what still fits

Whatever a policy asks, no node is passed, and no room stays unused that somebody below could take.
"""

from dataclasses import dataclass, replace

import numpy as np

from derms.columns import Bools, Floats, Ints
from derms.control.choice import keep
from derms.control.fill import Pouring, asking, pour, pour_to
from derms.control.seats import Seats
from derms.control.squeeze import Level, Slices
from derms.control.turns import Lumps, seated, served_whole, spend, whole_steps
from derms.control.wants import Round, Wants, Wish

_SLIGHT_KW = 1e-9
"""Less than this is nothing [kW]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """Targets before ramps."""

    target_kw: Floats
    """Shape (n,) [kW]; negative: relief."""
    waiting: Bools
    """Off although they want power: their smallest power does not fit now, shape (n,)."""
    shortfall_kw: Floats
    """Load above the room of each node that nothing controllable below can relieve, shape (m,) [kW]."""
    bound_node: Ints
    """For each device that did not get its cap or gives relief, the node above it with the least room left;
    -1 for the others; shape (n,)."""


def allocate(wants: Wants, wish: Wish, discharge_kw: Floats, seats: Seats) -> Allocation:
    """Give the room of a tree to its flexible devices.

    Args:
        wants: What they want, and the room.
        wish: What the policy asks for.
        discharge_kw: What each battery can give for relief, a magnitude, shape (n,) [kW].
        seats: The layout of `wants.tree` and `wants.node`.
    """
    eased = relieve(seats, wants.room_kw[seats.node], np.fmax(discharge_kw, 0.0)[seats.row])
    lumps = Lumps.of(wants.cap_kw[seats.row], wants.minimum_kw[seats.row], wants.step_kw[seats.row])
    turn = wish.turn[seats.row]
    on = seated(seats, eased.left, _called(seats, eased.left, lumps, turn, wish), turn)
    share, left = _serve(seats, eased.left, lumps, on, wish)
    share, left = _tidy(seats, left, share, lumps, turn, np.fmax(wants.drawing_kw, 0.0)[seats.row])
    short = (lumps.top - share > _SLIGHT_KW) | (eased.relief > 0.0)
    tightest = seats.down_argmin(np.where(eased.closed, eased.room, left))
    return Allocation(
        target_kw=seats.rows(share - eased.relief),
        waiting=seats.rows((lumps.smallest > 0.0) & (share <= 0.0)),
        shortfall_kw=seats.nodes(eased.short),
        bound_node=seats.rows(np.where(short, seats.node[tightest][seats.place], -1)),
    )


def _called(seats: Seats, left: Floats, lumps: Lumps, turn: Floats, wish: Wish) -> Lumps:
    """Leave to be on only those whom claims larger than the smallest powers do not crowd out."""
    if wish.claim_kw is None or not lumps.lumpy:
        return lumps
    claim = wish.claim_kw[seats.row]
    claim = keep(claim > 0.0, np.maximum(claim, lumps.smallest))
    given, _ = pour(seats, left, Pouring(np.minimum(claim, lumps.top), rank=turn))
    called = (lumps.smallest <= 0.0) | (given > _SLIGHT_KW)
    return replace(lumps, smallest=lumps.smallest * called, top=lumps.top * called)


def _serve(seats: Seats, left: Floats, lumps: Lumps, on: Bools, wish: Wish) -> tuple[Floats, Floats]:
    """Set the smallest powers aside and serve the rounds, and then whatever caps are left."""
    cap = lumps.top * on
    share = lumps.smallest * on
    # What a device has been given before the rounds, and no round has counted yet.
    credit = None
    if lumps.lumpy:
        credit, left = share.copy(), np.maximum(left - seats.up(seats.own(share)), 0.0)
    for asked in wish.rounds:
        opened = seats.down_min(left) > 0.0
        if not opened.any():
            break
        who = asking(seats, asked, opened)
        ceiling, used = asked.ceiling_kw[seats.row[who]], None
        if credit is not None:
            used = np.minimum(ceiling, credit[who])
            credit[who] -= used
            ceiling = ceiling - used
        ceiling = np.minimum(ceiling, cap[who] - share[who])
        more = ceiling > 0.0
        if not more.all():
            who, ceiling, used = who[more], ceiling[more], None if used is None else used[more]
        if who.size:
            given, left = pour_to(seats, left, who, _members(asked, seats.row[who], ceiling, used))
            share[who] += given
    given, left = pour(seats, left, Pouring(cap - share))
    return share + given, left


def _members(asked: Round, row: Ints, ceiling: Floats, used: Floats | None) -> Pouring:
    """Those a round serves, with what their ceilings still allow.

    By level, one that has been given some already is served again once the level passes that: all as if smallest
    powers were floors.
    """
    weight = None if asked.weight is None else asked.weight[row]
    start = None if asked.start is None else asked.start[row]
    rank = None if asked.rank is None else asked.rank[row]
    if rank is None and used is not None and used.any():
        ahead = used if weight is None else used / np.where(weight > 0.0, weight, 1.0)
        start = ahead if start is None else start + ahead
    return Pouring(ceiling, weight, start, rank)


def _tidy(
    seats: Seats, left: Floats, share: Floats, lumps: Lumps, turn: Floats, drawing: Floats
) -> tuple[Floats, Floats]:
    """Bring shares to what devices can do, and give out what room that leaves."""
    if not lumps.lumpy:
        return share, left
    while True:
        share, left = whole_steps(seats, left, share, lumps, turn, drawing)
        who = np.flatnonzero((lumps.smallest > 0.0) & (share <= 0.0))
        late = who[served_whole(seats, left, who, lumps.smallest[who], turn[who])]
        if not late.size:
            break
        share[late] = lumps.smallest[late]
        left = spend(seats, left, late, lumps.smallest[late])
    running = (lumps.step <= 0.0) & ((lumps.smallest <= 0.0) | (share > 0.0))
    given, left = pour(seats, left, Pouring((lumps.top - share) * running))
    return share + given, left


@dataclass(frozen=True, slots=True, kw_only=True)
class Eased:
    """Nodes after relief."""

    relief: Floats
    """What each battery gives, by seat [kW], a magnitude."""
    room: Floats
    """With the relief below counted, by place [kW]."""
    left: Floats
    """To be given, by place [kW]."""
    closed: Bools
    """It needed relief, by place: nothing below charges."""
    short: Floats
    """What it still lacks, by place [kW]."""


def relieve(seats: Seats, room: Floats, can: Floats) -> Eased:
    """Let batteries discharge below nodes whose room is negative, lowest nodes first.

    Batteries below a node give in proportion to what they can; one that already gives more for a node further down
    gives no more.

    Args:
        seats: The layout.
        room: By place [kW].
        can: What each can give, by seat [kW], >= 0.
    """
    closed = np.zeros(room.size, dtype=bool)
    relief, helped = np.zeros(can.size), np.zeros(room.size)
    if np.any(room < 0.0):
        who = np.flatnonzero(can > 0.0)
        able, given = can[who], np.zeros(who.size)
        edge = seats.edges(who)
        for depth in reversed(seats.depths):
            over = depth.place[room[depth.place] + helped[depth.place] < 0.0]
            closed[over] = True
            begin, end = edge[over], edge[seats.end[over]]
            filled = end > begin
            if filled.any():
                over = over[filled]
                slices = Slices.of(begin[filled], end[filled])
                given = _discharged(able, given, slices, -(room[over] + helped[over]))
                helped[over] = slices.sums(given[slices.index])
            if depth.parent[0] >= 0:
                helped[depth.above] += np.add.reduceat(helped[depth.place], depth.first)
        relief[who] = given
    room = room + helped
    short = np.where(room < -_SLIGHT_KW, -room, 0.0)
    return Eased(relief=relief, room=room, left=np.where(closed, 0.0, np.fmax(room, 0.0)), closed=closed, short=short)


def _discharged(able: Floats, given: Floats, slices: Slices, need: Floats) -> Floats:
    """What batteries give once those of each segment give `need` more together, or all they can."""
    more = able - given
    tight = slices.sums(more[slices.index]) > need
    if tight.any():
        level = Level(able, given / able if given.any() else None)
        level.squeeze(more, slices.only(tight), need[tight])
    after = given.copy()
    after[slices.index] += more[slices.index]
    return after
