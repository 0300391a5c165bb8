"""The dead-man envelope: whenever the controller stops, what flows afterwards stays below what was predicted."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derms.columns import BATTERY, EV, REVERT_S, Constraint, Decision, Floats, Memory, Picture
from derms.control.decide import decide
from derms.model import DeviceKind, OverrideKind
from tests.unit.control.fleets import PARAMS, Plant, Row, columns, feeder
from tests.unit.control.yard import AGE_S, Yard, yards


def _peak_after(plant: Plant) -> float:
    """The highest load after the controller died: leases until they end, then default control [kW]."""
    peak = 0.0
    for second in range(round(PARAMS.lease_s) + 30):
        drawn = [row.p_actual_kw if second < row.lease_left_s else row.default_power_kw for row in plant.rows]
        peak = max(peak, plant.background_kw + sum(drawn))
    return peak


def _run(plant: Plant, ticks: int) -> Decision:
    decision = plant.step()
    for _ in range(ticks):
        decision = plant.step()
    return decision


@st.composite
def _troubled(draw: st.DrawFn) -> Yard:
    """Random defaults, silent devices, overrides and an event."""
    yard = draw(yards(defaults=(0.0, 1.4, 3.0, -2.0)))
    for row, thing in enumerate(yard.things):
        if draw(st.integers(0, 4)) == 0:
            begin = draw(st.integers(0, 20))
            thing.silent_s = (begin, begin + draw(st.sampled_from([4, 20, 100])))
        kind = draw(st.sampled_from([None] * 6 + [OverrideKind.BLOCK, OverrideKind.HOLD]))
        yard.override(row, kind, draw(st.sampled_from([-3.0, 0.0, 2.0, 5.0])) if kind is OverrideKind.HOLD else None)
    node = draw(st.integers(0, len(yard.parent) - 1))
    limit, export = draw(st.sampled_from([np.inf, 0.0, 6.0])), draw(st.sampled_from([np.inf, np.inf, 1.0]))
    yard.constraints = (Constraint(source="event", node=node, import_limit_kw=limit, export_limit_kw=export),)
    return yard


def _lose_what_was_just_sent(yard: Yard, lost: list[bool]) -> None:
    """A part of what goes out at the last instant does not arrive."""
    for row, thing in enumerate(yard.things):
        if lost[row] and thing.leases and thing.leases[-1].from_s == yard.now_s + thing.delay_s:
            thing.leases.pop()


def _fixed_kw(yard: Yard) -> tuple[Floats, Floats]:
    """What nobody told when the last readings were made, towards import and, without PV, towards export [kW]."""
    seen_s, tree, at = yard.now_s - AGE_S, yard.tree, yard.at
    drawn = {kind: np.array([thing.power_kw(seen_s) if thing.device.kind is kind else 0.0 for thing in yard.things])
             for kind in DeviceKind}  # fmt: skip
    towards_import = yard.loads_kw(seen_s) - tree.subtree(at, drawn[DeviceKind.EV] + drawn[DeviceKind.BATTERY])
    return towards_import, towards_import - tree.subtree(at, drawn[DeviceKind.PV])


@settings(max_examples=80, deadline=None)
@given(_troubled(), st.integers(0, 14), st.lists(st.booleans(), min_size=8, max_size=8))
def test_stopped_at_any_tick_no_node_passes_what_was_predicted_and_every_device_ends_on_its_default_control(
    yard: Yard, ticks: int, lost: list[bool]
) -> None:
    nodes_ = yard.run(ticks).nodes
    believed = yard.memory.nodes
    _lose_what_was_just_sent(yard, lost)
    instants = np.arange(yard.now_s, yard.now_s + PARAMS.lease_s + 2.0 * REVERT_S + 5.0, 0.5)
    loads = np.array([yard.loads_kw(instant) for instant in instants])
    # The figure assumes that the fixed load is what it is believed to be, which a head meter shows with some lag.
    towards_import, towards_export = _fixed_kw(yard)
    importing = loads.max(axis=0) - towards_import + believed.fixed_import_kw
    exporting = (-loads).max(axis=0) + towards_export - believed.fixed_export_kw
    assert np.all(importing <= nodes_.envelope_import_kw + 1e-5)
    assert np.all(exporting <= nodes_.envelope_export_kw + 1e-5)
    # Leases are over: everybody is on default control, and panels make what the sun gives.
    for thing in yard.things:
        end_kw = thing.power_kw(float(instants[-1]))
        match thing.device.kind:
            case DeviceKind.PV:
                assert end_kw == -thing.sun_kw
            case DeviceKind.EV | DeviceKind.BATTERY:
                empty = thing.soc <= thing.device.min_soc_reserve
                assert end_kw == (max(thing.device.default_power_kw, 0.0) if empty else thing.device.default_power_kw)


@settings(max_examples=40, deadline=None)
@given(yards(directions="import", defaults=(0.0,)), st.integers(5, 14))
def test_what_is_predicted_is_not_more_than_leases_that_may_still_be_followed_come_to(yard: Yard, ticks: int) -> None:
    decision = yard.run(ticks)
    devices, told = yard.picture.devices, np.isfinite(decision.target_kw)
    storage = told & np.isin(devices.kind, [EV, BATTERY])
    worst = np.fmax(np.fmax(devices.may_kw, decision.target_kw), np.fmax(devices.p_actual_kw, 0.0))
    sums = yard.tree.subtree(yard.at, np.where(storage, worst, 0.0))
    most = sums + yard.memory.nodes.fixed_import_kw + decision.nodes.reserved_kw
    assert np.all(decision.nodes.envelope_import_kw <= most + 1e-6)


def test_default_controls_that_pass_the_limit_together_are_said_by_how_much() -> None:
    # 4 x 3.0 = 12 on 10, with 1 of background: 3 too many
    plant = Plant([Row(default_power_kw=3.0) for _ in range(4)], feeder(10.0), background_kw=1.0)
    decision = _run(plant, 5)
    assert decision.nodes.default_over_kw[0] == pytest.approx(3.0)
    assert decision.nodes.envelope_import_kw[0] >= 13.0 - 1e-6


def test_where_no_mixture_can_pass_the_limit_the_envelope_is_what_is_leased_and_all_leases_live_alike() -> None:
    plant = Plant([Row() for _ in range(3)], feeder(15.0), background_kw=2.0)
    decision = _run(plant, 30)
    assert decision.nodes.envelope_import_kw[0] == pytest.approx(15.0, abs=0.3)
    assert set(decision.life_s.tolist()) == {PARAMS.lease_s}


def test_leases_above_their_default_end_before_those_below_so_that_no_mixture_passes_the_limit() -> None:
    # 11 kW for one that falls to 0, 1 kW for ten that rise to 1.0 without a lease: together 10 + 10 > 12
    greedy = Row(p_import_max_kw=11.0, priority=10.0, soc=0.1, ready_in_s=1800.0)
    idle = Row(p_import_max_kw=7.0, p_min_kw=1.4, default_power_kw=1.0, available_kw=0.5)
    plant = Plant([greedy, *(replace(idle) for _ in range(10))], feeder(12.0))
    decision = _run(plant, 40)
    assert decision.target_kw[0] > 5.0
    assert np.all(decision.life_s[1:] > decision.life_s[0])
    assert decision.nodes.envelope_import_kw[0] <= 12.0 + 0.5
    assert _peak_after(plant) <= 12.0 + 1e-6


def test_in_lockstep_what_is_lowered_counts_no_more_with_its_older_lease() -> None:
    # 2 x 7 on 14, then the limit falls to 6: all leases of one decision are followed together
    leased = Row(p_actual_kw=7.0, lease_kw=7.0, may_kw=7.0, may_low_kw=7.0, lease_left_s=15.0, may_left_s=25.0)
    picture = Picture(dt_s=300.0, nodes=feeder(6.0), constraints=(), devices=columns([leased, leased]), lockstep=True)
    decision, _ = decide(picture, Memory.empty(2), replace(PARAMS, interval_s=300.0))
    assert decision.target_kw == pytest.approx([3.0, 3.0])
    assert decision.nodes.envelope_import_kw[0] == pytest.approx(6.0)
    # on a wire the older leases may still be followed
    decision, _ = decide(replace(picture, lockstep=False), Memory.empty(2), PARAMS)
    assert decision.nodes.envelope_import_kw[0] == pytest.approx(14.0)
