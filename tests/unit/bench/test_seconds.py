"""The second-by-second cases, in short: what they count, and a site of five minutes that must be calm."""

import numpy as np
import pytest

from derms.bench.seconds import longest, reversals, steady


def test_a_reversal_is_a_change_of_direction_of_more_than_a_tenth_of_a_kw() -> None:
    # 1 -> 2 -> 3 goes one way; 3 -> 2 turns; 2 -> 2.05 has not moved; 2.05 -> 3 turns again.
    told = np.array([[1.0], [2.0], [3.0], [2.0], [2.05], [3.0]])
    assert reversals(told) == 2


@pytest.mark.parametrize(("flags", "length"), [([], 0), ([0, 0], 0), ([1, 1, 0, 1], 2), ([0, 1, 1, 1], 3)])
def test_the_longest_run_of_seconds_is_found(flags: list[int], length: int) -> None:
    assert longest(np.array(flags, dtype=bool)) == length


def test_a_site_under_a_clear_sky_is_held_and_hardly_ever_turned_round() -> None:
    case = steady(3, duration_s=300, warm_s=120, clouds=False, hungry=True, departs=False)
    assert case.longest_over_s <= 5
    assert case.reversals <= 6.0  # 26 chargers x 0.05 h: at most seven turns together
