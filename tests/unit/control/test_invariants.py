"""What must always hold, line by line, on any forest of nodes with devices that obey after a delay.

By design there are exceptions, and each test leaves out its own: a limit that falls, and a share that shifts, take
effect when devices follow; what a ramp, a deadband, a band of `calm`, a smallest power, a blind meter or noise keeps
free is not unused room.
"""

from dataclasses import fields, replace
from math import inf

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from derms.columns import (
    BATTERY,
    EV,
    PV,
    Bools,
    Constraint,
    Decision,
    DeviceMemory,
    Floats,
    Freshness,
    Memory,
    NodeColumns,
    NodeDecision,
    NodeMemory,
    Override,
    Params,
    Picture,
)
from derms.control.decide import decide
from derms.model import Device, DeviceKind, OverrideKind, Policy
from tests.unit.control.reference import path
from tests.unit.control.yard import PARAMS, Thing, Yard, yards

TICKS = st.integers(2, 8)
ROUNDING_KW = 1e-4
"""Whole steps and smallest powers are taken to fit where milliwatts are missing."""
TURNS = (Policy.DEFICIT, Policy.PROPORTIONAL, Policy.EQUAL)
"""Policies under which turns are meant to be for everybody; the others say who comes first, strictly."""


def told(yard: Yard) -> Bools:
    """EVs and batteries that are heard, listen and follow."""
    heard = (yard.decision.freshness == Freshness.GOOD) & ~yard.decision.disobedient
    flexible: Bools = heard & np.isin(yard.picture.devices.kind, [EV, BATTERY]) & np.isfinite(yard.decision.target_kw)
    return flexible


def told_pv(yard: Yard) -> Bools:
    curtailed: Bools = (yard.picture.devices.kind == PV) & np.isfinite(yard.decision.target_kw)
    return curtailed


def sums(yard: Yard, value: Floats) -> Floats:
    return yard.tree.subtree(yard.at, value)


def meddle(yard: Yard, draw: st.DataObject) -> None:
    """Devices fall silent, operators hold and block, and an event begins."""
    for row, thing in enumerate(yard.things):
        if draw.draw(st.integers(0, 5)) == 0:
            thing.silent_s = (draw.draw(st.integers(0, 10)), inf)
        kind = draw.draw(st.sampled_from([None] * 7 + [OverrideKind.BLOCK, OverrideKind.HOLD]))
        p_kw = draw.draw(st.sampled_from([-3.0, 0.0, 2.0, 5.0])) if kind is OverrideKind.HOLD else None
        yard.override(row, kind, p_kw)
    if draw.draw(st.booleans()):
        node = draw.draw(st.integers(0, len(yard.parent) - 1))
        limit, export = draw.draw(st.sampled_from([inf, 0.0, 6.0])), draw.draw(st.sampled_from([inf, 0.0, 3.0]))
        yard.constraints = (Constraint(source="event", node=node, import_limit_kw=limit, export_limit_kw=export),)


@settings(max_examples=50, deadline=None)
@given(yards(), TICKS, st.data())
def test_leases_background_and_reservations_fit_every_limit_or_the_shortfall_is_named_and_all_is_at_its_relief_bound(
    yard: Yard, ticks: int, data: st.DataObject
) -> None:
    meddle(yard, data)
    for _ in range(ticks):
        nodes = yard.tick().nodes
        devices, target = yard.picture.devices, np.nan_to_num(yard.decision.target_kw)
        leased = sums(yard, np.where(told(yard), target, 0.0))
        taken = nodes.uncontrolled_kw + nodes.reserved_kw + yard.picture.nodes.margin_kw
        hard_kw = np.where(np.array(nodes.import_source) == "recovery", yard.import_kw, nodes.import_limit_kw)
        assert np.all(leased + taken - nodes.shortfall_kw <= hard_kw + ROUNDING_KW)
        generated = sums(yard, np.where(told_pv(yard), -target, 0.0))
        assert np.all(generated - nodes.export_shortfall_kw <= np.maximum(nodes.export_headroom_kw, 0.0) + ROUNDING_KW)
        assert np.all(nodes.export_shortfall_kw >= np.maximum(-nodes.export_headroom_kw, 0.0) - 1e-6)
        able = (devices.kind == BATTERY) & (devices.soc > devices.min_soc_reserve)
        asked = able & (devices.override != Override.BLOCK) & ~(devices.override_kw >= 0.0)
        for row, thing in enumerate(yard.things):
            way = path(yard.parent, thing.node)
            if told(yard)[row] and nodes.shortfall_kw[way].max() > 1e-6:
                assert target[row] <= 0.0
                # All a battery can give, as far as no export limit on its way is passed by that.
                if asked[row] and np.all(np.isinf(nodes.export_limit_kw[way])):
                    assert target[row] <= -thing.device.p_export_max_kw + 1e-6
            if nodes.export_shortfall_kw[way].max() > 1e-6:
                assert not told_pv(yard)[row] or target[row] == 0.0
        yard.wait()


