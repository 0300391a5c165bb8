"""Dividing trees among controllers."""

from hypothesis import given
from hypothesis import strategies as st

from derms.shares import falls_to, has_too_many

INSTANCES = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 9), min_size=1)


@given(st.sets(st.integers(0, 40).map(str)), INSTANCES)
def test_every_free_tree_falls_to_exactly_one(free: set[str], held: dict[str, int]) -> None:
    shares = [falls_to(me, free, held) for me in held]
    assert sorted(root for share in shares for root in share) == sorted(free)


@given(st.sets(st.integers(0, 40).map(str)), INSTANCES)
def test_giving_out_makes_nothing_less_even_than_it_was(free: set[str], held: dict[str, int]) -> None:
    after = {me: held[me] + len(falls_to(me, free, held)) for me in held}
    assert max(after.values()) - min(after.values()) <= max(1, max(held.values()) - min(held.values()))


@given(INSTANCES)
def test_giving_back_ends_with_a_difference_of_one_at_most(held: dict[str, int]) -> None:
    moves, total = 0, sum(held.values())
    while givers := [me for me in sorted(held) if has_too_many(me, held)]:
        held[givers[0]] -= 1
        (taker,) = [me for me in held if falls_to(me, {"x"}, held)]
        assert taker not in givers
        held[taker] += 1
        moves += 1
        assert moves <= total
    assert max(held.values()) - min(held.values()) <= 1
