"""The tick: one pure function over columns. No clock, no I/O, no chance.

::

    obedience, needs -> bounds -> background -> limits -> headroom -> policy -> allocation -> ramps -> leases
                                                                            -> the envelope + the record

The same inputs give the same bytes out. Everything it needs to know of the past is in `Memory`.
"""

from dataclasses import dataclass, replace

import numpy as np

from derms.columns import (
    ADVISE,
    AUTO,
    EV,
    PV,
    Bools,
    Decision,
    DeviceColumns,
    DeviceMemory,
    Floats,
    Freshness,
    Ints,
    Memory,
    NodeColumns,
    NodeDecision,
    Override,
    Params,
    Picture,
)
from derms.control.allocate import Allocation, allocate
from derms.control.background import Background, background_of
from derms.control.bounds import Bounds, device_bounds, freshness_of, in_whole_steps, within_export
from derms.control.calm import calmed, remember_shares
from derms.control.caution import standing
from derms.control.choice import choose, keep
from derms.control.dynamics import Leases, Pace, ending, keep_silent, shape_export, shape_import, step_up_kw
from derms.control.envelope import Envelope, envelope_of, followed, lease_lives
from derms.control.layout import Layout
from derms.control.limits import Limits, limits_in_force
from derms.control.meters import believe_meters
from derms.control.needs import Needs, needs_of
from derms.control.obedience import Obedience, judge
from derms.control.policies import PLUGS, settle
from derms.control.reasons import Course, reasons_of
from derms.control.swing import swinging, unseen_rise_kw, watch_swings
from derms.control.uptake import uptake_of
from derms.control.wants import Round, Wants, Wish
from derms.model import Policy

_MOVED_KW = 1e-3
"""A lease that moves by less has not moved [kW]."""
_PRESSED = 0.8
"""A car that must charge at more than this share of what it can from now on has no slack to give away."""
_WAITED_KW = 1e-6
"""A device that draws less than this has no power [kW]."""


def decide(picture: Picture, memory: Memory, params: Params, layout: Layout | None = None) -> tuple[Decision, Memory]:
    """Decide every setpoint of one tree of nodes.

    Args:
        picture: What is known now.
        memory: What the last tick of this tree left, row for row (`Memory.aligned`).
        params: The engine's constants.
        layout: `Layout.of` the picture's nodes and devices, where the caller has kept it from the last tick.

    Returns:
        The decision, and the memory for the next tick.
    """
    layout = Layout.of(picture.nodes.parent, picture.devices.node) if layout is None else layout
    picture = replace(picture, devices=in_whole_steps(picture.devices))
    if not (picture.nodes.mode != AUTO).any():
        return _decide(picture, memory, params, layout, np.ones(picture.devices.kind.size, dtype=bool))
    mode = _mode_of_devices(picture, layout)
    if not np.any(mode == ADVISE):
        return _decide(picture, memory, params, layout, mode == AUTO)
    advice, advised_memory = _decide(picture, memory, params, layout, mode <= ADVISE)
    silenced = replace(advice, send=np.zeros_like(advice.send))
    if not np.any(mode == AUTO):
        return silenced, advised_memory
    # Where only a part is advised, the rest must be held without its help: two decisions, each shown where it counts.
    decision, memory = _decide(picture, memory, params, layout, mode == AUTO)
    only_advised = mode == ADVISE
    return (
        replace(
            decision,
            target_kw=np.where(only_advised, advice.target_kw, decision.target_kw),
            reason=np.where(only_advised, advice.reason, decision.reason),
            reason_node=np.where(only_advised, advice.reason_node, decision.reason_node),
            cap_kw=np.where(only_advised, advice.cap_kw, decision.cap_kw),
            uptake_kw=np.where(only_advised, advice.uptake_kw, decision.uptake_kw),
            share_kw=np.where(only_advised, advice.share_kw, decision.share_kw),
        ),
        memory,
    )