@settings(max_examples=50, deadline=None)
@given(yards(), TICKS, st.data())
def test_a_device_is_raised_only_into_room_that_nobody_may_still_be_using(
    yard: Yard, ticks: int, data: st.DataObject
) -> None:
    meddle(yard, data)
    for _ in range(ticks):
        yard.tick()
        devices, nodes, target = yard.picture.devices, yard.decision.nodes, yard.decision.target_kw
        draw = np.where(np.isfinite(devices.p_actual_kw), devices.p_actual_kw, devices.default_power_kw)
        before = np.where(told(yard), np.fmax(draw, devices.may_kw), 0.0)
        raised = told(yard) & (target > before + 1e-6)
        used = sums(yard, np.where(raised, target, before))
        way = [path(yard.parent, thing.node) for thing in yard.things]
        for row in np.flatnonzero(raised):
            assert np.all(
                used[way[row]] <= nodes.headroom_kw[way[row]] + sums(yard, -ordered(yard))[way[row]] + ROUNDING_KW
            )
        free = np.where(np.isfinite(devices.may_low_kw), -devices.may_low_kw, devices.p_export_max_kw)
        before = np.where(told_pv(yard), np.fmax(-draw, free), 0.0)
        raised = told_pv(yard) & (-target > before + 1e-6)
        used = sums(yard, np.where(raised, -target, before))
        for row in np.flatnonzero(raised):
            assert np.all(used[way[row]] <= nodes.export_headroom_kw[way[row]] + ROUNDING_KW)
        yard.wait()


def ordered(yard: Yard) -> Floats:
    """Discharge that operators ordered, negative [kW]."""
    held = told(yard) & (yard.picture.devices.override_kw < 0.0)
    return np.where(held, np.minimum(np.nan_to_num(yard.decision.target_kw), 0.0), 0.0)


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(["import", "export"]).flatmap(lambda way: yards(directions=way)), TICKS)
def test_behind_a_standing_background_no_node_is_brought_over_a_limit_or_further_over_it(
    yard: Yard, ticks: int
) -> None:
    limits, exports = np.array(yard.import_kw), np.array(yard.export_kw)
    yard.tick()
    before = yard.loads_kw(yard.now_s)
    for _ in range(ticks):
        for part in (0.5, 1.0, 1.5, 2.0):
            load = yard.loads_kw(yard.now_s + part * PARAMS.interval_s / 2.0 - 1e-3)
            assert np.all(load <= np.maximum(limits, before) + ROUNDING_KW)
            assert np.all(-load <= np.maximum(exports, -before) + ROUNDING_KW)
            before = load
        yard.wait()
        yard.tick()


@settings(max_examples=25, deadline=None)
@given(yards(devices=6, directions="import", policies=TURNS))
def test_no_headroom_stays_unused_that_a_device_wants_and_could_take(yard: Yard) -> None:
    yard.run(45)
    nodes, devices = yard.decision.nodes, yard.picture.devices
    target, cap = np.nan_to_num(yard.decision.target_kw), yard.decision.cap_kw
    left = nodes.headroom_kw - sums(yard, np.where(told(yard), target, 0.0))
    for row in np.flatnonzero(told(yard) & (target < cap - PARAMS.deadband * devices.p_import_max_kw - 1e-6)):
        rating, least, step = (float(c[row]) for c in (devices.p_import_max_kw, devices.p_min_kw, devices.p_step_kw))
        if target[row] <= 0.0:
            could_use = max(np.ceil(least / step - 1e-6) * step if step > 0.0 else least, step)
        else:
            could_use = step
        # What lies within the deadband, or within the little that is kept free for noise, is not worth a message.
        slack = PARAMS.deadband * rating + 0.05
        assert left[path(yard.parent, yard.things[row].node)].min() <= could_use + slack


def permuted(picture: Picture, order: list[int], memory: Memory) -> tuple[Picture, Memory]:
    """The same devices in another order: new row k is old row `order[k]`."""
    index = np.array(order, dtype=np.int64)
    devices = replace(
        picture.devices, **{f.name: getattr(picture.devices, f.name)[index] for f in fields(picture.devices)}
    )
    return replace(picture, devices=devices), memory.aligned(index, np.arange(picture.nodes.parent.size))


