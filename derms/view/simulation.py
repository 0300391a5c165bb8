"""The simulators, by way of the broker."""

from collections.abc import Awaitable, Callable

from derms.contract import SimulationProfile, Topics, encode_profile


class LiveSimulation:
    """Implements `derms.api.view.SimulationDesk`.

    Args:
        topics: Under which prefix.
        publish: Hands a topic and a payload to the broker, which keeps it for later subscribers.
    """

    def __init__(self, *, topics: Topics, publish: Callable[[str, bytes], Awaitable[None]]) -> None:
        self._topics = topics
        self._publish = publish
        self.mode: SimulationProfile | None = None
        """What was set last in this run."""

    async def play(self, profile: SimulationProfile) -> None:
        """Tell the simulators.

        Raises:
            BrokerError: The broker does not take it.
        """
        await self._publish(*encode_profile(self._topics, profile))
        self.mode = profile
