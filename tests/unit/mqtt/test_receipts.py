from hypothesis import given
from hypothesis import strategies as st

from derms.mqtt.receipts import REFUSED, Receipts


def test_packet_ids_may_repeat_once_they_are_free() -> None:
    receipts = Receipts(1)
    first = receipts.issue(5)
    assert list(receipts.acknowledge([first])) == [5]
    second = receipts.issue(5)
    assert first != second
    assert list(receipts.acknowledge([first])) == []
    assert list(receipts.acknowledge([second])) == [5]


def test_0_and_other_connections_receipts_acknowledge_nothing() -> None:
    old, new = Receipts(1), Receipts(2)
    stale, fresh = old.issue(1), new.issue(1)
    assert list(new.acknowledge([0, stale])) == []
    assert list(new.acknowledge([fresh])) == [1]


def test_a_refusal_waits_for_its_turn_and_what_is_safe_stays_safe() -> None:
    receipts = Receipts(1)
    first, second, third = (receipts.issue(packet_id) for packet_id in (5, 6, 7))
    assert list(receipts.refuse([second])) == []
    assert list(receipts.acknowledge([third])) == []
    assert list(receipts.refuse([third])) == []
    assert list(receipts.acknowledge([first])) == [5, 6 | REFUSED, 7]


@given(st.lists(st.lists(st.integers(0, 19)), max_size=30), st.integers(1, 20))
def test_what_is_released_is_always_the_longest_acknowledged_beginning(batches: list[list[int]], count: int) -> None:
    receipts = Receipts(3)
    issued = [receipts.issue(100 + number) for number in range(count)]
    released: list[int] = []
    seen: set[int] = set()
    for batch in batches:
        known = [number for number in batch if number < count]
        seen.update(known)
        released += receipts.acknowledge(issued[number] for number in known)
        beginning = next((number for number in range(count) if number not in seen), count)
        assert released == [100 + number for number in range(beginning)]
