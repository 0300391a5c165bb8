import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derms.errors import BrokerError
from derms.mqtt.client import Level
from derms.mqtt.refusals import VersionRefusedError
from derms.mqtt.retry import Backoff, ProtocolChoice


@given(st.integers(0, 2**32), st.floats(0.01, 1.0), st.floats(1.0, 60.0))
def test_pauses_double_from_the_first_to_the_longest_and_lose_up_to_a_half(
    seed: int, first_s: float, longest_s: float
) -> None:
    backoff = Backoff(first_s=first_s, longest_s=longest_s, rng=random.Random(seed))
    for number in range(20):
        top_s = min(first_s * 2**number, longest_s)
        assert top_s / 2 <= backoff.next_s() <= top_s
    backoff.reset()
    assert backoff.next_s() <= first_s
    assert longest_s / 2 <= backoff.longest_s() <= longest_s


class Broker:
    """Answers version 5 as told."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked: list[Level] = []

    async def __call__(self, level: Level, is_last: bool) -> Level:
        self.asked.append(level)
        answer = self.answers.pop(0)
        match answer:
            case "yes":
                return level
            case "down":
                raise BrokerError("down")
            case _:
                raise VersionRefusedError("no", why=answer, said_so=answer == "says no")


@pytest.mark.parametrize(
    ("answers", "asked"),
    [
        (["yes", "yes"], [[5], [5]]),
        (["says no", "yes", "yes"], [[5, 4], [4]]),
        (["silent", "yes", "yes"], [[5, 4], [5]]),
        (["silent", "yes", "silent", "yes", "yes"], [[5, 4], [5, 4], [4]]),
        # one answer in version 5 in between: silence has to be seen twice in a row
        (["silent", "yes", "yes", "silent", "yes", "yes"], [[5, 4], [5], [5, 4], [5]]),
        (["down", "yes"], [[5], [5]]),
        # refused in all versions, then everything is tried again
        (["says no", "says no", "yes"], [[5, 4], [5]]),
        (["says no", "yes", "says no", "yes"], [[5, 4], [4], [5]]),
    ],
)
async def test_versions_are_tried_newest_first_and_answers_remembered(
    answers: list[str], asked: list[list[Level]]
) -> None:
    choice, broker = ProtocolChoice((5, 4)), Broker(*answers)
    for expected in asked:
        broker.asked.clear()
        try:
            assert await choice.first_that_works(broker) == expected[-1]
        except BrokerError:
            assert answers.count("yes") < len(asked)
        assert broker.asked == expected
    assert broker.answers == []
