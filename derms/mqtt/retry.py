"""When to try again, and in which version of MQTT. Pure but for the attempts themselves."""

import random
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from derms.mqtt.client import Level
from derms.mqtt.refusals import VersionRefusedError

_T = TypeVar("_T")


class Backoff:
    """Pauses that double up to a longest one, each shortened at random by up to a half.

    Args:
        first_s: The first pause, before it is shortened.
        longest_s: No pause is longer.
        rng: Keeps many links from coming back in the same instant.
    """

    def __init__(self, *, first_s: float, longest_s: float, rng: random.Random) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._rng = rng
        self._top_s = first_s

    def next_s(self) -> float:
        """The pause now; the one after it is longer [s]."""
        top_s = min(self._top_s, self._longest_s)
        self._top_s = min(self._top_s * 2, self._longest_s)
        return top_s * self._rng.uniform(0.5, 1.0)

    def longest_s(self) -> float:
        """A pause for what waiting alone will not mend [s]."""
        return self._longest_s * self._rng.uniform(0.5, 1.0)

    def reset(self) -> None:
        """All was well for a while."""
        self._top_s = self._first_s


class ProtocolChoice:
    """Which versions to try, newest first, and what is remembered of the answers.

    Args:
        levels: The versions wanted, in the order to try them.
    """

    def __init__(self, levels: Sequence[Level]) -> None:
        self._wanted = tuple(levels)
        self._levels = self._wanted
        self._silences = 0

    async def first_that_works(self, attempt: Callable[[Level, bool], Awaitable[_T]]) -> _T:
        """Try the levels until one is not refused.

        A broker that said it lacks a version is not asked for it again. One that only hung up or kept silent may
        have had another reason, so it is asked once more, after the next outage.

        Args:
            attempt: Told the level, and whether it is the last to try.

        Raises:
            VersionRefusedError: All were refused; next time they are all tried again.
            BrokerError: What `attempt` raised for another reason.
        """
        levels, said_so = self._levels, True
        for position, level in enumerate(levels):
            try:
                result = await attempt(level, position + 1 == len(levels))
            except VersionRefusedError as error:
                said_so = said_so and error.said_so
                if position + 1 == len(levels):
                    self._levels = self._wanted
                    raise
            else:
                if position:
                    self._silences += 1
                    if said_so or self._silences > 1:
                        self._levels = levels[position:]
                else:
                    self._silences = 0
                return result
        raise ValueError("there must be a level to try")
