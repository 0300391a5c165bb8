from dataclasses import replace

import numpy as np
import pytest

from derms.model import DeviceKind
from tests.unit.control.fleets import Row, feeder, tick

BATTERY = Row(
    kind=DeviceKind.BATTERY, p_export_max_kw=5.0, p_import_max_kw=5.0, soc=0.6, lease_kw=0.0, lease_left_s=15.0,
    may_kw=0.0, may_low_kw=0.0, told_s=60.0,
)  # fmt: skip
ROOF = Row(kind=DeviceKind.PV, p_actual_kw=-9.0, p_export_max_kw=20.0, p_import_max_kw=0.0, lease_kw=-20.0)


@pytest.mark.parametrize(
    ("battery", "room_kw"),
    [
        # at rest as told: 10 kW of export are there for PV
        (BATTERY, 10.0),
        # silent, and at 3 kW of discharge when last heard: 10 - 3
        (replace(BATTERY, p_actual_kw=-3.0, age_s=10.0), 7.0),
        # silent under a lease of 4 kW that it may still follow: 10 - 4
        (replace(BATTERY, p_actual_kw=-3.0, may_low_kw=-4.0, age_s=10.0), 6.0),
        # silent while it charged: that it still does, nobody knows
        (replace(BATTERY, p_actual_kw=3.0, may_kw=3.0, age_s=10.0), 10.0),
        # lost, and its leases over: on its default control, which is nothing
        (replace(BATTERY, p_actual_kw=-3.0, may_low_kw=np.nan, may_kw=np.nan, lease_kw=np.nan, age_s=100.0), 10.0),
        # it never spoke: its rating
        (
            replace(
                BATTERY,
                p_actual_kw=np.nan,
                may_low_kw=np.nan,
                may_kw=np.nan,
                lease_kw=np.nan,
                age_s=np.inf,
                spoke=False,
            ),
            5.0,
        ),
    ],
)
def test_what_a_held_battery_may_push_is_not_given_to_the_sun(battery: Row, room_kw: float) -> None:
    decision, _ = tick([battery, ROOF], feeder(export_limit_kw=10.0))
    assert decision.nodes.export_headroom_kw[0] == pytest.approx(room_kw)


def test_what_a_disobedient_battery_pushes_is_not_given_to_the_sun() -> None:
    # it discharges 4.7 kW though told 0: after two readings it counts as disobedient, and PV has 10 - 4.7
    rows = [replace(BATTERY, p_actual_kw=-4.7), ROOF]
    _, memory = tick(rows, feeder(export_limit_kw=10.0))
    decision, _ = tick(rows, feeder(export_limit_kw=10.0), memory=memory)
    assert decision.disobedient.tolist() == [True, False]
    assert decision.nodes.export_headroom_kw[0] == pytest.approx(5.3)
    assert decision.target_kw[1] == pytest.approx(-5.3)
