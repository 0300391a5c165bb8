"""Two ways in which a broker that answers says no."""

from derms.errors import BrokerError


class BrokerRefusedError(BrokerError):
    """The broker answers but will not have us: a wrong login, a forbidden subscription."""


class VersionRefusedError(BrokerError):
    """The broker may not speak this version of MQTT."""

    def __init__(self, what: str, *, why: str, said_so: bool) -> None:
        super().__init__(what, why=why)
        self.said_so = said_so
        """True when the broker named the version as its reason, False when it only hung up or kept silent."""
