from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from derms.columns import Constraint, Freshness, Memory, Override, Reason
from derms.control.decide import decide
from derms.model import DeviceKind, DeviceStatus
from tests.unit.control.fleets import PARAMS, Plant, Row, columns, feeder, tick

PV = DeviceKind.PV
LOAD = DeviceKind.LOAD
BATTERY = DeviceKind.BATTERY


def test_generation_adds_room_instead_of_taking_it() -> None:
    # limit 50, PV making 40, nothing else: 50 - (-40) = 90 may be drawn, not 10
    rows = [Row(kind=PV, p_actual_kw=-40.0, p_export_max_kw=40.0, p_import_max_kw=0.0), Row(p_import_max_kw=100.0)]
    decision, _ = tick(rows, feeder(50.0))
    assert decision.nodes.headroom_kw[0] == pytest.approx(90.0)


def test_a_silent_charger_keeps_what_it_drew_reserved() -> None:
    # limit 50, a silent one last drew 40: the other gets 10, not 50
    silent = Row(p_actual_kw=40.0, age_s=20.0, p_import_max_kw=50.0)
    plant = Plant([silent, Row(p_import_max_kw=50.0)], feeder(50.0), metered=False)
    for _ in range(20):
        decision = plant.step()
    assert decision.nodes.reserved_kw[0] == pytest.approx(40.0)
    assert decision.target_kw[1] == pytest.approx(10.0)
    assert np.isnan(decision.target_kw[0])


def test_a_silent_charger_holds_its_lease_until_that_ends_and_then_its_default() -> None:
    leased = Row(p_actual_kw=3.0, may_kw=7.0, lease_kw=7.0, lease_left_s=5.0, age_s=40.0, default_power_kw=1.4)
    assert tick([leased], feeder(50.0))[0].nodes.reserved_kw[0] == pytest.approx(7.0)
    ended = Row(p_actual_kw=3.0, age_s=40.0, default_power_kw=1.4)
    assert tick([ended], feeder(50.0))[0].nodes.reserved_kw[0] == pytest.approx(1.4)


def test_a_charger_that_never_spoke_holds_its_rating() -> None:
    never = Row(p_actual_kw=np.nan, soc=np.nan, age_s=np.inf, spoke=False, p_import_max_kw=22.0)
    decision, _ = tick([never], feeder(50.0))
    assert decision.freshness[0] == Freshness.NEVER
    assert decision.nodes.reserved_kw[0] == pytest.approx(22.0)


def test_from_far_above_the_limit_everything_is_commanded_down_in_one_tick() -> None:
    # 10 chargers at 11 kW = 110 kW; the limit falls to 30 kW
    rows = [
        Row(p_actual_kw=11.0, lease_kw=11.0, may_kw=11.0, lease_left_s=15.0, p_import_max_kw=11.0, p_min_kw=1.4)
        for _ in range(10)
    ]
    decision, _ = tick(rows, feeder(30.0, metered_kw=110.0, metered_age_s=0.5))
    assert np.sum(decision.target_kw) <= 30.0 + 1e-9
    assert decision.send.all()
    # and everything the minimum powers allow is used: 10 x 1.4 = 14 fits, so nobody is off
    assert np.sum(decision.target_kw) == pytest.approx(30.0)


def test_steady_state_renews_each_lease_before_a_third_of_its_life_is_left() -> None:
    plant = Plant([Row(p_import_max_kw=7.0), Row(p_import_max_kw=7.0)], feeder(10.0))
    for _ in range(200):
        plant.step()
        assert all(row.lease_left_s - PARAMS.interval_s > PARAMS.lease_s / 3.0 for row in plant.rows)


def test_an_overloaded_feeder_makes_an_idle_battery_discharge_and_never_charge() -> None:
    battery = Row(kind=BATTERY, soc=0.6, p_import_max_kw=5.0, p_export_max_kw=5.0)
    rows = [Row(kind=LOAD, p_actual_kw=12.0), battery]
    decision, _ = tick(rows, feeder(10.0))
    assert decision.target_kw[1] == pytest.approx(-2.0)
    assert decision.reason[1] == Reason.RELIEF
    assert decision.nodes.shortfall_kw[0] == 0.0


