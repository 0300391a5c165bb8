from collections.abc import Sequence
from fractions import Fraction
from math import inf, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derms.columns import Floats
from derms.control.fill import serve
from derms.control.squeeze import in_order
from derms.control.tree import Tree
from derms.control.wants import Round
from tests.unit.control.forests import Forest, forests, powers
from tests.unit.control.reference import by_level, by_rank, path, rooms

ALONE = Tree.of(np.array([-1]))


def floats(values: Sequence[float]) -> Floats:
    return np.array(values, dtype=np.float64)


@pytest.mark.parametrize(
    ("room_kw", "weight", "cap_kw", "expected"),
    [
        (10.0, [1, 1], [7, 7], [5, 5]),
        (10.0, [3, 1], [20, 20], [7.5, 2.5]),
        (10.0, [3, 1], [6, 20], [6, 4]),  # the capped one's rest goes to the other
        (100.0, [1, 1], [7, 7], [7, 7]),  # more than anybody can take
        (0.0, [1, 1], [7, 7], [0, 0]),
        (-3.0, [1, 1], [7, 7], [0, 0]),
        (5.0, [1, 1], [0, 7], [0, 5]),
        (5.0, [0, 1], [7, 3], [0, 3]),  # one without a weight has no share
        (inf, [1, 1], [3, 4], [3, 4]),
        (5.0, [], [], []),
        (4.0, [2], [7], [4]),
        (1e-9, [1, 3], [7, 7], [2.5e-10, 7.5e-10]),
        (4e9, [1, 3], [7e9, 7e9], [1e9, 3e9]),
        (6.0, [1e-12, 1e12], [7, 4], [2, 4]),
    ],
)
def test_one_node_is_shared_in_proportion_to_weight_up_to_each_ceiling(
    room_kw: float, weight: list[float], cap_kw: list[float], expected: list[float]
) -> None:
    node = np.zeros(len(weight), dtype=np.int64)
    asked = Round(ceiling_kw=floats(cap_kw), weight=floats(weight))
    assert serve(ALONE, node, floats([room_kw]), [asked]) == pytest.approx(expected, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ([0, 0], [5, 5]),
        ([0, 2], [6, 4]),  # the first has 2 before the second begins; 8 are left for both
        ([0, 20], [7, 3]),  # the second begins when the first is long full
        ([-100, -98], [6, 4]),  # only the difference counts
        ([1e12, 1e12 + 2], [6, 4]),
        ([inf, 0], [0, 7]),  # one that never begins
        ([nan, 0], [0, 7]),
    ],
)
def test_one_that_starts_later_is_served_once_the_level_passes_its_start(
    start: list[float], expected: list[float]
) -> None:
    asked = Round(ceiling_kw=floats([7, 7]), weight=floats([1, 1]), start=floats(start))
    assert serve(ALONE, np.zeros(2, dtype=np.int64), floats([10]), [asked]) == pytest.approx(expected, rel=1e-9)


def test_a_tree_gives_each_device_the_lowest_level_on_its_way_to_the_root() -> None:
    #  0: 20 kW  ├─ 1: 4 kW   devices 0, 1    level 2 at node 1: 2 + 2
    #            └─ 2: none   devices 2, 3    level 8 at the root: 16 are left, 8 + 8
    tree = Tree.of(np.array([-1, 0, 0]))
    asked = Round(ceiling_kw=np.full(4, 9.0), weight=np.ones(4))
    given_kw = serve(tree, np.array([1, 1, 2, 2]), floats([20, 4, inf]), [asked])
    assert given_kw == pytest.approx([2, 2, 8, 8])


def test_by_rank_the_room_below_a_full_node_is_not_held_back_from_others() -> None:
    # Device 0 is first, and node 1 lets it have 3 of its 9 kW; the other 7 of the root's 10 go down the queue.
    tree = Tree.of(np.array([-1, 0, 0]))
    asked = Round(ceiling_kw=np.full(3, 9.0), rank=floats([3, 1, 2]))
    assert serve(tree, np.array([1, 2, 2]), floats([10, 3, inf]), [asked]) == pytest.approx([3, 0, 7])


def test_a_round_is_served_from_what_the_rounds_before_it_left() -> None:
    # 10 kW: the first round takes 3 + 3, the second shares 4 by 1 : 3.
    rounds = [
        Round(ceiling_kw=floats([3, 3]), rank=floats([0, 1])),
        Round(ceiling_kw=floats([9, 9]), weight=floats([1, 3])),
    ]
    assert serve(ALONE, np.zeros(2, dtype=np.int64), floats([10]), rounds) == pytest.approx([4, 6])


@st.composite
def rounds_for(draw: st.DrawFn, size: int) -> list[Round]:
    def column(values: st.SearchStrategy[float]) -> Floats:
        return floats(draw(st.lists(values, min_size=size, max_size=size)))

    weights = st.one_of(st.integers(1, 3).map(float), st.floats(1e-3, 1e3))
    starts = st.one_of(st.integers(-2, 5).map(float), st.floats(-10.0, 10.0))
    rounds = []
    for kind in draw(st.lists(st.sampled_from(["level", "offset", "rank"]), min_size=1, max_size=3)):
        ceiling = column(powers())
        match kind:
            case "level":
                rounds.append(Round(ceiling_kw=ceiling, weight=column(weights)))
            case "offset":
                rounds.append(Round(ceiling_kw=ceiling, weight=column(weights), start=column(starts)))
            case _:
                rounds.append(Round(ceiling_kw=ceiling, rank=column(st.integers(0, 3).map(float))))
    return rounds