DEVICE_PARTS = ("target_kw", "send", "life_s", "reason", "reason_node", "cap_kw", "waited_s", "share_kw")


@settings(max_examples=50, deadline=None)
@given(yards(), TICKS, st.data())
def test_permuting_the_devices_permutes_the_decision_and_the_same_inputs_give_the_same_bytes(
    yard: Yard, ticks: int, data: st.DataObject
) -> None:
    meddle(yard, data)
    for row, thing in enumerate(yard.things):
        # Twins that only their row tells apart may change places.
        thing.device = replace(thing.device, priority=1 + row)
        thing.soc += 1e-3 * row
        yard.fleet.register(thing.device)
    order = data.draw(st.permutations(range(len(yard.things))))
    for _ in range(ticks):
        before = yard.memory
        decision = yard.tick()
        again, _ = decide(yard.picture, before, PARAMS)
        picture, memory = permuted(yard.picture, order, before)
        moved, remembered = decide(picture, memory, PARAMS)
        for name in DEVICE_PARTS:
            one, two = getattr(decision, name), getattr(moved, name)
            assert getattr(again, name).tobytes() == one.tobytes()
            np.testing.assert_allclose(two, one[order], rtol=1e-6, atol=1e-6, err_msg=name)
        for part in fields(NodeDecision):
            one, two = getattr(decision.nodes, part.name), getattr(moved.nodes, part.name)
            if isinstance(one, tuple):
                assert one == two
            else:
                np.testing.assert_allclose(two, one, rtol=1e-6, atol=1e-6, err_msg=part.name)
        for part in fields(DeviceMemory):
            one, two = getattr(yard.memory.devices, part.name), getattr(remembered.devices, part.name)
            np.testing.assert_allclose(two, one[order], rtol=1e-6, atol=1e-6, err_msg=part.name)
        yard.wait()


NEVER_NAN = ("life_s", "cap_kw", "left_kwh", "waited_s", "share_kw", "capability_kw")
NODES_NEVER_NAN = tuple(
    item.name
    for item in fields(NodeDecision)
    if item.name not in ("import_source", "export_source", "measured_kw", "default_over_exports")
)
odd = st.sampled_from([float("nan"), 0.0, -0.0, 1e-9, -5.0, 7.0, 1e9])


@settings(max_examples=80, deadline=None)
@given(yards(), st.data())
def test_whatever_a_device_or_a_meter_says_nothing_that_is_not_a_number_comes_out(
    yard: Yard, data: st.DataObject
) -> None:
    yard.tick()
    said = ("p_actual_kw", "soc", "available_kw", "ready_in_s", "energy_needed_kwh")
    devices = replace(
        yard.picture.devices,
        **{name: np.array([data.draw(odd) for _ in yard.things]) for name in said},
    )
    finite = st.sampled_from([float("nan"), 0.0, -3.0, 1e9])
    heads: NodeColumns = replace(
        yard.picture.nodes, metered_kw=np.array([data.draw(finite) for _ in yard.parent]),
        metered_age_s=np.array([data.draw(st.sampled_from([0.5, 9.0, inf])) for _ in yard.parent]),
    )  # fmt: skip
    memory = Memory.empty(len(yard.things), len(yard.parent))
    for _ in range(2):
        decision, memory = decide(replace(yard.picture, devices=devices, nodes=heads), memory, PARAMS)
        assert_sound(decision)
    for part in fields(NodeMemory):
        assert not np.any(np.isinf(getattr(memory.nodes, part.name)) & (part.name not in ROOMS)), part.name


ROOMS = ("room_kw", "soft_room_kw")
"""Without a limit there is no end of room."""


def assert_sound(decision: Decision) -> None:
    for name in NEVER_NAN:
        assert not np.any(np.isnan(getattr(decision, name))), name
    for name in NODES_NEVER_NAN:
        assert not np.any(np.isnan(getattr(decision.nodes, name))), name
    assert not np.any(np.isnan(decision.target_kw[decision.send]))
    assert np.all(np.isfinite(decision.target_kw) | np.isnan(decision.target_kw))


QUICK = Params(interval_s=2.0, lease_s=20.0, wait_max_s=60.0, turn_s=40.0)


