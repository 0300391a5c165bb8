from collections.abc import Sequence
from fractions import Fraction
from math import inf, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derms.columns import Floats, Params
from derms.control.allocate import Allocation, allocate
from derms.control.seats import Seats
from derms.control.wants import Round, Wants, Wish
from tests.unit.control.forests import Forest, forests, powers
from tests.unit.control.reference import by_level, by_rank, path

CHARGER = 4.1


def floats(values: Sequence[float]) -> Floats:
    return np.array(values, dtype=np.float64)


def wants_of(
    forest: Forest,
    cap_kw: Sequence[float],
    minimum_kw: Sequence[float] | float = 0.0,
    step_kw: Sequence[float] | float = 0.0,
    drawing_kw: Sequence[float] | float = 0.0,
) -> Wants:
    size = len(forest.node)
    nothing, no = np.zeros(size), np.zeros(size, dtype=bool)

    def column(value: Sequence[float] | float) -> Floats:
        return np.broadcast_to(np.asarray(value, dtype=np.float64), size).copy()

    return Wants(
        is_ev=no, cap_kw=column(cap_kw), minimum_kw=column(minimum_kw), step_kw=column(step_kw), priority=nothing + 5.0,
        gap=nothing, below_reserve=no, left_kwh=nothing, asked_kwh=nothing, got_kwh=nothing, time_left_s=nothing + 60.0,
        departs=no, bucket_kwh=nothing, waited_s=nothing, running_s=nothing, drawing_kw=column(drawing_kw),
        node=forest.nodes, room_kw=forest.room, tree=forest.tree, seats=Seats.of(forest.tree, forest.nodes), dt_s=5.0,
        params=Params(),
    )  # fmt: skip


def given_by(
    wants: Wants,
    rounds: Sequence[Round] | None = None,
    turn: Sequence[float] | None = None,
    discharge_kw: Sequence[float] | float = 0.0,
) -> Allocation:
    size = wants.cap_kw.size
    if rounds is None:
        rounds = [Round(ceiling_kw=wants.cap_kw, weight=np.ones(size))]
    order = floats(turn) if turn is not None else -np.arange(size, dtype=np.float64)
    can = np.broadcast_to(np.asarray(discharge_kw, dtype=np.float64), size)
    return allocate(wants, Wish(rounds=tuple(rounds), turn=order), can, Seats.of(wants.tree, wants.node))


def one_node(room_kw: float, devices: int) -> Forest:
    return Forest([-1], [room_kw], [0] * devices)


@pytest.mark.parametrize(
    ("room_kw", "minimum", "weight", "expected"),
    [
        (10.0, [0, 0], [1, 1], [5, 5]),
        (10.0, [CHARGER, 0], [1, 1], [5, 5]),  # a smallest power that is reached anyway changes nothing
        (10.0, [CHARGER, 0], [1, 9], [4.1, 5.9]),  # by weight it would have 1: its smallest power is a floor
        (10.0, [CHARGER, CHARGER], [1, 9], [4.1, 5.9]),
        (6.0, [CHARGER, CHARGER], [1, 9], [6, 0]),  # the turn, not the weight, says who is on
    ],
)
def test_smallest_powers_are_floors_of_the_shares_by_weight(
    room_kw: float, minimum: list[float], weight: list[float], expected: list[float]
) -> None:
    wants = wants_of(one_node(room_kw, 2), [11, 11], minimum)
    rounds = [Round(ceiling_kw=floats([11, 11]), weight=floats(weight))]
    assert given_by(wants, rounds).target_kw == pytest.approx(expected)


def test_what_was_set_aside_counts_against_the_ceilings_of_the_first_rounds() -> None:
    # 12 kW, two chargers of at least 4.1. The first round would bring both to 3 kW, which they have; the second takes
    # the first one to 3 + 3 = 6, and the last shares the remaining 1.9 between them, up to 7 each.
    rounds = [
        Round(ceiling_kw=floats([3, 3]), weight=np.ones(2)),
        Round(ceiling_kw=floats([3, 0]), rank=np.zeros(2)),
        Round(ceiling_kw=floats([1, 4]), weight=np.ones(2)),
    ]
    # Of its 4 in the last round the second has 1.1 already, so it starts later: 0.95 + 0.95 would be the split from
    # equal starts; the first, from 0, has 1 when it is full, the second the other 0.9.
    assert given_by(wants_of(one_node(12.0, 2), [7, 7], CHARGER), rounds).target_kw == pytest.approx([7.0, 5.0])


