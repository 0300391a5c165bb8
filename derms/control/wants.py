"""What a policy sees and what it answers. Pure values.

A policy turns wants into rounds; the engine serves the rounds one after the other, each from what the ones before it
left, on every node of the tree. So no policy can pass a limit, whatever it asks for.
"""

from collections.abc import Callable
from dataclasses import dataclass

from derms.columns import Bools, Floats, Ints, Params
from derms.control.seats import Seats
from derms.control.tree import Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Wants:
    """The flexible devices of one tree as a policy may see them; arrays of shape (n,) unless said otherwise.

    Rows that want nothing now have a cap of 0 and must be given nothing.
    """

    is_ev: Bools
    cap_kw: Floats
    """The most each can take now [kW]; 0: it wants nothing or may have nothing."""
    minimum_kw: Floats
    """Smallest non-zero power [kW]."""
    step_kw: Floats
    """Whole steps of this, counted from 0 [kW]; 0: any power."""
    priority: Floats
    gap: Floats
    """SOC missing to the target, 0..1; a half where it is unknown."""
    below_reserve: Bools
    left_kwh: Floats
    """Energy still needed: to the target SOC, or of the session [kWh]; finite."""
    asked_kwh: Floats
    """What the session needed at its start: `got + left` [kWh]."""
    got_kwh: Floats
    """Delivered in this session [kWh]."""
    time_left_s: Floats
    """Until it must be ready: what the car says, else the horizon [s]; at least 60."""
    departs: Bools
    """It has said when it must be ready."""
    bucket_kwh: Floats
    waited_s: Floats
    """Since it last had power while wanting some [s]."""
    running_s: Floats
    """Since it was switched on [s]; 0: it is off."""
    drawing_kw: Floats
    """Its lease now [kW], 0 where it has none."""
    node: Ints
    room_kw: Floats
    """Headroom of every node for flexible devices, shape (m,) [kW]; inf: no limit."""
    tree: Tree
    seats: Seats
    """The layout of `tree` and `node`."""
    dt_s: float
    """Since the last tick [s]; the next one comes in about `params.interval_s`."""
    params: Params


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One serving: up to a ceiling, by a rising level, or strictly one after the other.

    By level each device gets ``clip(weight * (level - start), 0, ceiling)`` with the highest level that fits, for each
    node its own (weighted max-min on a tree). By rank each gets all of its ceiling that fits, largest rank first.
    """

    ceiling_kw: Floats
    """The most this round gives, on top of the rounds before it, shape (n,) [kW]."""
    weight: Floats | None = None
    """> 0 where the ceiling is; by level."""
    start: Floats | None = None
    """Level at which each begins to be served; None: 0 for all."""
    rank: Floats | None = None
    """By rank, instead of `weight`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A policy's answer."""

    rounds: tuple[Round, ...]
    """Ceilings add up: the last round's fills every cap that is left (the engine clips to the cap)."""
    turn: Floats
    """Where not all smallest powers fit: who is on first, largest first, shape (n,)."""
    claim_kw: Floats | None = None
    """What each means to run at once it is on, shape (n,) [kW]; 0: it is to stay off if room can be used otherwise.

    Who is on is settled with these as far as there is room. None: the smallest powers, so that as many as possible are
    on."""
    fair_kw: Floats | None = None
    """What each would have by the weight that its bucket is credited with, shape (n,) [kW]; None: not worked out."""


Plug = Callable[[Wants], Wish]
"""A policy. Pure: the same wants give the same wish; permuting the devices permutes the wish."""
