from math import inf
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derms.columns import Bools, Floats
from derms.control import turns
from derms.control.seats import Seats
from derms.control.tree import Tree
from derms.control.turns import Lumps, seated, spend, whole_steps
from tests.unit.control.forests import Forest, forests
from tests.unit.control.reference import path

ALONE = np.array([-1], dtype=np.int64)


def floats(values: list[float]) -> Floats:
    return np.array(values, dtype=np.float64)


def alone(devices: int) -> Seats:
    """All of them at one node: seats are rows."""
    return Seats.of(Tree.of(ALONE), np.zeros(devices, dtype=np.int64))


def on_at(room_kw: float, cap: list[float], minimum: list[float], turn: list[float]) -> list[bool]:
    lumps = Lumps.of(floats(cap), floats(minimum), np.zeros(len(cap)))
    return [bool(on) for on in seated(alone(len(cap)), floats([room_kw]), lumps, floats(turn))]


@pytest.mark.parametrize(
    ("room_kw", "cap", "minimum", "turn", "expected"),
    [
        # 6 kW over three chargers that need 4.1: one charges, and it is the one whose turn it is.
        (6.0, [11, 11, 11], [4.1, 4.1, 4.1], [1, 3, 2], [False, True, False]),
        (8.2, [11, 11, 11], [4.1, 4.1, 4.1], [1, 3, 2], [False, True, True]),
        (12.3, [11, 11, 11], [4.1, 4.1, 4.1], [1, 3, 2], [True, True, True]),  # 3 x 4.1 as floats is a hair more
        (0.0, [11, 11], [4.1, 4.1], [1, 2], [False, False]),
        (inf, [11, 11], [4.1, 4.1], [1, 2], [True, True]),
        # The second in the queue does not fit behind the first; the third, smaller, does.
        (6.0, [11, 11, 7], [4.1, 4.1, 1.4], [3, 2, 1], [True, False, True]),
        # Its cap is below its smallest power: it can be given nothing.
        (9.0, [3.0, 11], [4.1, 4.1], [2, 1], [False, True]),
        (9.0, [0.0, 11], [1.4, 1.4], [2, 1], [False, True]),
    ],
)
def test_who_is_on_follows_the_turn(
    room_kw: float, cap: list[float], minimum: list[float], turn: list[float], expected: list[bool]
) -> None:
    assert on_at(room_kw, cap, minimum, turn) == expected


@pytest.mark.parametrize(
    ("room_kw", "turn", "expected"),
    [
        # Three chargers of 4.1 kW and a battery. With 12 kW not all chargers fit. When the battery is first, 4.1 kW are
        # kept for it, and one charger fits into the other 7.9; when it is last, two do, and 3.8 are left for it.
        (12.0, [3, 2, 1, 9], [True, False, False, True]),
        (12.0, [3, 2, 1, 0], [True, True, False, True]),
        (12.3, [3, 2, 1, 9], [True, True, True, True]),  # all fit, so all are on
    ],
)
def test_a_device_that_can_run_at_any_power_has_its_turn_too(
    room_kw: float, turn: list[float], expected: list[bool]
) -> None:
    assert on_at(room_kw, [11, 11, 11, 11], [4.1, 4.1, 4.1, 0.0], turn) == expected


def test_lumps_are_rounded_to_what_a_device_can_be_set_to() -> None:
    lumps = Lumps.of(floats([7.4, 7.36, 1.2, 5.0, 0.5]), floats([1.38, 1.38, 1.38, 0.0, 0.3]), floats([0.23] * 4 + [0]))
    # 7.4 is 32.17 steps of 0.23, so 32; 7.36 is 32 to the last digit; below 6 steps there is nothing; without a
    # smallest power the first step is the smallest; without steps any power from 0.3 on.
    assert lumps.top == pytest.approx([7.36, 7.36, 0.0, 4.83, 0.5])
    assert lumps.smallest == pytest.approx([1.38, 1.38, 0.0, 0.23, 0.3])


def stepped(room_kw: float, share: list[float], step: list[float], turn: list[float], drawing: list[float]) -> Floats:
    lumps = Lumps.of(np.full(len(share), 10.0), np.where(floats(step) > 0, 2.0, 0.0), floats(step))
    left = floats([room_kw - sum(share)])
    steps, after = whole_steps(alone(len(share)), left, floats(share), lumps, floats(turn), floats(drawing))
    assert after == pytest.approx(np.maximum(room_kw - steps.sum(), 0.0), abs=1e-9)
    return steps


