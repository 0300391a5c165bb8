"""What is known of a station, and its connectors as drivers."""

import math
from typing import Any

import pytest

from agent.driver import Capabilities
from agent.ocpp.profiles import Profile, Rate
from agent.ocpp.station import BOOT_GRACE_S, STALE_S, Connector, ConnectorDriver, Station
from derms.errors import DeviceError, DeviceFaultError
from derms.model import DeviceKind, DeviceStatus

RATE = Rate(unit="A", phases=3, voltage_v=230)
CAR = Capabilities(kind=DeviceKind.EV, p_import_max_kw=11, p_min_kw=4.14, default_power_kw=4.14)


class Hand:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.s = 1000.0

    def now_ms(self) -> int:
        return 1_767_225_600_000

    def monotonic_s(self) -> float:
        return self.s


class Line:
    """A session that keeps what is told, and fails when it should."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.failing = False

    async def install(self, connector: int, profile: Profile, *, start: str) -> None:
        if self.failing:
            raise DeviceFaultError("no")
        assert start == "2026-01-01T00:00:00Z"
        self.told.append(f"{profile.profile_id}@{connector}={profile.limit:g}/{profile.seconds}")

    async def clear(self, profile_id: int) -> None:
        self.told.append(f"-{profile_id}")

    def take(self) -> list[str]:
        told, self.told = self.told, []
        return told


def moment(**values: float) -> list[dict[str, Any]]:
    names = {"power": "Power.Active.Import", "energy": "Energy.Active.Import.Register", "soc": "SoC"}
    return [{"sampled_value": [{"measurand": names[key], "value": str(value)} for key, value in values.items()]}]


def connector(status: str = "Charging") -> Connector:
    return Connector(number=1, rate=RATE, status=status)


@pytest.mark.parametrize(
    ("status", "reported", "available_kw"),
    [
        ("Available", DeviceStatus.OK, 0.0),
        ("Preparing", DeviceStatus.OK, 11.0),
        ("SuspendedEV", DeviceStatus.OK, 11.0),
        ("Finishing", DeviceStatus.OK, 11.0),
        ("Faulted", DeviceStatus.FAULT, 0.0),
        ("Unavailable", DeviceStatus.UNAVAILABLE, 0.0),
    ],
)
def test_where_nothing_flows_the_power_is_known(status: str, reported: DeviceStatus, available_kw: float) -> None:
    reading = connector(status).reading(11, now_s=0)
    assert (reading.p_actual_kw, reading.status, reading.p_max_kw) == (0.0, reported, available_kw)


def test_charging_without_a_fresh_measurement_is_no_power_that_anyone_knows() -> None:
    c = connector()
    with pytest.raises(DeviceError, match="has measured nothing"):
        c.reading(11, now_s=0)
    c.hear_meter(moment(power=7000), now_s=0)
    assert c.reading(11, now_s=STALE_S).p_actual_kw == 7.0
    with pytest.raises(DeviceError, match="it says Charging"):
        c.reading(11, now_s=STALE_S + 1)


def test_a_car_that_pauses_draws_nothing_until_it_is_measured_again() -> None:
    c = connector()
    c.transaction = "7"
    c.hear_meter(moment(power=7000), now_s=0)
    c.hear_status("SuspendedEV")
    assert c.reading(11, now_s=1).p_actual_kw == 0.0
    c.hear_meter(moment(power=200), now_s=2)
    assert c.reading(11, now_s=3).p_actual_kw == 0.2


def test_a_meter_that_says_only_energy_says_power_by_its_slope_and_counts_the_need() -> None:
    c = connector()
    c.needs_kwh = 10.0
    c.hear_meter(moment(energy=1000), now_s=0)
    c.hear_meter(moment(energy=1100, soc=40), now_s=60)
    reading = c.reading(11, now_s=60)
    assert reading.p_actual_kw == pytest.approx(6.0)  # 0.1 kWh in a minute
    assert reading.energy_needed_kwh == pytest.approx(9.9)
    assert reading.soc == 0.4
    c.hear_meter(moment(energy=50_000), now_s=120)
    assert c.reading(11, now_s=120).energy_needed_kwh == 0.0
    c.hear_status("Available")
    reading = c.reading(11, now_s=121)
    assert (reading.energy_needed_kwh, reading.soc, c.transaction) == (None, None, None)


def test_a_transaction_that_began_before_is_taken_up_where_one_can_be() -> None:
    for status, taken in (
        ("Charging", "7"),
        ("", "7"),
        ("SuspendedEVSE", "7"),
        ("Finishing", None),
        ("Available", None),
    ):
        c = connector(status)
        c.continues("7")
        assert c.transaction == taken, status
    c = connector()
    c.transaction = "8"
    c.continues("7")
    assert c.transaction == "8"


def stage() -> tuple[ConnectorDriver, Station, Line, Hand]:
    clock, line = Hand(), Line()
    station = Station(station_id="CP-1", connectors={1: connector()})
    station.connect(line, now_s=clock.s)
    station.boot()
    return ConnectorDriver(station, station.connectors[1], CAR, clock=clock), station, line, clock


async def test_a_station_is_told_what_changed_and_all_of_it_after_it_started_again() -> None:
    driver, station, line, _ = stage()
    await driver.apply(6.9, 60)
    assert line.take() == ["1001@1=6/None", "2001@1=10/60"]
    await driver.apply(6.9, 60)
    assert line.take() == []
    station.boot()
    await driver.apply(6.9, 60)
    assert line.take() == ["1001@1=6/None", "2001@1=10/60"]
    await driver.apply(4.14, math.inf)
    assert line.take() == ["-2001", "-3001"]


async def test_a_station_that_refuses_is_told_all_again() -> None:
    driver, _, line, _ = stage()
    line.failing = True
    with pytest.raises(DeviceFaultError):
        await driver.apply(6.9, 60)
    line.failing = False
    await driver.apply(6.9, 60)
    assert line.take() == ["1001@1=6/None", "2001@1=10/60"]


async def test_a_station_that_is_gone_or_starting_is_not_told_and_not_believed() -> None:
    driver, station, line, clock = stage()
    station.disconnect(Line())  # another connection of it
    assert station.session is line
    station.disconnect(line)
    for verb in (driver.read(), driver.apply(6.9, 60)):
        with pytest.raises(DeviceError, match="station CP-1 is not connected"):
            await verb
    station.connect(line, now_s=clock.s)
    with pytest.raises(DeviceError, match="is starting"):
        await driver.apply(6.9, 60)
    clock.s += BOOT_GRACE_S  # some never announce themselves when they come back
    await driver.apply(6.9, 60)
    assert line.take() == ["1001@1=6/None", "2001@1=10/60"]
