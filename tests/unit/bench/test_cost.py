import numpy as np
import pytest

from derms.bench.cost import growth, measure_cost
from derms.bench.crowd import crowd
from derms.control.allocate import allocate
from derms.control.policies import PLUGS
from derms.model import Policy


@pytest.mark.parametrize("lumps", [False, True])
def test_the_crowd_binds_its_feeder_and_about_a_third_of_its_transformers(lumps: bool) -> None:
    case = crowd(2_000, transformers=50, lumps=lumps, policy=Policy.DEFICIT, seed=1)
    wants = case.wants
    given = allocate(wants, PLUGS[Policy.DEFICIT](wants), case.discharge_kw, case.layout.seats)
    left = wants.room_kw - case.layout.sums(given.target_kw)
    assert np.all(left >= -1e-6)
    assert left[0] < 0.001 * wants.room_kw[0]
    assert 10 <= np.sum(left[1:] < 0.05 * wants.room_kw[1:]) <= 25


def test_one_seed_makes_one_crowd() -> None:
    first, second = (crowd(50, transformers=5, lumps=True, policy=Policy.DEFICIT, seed=7) for _ in range(2))
    assert np.array_equal(first.wants.cap_kw, second.wants.cap_kw)
    assert np.array_equal(first.pictures[2].devices.p_actual_kw, second.pictures[2].devices.p_actual_kw)


def test_a_small_measurement_has_all_its_figures() -> None:
    small = measure_cost(30, transformers=4, runs=5)
    large = measure_cost(300, transformers=4, lumps=True, runs=5)
    for timing in (small.sort, small.plug, small.allocation, small.tick, large.allocation, large.tick):
        assert 0.0 < timing.p50_ms <= timing.p99_ms
    assert small.sorts > 0.0
    assert growth(small, large) > 0.0
