"""Chargers that always want more than there is, in steps of minutes: all room is used, and everybody gets a turn."""

import pytest

from derms.bench.crowded import crowded


@pytest.mark.parametrize("weighted", [False, True])
def test_hungry_chargers_use_all_room_and_take_turns_to_the_last_hour(weighted: bool) -> None:
    # 20 chargers on eight places of 6 A: 40 % of the time each, where priorities are equal
    found = crowded(1, weighted=weighted, hours=12)
    assert found.used > 0.999
    assert found.never_served == 0
    assert found.longest_wait_s <= 3600
    assert found.jain > (0.96 if weighted else 0.99)
    assert found.stops <= 2.0