def test_a_battery_at_its_reserve_does_not_discharge_and_the_shortfall_is_said() -> None:
    battery = Row(kind=BATTERY, soc=0.2, min_soc_reserve=0.2, p_import_max_kw=5.0, p_export_max_kw=5.0)
    decision, _ = tick([Row(kind=LOAD, p_actual_kw=12.0), battery], feeder(10.0))
    assert decision.target_kw[1] == 0.0
    assert decision.nodes.shortfall_kw[0] == pytest.approx(2.0)


def test_three_chargers_that_fit_one_at_a_time_take_turns() -> None:
    # 6 kW, smallest power 4.1: one charges; within the hour everyone had a turn
    plant = Plant([Row(p_import_max_kw=11.0, p_min_kw=4.1) for _ in range(3)], feeder(6.0))
    served = np.zeros(3)
    for _ in range(1800):
        decision = plant.step()
        assert np.count_nonzero(decision.target_kw) <= 1
        served += decision.target_kw * PARAMS.interval_s / 3600.0
        assert plant.head_kw() <= 6.0 + 1e-9
    assert served.min() > 1.5  # a fair third of 6 kWh is 2


def test_two_equal_chargers_settle_on_equal_shares() -> None:
    plant = Plant([Row(p_import_max_kw=7.0, soc=0.3), Row(p_import_max_kw=7.0, soc=0.3)], feeder(10.0))
    for _ in range(60):
        plant.step()
    shares = [plant.step().target_kw for _ in range(60)]
    assert np.allclose(shares, 5.0, atol=0.2)


def test_of_overlapping_constraints_the_tightest_wins_and_is_named() -> None:
    looser, tighter = Constraint(source="a", import_limit_kw=40.0), Constraint(source="b", import_limit_kw=20.0)
    decision, _ = tick([Row()], feeder(50.0), constraints=(looser, tighter))
    assert (decision.nodes.import_limit_kw[0], decision.nodes.import_source[0]) == (20.0, "b")


def test_an_event_never_lifts_a_feeder_above_its_own_limit() -> None:
    decision, _ = tick([Row()], feeder(50.0), constraints=(Constraint(source="a", import_limit_kw=400.0),))
    assert (decision.nodes.import_limit_kw[0], decision.nodes.import_source[0]) == (50.0, "static")


def test_a_shed_is_taken_once_and_not_again_from_what_it_has_already_lowered() -> None:
    plant = Plant([Row(p_import_max_kw=50.0, capacity_kwh=1e6, soc=0.1)], feeder(60.0), background_kw=20.0)
    for _ in range(30):
        plant.step()
    drawn = plant.head_kw()
    assert drawn == pytest.approx(60.0)
    plant.constraints = (Constraint(source="shed", shed_kw=15.0),)
    for _ in range(30):
        plant.step()
    assert plant.head_kw() == pytest.approx(drawn - 15.0)


def test_room_that_another_was_only_told_to_leave_is_not_given_away() -> None:
    # the first was just lowered from 10 to 2 and has not been seen to follow: 10 of 10 kW are taken
    leaving = Row(p_actual_kw=10.0, lease_kw=2.0, may_kw=10.0, lease_left_s=15.0, p_import_max_kw=10.0)
    decision, _ = tick([leaving, Row(p_import_max_kw=10.0, priority=10)], feeder(10.0))
    assert decision.target_kw[1] == 0.0
    assert decision.reason[1] == Reason.RAMP


def test_a_lost_head_meter_freezes_every_raise() -> None:
    rows = [Row(p_actual_kw=2.0, lease_kw=2.0, may_kw=2.0, lease_left_s=15.0, acknowledged_s=1.0)]
    blind = feeder(50.0, metered_kw=2.0, metered_age_s=20.0)
    assert tick(rows, blind)[0].target_kw[0] <= 2.0
    seeing = feeder(50.0, metered_kw=2.0, metered_age_s=0.5)
    assert tick(rows, seeing)[0].target_kw[0] > 2.0


