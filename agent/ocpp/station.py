"""A charging station as this side knows it, and each of its connectors as a driver."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from agent.driver import Capabilities, Reading
from agent.ocpp.meter import measured, power_between, samples_of
from agent.ocpp.profiles import Plan, Profile, Rate, Told
from derms.errors import DeviceError, DeviceFaultError
from derms.model import DeviceStatus
from derms.ports import Clock

STALE_S = 90.0
"""A charging connector whose newest measurement is older is not believed [s]."""
BOOT_GRACE_S = 5.0
"""A station that does not announce itself after connecting is spoken to after this [s]."""

_FREE = ("Available", "Reserved", "Unavailable", "Faulted")
"""No car is there."""
_RESTING = (*_FREE, "Preparing", "Finishing", "SuspendedEV", "SuspendedEVSE", "EVConnected", "Idle")
"""Nothing flows."""


class Session(Protocol):
    """A connection to a station, in one version of the protocol."""

    async def install(self, connector: int, profile: Profile, *, start: str) -> None:
        """Set a charging profile.

        Args:
            connector: 0: the whole station.
            profile: Which.
            start: When it begins, RFC 3339.

        Raises:
            DeviceError: The station does not answer.
            DeviceFaultError: It refuses.
        """
        ...

    async def clear(self, profile_id: int) -> None:
        """Take a profile back; raises as `install`. One that is not there is no error."""
        ...


@dataclass(slots=True, kw_only=True)
class Connector:
    """What is known of one connector (in 2.0.1: one EVSE). Owned by the event loop."""

    number: int
    rate: Rate
    status: str = ""
    """As the station said last, in the protocol's words; empty: nothing yet."""
    transaction: str | None = None
    power_kw: float | None = None
    soc: float | None = None
    energy_kwh: float | None = None
    """The meter's register."""
    needs_kwh: float | None = None
    """What the car asked for, less what it got since [kWh]."""
    ready_by_ms: int | None = None
    capacity_kwh: float | None = None
    _heard_s: float = field(default=-math.inf)
    _energy_s: float = field(default=-math.inf)
    _says_power: bool = False

    def hear_meter(self, meter_values: Iterable[Mapping[str, Any]], *, now_s: float) -> None:
        """Take in measurements, keys in snake case."""
        said = measured(samples_of(meter_values), voltage_v=self.rate.voltage_v, phases=self.rate.phases)
        if said.soc is not None:
            self.soc = said.soc
        power_kw = said.power_kw
        self._says_power = self._says_power or power_kw is not None
        if said.energy_kwh is not None:
            if self.energy_kwh is not None:
                gained_kwh = said.energy_kwh - self.energy_kwh
                if not self._says_power:
                    power_kw = power_between(self.energy_kwh, said.energy_kwh, now_s - self._energy_s)
                if self.needs_kwh is not None and gained_kwh > 0:
                    self.needs_kwh = max(0.0, self.needs_kwh - gained_kwh)
            self.energy_kwh, self._energy_s = said.energy_kwh, now_s
        if power_kw is not None:
            self.power_kw, self._heard_s = power_kw, now_s

    def hear_status(self, status: str) -> None:
        """Take in what the station says of the connector."""
        if status != self.status and status in _RESTING:
            self.power_kw = None  # measured before: nothing flows until it says otherwise
        self.status = status
        if status in _FREE:
            self.leave()

    def continues(self, transaction: str) -> None:
        """Take in that a transaction runs which began before this side did."""
        if self.transaction is None and self.status not in _FREE and self.status not in ("Preparing", "Finishing"):
            self.transaction = transaction

    def leave(self) -> None:
        """The car is gone, and what was known of it with it."""
        self.transaction = self.soc = self.needs_kwh = self.ready_by_ms = self.capacity_kwh = None

    def reading(self, rating_kw: float, *, now_s: float) -> Reading:
        """What is known now.

        Raises:
            DeviceError: It charges, and nobody knows how much.
        """
        power_kw = self.power_kw if now_s - self._heard_s <= STALE_S else None
        if self.status in _RESTING and (power_kw is None or self.transaction is None):
            power_kw = 0.0
        if power_kw is None:
            raise DeviceError(
                f"connector {self.number} has measured nothing for {STALE_S:g} s",
                why=f"it says {self.status or 'nothing of itself'}",
                next_step="let the station send MeterValues (MeterValueSampleInterval, or TxUpdatedInterval)",
            )
        status = {"Faulted": DeviceStatus.FAULT, "Unavailable": DeviceStatus.UNAVAILABLE}.get(
            self.status, DeviceStatus.OK
        )
        return Reading(
            p_actual_kw=power_kw,
            soc=self.soc,
            status=status,
            ready_by_ms=self.ready_by_ms,
            p_max_kw=0.0 if self.status in _FREE else rating_kw,
            capacity_kwh=self.capacity_kwh,
            energy_needed_kwh=self.needs_kwh,
        )


