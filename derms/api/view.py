"""What the API reads of the live controller: ports, implemented on the fleet and the loop in `derms.view`.

Every call is answered from memory; none waits for anything outside, or fails.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from derms.api.schemas.devices import DeviceOut
from derms.api.schemas.events import PreviewOut
from derms.api.schemas.feeders import FeederSummaryOut
from derms.api.schemas.health import HealthOut, ReadyOut
from derms.api.schemas.stream import ChangeOut, PictureOut
from derms.model import AlarmChange, AlarmRecord, DrEvent, DrProgram


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

    def uppermost(self, feeder_ids: Sequence[str]) -> set[str]:
        """Those of some feeders that lie below none of the others."""
        ...


class PreviewView(Protocol):
    """What DR would do."""

    def of_event(self, event: DrEvent) -> PreviewOut:
        """What an event is expected to do; nothing changes."""
        ...

    def of_program(self, program: DrProgram) -> PreviewOut:
        """What a program is expected to do while it bears; nothing changes."""
        ...


class AlarmsView(Protocol):
    """The alarms; implemented by `derms.alarms.desk.AlarmDesk`."""

    def records(self) -> list[AlarmRecord]:
        """Every alarm that is not normal, by kind and subject."""
        ...

    def find(self, alarm_id: str) -> AlarmRecord:
        """One alarm that is not normal.

        Raises:
            NotFoundError: There is none of that id.
        """
        ...

    def apply(
        self,
        alarm_id: str,
        change: Callable[[AlarmRecord], AlarmRecord],
        stored: AlarmRecord,
        *,
        what: AlarmChange,
        by: str,
        now: datetime,
    ) -> AlarmRecord:
        """Let something be said of an alarm that is stored already; the alarm as it is now."""
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