@pytest.mark.parametrize(
    ("room_kw", "share", "step", "turn", "drawing", "expected"),
    [
        # 3.3 + 4.7 = 8: floored 3 + 4, and the 1 kW that frees goes to the one that lost 0.7.
        (8.0, [3.3, 4.7], [1, 1], [9, 0], [0, 0], [3, 5]),
        (8.0, [3.5, 4.5], [1, 1], [9, 0], [0, 0], [4, 4]),  # equals by turn
        (8.0, [3.3, 4.7], [1, 1], [0, 0], [4, 4], [4, 4]),  # 0.3 + a half for drawing 4 now is more than 0.7
        (8.0, [3.0, 5.0], [1, 1], [0, 0], [0, 0], [3, 5]),
        # Steps of 2 and 1: 3 frees 1, which is no step of 2 but a step of 1.
        (7.5, [3.0, 4.5], [2, 1], [9, 0], [0, 0], [2, 5]),
        (6.9, [2.5, 4.4], [0, 1], [9, 0], [0, 0], [2.5, 4]),  # without steps a share stays
        (30.0, [9.9, 9.8], [1, 1], [0, 0], [0, 0], [10, 10]),  # more room than they can take
    ],
)
def test_room_freed_by_whole_steps_goes_to_who_lost_most(
    room_kw: float,
    share: list[float],
    step: list[float],
    turn: list[float],
    drawing: list[float],
    expected: list[float],
) -> None:
    assert stepped(room_kw, share, step, turn, drawing) == pytest.approx(expected)


def test_a_step_of_a_watt_beside_steps_of_a_kilowatt_takes_as_few_passes_as_any(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # 7.8 + 2.0005: floored 7 and 2.0; the 0.8005 kW that free fit no whole kilowatt, but 800 steps of a watt
    passes = []

    def counted(*args: Any) -> Floats:
        passes.append(1)
        return spend(*args)

    monkeypatch.setattr(turns, "spend", counted)
    assert stepped(9.8005, [7.8, 2.0005], [1.0, 0.001], [0, 0], [0, 0]) == pytest.approx([7.0, 2.8])
    assert len(passes) < 5


SIZES = st.lists(st.tuples(st.sampled_from([1.4, 2.0, 4.1, 6.0]), st.floats(0.0, 1.0)), min_size=1, max_size=6)


@settings(max_examples=200, deadline=None)
@given(SIZES, st.floats(0.0, 25.0))
def test_at_one_node_turns_are_given_one_by_one(devices: list[tuple[float, float]], room_kw: float) -> None:
    size, turn = [size for size, _ in devices], [turn for _, turn in devices]
    expected, left = [False] * len(size), room_kw
    for device in sorted(range(len(size)), key=lambda i: (-turn[i], size[i], i)):
        if size[device] <= left + 1e-11:
            expected[device], left = True, left - size[device]
    assert on_at(room_kw, [11.0] * len(size), size, turn) == expected


@settings(max_examples=200, deadline=None)
@given(forests(), st.data())
def test_on_a_tree_no_smallest_power_is_left_out_that_fits(forest: Forest, data: st.DataObject) -> None:
    count = len(forest.node)
    minimum = floats(data.draw(st.lists(st.sampled_from([1.4, 2.5, 4.1]), min_size=count, max_size=count)))
    turn = floats(data.draw(st.lists(st.floats(0, 5), min_size=count, max_size=count, unique=True)))
    seats = Seats.of(forest.tree, forest.nodes)
    lumps = Lumps.of(np.full(count, 11.0), minimum, np.zeros(count))
    on: Bools = np.zeros(count, dtype=bool)
    on[seats.row] = seated(seats, forest.room[seats.node], Lumps.of(lumps.top, minimum[seats.row], np.zeros(count)),
                           turn[seats.row])  # fmt: skip
    left = forest.room - forest.tree.subtree(forest.nodes, np.where(on, minimum, 0.0))
    assert np.all(left >= -1e-9)
    ways = [path(forest.parent, node) for node in forest.node]
    for device, way in enumerate(ways):
        assert on[device] or min(left[way]) < minimum[device] + 1e-9
    fitting = [i for i, way in enumerate(ways) if min(forest.room[way]) >= minimum[i]]
    if fitting:
        assert on[max(fitting, key=lambda i: turn[i])]