@dataclass(slots=True, kw_only=True)
class Station:
    """A configured station and its connection, if there is one. Owned by the event loop."""

    station_id: str
    connectors: dict[int, Connector]
    session: Session | None = None
    announced: int = 0
    """Rises whenever it connects or starts: what it was told before may be forgotten."""
    booted: bool = False
    connected_s: float = -math.inf

    def connect(self, session: Session, *, now_s: float) -> None:
        """A connection is there; one before it counts no more."""
        self.session, self.connected_s, self.booted = session, now_s, False
        self.announced += 1

    def disconnect(self, session: Session) -> None:
        """A connection is gone; nothing, if another has taken its place."""
        if self.session is session:
            self.session = None

    def boot(self) -> None:
        """The station announces that it has started."""
        self.booted = True
        self.announced += 1


class ConnectorDriver:
    """One connector of a station; implements `agent.driver.Driver`. The lease rules are those of every agent.

    Args:
        station: Whose.
        connector: Which.
        capabilities: By configuration.
        clock: For deadlines, and for when profiles start.
        whole_station: Limit the station as a whole instead of the connector.
    """

    def __init__(
        self,
        station: Station,
        connector: Connector,
        capabilities: Capabilities,
        *,
        clock: Clock,
        whole_station: bool = False,
    ) -> None:
        self._station = station
        self._connector = connector
        self._capabilities = capabilities
        self._clock = clock
        self._target = 0 if whole_station else connector.number
        self._plan = Plan(
            connector=connector.number,
            rate=connector.rate,
            default_kw=capabilities.default_power_kw,
            station=whole_station,
        )
        self._told = Told()
        self._announced = -1

    def capabilities(self) -> Capabilities:
        """By configuration."""
        return self._capabilities

    async def read(self) -> Reading:
        """What the station said last."""
        if self._station.session is None:
            raise self._away()
        return self._connector.reading(self._capabilities.p_import_max_kw, now_s=self._clock.monotonic_s())

    async def apply(self, p_kw: float | None, seconds: float) -> None:
        """Set the charging profiles that say so, if they are not set already."""
        session, now_s = self._station.session, self._clock.monotonic_s()
        if session is None:
            raise self._away()
        if not self._station.booted and now_s - self._station.connected_s < BOOT_GRACE_S:
            raise DeviceError(f"station {self._station.station_id} is starting", next_step="nothing: it is asked again")
        if self._announced != self._station.announced:
            self._announced, self._told = self._station.announced, Told()
        steps = self._plan.steps(self._told, p_kw, seconds, transaction=self._connector.transaction, now_s=now_s)
        if steps is None:
            return
        self._told = Told()
        # first the limit, then what it replaces is taken back: there is no moment without one
        for profile in steps.install:
            await session.install(self._target, profile, start=rfc3339(self._clock.now_ms()))
        for profile_id in steps.clear:
            await session.clear(profile_id)
        self._told = steps.told

    async def close(self) -> None:
        """The station keeps its connection; the profiles end by themselves."""

    def _away(self) -> DeviceError:
        return DeviceError(
            f"station {self._station.station_id} is not connected",
            why="no websocket of it is open",
            next_step="check its network, and the address and password it was given",
        )


def refused(station_id: str, what: str, answer: object) -> DeviceFaultError:
    """What to raise when a station does not do what it is told."""
    return DeviceFaultError(
        f"station {station_id} refuses a {what}",
        why=f"it answers {str(answer)[:100]}",
        next_step="check that smart charging is enabled on it, its rate_unit, and whether profile = 'station' suits it",
    )


def rfc3339(at_ms: int) -> str:
    """An instant [epoch ms] as the protocol writes it, to the second."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