def test_whatever_a_policy_leaves_is_given_to_who_can_take_it() -> None:
    nothing = given_by(wants_of(one_node(10.0, 2), [7, 7]), [])
    assert nothing.target_kw == pytest.approx([5, 5])
    lopsided = given_by(wants_of(one_node(10.0, 2), [7, 7]), [Round(ceiling_kw=floats([99, 0]), rank=np.ones(2))])
    assert lopsided.target_kw == pytest.approx([7, 3])  # a ceiling above the cap is the cap


def test_two_feeders_under_one_parent_never_exceed_the_parent() -> None:
    forest = Forest([-1, 0, 0], [20, 15, 15], [1, 1, 2, 2])
    result = given_by(wants_of(forest, [11, 11, 11, 11]))
    assert result.target_kw == pytest.approx([5, 5, 5, 5])
    assert result.bound_node.tolist() == [0, 0, 0, 0]


def test_the_node_that_binds_is_named() -> None:
    # Node 1 lets 4 kW through, node 2 all its two want.
    forest = Forest([-1, 0, 0], [30, 4, inf], [1, 1, 2, 2])
    result = given_by(wants_of(forest, [11, 11, 11, 11]))
    assert result.target_kw == pytest.approx([2, 2, 11, 11])
    assert result.bound_node.tolist() == [1, 1, -1, -1]
    assert not result.waiting.any()


def test_one_that_waits_for_its_smallest_power_is_told_so() -> None:
    result = given_by(wants_of(one_node(6.0, 3), [11, 11, 11], CHARGER), turn=[1, 3, 2])
    assert result.target_kw == pytest.approx([0, 6, 0])
    assert result.waiting.tolist() == [True, False, True]
    assert result.bound_node.tolist() == [0, 0, 0]


def test_real_chargers_take_whole_amps_and_leave_less_than_one() -> None:
    # 20 kW over three chargers of 6..32 A at 230 V (0.23 kW an amp): 86.96 A are 86 whole ones.
    result = given_by(wants_of(one_node(20.0, 3), [7.36, 7.36, 7.36], 1.38, 0.23))
    amps = result.target_kw / 0.23
    assert amps == pytest.approx(np.round(amps))
    assert sorted(np.round(amps)) == [28, 29, 29]


@pytest.mark.parametrize(
    ("room", "discharge", "relief", "shortfall"),
    [
        # feeder 0 with transformers 1 and 2; batteries of 6 and 2 kW at 1, one of 4 kW at 2.
        ([-6, inf, inf], [6, 2, 4], [3, 1, 2], [0, 0, 0]),  # in proportion
        ([inf, -4, inf], [6, 2, 4], [3, 1, 0], [0, 0, 0]),  # only those below
        ([-6, -4, inf], [6, 2, 4], [3, 1, 2], [0, 0, 0]),  # 4 of the 6 are given below; half of all is enough
        ([-5, -4, inf], [6, 2, 4], [3, 1, 1], [0, 0, 0]),  # nobody takes back what he gives further down
        ([-3, -4, inf], [6, 2, 4], [3, 1, 0], [0, 0, 0]),
        ([-20, -4, inf], [6, 2, 4], [6, 2, 4], [8, 0, 0]),
        ([inf, -10, -1], [6, 2, 0], [6, 2, 0], [0, 2, 1]),
    ],
)
def test_batteries_relieve_the_nodes_above_them_in_proportion_to_what_they_can(
    room: list[float], discharge: list[float], relief: list[float], shortfall: list[float]
) -> None:
    wants = wants_of(Forest([-1, 0, 0], room, [1, 1, 2]), [0.0, 0.0, 0.0])
    result = given_by(wants, discharge_kw=discharge)
    assert -result.target_kw == pytest.approx(relief)
    assert result.shortfall_kw == pytest.approx(shortfall)