def test_a_device_that_went_quiet_keeps_its_lease_and_gets_no_more() -> None:
    quiet = Row(p_actual_kw=3.0, lease_kw=3.0, may_kw=3.0, lease_left_s=2.0, age_s=10.0, acknowledged_s=20.0)
    decision, _ = tick([quiet], feeder(50.0))
    assert (decision.target_kw[0], decision.send[0], decision.reason[0]) == (3.0, True, Reason.SILENT)
    assert decision.nodes.reserved_kw[0] == pytest.approx(3.0)
    # without any room it is told to go down, and its room stays reserved all the same
    decision, _ = tick([Row(kind=LOAD, p_actual_kw=9.0), quiet], feeder(10.0))
    assert (decision.target_kw[1], decision.send[1]) == (0.0, True)
    assert decision.nodes.reserved_kw[0] == pytest.approx(3.0)


def test_a_device_that_is_lost_is_told_nothing() -> None:
    lost = Row(p_actual_kw=3.0, lease_kw=3.0, may_kw=3.0, lease_left_s=2.0, age_s=40.0)
    decision, _ = tick([lost], feeder(50.0))
    assert np.isnan(decision.target_kw[0])
    assert not decision.send[0]


def test_without_a_head_meter_the_assumed_unmetered_load_is_kept_free() -> None:
    decision, _ = tick([Row(kind=LOAD, p_actual_kw=3.0), Row()], feeder(10.0, assumed_unmetered_kw=2.0))
    assert decision.nodes.headroom_kw[0] == pytest.approx(5.0)


def test_a_faulty_or_locally_held_device_is_told_nothing_and_its_draw_is_kept_free() -> None:
    for status in (DeviceStatus.FAULT, DeviceStatus.LOCAL):
        decision, _ = tick([Row(p_actual_kw=6.0, status=status), Row()], feeder(10.0))
        assert np.isnan(decision.target_kw[0])
        assert decision.nodes.headroom_kw[0] == pytest.approx(4.0)


def test_an_export_limit_curtails_generation_in_proportion_to_rating() -> None:
    # limit 6 kW, two panels of 5 and 10 kW in full sun, 3 kW of load: 9 kW may be made, 3 and 6
    rows = [
        Row(kind=PV, p_actual_kw=-5.0, p_export_max_kw=5.0, p_import_max_kw=0.0),
        Row(kind=PV, p_actual_kw=-10.0, p_export_max_kw=10.0, p_import_max_kw=0.0),
        Row(kind=LOAD, p_actual_kw=3.0),
    ]
    decision, _ = tick(rows, feeder(export_limit_kw=6.0))
    assert decision.target_kw[:2] == pytest.approx([-3.0, -6.0])
    assert list(decision.reason[:2]) == [Reason.EXPORT_LIMIT, Reason.EXPORT_LIMIT]


def test_a_device_below_its_reserve_is_served_before_everyone_else() -> None:
    plant = Plant([Row(soc=0.1, priority=1), Row(soc=0.5, priority=10)], feeder(5.0))
    for _ in range(20):
        decision = plant.step()
    assert decision.target_kw == pytest.approx([5.0, 0.0])


def test_a_car_that_must_leave_gets_what_it_needs_before_the_others_share() -> None:
    # 12 kWh short with two hours left: 6 kW now, whatever the other's priority
    hurried = Row(soc=0.6, target_soc=0.8, capacity_kwh=60.0, ready_in_s=7200.0, priority=1)
    relaxed = Row(soc=0.3, ready_in_s=1e6, priority=10, p_import_max_kw=10.0)
    plant = Plant([hurried, relaxed], feeder(10.0))
    for _ in range(20):
        decision = plant.step()
    assert decision.target_kw[0] >= 5.9


def test_a_car_that_takes_less_than_it_was_granted_frees_the_rest() -> None:
    shy = Row(p_actual_kw=2.0, lease_kw=7.0, may_kw=7.0, lease_left_s=15.0, acknowledged_s=10.0)
    decision, _ = tick([shy], feeder(7.0, metered_kw=2.0, metered_age_s=0.5))
    # 1.02 x 2 + 1 % of 7
    assert decision.target_kw[0] == pytest.approx(2.11)
    assert decision.reason[0] == Reason.UPTAKE


