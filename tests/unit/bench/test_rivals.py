"""Plain rules for scale."""

import numpy as np
import pytest

from derms.bench.rivals import EQUAL, NAMES, EqualRig, evenly, lawful, run_rival
from derms.bench.seconds import rotation
from derms.bench.sessions import STEP_S
from derms.bench.weeks import Week


def week(energy_kwh: list[float], **changes: float) -> Week:
    """Cars of 6 kW that come at 0, 1, ... min and leave after 2, 1, 2, 1 ... h."""
    size = len(energy_kwh)
    made = Week(
        arrival_s=np.arange(size, dtype=np.float64) * 60.0,
        departure_s=np.where(np.arange(size) % 2 == 0, 7200.0, 3600.0),
        energy_kwh=np.array(energy_kwh),
        p_max_kw=np.full(size, 6.0),
        p_min_kw=np.full(size, changes.get("p_min_kw", 0.0)),
        p_step_kw=np.zeros(size),
        priority=np.full(size, 5.0),
    )
    return made.on_grid(STEP_S)


def test_room_is_divided_evenly_with_caps_respected() -> None:
    # 9 kW over 1, nothing, 4 and 9: 1 + 4 + 4
    np.testing.assert_allclose(evenly(np.array([1.0, 0.0, 4.0, 9.0]), 9.0), [1.0, 0.0, 4.0, 4.0])
    np.testing.assert_allclose(evenly(np.array([5.0, 5.0]), -1.0), 0.0)


def test_what_a_charger_cannot_do_is_rounded_down() -> None:
    given = lawful(np.array([1.3, 1.5, 3.0, 2.0]), np.array([1.4, 1.4, 0.0, 0.0]), np.array([0.2, 0.2, 0.8, 0.0]))
    np.testing.assert_allclose(given, [0.0, 1.4, 2.4, 2.0])


def test_each_rule_serves_in_its_own_order() -> None:
    # room for one of two cars of 6 kW, for one hour: 6 kWh to the first, or to the one that leaves first
    both = week([6.0, 6.0])
    got = {name: run_rival(both, 6.0, name).delivered_kwh for name in NAMES}
    np.testing.assert_allclose(got["first come"], [6.0, 0.0])
    np.testing.assert_allclose(got["earliest deadline"], [6.0, 6.0])
    np.testing.assert_allclose(got[EQUAL], [6.0, 3.0])


def test_equal_shares_below_the_smallest_power_serve_nobody() -> None:
    # 6 kW over three: 2 kW each, the smallest power is 4.1
    assert run_rival(week([6.0, 6.0, 6.0], p_min_kw=4.1), 6.0, EQUAL).delivered_kwh[1] == 0.0


def test_equal_shares_second_by_second_starve_hungry_chargers() -> None:
    assert rotation(1, weighted=False, duration_s=600, controller=EqualRig).never_served >= 10


def test_a_rule_that_is_not_there_is_a_slip() -> None:
    with pytest.raises(KeyError):
        run_rival(week([1.0]), 6.0, "no such rule")