def test_below_an_overfull_node_nothing_charges_and_its_relief_makes_room_above() -> None:
    # Node 1 is 4 kW over: its battery gives 4 and its car nothing. The feeder had 3 kW; now it has 7 for node 2.
    wants = wants_of(Forest([-1, 0, 0], [3, -4, inf], [1, 1, 2]), [5.0, 11.0, 11.0])
    result = given_by(wants, discharge_kw=[5, 0, 0])
    assert result.target_kw == pytest.approx([-4, 0, 7])
    assert result.bound_node.tolist() == [1, 1, 0]


def test_an_idle_battery_of_an_overloaded_feeder_discharges() -> None:
    result = given_by(wants_of(one_node(-3.0, 2), [5.0, 7.0]), discharge_kw=[5, 0])
    assert result.target_kw == pytest.approx([-3, 0])
    assert result.shortfall_kw == pytest.approx([0])


def test_no_devices_and_no_room_make_no_trouble() -> None:
    empty = given_by(wants_of(Forest([-1, 0], [-5.0, inf], []), []))
    assert empty.target_kw.shape == (0,)
    assert empty.shortfall_kw == pytest.approx([5, 0])
    assert given_by(wants_of(one_node(inf, 1), [7.0], CHARGER)).target_kw == pytest.approx([7])


def test_nothing_that_is_not_a_number_comes_out() -> None:
    wants = wants_of(one_node(10.0, 3), [nan, 7.0, 7.0], [nan, nan, 0.0], [0.0, nan, 0.0], nan)
    rounds = [Round(ceiling_kw=floats([nan, 7, nan]), weight=floats([nan, nan, 1]))]
    result = given_by(wants, rounds, turn=[nan, nan, nan], discharge_kw=nan)
    assert result.target_kw == pytest.approx([0, 5, 5])


@st.composite
def lumpy_cases(draw: st.DrawFn) -> tuple[Wants, list[Round], list[float], list[float]]:
    forest = draw(forests(lowest=-10.0))
    size = len(forest.node)

    def column(values: st.SearchStrategy[float]) -> list[float]:
        return draw(st.lists(values, min_size=size, max_size=size))

    wants = wants_of(
        forest,
        column(powers(12.0)),
        column(st.sampled_from([0.0, 0.0, 1.38, 4.14])),
        column(st.sampled_from([0.0, 0.23, 0.5])),
        column(powers(12.0)),
    )
    rounds = [Round(ceiling_kw=floats(column(powers(9.0))), weight=floats(column(st.floats(0.01, 100.0))))]
    rounds.append(Round(ceiling_kw=floats(column(powers(3.0))), rank=floats(column(st.floats(-1.0, 1.0)))))
    offset, weight = column(st.floats(0.0, 5.0)), column(st.floats(0.01, 100.0))
    rounds.append(Round(ceiling_kw=wants.cap_kw, weight=floats(weight), start=floats(offset)))
    kept = draw(st.lists(st.sampled_from(rounds), max_size=3))
    return wants, kept, column(st.floats(-5.0, 5.0)), column(powers(5.0))


def allowed(wants: Wants) -> tuple[Floats, Floats]:
    """The smallest power and the highest each device can be set to."""
    step = np.where(wants.step_kw > 0, wants.step_kw, 1.0)
    has = wants.step_kw > 0
    smallest = np.where(has, np.maximum(np.ceil(wants.minimum_kw / step - 1e-9), 1.0) * step, wants.minimum_kw)
    top = np.where(has, np.floor(wants.cap_kw / step + 1e-9) * step, wants.cap_kw)
    return smallest, np.where(top >= smallest, top, 0.0)


@settings(max_examples=300, deadline=None)
@given(lumpy_cases())
def test_every_target_is_one_its_device_can_follow(
    case: tuple[Wants, list[Round], list[float], list[float]],
) -> None:
    wants, rounds, turn, discharge = case
    target = given_by(wants, rounds, turn, discharge).target_kw
    smallest, top = allowed(wants)
    charging = target > 0
    assert np.all(np.isfinite(target))
    assert np.all(target <= top + 1e-9)
    assert np.all(target >= -floats(discharge))
    assert np.all(target[charging] >= smallest[charging] - 1e-9)
    whole = charging & (wants.step_kw > 0)
    counts = target[whole] / wants.step_kw[whole]
    assert counts == pytest.approx(np.round(counts), abs=1e-6)


