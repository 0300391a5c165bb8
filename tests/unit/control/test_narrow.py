"""Cases that only a search found: each a few figures, told by hand."""

from dataclasses import replace
from math import inf

import numpy as np
import pytest

from derms.columns import Memory, Override, Reason
from derms.control.dynamics import lawful
from derms.model import Device, DeviceKind, OverrideKind, Policy
from tests.unit.control.fleets import Plant, Row, columns, feeder, nodes, tick
from tests.unit.control.yard import Thing, Yard

BATTERY, EV, LOAD, PV = DeviceKind.BATTERY, DeviceKind.EV, DeviceKind.LOAD, DeviceKind.PV


def thing(
    name: str, kind: DeviceKind, *, node: int = 0, delay_s: float = 0.0, sun_kw: float = 0.0, **more: float
) -> Thing:
    registered = Device(device_id=name, kind=kind, feeder_id="any", capacity_kwh=1e4, **more)  # type: ignore[arg-type]  # figures
    return Thing(device=registered, node=node, delay_s=delay_s, sun_kw=sun_kw)


def yard(*things: Thing, import_kw: float = inf, export_kw: float = inf, policy: Policy = Policy.EQUAL) -> Yard:
    return Yard(parent=[-1], things=list(things), import_kw=[import_kw], export_kw=[export_kw], metered=[True],
                background_kw=[0.0], policy=policy)  # fmt: skip


def test_a_deadband_keeps_no_smallest_power_waiting() -> None:
    # 9 kW for two smallest powers of 4.1; one is on 4.95, and 4.9 is within its deadband of 0.148
    on = Row(p_import_max_kw=7.4, p_min_kw=4.1, p_actual_kw=4.95, lease_kw=4.95, may_kw=4.95, lease_left_s=18.0,
             acknowledged_s=60.0, told_s=60.0)  # fmt: skip
    rows = [replace(on, priority=9.0), Row(p_import_max_kw=7.4, p_min_kw=4.1)]
    plant = Plant(rows, feeder(9.0), policy=Policy.PRIORITY)
    for _ in range(30):
        plant.step()
    assert min(row.lease_kw for row in plant.rows) >= 4.1


def test_a_milliwatt_too_little_keeps_no_smallest_power_and_no_step_waiting() -> None:
    # behind a meter 4e-7 kW are kept free for noise, and setpoints go out in milliwatts: 9 - 4.9 is a hair below 4.1
    hungry = [thing(f"ev-{row}", EV, p_import_max_kw=7.4, p_min_kw=4.1) for row in range(2)]
    place = yard(*hungry, import_kw=9.0)
    place.run(30)
    assert min(each.power_kw(place.now_s) for each in hungry) >= 4.1
    # 16 x 0.23 = 3.68: with a third of a milliwatt less it would stay a step below for ever
    assert lawful(np.array([3.67999965]), columns([Row(p_step_kw=0.23)])) == pytest.approx([3.68], abs=1e-12)


def test_a_panel_is_not_let_up_into_what_another_has_only_been_told_to_leave() -> None:
    # 10 kW of sun on an export limit of 6, both at 3; then the first is held at 1: its 2 kW are the second's as soon
    # as it is seen to have left them, and not before
    panels = [
        thing("a", PV, p_export_max_kw=5.0, sun_kw=5.0, delay_s=3.0),
        thing("b", PV, p_export_max_kw=5.0, sun_kw=5.0),
    ]
    place = yard(*panels, export_kw=6.0)
    place.run(10)
    assert place.load_kw(0, place.now_s) == pytest.approx(-6.0)
    place.override(0, OverrideKind.HOLD, -1.0)
    for _ in range(8):
        place.wait()
        place.tick()
        assert place.load_kw(0, place.now_s) >= -6.0 - 1e-6
    assert place.decision.target_kw == pytest.approx([-1.0, -5.0])


def test_relief_for_a_parent_passes_no_export_limit_on_its_way() -> None:
    # the parent is 5 over; the battery of 8 hangs at a site that may export 1 and draws 2 itself: 3 is all it can give
    state = nodes({"import_limit_kw": 10.0}, {"export_limit_kw": 1.0})
    rows = [
        Row(kind=LOAD, p_actual_kw=13.0),
        Row(kind=LOAD, node=1, p_actual_kw=2.0),
        Row(kind=BATTERY, node=1, soc=0.6, p_import_max_kw=8.0, p_export_max_kw=8.0),
    ]
    decision, _ = tick(rows, state)
    assert decision.target_kw[2] == pytest.approx(-3.0)
    assert decision.nodes.shortfall_kw == pytest.approx([2.0, 0.0])
    assert decision.nodes.export_shortfall_kw == pytest.approx([0.0, 0.0])


