"""Choosing without branches is `numpy.where`, bit for bit."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from derms.columns import Bools, Floats
from derms.control.choice import choose, keep

ANY = st.floats(width=64) | st.sampled_from([0.0, -0.0, np.nan, np.inf, -np.inf, 5e-324])


@st.composite
def columns(draw: st.DrawFn) -> tuple[Bools, Floats, Floats]:
    rows = draw(st.lists(st.tuples(st.booleans(), ANY, ANY), max_size=20))
    return (
        np.array([row[0] for row in rows], dtype=bool),
        np.array([row[1] for row in rows], dtype=np.float64),
        np.array([row[2] for row in rows], dtype=np.float64),
    )


@given(columns())
def test_choosing_between_columns_is_where_bit_for_bit(case: tuple[Bools, Floats, Floats]) -> None:
    mask, yes, no = case
    assert choose(mask, yes, no).tobytes() == np.where(mask, yes, no).tobytes()


@given(columns(), ANY)
def test_choosing_between_a_column_and_a_number_is_where_bit_for_bit(
    case: tuple[Bools, Floats, Floats], number: float
) -> None:
    mask, yes, _ = case
    assert choose(mask, yes, number).tobytes() == np.where(mask, yes, number).tobytes()


@given(columns())
def test_what_is_not_kept_is_nothing_even_if_it_was_not_known(case: tuple[Bools, Floats, Floats]) -> None:
    mask, value, _ = case
    assert keep(mask, value).tobytes() == np.where(mask, value, 0.0).tobytes()


def test_the_columns_given_are_left_as_they_are() -> None:
    mask, yes, no = np.array([True, False]), np.array([1.0, 2.0]), np.array([3.0, 4.0])
    assert choose(mask, yes, no).tolist() == [1.0, 4.0]
    assert keep(mask, yes).tolist() == [1.0, 0.0]
    assert (yes.tolist(), no.tolist()) == ([1.0, 2.0], [3.0, 4.0])
