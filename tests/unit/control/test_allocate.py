import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derms.control.allocate import water_fill


@pytest.mark.parametrize(
    ("amount_kw", "weight", "cap_kw", "expected"),
    [
        (10.0, [1, 1], [7, 7], [5, 5]),
        (10.0, [3, 1], [20, 20], [7.5, 2.5]),
        (10.0, [3, 1], [6, 20], [6, 4]),  # the capped one's rest goes to the other
        (100.0, [1, 1], [7, 7], [7, 7]),  # more than anybody can take
        (0.0, [1, 1], [7, 7], [0, 0]),
        (5.0, [1, 1], [0, 7], [0, 5]),
        (float("inf"), [1, 1], [3, 4], [3, 4]),
    ],
)
def test_water_is_filled_in_proportion_to_weight_up_to_each_cap(
    amount_kw: float, weight: list[float], cap_kw: list[float], expected: list[float]
) -> None:
    assert water_fill(amount_kw, np.array(weight, float), np.array(cap_kw, float)) == pytest.approx(expected)


def _slowly(amount_kw: float, weight: list[float], cap_kw: list[float]) -> list[float]:
    """A reference: raise the level until the amount is spent, by bisection."""
    low, high = 0.0, max(cap / w for cap, w in zip(cap_kw, weight, strict=True)) + 1.0
    for _ in range(200):
        level = (low + high) / 2.0
        spent = sum(min(level * w, cap) for w, cap in zip(weight, cap_kw, strict=True))
        low, high = (level, high) if spent < amount_kw else (low, level)
    return [min(high * w, cap) for w, cap in zip(weight, cap_kw, strict=True)]


@settings(max_examples=300, deadline=None)
@given(
    devices=st.lists(st.tuples(st.floats(0.01, 100.0), st.floats(0.0, 50.0)), min_size=1, max_size=20),
    share=st.floats(0.0, 1.5),
)
def test_the_filling_agrees_with_a_slow_reference_and_spends_everything(
    devices: list[tuple[float, float]], share: float
) -> None:
    weight, cap_kw = [w for w, _ in devices], [c for _, c in devices]
    amount_kw = share * sum(cap_kw)
    given_kw = water_fill(amount_kw, np.array(weight), np.array(cap_kw))
    assert given_kw.sum() == pytest.approx(min(amount_kw, sum(cap_kw)), abs=1e-6)
    assert given_kw == pytest.approx(_slowly(amount_kw, weight, cap_kw), abs=1e-5)
