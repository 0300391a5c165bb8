"""A device that takes less than it was granted is offered a little more than it takes, and stays there."""

from dataclasses import replace

import numpy as np
import pytest

from derms.columns import Memory, Params, Picture, Reason
from derms.control.decide import decide
from tests.unit.control.fleets import Plant, Row, columns, feeder


def _offers(takes_kw: float, ticks: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """What two chargers of 11 kW on 14 kW are told, tick by tick, the first of which takes so much at most [kW]."""
    plant = Plant([Row(p_import_max_kw=11.0, capacity_kwh=1e3) for _ in range(2)], feeder(14.0))
    told = []
    for _ in range(ticks):
        decision = plant.step()
        plant.rows[0] = replace(plant.rows[0], p_actual_kw=min(plant.rows[0].p_actual_kw, takes_kw))
        told.append(decision.target_kw.copy())
    return np.array(told)[:, 0], np.array(told)[:, 1]


@pytest.mark.parametrize("takes_kw", [0.0, 1.0, 3.0, 5.0, 5.9, 6.5])
def test_what_a_car_does_not_take_goes_to_the_other_and_nothing_hunts(takes_kw: float) -> None:
    shy, hungry = _offers(takes_kw)
    assert np.ptp(shy[20:]) == pytest.approx(0.0, abs=0.03)
    # 1.1 x what it takes + 5 % of 11, or enough above it to be told apart
    most = max(1.1 * takes_kw + 0.55, takes_kw / 0.84)
    assert shy[-1] <= min(most, 7.3) + 0.25
    assert hungry[-1] >= min(14.0 - most, 11.0) - 0.5


def test_it_is_offered_more_again_as_soon_as_it_takes_what_it_is_offered() -> None:
    plant = Plant([Row(p_import_max_kw=11.0, capacity_kwh=1e3) for _ in range(2)], feeder(14.0))
    for takes_kw in [3.0] * 20 + [11.0] * 90:
        decision = plant.step()
        plant.rows[0] = replace(plant.rows[0], p_actual_kw=min(plant.rows[0].p_actual_kw, takes_kw))
        if takes_kw == 3.0:
            capped = decision.reason[0] == Reason.UPTAKE
    assert capped
    assert decision.target_kw[0] == pytest.approx(7.0, abs=0.3)


def test_in_lockstep_a_car_that_takes_what_is_on_top_has_everything_two_steps_later() -> None:
    # steps of 5 min: a car that takes 3 kW is offered 1.02 x 3 + 1 % of 11 = 3.17; from the sixth step on it takes all
    rows = [Row(p_import_max_kw=11.0, capacity_kwh=1e4)]
    offered: list[float] = []
    memory = Memory.empty(1)
    for step in range(10):
        picture = Picture(dt_s=300.0, nodes=feeder(14.0), constraints=(), devices=columns(rows), lockstep=True)
        decision, memory = decide(picture, memory, Params(interval_s=300.0, lease_s=750.0, stale_after_s=450.0))
        told = float(decision.target_kw[0])
        offered.append(told)
        takes = min(told, 3.0 if step < 6 else 11.0)
        rows = [replace(rows[0], p_actual_kw=takes, lease_kw=told, may_kw=told, may_low_kw=told, lease_left_s=450.0,
                        told_s=300.0, acknowledged_s=300.0)]  # fmt: skip
    assert offered[4:] == pytest.approx([3.17, 3.17, 3.17, 11.0, 11.0, 11.0])
