"""What the API reads of the live controller: ports, implemented on the fleet and the loop in `derms.view`.

Every call is answered from memory; none waits for anything outside, or fails.
"""

from typing import Protocol

from derms.api.schemas.devices import DeviceOut
from derms.api.schemas.feeders import FeederSummaryOut
from derms.api.schemas.health import HealthOut, ReadyOut
from derms.api.schemas.stream import ChangeOut, PictureOut


class DevicesView(Protocol):
    """The fleet."""

    def devices(self) -> list[DeviceOut]:
        """All devices, ordered by id."""
        ...


class FeedersView(Protocol):
    """The feeders."""

    def feeders(self) -> list[FeederSummaryOut]:
        """All feeders, ordered by id."""
        ...

    def feeder_ids(self) -> set[str]:
        """The feeders there are."""
        ...


class PictureView(Protocol):
    """All of it, a tick at a time; for one listener."""

    async def change(self) -> ChangeOut:
        """Look again, and tell what is not as it was; a large fleet in parts, between which others get their turn."""
        ...

    def whole(self) -> PictureOut:
        """Everything as it was last told."""
        ...


class HealthView(Protocol):
    """The daemon."""

    def health(self) -> HealthOut:
        """How the daemon and its parts do."""
        ...

    def ready(self) -> ReadyOut:
        """Whether it can do all it is for."""
        ...
