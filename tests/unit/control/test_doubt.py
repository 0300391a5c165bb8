import numpy as np
import pytest

from tests.unit.control.fleets import Row, feeder, tick


@pytest.mark.parametrize(("p_actual_kw", "raised"), [(9.5, False), (0.0, True)])
def test_nobody_is_raised_on_a_reading_that_contradicts_its_lease(p_actual_kw: float, raised: bool) -> None:
    # told 0 kW two seconds ago, and its reading of half a second ago still says 9.5: it may stand still. What it is
    # thought to draw anyway must not be taken for room that is its own; 50 kW are free.
    told = Row(p_actual_kw=p_actual_kw, lease_kw=0.0, may_kw=0.0, lease_left_s=15.0, told_s=2.0, age_s=0.5)
    decision, memory = tick([told], feeder(50.0))
    assert (float(decision.target_kw[0]) > 0.0) is raised
    assert np.array_equal(memory.devices.strikes, [0.0 if raised else 1.0])