def test_after_a_long_gap_a_session_is_given_what_the_coming_tick_can_take() -> None:
    # 1 kWh is left and 600 s have passed without a tick: in the 2 s to come it takes 7 kW, not 1 x 3600 / 600 = 6
    charging = Row(energy_needed_kwh=1.0, p_actual_kw=7.0, lease_kw=7.0, may_kw=7.0, lease_left_s=5.0)
    assert tick([charging], feeder(10.0), dt_s=600.0)[0].target_kw[0] == pytest.approx(7.0)
    # and just what is left when it is less: 0.002 x 3600 / 2
    finishing = replace(charging, energy_needed_kwh=0.002)
    assert tick([finishing], feeder(10.0), dt_s=600.0)[0].cap_kw[0] == pytest.approx(3.6)


@pytest.mark.parametrize(
    ("changes", "told_kw", "reason"),
    [
        ({"override": Override.BLOCK}, 0.0, Reason.BLOCKED),
        ({"override": Override.HOLD, "override_kw": 2.0}, 2.0, Reason.HELD),
        ({"override": Override.HOLD, "override_kw": 5.0}, 3.0, None),  # never raised on an old reading
        ({"override": Override.HOLD, "override_kw": 0.5, "p_min_kw": 1.4}, 0.0, Reason.HELD),
    ],
)
@pytest.mark.parametrize("astray", [False, True])
def test_what_an_operator_says_reaches_a_silent_and_a_disobedient_device_that_hold_a_lease(
    changes: dict[str, object], told_kw: float, reason: Reason | None, astray: bool
) -> None:
    leased = Row(p_actual_kw=3.0, lease_kw=3.0, may_kw=3.0, lease_left_s=15.0, age_s=1.0 if astray else 10.0)
    memory = Memory.empty(1)
    memory.devices.strikes[0] = -1.0 if astray else 0.0
    row = replace(leased, **changes)  # type: ignore[arg-type]  # a table's words, checked by the dataclass
    decision, _ = tick([row], feeder(50.0), memory=memory)
    assert decision.target_kw[0] == pytest.approx(told_kw)
    assert decision.send[0] == (told_kw != 3.0)
    assert decision.reason[0] == (reason or (Reason.DISOBEDIENT if astray else Reason.SILENT))
    assert decision.nodes.reserved_kw[0] == pytest.approx(3.0)  # it may not listen


def test_what_a_charger_draws_beyond_its_lease_is_made_room_for_at_its_first_reading() -> None:
    rogue = Row(p_actual_kw=6.5, lease_kw=2.0, may_kw=2.0, lease_left_s=15.0, told_s=60.0)
    quiet = replace(rogue, p_actual_kw=2.0)
    for row, beyond_kw in ((rogue, 4.5), (quiet, 0.0)):
        decision, _ = tick([row, quiet], feeder(10.0))
        assert not decision.disobedient.any()
        assert decision.nodes.reserved_kw[0] == pytest.approx(beyond_kw)
        assert decision.nodes.headroom_kw[0] == pytest.approx(10.0 - beyond_kw)


def _fleet() -> st.SearchStrategy[list[Row]]:
    maybe = st.floats(0.0, 1.0) | st.just(float("nan"))
    row = st.builds(
        Row,
        kind=st.sampled_from(list(DeviceKind)[:4]),
        p_actual_kw=st.floats(-20.0, 20.0) | st.just(float("nan")),
        soc=maybe,
        age_s=st.sampled_from([0.5, 10.0, 100.0, float("inf")]),
        spoke=st.booleans(),
        status=st.sampled_from(list(DeviceStatus)),
        available_kw=st.floats(0.0, 20.0) | st.just(float("nan")),
        ready_in_s=st.floats(-1000.0, 1e5) | st.just(float("nan")),
        p_import_max_kw=st.floats(0.0, 22.0),
        p_export_max_kw=st.floats(0.0, 22.0),
        p_min_kw=st.sampled_from([0.0, 1.4, 4.1]),
        capacity_kwh=st.floats(1.0, 100.0) | st.just(float("nan")),
        priority=st.integers(1, 10).map(float),
        default_power_kw=st.sampled_from([0.0, 1.4]),
        lease_kw=st.floats(-10.0, 10.0) | st.just(float("nan")),
        lease_left_s=st.floats(-10.0, 20.0),
        may_kw=st.floats(-10.0, 10.0) | st.just(float("nan")),
        acknowledged_s=st.sampled_from([float("-inf"), 1.0, 100.0]),
    )
    return st.lists(row, min_size=1, max_size=12)


