"""What the API reads of the live controller: one port, implemented on the fleet by the composition root."""

from typing import Protocol

from derms.api.schemas import DeviceOut, FeederSummaryOut, HealthOut


class ControllerView(Protocol):
    """A picture of the controller, taken from memory; no call waits or fails."""

    def devices(self) -> list[DeviceOut]:
        """All devices, ordered by id."""
        ...

    def feeders(self) -> list[FeederSummaryOut]:
        """All feeders, ordered by id."""
        ...

    def health(self) -> HealthOut:
        """How the daemon and its parts do."""
        ...

    def feeder_ids(self) -> set[str]:
        """The feeders there are."""
        ...
