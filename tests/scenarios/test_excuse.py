"""What the judge excuses, and what it does not; and that chance is the same for the same seed."""

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from derms.model import DeviceKind
from tests.scenarios.chance import drawn, sessions
from tests.scenarios.excuse import Excuses
from tests.scenarios.observer import Forest, Observer
from tests.scenarios.physics import Devices, Floats
from tests.scenarios.story import Device, Node, Story, read

DAY = Path(__file__).parent / "days" / "feeder_of_500.toml"
ROWS = [
    Device(id="car", node="site", rating_kw=11.0),
    Device(id="battery", node="site", kind=DeviceKind.BATTERY, rating_kw=5.0, export_kw=5.0, soc=0.5),
    Device(id="house", node="site", kind=DeviceKind.LOAD),
    Device(id="roof", node="site", kind=DeviceKind.PV, export_kw=8.0),
]
NODES = [Node(id="feeder", import_kw=30.0), Node(id="site", parent="feeder", import_kw=10.0, export_kw=5.0)]
LIMITS = (np.array([30.0, 10.0]), np.array([np.inf, 5.0]))


def _excuses(powers_kw: list[float]) -> tuple[Excuses, Devices]:
    devices = Devices(ROWS)
    devices.p_kw = np.array(powers_kw)
    return Excuses(devices, Forest(NODES), np.array([1, 1, 1, 1]), hearing_s=10.0), devices


def _watch(excuses: Excuses, now_s: float, *, away: bool = False, down: bool = False) -> None:
    excuses.watch(
        now_s, broker_away=away, controller_down=down, background_kw=np.zeros(2), limits_kw=lambda: LIMITS
    )  # fmt: skip


def _excused(excuses: Excuses, load_kw: float, shortfall_kw: float = 0.0) -> tuple[float, float]:
    """Of the site's import and export, with 1 kW of background that has come up [kW]."""
    load: Floats = np.array([load_kw, load_kw])
    both = excuses.excused_kw(np.array([0.0, 1.0]), load, LIMITS, np.array([0.0, shortfall_kw]))
    return float(both[0][1]), float(both[1][1])


def test_in_the_dark_only_what_nobody_controls_may_rise() -> None:
    excuses, devices = _excuses([6.0, -2.0, 3.0, 0.0])
    _watch(excuses, 0.0, away=True)
    devices.p_kw = np.array([9.0, 0.0, 5.0, 0.0])
    # the house 2 kW and the background 1 kW; not the car's 3 kW, nor the battery that no longer discharges 2 kW
    assert _excused(excuses, 15.0)[0] == pytest.approx(3.0)
    _watch(excuses, 1.0)
    assert _excused(excuses, 15.0) == (0.0, 0.0)


def test_in_the_dark_a_car_whose_lease_is_over_leaves_the_sun_to_the_grid() -> None:
    excuses, devices = _excuses([6.0, 0.0, 3.0, -8.0])
    devices.unleased = np.array([False, False, True, True])
    _watch(excuses, 0.0, away=True)
    devices.p_kw = np.array([0.0, 0.0, 3.0, -8.0])
    # what it does under a lease is the controller's: only then the 6 kW less 1 kW of background are excused
    assert _excused(excuses, -4.0)[1] == 0.0
    devices.unleased[0] = True
    assert _excused(excuses, -4.0)[1] == pytest.approx(5.0)


def test_after_a_restart_it_stays_dark_until_every_device_could_have_spoken() -> None:
    excuses, devices = _excuses([6.0, 0.0, 3.0, 0.0])
    _watch(excuses, 0.0, down=True)
    devices.p_kw = np.array([6.0, 0.0, 5.0, 0.0])
    for now_s, excused_kw in ((9.0, 3.0), (10.0, 3.0), (11.0, 0.0)):
        _watch(excuses, now_s)
        assert _excused(excuses, 12.0)[0] == pytest.approx(excused_kw)


def test_a_shortfall_excuses_no_more_than_what_nobody_could_give() -> None:
    excuses, _ = _excuses([2.0, -3.0, 20.0, 0.0])
    # 10 kW over: the car could give 2 kW and the battery 2 kW more, so 6 are excused, and none that the record denies
    assert _excused(excuses, 20.0, shortfall_kw=6.0)[0] == pytest.approx(6.0)
    assert _excused(excuses, 20.0) == (0.0, 0.0)


def test_an_excess_that_is_not_excused_is_a_violation() -> None:
    story = Story(expected="", seconds=10.0, node=NODES, device=ROWS)
    devices = Devices(ROWS)
    observer = Observer(story, Forest(NODES), devices, keep_all=False)
    for now_s in range(4):
        observer.look(float(now_s), 1.0, np.array([14.0, 14.0]), lambda _: (np.array([0.0, 3.0]), np.zeros(2)))
    observer.look(4.0, 1.0, np.array([12.0, 12.0]), lambda _: (np.array([0.0, 3.0]), np.zeros(2)))
    assert [(stretch.node, stretch.seconds) for stretch in observer.stretches] == [("site", 4.0)]
    assert observer.excused_s == 1.0


def test_the_same_seed_gives_the_same_day_and_its_hours_do_not_depend_on_how_many_are_told() -> None:
    day = read(DAY)
    whole, hour = drawn(day), drawn(replace(day, seconds=3600.0))
    assert drawn(day) == whole
    assert [f for f in whole.fault if f.at_s < 3600.0] == hour.fault
    assert [e for e in whole.event if e.at_s < 3600.0] == hour.event
    assert len({event.id for event in whole.event}) == len(whole.event) == 24 * 3
    assert drawn(replace(day, seed=2)).fault != whole.fault


def test_no_charger_has_two_cars_at_once() -> None:
    busy: dict[int, float] = {}
    for one in sorted(sessions(read(DAY)), key=lambda one: (one.charger, one.arrives_s)):
        assert one.arrives_s >= busy.get(one.charger, -np.inf)
        busy[one.charger] = one.leaves_s
    assert len(busy) == 280