ANYTHING = {
    "rows": _fleet(),
    "limit_kw": st.floats(0.0, 100.0),
    "metered_kw": st.floats(-50.0, 100.0),
    "meter": st.booleans(),
}


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(**ANYTHING)
def test_whatever_comes_in_the_leases_fit_the_headroom_and_no_device_is_asked_the_impossible(
    rows: list[Row], limit_kw: float, metered_kw: float, meter: bool
) -> None:
    check_the_possible(rows, limit_kw, metered_kw, meter=meter)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(max_examples=20_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(**ANYTHING)
def test_twenty_thousand_times_the_leases_fit_the_headroom_and_no_device_is_asked_the_impossible(
    rows: list[Row], limit_kw: float, metered_kw: float, meter: bool
) -> None:
    check_the_possible(rows, limit_kw, metered_kw, meter=meter)


def check_the_possible(rows: list[Row], limit_kw: float, metered_kw: float, *, meter: bool) -> None:
    state = feeder(limit_kw, metered_kw=metered_kw if meter else np.nan, metered_age_s=0.5 if meter else np.inf)
    before = Memory.empty(len(rows), 1)
    before = replace(before, devices=replace(before.devices, bucket_kwh=np.linspace(-1.0, 1.0, len(rows))))
    decision, memory = tick(rows, state, memory=before)
    storage = [i for i, row in enumerate(rows) if row.kind in ("ev", "battery") and np.isfinite(decision.target_kw[i])]
    told = [i for i in storage if decision.reason[i] != Reason.SILENT]
    # leases of EVs and batteries together stay within the headroom, or at the relief bound below it
    assert decision.target_kw[told].sum() <= max(decision.nodes.headroom_kw[0], 0.0) + 1e-6
    assert np.isfinite(memory.devices.bucket_kwh).all()
    for i in told:
        row, p_kw = rows[i], float(decision.target_kw[i])
        assert p_kw <= max(row.p_import_max_kw, 0.0) + 1e-9
        assert p_kw <= 0.0 or p_kw >= row.p_min_kw - 1e-9
        if p_kw < 0.0:
            assert row.kind is BATTERY
            assert row.soc > row.min_soc_reserve
    if decision.nodes.headroom_kw[0] < 0.0:
        relieved = -decision.target_kw[told].sum()
        assert relieved + decision.nodes.shortfall_kw[0] >= -decision.nodes.headroom_kw[0] - 1e-6
    again, _ = tick(rows, state, memory=before)
    assert again.target_kw.tobytes() == decision.target_kw.tobytes()


def test_what_is_remembered_moves_with_its_row_and_who_joins_starts_with_nothing() -> None:
    _, memory = decide_once([Row(), Row(p_import_max_kw=3.0)])
    moved = memory.aligned(np.array([1, -1, 0]), np.array([0]))
    assert moved.devices.bucket_kwh.tolist() == [*memory.devices.bucket_kwh[[1]], 0.0, memory.devices.bucket_kwh[0]]
    assert np.isnan(moved.devices.last_kw[1])
    assert moved.nodes.fixed_import_kw.tolist() == memory.nodes.fixed_import_kw.tolist()


def decide_once(rows: list[Row], memory: Memory | None = None) -> tuple[object, Memory]:
    return tick(rows, feeder(5.0), memory=memory)


def test_an_empty_feeder_is_decided_too() -> None:
    decision, _ = tick([], feeder(5.0))
    assert decision.nodes.headroom_kw[0] == 5.0
    assert columns([]).kind.size == 0
    assert decide is not None


def test_a_charger_whose_smallest_power_lies_between_two_steps_starts_at_the_next_whole_one() -> None:
    # 1.4 kW and steps of 0.23: 6 x 0.23 = 1.38 is too little, so it runs at 7 x 0.23 = 1.61 and above
    plant = Plant([Row(p_min_kw=1.4, p_step_kw=0.23, p_import_max_kw=3.7)], feeder(1.7))
    for _ in range(5):
        decision = plant.step()
    assert decision.target_kw[0] == pytest.approx(1.61)