def test_a_discharge_that_an_operator_orders_passes_no_export_limit() -> None:
    held = Row(
        kind=BATTERY, soc=0.6, p_import_max_kw=8.0, p_export_max_kw=8.0, override=Override.HOLD, override_kw=-4.0
    )
    decision, _ = tick([Row(kind=LOAD, p_actual_kw=2.0), held], nodes({"export_limit_kw": 1.0}))
    assert (decision.target_kw[1], decision.reason[1]) == (pytest.approx(-3.0), Reason.HELD)


def test_an_export_limit_that_falls_ends_a_discharge_at_once_and_not_by_the_ramp_for_raises() -> None:
    giving = Row(kind=BATTERY, soc=0.6, p_import_max_kw=8.0, p_export_max_kw=8.0, p_actual_kw=-6.0, lease_kw=-6.0,
                 may_kw=-6.0, may_low_kw=-6.0, lease_left_s=15.0, acknowledged_s=9.0)  # fmt: skip
    state = nodes({"import_limit_kw": 5.0}, {"export_limit_kw": 0.0})
    decision, _ = tick([Row(kind=LOAD, p_actual_kw=9.0), replace(giving, node=1)], state)
    assert decision.target_kw[1] == 0.0


def test_what_a_silent_battery_may_be_pushing_out_is_kept_free_towards_export() -> None:
    # it was told to give 3 and has gone quiet: of the 5 that may flow out, 2 are left for the panel
    quiet = Row(kind=BATTERY, soc=0.6, p_import_max_kw=5.0, p_export_max_kw=5.0, p_actual_kw=-3.0, lease_kw=-3.0,
                may_kw=-3.0, may_low_kw=-3.0, lease_left_s=15.0, may_left_s=25.0, age_s=10.0)  # fmt: skip
    panel = Row(kind=PV, p_actual_kw=-5.0, p_export_max_kw=8.0, p_import_max_kw=0.0)
    decision, _ = tick([quiet, panel], nodes({"export_limit_kw": 5.0}))
    assert decision.target_kw[1] == pytest.approx(-2.0)


def test_a_silent_device_keeps_its_default_control_reserved_before_its_lease_is_over() -> None:
    # nobody knows whether the renewals reach it: it may fall back to its 1.4 kW at any time
    quiet = Row(p_actual_kw=0.0, lease_kw=0.0, may_kw=0.0, lease_left_s=15.0, may_left_s=25.0, age_s=10.0,
                default_power_kw=1.4)  # fmt: skip
    assert tick([quiet], feeder(10.0))[0].nodes.reserved_kw[0] == pytest.approx(1.4)


@pytest.mark.parametrize(("default_kw", "export_kw"), [(0.0, 8.0), (-3.0, 5.0)])
def test_a_panel_is_predicted_to_run_freely_when_its_lease_is_over_unless_a_default_control_is_told(
    default_kw: float, export_kw: float
) -> None:
    # 8 kW of rating, leased at 5 because of an export limit of 5
    panel = Row(kind=PV, p_actual_kw=-5.0, p_export_max_kw=8.0, p_import_max_kw=0.0, default_power_kw=default_kw,
                lease_kw=-5.0, may_kw=-5.0, may_low_kw=-5.0, lease_left_s=15.0, may_left_s=25.0)  # fmt: skip
    found = tick([panel], nodes({"export_limit_kw": 5.0}))[0].nodes
    assert found.envelope_export_kw[0] == pytest.approx(export_kw)
    assert found.default_over_kw[0] == pytest.approx(max(export_kw - 5.0, 0.0))


def test_a_discharge_by_default_is_not_counted_on_when_leases_end() -> None:
    # 6 kW of load, and a battery that gives 4 by default for as long as it lasts
    battery = Row(kind=BATTERY, soc=0.3, p_import_max_kw=5.0, p_export_max_kw=5.0, default_power_kw=-4.0,
                  p_actual_kw=-4.0, lease_kw=-4.0, may_kw=-4.0, may_low_kw=-4.0, lease_left_s=15.0)  # fmt: skip
    found = tick([Row(kind=LOAD, p_actual_kw=6.0), battery], feeder(10.0))[0].nodes
    assert found.envelope_import_kw[0] >= 6.0
    assert np.isfinite(found.envelope_import_s[0])


def test_a_lease_that_is_below_the_smallest_power_is_not_renewed_where_nobody_follows_it() -> None:
    # registered anew with 1.4 kW as the smallest, while a lease of 1.0 lives; it draws 2.0 all the same, and nobody
    # knows its state of charge
    row = Row(kind=BATTERY, p_import_max_kw=5.0, p_export_max_kw=5.0, p_min_kw=1.4, p_actual_kw=2.0, soc=np.nan,
              lease_kw=1.0, may_kw=1.0, lease_left_s=20.0, acknowledged_s=60.0, told_s=60.0)  # fmt: skip
    memory = Memory.empty(1, 1)
    for _ in range(5):
        decision, memory = tick([row], feeder(20.0), memory=memory)
        assert not 0.0 < decision.target_kw[0] < 1.4
    assert decision.disobedient[0]