def _mode_of_devices(picture: Picture, layout: Layout) -> Ints:
    """The least active mode on each device's way to the root, shape (n,)."""
    return -layout.tree.down_min(-picture.nodes.mode.astype(np.float64)).astype(np.int64)[picture.devices.node]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What a tick has found out before it gives anything away."""

    layout: Layout
    fresh: Ints
    obedience: Obedience
    needs: Needs
    bounds: Bounds
    background: Background
    limits: Limits
    headroom_kw: Floats
    """To be held, with relief if need be, shape (m,) [kW]."""
    room_kw: Floats
    """To be given, shape (m,) [kW]; at most the headroom."""
    reserved_kw: Floats


def _decide(
    picture: Picture, memory: Memory, params: Params, layout: Layout, commanded: Bools
) -> tuple[Decision, Memory]:
    devices = picture.devices
    seen, memory = _look(picture, memory, params, layout, commanded)
    bounds = seen.bounds
    pace = Pace(
        dt_s=picture.dt_s,
        lockstep=picture.lockstep,
        frozen=layout.below(seen.background.blind) | (memory.devices.strikes > 0.0),
    )
    wants = _wants(picture, memory.devices, seen, params)
    wish = _held_first(PLUGS[picture.policy](wants), devices, bounds)
    given = allocate(wants, wish, bounds.discharge_kw + bounds.forced_kw, layout.seats)
    target = given.target_kw + bounds.forced_kw
    rank = _rank(wants)
    share = target
    step = step_up_kw(devices, params, picture.dt_s)
    if not picture.lockstep:
        share = calmed(
            target, wants.room_kw, bounds.cap_kw, bounds.flexible, _must_kw(wants),
            swinging(memory.nodes, target, layout), memory.devices, devices, layout, step, params,
        )  # fmt: skip
    told = shape_import(
        share, -bounds.discharge_kw, bounds.flexible, devices, seen.obedience.draw_kw, seen.room_kw, rank, step,
        layout, params, pace,
    )  # fmt: skip
    kept = keep_silent(bounds.waiting, devices, layout, seen.headroom_kw, params)
    export_room = _export_room(picture, seen, told.p_kw)
    cap = _generation_caps(export_room, bounds, layout)
    curtailed = shape_export(cap, bounds.curtailable, devices, export_room, layout, params, pace)
    p_kw = choose(bounds.curtailable, curtailed.p_kw, np.where(bounds.waiting, kept.p_kw, told.p_kw))
    life, outlive = lease_lives(p_kw, devices, bounds, seen.background, layout.tree, seen.limits.import_kw, params)
    renew = ending(life, devices, params) | (devices.lease_left_s > life)
    send = told.send | curtailed.send | kept.send | outlive | (np.isfinite(p_kw) & renew)
    out = followed(devices, p_kw, send) if picture.lockstep else devices
    envelope = envelope_of(
        p_kw, send, life, out, bounds, seen.background, layout.tree, seen.limits.import_kw, seen.limits.export_kw,
        params,
    )  # fmt: skip
    export_short = np.maximum(-export_room, 0.0)
    watched = watch_swings(seen.background.import_kw, memory.nodes, picture.dt_s)
    curtailing = bounds.curtailable & (cap < bounds.generation_kw - 1e-6)
    curtails = layout.above(curtailing)
    course = Course(
        given=given,
        share_kw=share,
        p_kw=told.p_kw,
        room_kw=wants.room_kw,
        kept_kw=kept.p_kw,
        curtailed=curtailed,
        generation_cap_kw=cap,
        export_room_kw=export_room,
        export_over=memory.nodes.export_over > 0.0,
    )
    device_memory = _device_memory(memory.devices, picture.policy, wants, wish, given, p_kw, picture.dt_s)
    reason, reason_node = reasons_of(devices, bounds, seen.fresh, seen.obedience.disobedient, course, layout)
    decision = Decision(
        target_kw=p_kw,
        send=send,
        life_s=life,
        reason=reason,
        reason_node=reason_node,
        freshness=seen.fresh,
        disobedient=seen.obedience.disobedient,
        capability_kw=bounds.capability_kw,
        cap_kw=bounds.cap_kw,
        uptake_kw=bounds.uptake_kw,
        left_kwh=seen.needs.left_kwh,
        waited_s=device_memory.waited_s,
        share_kw=choose(bounds.curtailable, -cap + 0.0, share),
        nodes=_node_record(picture, seen, given, envelope, told, export_room, export_short),
    )
    return decision, replace(
        memory,
        devices=device_memory,
        nodes=replace(watched, export_over=np.where(curtails | (export_short > 0.0), 1.0, 0.0)),
        sheds=seen.limits.sheds,
    )


def _look(picture: Picture, memory: Memory, params: Params, layout: Layout, commanded: Bools) -> tuple[_Seen, Memory]:
    """Everything up to the headroom."""
    devices, nodes, dt_s = picture.devices, picture.nodes, picture.dt_s
    fresh = freshness_of(devices, params)
    good = fresh == Freshness.GOOD
    obedience, device_memory = judge(devices, good & commanded, memory.devices, params, dt_s)
    uptake, idle, device_memory = uptake_of(
        devices, good & commanded, obedience.draw_kw, memory.devices.last_kw, device_memory, params,
        lockstep=picture.lockstep,
    )  # fmt: skip
    needs, device_memory = needs_of(devices, obedience.draw_kw, good, device_memory, params, dt_s)
    export_over = layout.below(memory.nodes.export_over > 0.0)
    bounds = device_bounds(devices, commanded, fresh, obedience, needs, uptake, export_over, params.interval_s)
    meters, node_memory = believe_meters(
        nodes, layout, obedience.draw_kw, memory.devices.last_kw, memory.nodes, params, dt_s
    )
    background, node_memory = background_of(
        nodes, layout.tree, devices, obedience.draw_kw, bounds, fresh, meters, node_memory, params, dt_s
    )
    draws = keep(bounds.flexible & np.isfinite(obedience.draw_kw), obedience.draw_kw)
    limits, node_memory = limits_in_force(
        nodes,
        picture.constraints,
        load_kw=background.load_kw,
        flexible_kw=layout.sums(draws),
        sheds=memory.sheds,
        memory=node_memory,
        params=params,
        dt_s=dt_s,
    )
    bounds = within_export(bounds, _outflow_kw(nodes, limits, background, bounds, devices, fresh, layout), layout)
    reserved = layout.sums(bounds.reserve_kw)
    unseen = unseen_rise_kw(background.import_kw, background.blind, memory.nodes)
    taken = nodes.margin_kw + background.import_kw + unseen + reserved
    spare = layout.sums(keep(bounds.flexible, idle))
    hard_room = standing(
        limits.import_kw - taken, memory.nodes.room_kw, memory.nodes.roomy, background.belief, spare, dt_s
    )
    soft_room = standing(
        limits.soft_import_kw - taken,
        memory.nodes.soft_room_kw,
        memory.nodes.soft_roomy,
        background.belief,
        spare,
        dt_s,
    )
    headroom, soft = hard_room.kw, soft_room.kw
    node_memory = replace(
        node_memory, room_kw=headroom, roomy=hard_room.roomy, soft_room_kw=soft, soft_roomy=soft_room.roomy
    )
    seen = _Seen(
        layout=layout,
        fresh=fresh,
        obedience=obedience,
        needs=needs,
        bounds=bounds,
        background=background,
        limits=limits,
        headroom_kw=headroom,
        room_kw=np.where(headroom < 0.0, headroom, np.maximum(np.minimum(headroom, soft), 0.0)),
        reserved_kw=reserved,
    )
    return seen, replace(memory, devices=device_memory, nodes=node_memory)


def _outflow_kw(
    nodes: NodeColumns, limits: Limits, background: Background, bounds: Bounds, devices: DeviceColumns, fresh: Ints,
    layout: Layout,
) -> Floats:  # fmt: skip
    """What batteries may push out below each node beside what flows out already, shape (m,) [kW]; inf: no limit.

    What EVs and batteries take is not counted on: it can be told away in this very tick.
    """
    # Where no meter sees them, panels that have gone quiet are in nothing that is believed.
    quiet = (devices.kind == PV) & (fresh != Freshness.GOOD)
    made = np.where(np.isfinite(devices.p_actual_kw), np.abs(devices.p_actual_kw), devices.p_export_max_kw)
    unseen = np.where(background.metered, 0.0, layout.sums(np.where(quiet, made, 0.0)))
    held = layout.sums(bounds.backfeed_kw)
    return limits.export_kw - nodes.margin_kw + background.belief.level_kw - unseen - held


def _wants(picture: Picture, memory: DeviceMemory, seen: _Seen, params: Params) -> Wants:
    devices, bounds, needs = picture.devices, seen.bounds, seen.needs
    # A discharge that an operator ordered makes room as relief does.
    room = seen.room_kw - seen.layout.sums(bounds.forced_kw)
    return Wants(
        is_ev=devices.kind == EV,
        cap_kw=bounds.cap_kw,
        minimum_kw=bounds.minimum_kw,
        step_kw=devices.p_step_kw,
        priority=devices.priority,
        gap=needs.gap,
        below_reserve=needs.below_reserve & bounds.flexible,
        left_kwh=needs.left_kwh,
        asked_kwh=needs.asked_kwh,
        got_kwh=needs.got_kwh,
        time_left_s=needs.time_left_s,
        departs=needs.departs,
        bucket_kwh=memory.bucket_kwh,
        waited_s=memory.waited_s,
        running_s=memory.running_s,
        drawing_kw=np.fmax(devices.lease_kw, 0.0),
        node=devices.node,
        room_kw=room,
        tree=seen.layout.tree,
        seats=seen.layout.seats,
        dt_s=picture.dt_s,
        params=params,
    )


def _held_first(wish: Wish, devices: DeviceColumns, bounds: Bounds) -> Wish:
    """Serve what an operator holds before what the policy says."""
    held = bounds.flexible & (devices.override == Override.HOLD) & (bounds.cap_kw > 0.0)
    if not held.any():
        return wish
    first = Round(ceiling_kw=np.where(held, bounds.cap_kw, 0.0), weight=np.ones_like(bounds.cap_kw))
    top = float(np.max(np.abs(wish.turn))) + 1.0
    return replace(
        wish,
        rounds=(first, *wish.rounds),
        turn=np.where(held, wish.turn + 2.0 * top, wish.turn),
        claim_kw=None if wish.claim_kw is None else np.where(held, bounds.cap_kw, wish.claim_kw),
    )


def _must_kw(wants: Wants) -> Floats:
    """What a device must have now, shape (n,) [kW].

    Below its reserve all it can take; with a departure that leaves it little slack, the pace that still reaches it.
    """
    pace = wants.left_kwh * 3600.0 / wants.time_left_s
    pressed = keep(wants.departs & (pace > _PRESSED * wants.cap_kw), np.minimum(pace, wants.cap_kw))
    return choose(wants.below_reserve, wants.cap_kw, pressed)


def _rank(wants: Wants) -> Floats:
    """Who is raised first into room that has become free: who waits longest, then who is owed most."""
    return wants.waited_s + np.maximum(wants.bucket_kwh, 0.0) + 1e-3 * wants.priority


def _export_room(picture: Picture, seen: _Seen, told_kw: Floats) -> Floats:
    """What curtailable PV may generate below each node, shape (m,) [kW]; negative: export is over without any."""
    devices, bounds = picture.devices, seen.bounds
    # PV that cannot be told makes what it makes; what EVs and batteries are told they may not all take, so the
    # smaller of told and measured is counted on; and what a battery may still discharge counts until it is over.
    net_kw = np.fmin(told_kw, seen.obedience.draw_kw)
    if not picture.lockstep:
        net_kw = np.minimum(net_kw, choose(devices.may_low_kw < 0.0, devices.may_low_kw, np.inf))
    net_kw = keep(bounds.flexible, net_kw)
    loose = ((devices.kind == PV) & ~bounds.curtailable).nonzero()[0]
    made = devices.p_actual_kw[loose]
    net_kw[loose] += np.where(np.isfinite(made), -np.abs(made), -devices.p_export_max_kw[loose])
    net = seen.background.export_kw + seen.layout.sums(net_kw - bounds.backfeed_kw)
    return seen.limits.export_kw - picture.nodes.margin_kw + net


def _generation_caps(export_room_kw: Floats, bounds: Bounds, layout: Layout) -> Floats:
    """What each PV may generate, shape (n,) [kW], a magnitude: in proportion to rating, its rating at the most."""
    ceiling = bounds.generation_kw
    if np.all(np.isinf(export_room_kw)):
        return ceiling
    return layout.serve(np.maximum(export_room_kw, 0.0), [Round(ceiling_kw=ceiling, weight=ceiling)])


def _device_memory(
    memory: DeviceMemory, policy: Policy, wants: Wants, wish: Wish, given: Allocation, p_kw: Floats, dt_s: float
) -> DeviceMemory:
    """Settle the buckets, and note who waits and who runs."""
    p_kw = keep(np.isfinite(p_kw), p_kw)
    has_power = p_kw > _WAITED_KW
    wanting = wants.cap_kw > 0.0
    moved = p_kw - wants.drawing_kw
    return replace(
        remember_shares(np.maximum(given.target_kw, 0.0), has_power, memory, dt_s),
        bucket_kwh=settle(policy, wants, wish, p_kw),
        heading=choose(np.abs(moved) > _MOVED_KW, np.sign(moved), memory.heading),
        unseated_s=keep(has_power & wanting & (given.target_kw <= 0.0), memory.unseated_s + dt_s),
        waited_s=keep(wanting & ~has_power, memory.waited_s + dt_s),
        running_s=keep(has_power, memory.running_s + dt_s),
    )


def _node_record(
    picture: Picture, seen: _Seen, given: Allocation, envelope: Envelope, told: Leases, export_room_kw: Floats,
    export_short_kw: Floats,
) -> NodeDecision:  # fmt: skip
    limits, background = seen.limits, seen.background
    return NodeDecision(
        import_limit_kw=np.minimum(limits.import_kw, limits.soft_import_kw),
        export_limit_kw=limits.export_kw,
        import_source=limits.import_source,
        export_source=limits.export_source,
        measured_kw=np.where(background.metered, picture.nodes.metered_kw, np.nan),
        background_kw=background.residual_kw,
        load_kw=background.load_kw,
        uncontrolled_kw=background.import_kw,
        reserved_kw=seen.reserved_kw,
        headroom_kw=seen.room_kw,
        export_headroom_kw=export_room_kw,
        commanded_kw=seen.layout.sums(keep(np.isfinite(told.p_kw), told.p_kw)),
        shortfall_kw=given.shortfall_kw,
        export_shortfall_kw=export_short_kw,
        envelope_import_kw=envelope.import_kw,
        envelope_import_s=envelope.import_s,
        envelope_export_kw=envelope.export_kw,
        envelope_export_s=envelope.export_s,
        default_over_kw=envelope.default_over_kw,
        default_over_exports=envelope.default_over_exports,
    )