@settings(max_examples=300, deadline=None)
@given(lumpy_cases())
def test_no_node_is_passed_beyond_its_shortfall_and_no_room_is_left_that_somebody_could_take(
    case: tuple[Wants, list[Round], list[float], list[float]],
) -> None:
    wants, rounds, turn, discharge = case
    result = given_by(wants, rounds, turn, discharge)
    target = result.target_kw
    left = wants.room_kw - wants.tree.subtree(wants.node, target)
    assert np.all(left >= -result.shortfall_kw - 1e-8)
    smallest, top = allowed(wants)
    below_overfull = [min(wants.room_kw[path(wants.tree.parent.tolist(), n)]) < 0 for n in wants.node.tolist()]
    for device, node in enumerate(wants.node.tolist()):
        way = path(wants.tree.parent.tolist(), node)
        if target[device] >= 0 and target[device] >= top[device] - 1e-6:
            assert result.bound_node[device] == -1 or target[device] < top[device]
            continue
        assert result.bound_node[device] in way
        lump = smallest[device] if target[device] <= 0 else wants.step_kw[device]
        assert below_overfull[device] or min(left[way]) < max(lump, 1e-6) + 1e-8
    off = (target <= 0) & (smallest > 0) & (top > 0)
    assert np.array_equal(result.waiting, off)


@settings(max_examples=200, deadline=None)
@given(lumpy_cases())
def test_what_is_short_is_what_no_battery_below_can_give(
    case: tuple[Wants, list[Round], list[float], list[float]],
) -> None:
    wants, rounds, turn, discharge = case
    result = given_by(wants, rounds, turn, discharge)
    parent, given_kw = wants.tree.parent.tolist(), [Fraction(0)] * len(discharge)
    for v in sorted(range(len(parent)), key=lambda v: -len(path(parent, v))):
        below = [i for i, n in enumerate(wants.node.tolist()) if v in path(parent, n) and discharge[i] > 0]
        room = wants.room_kw[v]
        need = -(Fraction(room) if np.isfinite(room) else Fraction(10**9)) - sum(given_kw[i] for i in below)
        if need > 0:
            more = by_level(
                [-1],
                [0] * len(below),
                [need],
                [float(Fraction(discharge[i]) - given_kw[i]) for i in below],
                [discharge[i] for i in below],
                [float(given_kw[i] / Fraction(discharge[i])) for i in below],
            )
            for i, extra in zip(below, more, strict=True):
                given_kw[i] += extra
            assert result.shortfall_kw[v] == pytest.approx(float(need - sum(more)), abs=1e-7)
        else:
            assert result.shortfall_kw[v] == 0
    relief = np.maximum(-result.target_kw, 0.0)
    assert relief == pytest.approx([float(value) for value in given_kw], abs=1e-7)


@settings(max_examples=150, deadline=None)
@given(lumpy_cases())
def test_without_smallest_powers_the_rounds_are_served_as_the_reference_serves_them(
    case: tuple[Wants, list[Round], list[float], list[float]],
) -> None:
    wants, rounds, turn, _ = case
    forest = Forest(wants.tree.parent.tolist(), np.maximum(wants.room_kw, 0.0).tolist(), wants.node.tolist())
    wants = wants_of(forest, wants.cap_kw.tolist())
    size = wants.cap_kw.size
    left = [Fraction(room) if np.isfinite(room) else None for room in forest.room_kw]
    total = [Fraction(0)] * size
    for asked in [*rounds, Round(ceiling_kw=wants.cap_kw, weight=np.ones(size))]:
        ceiling = [
            max(min(float(asked.ceiling_kw[i]), float(Fraction(wants.cap_kw[i]) - total[i])), 0.0) for i in range(size)
        ]
        if asked.rank is not None:
            share = by_rank(forest.parent, forest.node, left, ceiling, asked.rank.tolist())
        else:
            assert asked.weight is not None
            start = np.zeros(size) if asked.start is None else asked.start
            share = by_level(forest.parent, forest.node, left, ceiling, asked.weight.tolist(), start.tolist())
        total = [one + more for one, more in zip(total, share, strict=True)]
    assert given_by(wants, rounds, turn).target_kw == pytest.approx([float(value) for value in total], abs=1e-7)
