"""Whether what is outside is there."""

from derms.ports import Clock


class LinkState:
    """Whether something outside is there and since when."""

    def __init__(self, clock: Clock) -> None:
        """Start disconnected."""
        self._clock = clock
        self._since_s = clock.monotonic_s()
        self.connected = False

    def set(self, connected: bool) -> None:
        """Note a change."""
        if connected is not self.connected:
            self.connected, self._since_s = connected, self._clock.monotonic_s()

    def age_s(self) -> float:
        """Since the last change [s]."""
        return self._clock.monotonic_s() - self._since_s