CASES = forests().flatmap(lambda forest: st.tuples(st.just(forest), rounds_for(len(forest.node))))


def slowly(forest: Forest, rounds: Sequence[Round]) -> list[float]:
    left, total = rooms(forest.room_kw), [Fraction(0) for _ in forest.node]
    for asked in rounds:
        ceiling = asked.ceiling_kw.tolist()
        if asked.rank is not None:
            share = by_rank(forest.parent, forest.node, left, ceiling, asked.rank.tolist())
        else:
            assert asked.weight is not None
            start = [0.0] * len(ceiling) if asked.start is None else asked.start.tolist()
            share = by_level(forest.parent, forest.node, left, ceiling, asked.weight.tolist(), start)
        total = [one + more for one, more in zip(total, share, strict=True)]
    return [float(value) for value in total]


@settings(max_examples=300, deadline=None)
@given(CASES)
def test_the_answer_is_that_of_raising_the_level_event_by_event(case: tuple[Forest, list[Round]]) -> None:
    forest, rounds = case
    given_kw = serve(forest.tree, forest.nodes, forest.room, rounds)
    assert given_kw == pytest.approx(slowly(forest, rounds), rel=1e-7, abs=1e-9)


@settings(max_examples=200, deadline=None)
@given(CASES, st.integers(-9, 9))
def test_no_room_is_passed_and_none_is_left_that_somebody_could_take(
    case: tuple[Forest, list[Round]], exponent: int
) -> None:
    forest, rounds = case
    scale = 10.0**exponent
    rounds = [
        Round(ceiling_kw=r.ceiling_kw * scale, weight=r.weight, start=r.start, rank=r.rank) for r in rounds
    ]  # starts count in levels: what is checked here holds whatever they are
    given_kw = serve(forest.tree, forest.nodes, forest.room * scale, rounds)
    assert np.all(np.isfinite(given_kw))
    assert np.all(given_kw >= 0.0)
    asked = sum((r.ceiling_kw for r in rounds), np.zeros(len(forest.node)))
    assert np.all(given_kw <= asked * (1 + 1e-12))
    used = forest.tree.subtree(forest.nodes, given_kw)
    room = np.maximum(forest.room, 0.0) * scale
    assert np.all(used <= room + 1e-9 * scale)
    full = used >= room - 1e-7 * scale
    for device, node in enumerate(forest.node):
        short = given_kw[device] < asked[device] - 1e-7 * scale
        assert not short or any(full[above] for above in path(forest.parent, node))


@settings(max_examples=100, deadline=None)
@given(CASES, st.integers(0, 2**32 - 1))
def test_permuting_the_devices_permutes_the_answer(case: tuple[Forest, list[Round]], seed: int) -> None:
    forest, rounds = case
    order = np.random.default_rng(seed).permutation(len(forest.node))
    # Twins at one node that only their place in the fleet tells apart may change places: spread the ranks.
    apart = [
        r if r.rank is None else Round(ceiling_kw=r.ceiling_kw, rank=r.rank + 1e-3 * np.arange(r.rank.size))
        for r in rounds
    ]
    moved = [
        Round(
            ceiling_kw=r.ceiling_kw[order],
            weight=None if r.weight is None else r.weight[order],
            start=None if r.start is None else r.start[order],
            rank=None if r.rank is None else r.rank[order],
        )
        for r in apart
    ]
    straight = serve(forest.tree, forest.nodes, forest.room, apart)
    assert serve(forest.tree, forest.nodes[order], forest.room, moved) == pytest.approx(straight[order], abs=1e-9)


def test_the_same_question_gets_the_same_bytes() -> None:
    rng = np.random.default_rng(3)
    parent = np.concatenate(([-1], np.zeros(40, dtype=np.int64)))
    node = rng.integers(0, 41, 3000)
    rounds = [
        Round(ceiling_kw=rng.uniform(0, 7, 3000), weight=rng.uniform(0.1, 9, 3000), start=rng.uniform(0, 2, 3000)),
        Round(ceiling_kw=rng.uniform(0, 7, 3000), rank=rng.integers(0, 10, 3000).astype(np.float64)),
    ]
    room = np.concatenate(([9000.0], rng.uniform(50, 500, 40)))
    first, second = (serve(Tree.of(parent), node, room, rounds) for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_a_deep_chain_is_bound_by_its_tightest_node() -> None:
    # 200 nodes in a row, the 120th lets 5 kW through to the device at the very end.
    parent = np.arange(-1, 199)
    room = np.full(200, 50.0)
    room[120] = 5.0
    asked = Round(ceiling_kw=floats([40, 40]), weight=np.ones(2))
    assert serve(Tree.of(parent), np.array([199, 10]), room, [asked]) == pytest.approx([5, 40])


def test_equals_in_a_queue_are_told_apart_by_size_and_not_by_the_sort() -> None:
    rank = floats([1, 2, 1, 2, 1])
    assert in_order(rank, floats([3, 1, 2, 5, 2])).tolist() == [1, 3, 2, 4, 0]
    assert in_order(floats([2, 9, 4]), floats([1, 1, 1])).tolist() == [1, 2, 0]


def test_nothing_that_a_policy_may_get_wrong_makes_a_number_that_is_none() -> None:
    asked = Round(ceiling_kw=floats([nan, -2, 7, 7]), weight=floats([1, 1, nan, inf]))
    given_kw = serve(ALONE, np.zeros(4, dtype=np.int64), floats([nan]), [asked, asked])
    assert given_kw.tolist() == [0, 0, 0, 0]
    assert serve(ALONE, np.zeros(4, dtype=np.int64), floats([5]), [asked]).tolist() == [0, 0, 0, 0]