@settings(max_examples=6, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([1.4, 4.1]), st.integers(1, 3), st.integers(0, 2)), min_size=3, max_size=5),
    st.sampled_from([4.2, 6.0, 9.0]),
    st.sampled_from([4.2, 8.3]),
    st.sampled_from(TURNS),
)
def test_a_wanting_device_waits_no_longer_than_its_weight_and_the_turns_of_the_others_make_it(
    hungry: list[tuple[float, int, int]], root_kw: float, branch_kw: float, policy: Policy
) -> None:
    # Who is on stays for a tenth of `turn_s`, and 30 s after others came first: K. A device of weight w among W has in
    # that time had what is its own in K x W / w; then the turns of the others come, and at last it is overdue.
    yard = Yard(
        parent=[-1, 0, 0],
        things=[
            Thing(
                device=Device(device_id=f"ev-{row}", kind=DeviceKind.EV, feeder_id="any", p_import_max_kw=7.4,
                              p_min_kw=least, capacity_kwh=1e6, priority=priority),
                node=node,
            )
            for row, (least, priority, node) in enumerate(hungry)
        ],
        import_kw=[root_kw, branch_kw, branch_kw],
        export_kw=[inf] * 3,
        metered=[True, False, False],
        background_kw=[0.0] * 3,
        policy=policy,
        params=QUICK,
    )  # fmt: skip
    weight = np.array([1.0 if policy is Policy.EQUAL else float(priority) for _, priority, _ in hungry])
    keeps_s = 30.0 + 0.1 * QUICK.turn_s + 4.0 * QUICK.interval_s
    bound_s = QUICK.wait_max_s + keeps_s * (weight.sum() / weight + len(hungry))
    longest = np.zeros(len(hungry))
    for _ in range(round(1.2 * bound_s.max() / QUICK.interval_s)):
        longest = np.maximum(longest, yard.tick().waited_s)
        yard.wait()
    assert np.all(longest <= bound_s), (longest, bound_s)


@settings(max_examples=50, deadline=None)
@given(yards(), TICKS, st.data())
def test_no_power_lies_below_the_smallest_or_between_steps_and_no_battery_is_emptied_or_overfilled(
    yard: Yard, ticks: int, data: st.DataObject
) -> None:
    meddle(yard, data)
    for thing in yard.things:
        thing.soc = data.draw(st.sampled_from([0.0, 0.2, 0.21, 0.5, 0.8, 0.81, 0.999, 1.0]))
    for _ in range(ticks):
        decision, devices = yard.tick(), yard.picture.devices
        for row, thing in enumerate(yard.things):
            p_kw, device = float(decision.target_kw[row]), thing.device
            if not np.isfinite(p_kw) or device.kind is DeviceKind.PV:
                assert not p_kw > 0.0
                continue
            if not told(yard)[row]:
                continue
            assert p_kw <= device.p_import_max_kw + 1e-9
            assert p_kw <= 0.0 or p_kw >= device.p_min_kw - 1e-9
            if device.p_step_kw > 0.0 and p_kw > 0.0:
                steps = p_kw / device.p_step_kw
                assert abs(steps - round(steps)) < 1e-9
            if p_kw < 0.0:
                assert device.kind is DeviceKind.BATTERY
                assert devices.soc[row] > device.min_soc_reserve
                assert p_kw >= -device.p_export_max_kw - 1e-9
            if p_kw > 0.0:
                assert devices.soc[row] < 1.0
                absorbs = np.any(yard.memory.nodes.export_over > 0.0) or np.any(np.isfinite(yard.export_kw))
                assert device.kind is DeviceKind.EV or absorbs or devices.soc[row] < device.target_soc
        yard.wait()


@settings(max_examples=40, deadline=None)
@given(yards(delays=(0.0, 1.0), directions="import"), st.data())
def test_an_event_bears_on_the_next_tick_and_a_healthy_fleet_complies_within_two(
    yard: Yard, data: st.DataObject
) -> None:
    yard.run(12)
    yard.wait()
    node = data.draw(st.integers(0, len(yard.parent) - 1))
    drawn = yard.load_kw(node, yard.now_s)
    assume(drawn > 0.0)
    limit = drawn * data.draw(st.sampled_from([0.0, 0.4, 0.8]))
    yard.constraints = (Constraint(source="event", node=node, import_limit_kw=limit),)
    decision = yard.tick()
    assert decision.nodes.import_limit_kw[node] <= limit
    leased = sums(yard, np.where(told(yard), np.nan_to_num(decision.target_kw), 0.0))[node]
    taken = decision.nodes.uncontrolled_kw + decision.nodes.reserved_kw + yard.picture.nodes.margin_kw
    assert leased + taken[node] - decision.nodes.shortfall_kw[node] <= limit + ROUNDING_KW
    yard.wait()
    yard.tick()
    yard.wait()
    # What nobody can relieve is named by the first decision.
    assert yard.load_kw(node, yard.now_s) <= limit + decision.nodes.shortfall_kw[node] + ROUNDING_KW
