"""What the API reads of the live controller: ports, implemented on the fleet and the loop in `derms.view`.

Every call is answered from memory; none waits for anything outside, or fails.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from derms.api.schemas.devices import DeviceOut, DevicesQuery
from derms.api.schemas.events import PreviewOut
from derms.api.schemas.feeders import FeederSummaryOut
from derms.api.schemas.health import HealthOut, ReadyOut
from derms.api.schemas.stream import ChangeOut, PictureOut
from derms.api.schemas.tracking import TrackingOut, TrackingQuery
from derms.api.schemas.why import WhyOut
from derms.contract import SimulationProfile
from derms.model import AlarmChange, AlarmRecord, Device, DeviceOverride, DrEvent, DrProgram, Feeder


class DevicesView(Protocol):
    """The fleet, by rows: a row number is a device for the life of the process."""

    def row(self, device_id: str) -> int | None:
        """The row of a device, or None."""
        ...

    def select(self, query: DevicesQuery) -> tuple[list[int], int, str | None]:
        """The rows of one page, how many there are on all pages, and the cursor of the next.

        Raises:
            UsageError: No such field to sort by, or a cursor that is none of ours.
        """
        ...

    def shown(self, rows: Sequence[int]) -> list[DeviceOut]:
        """Some devices, in the order given."""
        ...


class WhyView(Protocol):
    """The decisions."""

    def why(self, device_id: str) -> WhyOut | None:
        """Why a device has the setpoint it has; None: there is no such device."""
        ...


class TrackingView(Protocol):
    """How well devices follow."""

    def errors(self, query: TrackingQuery) -> TrackingOut:
        """The tracking error of the devices that are asked for, and of them together.

        Raises:
            UsageError: No such field to sort by, or a cursor that is none of ours.
        """
        ...


class SimulationDesk(Protocol):
    """The simulators, by way of the broker."""

    mode: SimulationProfile | None
    """What was set last in this run; None: nothing, and the broker may hold what an earlier one set."""

    async def play(self, profile: SimulationProfile) -> None:
        """Tell them which hour to play.

        Raises:
            BrokerError: The broker does not take it.
        """
        ...


class RegistryDesk(Protocol):
    """The live registry, told of a change after its commit."""

    def device(self, device_id: str) -> Device | None:
        """The registration as it is now."""
        ...

    def add_device(self, device: Device) -> None:
        """Take a registration in that was made beforehand."""
        ...

    def as_changed(self, device_id: str, changes: Mapping[str, Any]) -> Device:
        """The registration as it would be; nothing is changed."""
        ...

    def change_device(self, device_id: str, changes: Mapping[str, Any]) -> None:
        """Change a registration; what was learnt of the device meanwhile stays."""
        ...

    def put_override(self, override: DeviceOverride) -> None:
        """Lay an override upon a device."""
        ...

    def release(self, device_id: str) -> None:
        """Take an override off."""
        ...

    def feeders(self) -> dict[str, Feeder]:
        """The feeders as they are now."""
        ...

    def put_feeder(self, feeder: Feeder) -> None:
        """Add or replace a feeder.

        Raises:
            ConfigError: They would be no forest.
        """
        ...


class FeedersView(Protocol):
    """The feeders."""

    def feeders(self) -> list[FeederSummaryOut]:
        """All feeders, ordered by id."""
        ...

    def feeder_ids(self) -> set[str]:
        """The feeders there are."""
        ...

    def below(self, feeder_id: str) -> set[str]:
        """A feeder and all that lie below it."""
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
