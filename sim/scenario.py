"""A feeder to simulate: who hangs on it, with which plant behind, and where its limit lies. Pure.

The demo's cars are real ones: sessions recorded on the five working days of the shipped week, put on one day at the
hour they were recorded at. The chargers start to work when the simulation starts: none of a session's energy has been
delivered yet. So every driver's need is a recorded one, and there are more of them than the feeder can serve at once.
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from derms.errors import UsageError
from derms.model import Device, DeviceKind, Dialect, Feeder, Origin
from sim.feeder import Climate, FeederPhysics
from sim.physics import Households, HouseholdSpec, Plant, PvArray, PvSpec
from sim.recorded import DAY_S, RecordedSession, load_household, load_sessions, load_weather
from sim.storage import Battery, BatterySpec, ChargerSpec, EvCharger, Visit

FEEDER_ID = "feeder-1"
START_DAY = 4
"""Friday of the recorded week: sun, and clouds that pass."""
START_HOUR = 11.75
_LOOK_AHEAD_MIN = 120.0
_LIMIT_SHARE = 0.6
"""Of what the fleet would draw by itself: well under two thirds of it."""
_REACTION_S = 240.0
"""Two control ticks of two seconds, at sixty times the speed of life [simulated s]."""
_LOOK_AHEAD_STEP_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One device of the feeder."""

    device: Device
    plant: Callable[[], Plant] | None
    """Makes its physics, in its first state; None: the feeder-head meter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """All that a simulation needs, and all that a controller may be told beforehand."""

    feeder: Feeder
    members: tuple[Member, ...]
    background: HouseholdSpec | None
    """The load that no device reports; None: there is none."""
    climate: Climate
    start_s: float
    """The first simulated instant, since the Monday 00:00 of the recorded week [s]."""
    seed: int
    duration_s: float | None = None
    """Simulated time after which there is nothing more to show [s]; None: endless."""
    uncontrolled_peak_kw: float = 0.0
    """What the fleet would draw by itself in the first two hours, at most [kW]; 0: not looked at."""
    release: Callable[[], None] | None = None
    """Lets go of what the plants hold open; None: they hold nothing."""

    @property
    def devices(self) -> tuple[Device, ...]:
        """The registrations."""
        return tuple(member.device for member in self.members)

    def physics(self) -> FeederPhysics:
        """The feeder in its first state, fresh."""
        return FeederPhysics(
            {member.device.device_id: member.plant() for member in self.members if member.plant is not None},
            background=None if self.background is None else Households(self.background),
            climate=self.climate,
            start_s=self.start_s,
            seed=self.seed,
        )


def demo_scenario(seed: int = 1, devices: int = 60, *, start_hour: float = START_HOUR) -> Scenario:
    """A feeder of homes and a car park, with a limit that binds.

    Args:
        seed: Which fleet and which clouds; the same seed gives the same.
        devices: How many, the head meter included; at least 12.
        start_hour: When the simulated Friday starts, 0..24.

    Raises:
        UsageError: Too few devices, an hour that does not exist, or one at which too little is flexible.
    """
    if devices < 12:
        raise UsageError(f"{devices} devices", why="a demo feeder has at least 12", next_step="ask for more devices")
    if not 0.0 <= start_hour < 24.0:
        raise UsageError(f"start hour {start_hour:g}", why="an hour is 0 or more, and less than 24")
    rng = random.Random(seed)
    loads, batteries, cars = max(1, devices // 10), max(2, devices // 6), max(3, devices * 2 // 5)
    arrays = devices - 1 - loads - batteries - cars
    members = (
        Member(device=_device("meter-feeder-1", DeviceKind.METER), plant=None),
        *_arrays(arrays, rng, seed),
        *_batteries(batteries, rng),
        *_chargers(cars, rng),
        *_loads(loads, rng),
    )
    scenario = Scenario(
        feeder=Feeder(feeder_id=FEEDER_ID, name="Demo feeder"),
        members=members,
        background=HouseholdSpec(annual_kwh=4_000.0 * devices, seed=rng.getrandbits(32)),
        climate=Climate(weather=load_weather(), household=load_household()),
        start_s=START_DAY * DAY_S + start_hour * 3600.0,
        seed=seed,
    )
    return limited(scenario)


def uncontrolled_peak(scenario: Scenario, minutes: float = _LOOK_AHEAD_MIN) -> float:
    """What the feeder would draw at most if every device did as it likes [kW].

    Args:
        scenario: Whose feeder.
        minutes: How far to look, in simulated time from the start [min].
    """
    return max(_heads(scenario.physics(), minutes))


def _heads(physics: FeederPhysics, minutes: float) -> list[float]:
    heads = []
    for _ in range(max(1, round(minutes * 60.0 / _LOOK_AHEAD_STEP_S))):
        physics.step(_LOOK_AHEAD_STEP_S)
        heads.append(physics.head_kw)
    return heads


def limited(scenario: Scenario) -> Scenario:
    """Set the limit from what the fleet would do, and see that its default control stays below it.

    Raises:
        UsageError: It does not.
    """
    peak_kw = uncontrolled_peak(scenario)
    grain_kw = 5.0 if peak_kw > 100.0 else 0.5
    limit_kw = math.floor(_LIMIT_SHARE * peak_kw / grain_kw) * grain_kw
    idle, dark = _at_default(scenario, sunny=True), _at_default(scenario, sunny=False)
    reach = round(_REACTION_S / _LOOK_AHEAD_STEP_S)
    # What sun and households add before a controller can answer has to fit under the limit.
    surprise_kw = max(max(idle[i : i + reach + 1]) - idle[i] for i in range(len(idle) - reach))
    if max(dark) >= limit_kw:
        raise UsageError(
            f"a feeder whose default control draws {max(dark):.0f} kW under a limit of {limit_kw:.0f} kW",
            why="too little of what hangs on it at this hour is flexible",
            next_step="start at another hour, or have more chargers",
        )
    feeder = replace(scenario.feeder, import_limit_kw=limit_kw, margin_kw=math.ceil(surprise_kw))
    return replace(scenario, feeder=feeder, uncontrolled_peak_kw=peak_kw)


def _at_default(scenario: Scenario, *, sunny: bool) -> list[float]:
    """The head's power over the next two hours when nobody sends a setpoint [kW]; without sun, the worst case."""
    physics = scenario.physics()
    for device in scenario.devices:
        match device.kind:
            case DeviceKind.PV if not sunny:
                physics.commands[device.device_id] = 0.0
            case DeviceKind.BATTERY | DeviceKind.EV:
                physics.commands[device.device_id] = device.default_power_kw
            case _:
                pass
    return _heads(physics, _LOOK_AHEAD_MIN)


def _device(device_id: str, kind: DeviceKind) -> Device:
    physical = device_id.startswith("pi-")
    return Device(
        device_id=device_id,
        kind=kind,
        feeder_id=FEEDER_ID,
        origin=Origin.PHYSICAL if physical else Origin.SIMULATED,
        dialect=_DIALECTS.get(device_id, Dialect.V1),
    )


_DIALECTS = {"pi-batt-01": Dialect.PLAIN, "pi-ev-01": Dialect.ENVELOPE}
"""Three generations of agents share the feeder."""


def _arrays(count: int, rng: random.Random, seed: int) -> list[Member]:
    members = []
    for number in range(1, count + 1):
        peak_kw = round(rng.uniform(3.0, 7.5), 1)
        spec = PvSpec(
            peak_kw=peak_kw,
            inverter_kw=round(0.85 * peak_kw, 1),
            tilt_deg=rng.uniform(15.0, 40.0),
            azimuth_deg=rng.uniform(120.0, 240.0),
            # A wind of 3 m/s needs a quarter of an hour across a feeder of some three kilometres.
            cloud_lag_s=rng.uniform(0.0, 900.0),
            seed=seed,
        )
        device = replace(
            _device(f"pv-{number:03d}", DeviceKind.PV),
            site_id=f"house-{number:03d}",
            p_export_max_kw=spec.inverter_kw,
            default_power_kw=-spec.inverter_kw,
        )
        members.append(Member(device=device, plant=partial(PvArray, spec)))
    return members


def _batteries(count: int, rng: random.Random) -> list[Member]:
    members = []
    for number in range(1, count + 1):
        power_kw, capacity_kwh = rng.choice(((5.0, 10.0), (5.0, 13.5), (7.5, 20.0)))
        spec = BatterySpec(capacity_kwh=capacity_kwh, p_charge_max_kw=power_kw, p_discharge_max_kw=power_kw)
        device = replace(
            _device("pi-batt-01" if number == 1 else f"batt-{number:03d}", DeviceKind.BATTERY),
            site_id=f"house-{number:03d}",
            p_import_max_kw=power_kw,
            p_export_max_kw=power_kw,
            capacity_kwh=capacity_kwh,
            target_soc=0.9,
            priority=rng.randint(2, 4),
        )
        members.append(Member(device=device, plant=partial(Battery, spec, rng.uniform(0.25, 0.5))))
    return members


def _chargers(count: int, rng: random.Random) -> list[Member]:
    members = []
    for number, visits in enumerate(_shared_out(load_sessions(), count, rng), start=1):
        # The drivers who need most stand, as they would, at the stronger chargers.
        three_phase = number <= count // 2
        spec = ChargerSpec(
            p_max_kw=11.0 if three_phase else 7.4, p_min_kw=4.1 if three_phase else 1.4, repeats_every_s=DAY_S
        )
        device = replace(
            _device(_PI_CHARGERS.get(number, f"ev-{number:03d}"), DeviceKind.EV),
            site_id="car-park",
            p_import_max_kw=spec.p_max_kw,
            p_min_kw=spec.p_min_kw,
            capacity_kwh=visits[0].capacity_kwh,
            target_soc=spec.target_soc,
            priority=rng.randint(4, 8),
            default_power_kw=0.0 if three_phase else spec.p_min_kw,
        )
        members.append(Member(device=device, plant=partial(EvCharger, spec, visits)))
    return members


_PI_CHARGERS = {1: "pi-ev-01", 2: "pi-ev-02"}


def _loads(count: int, rng: random.Random) -> list[Member]:
    members = []
    for number in range(1, count + 1):
        spec = HouseholdSpec(annual_kwh=rng.uniform(40_000.0, 60_000.0), seed=rng.getrandbits(32))
        device = replace(
            _device(f"load-{number:03d}", DeviceKind.LOAD),
            site_id=f"block-{number:03d}",
            p_import_max_kw=round(spec.annual_kwh / 2_500.0, 1),
        )
        members.append(Member(device=device, plant=partial(Households, spec)))
    return members


def _shared_out(sessions: tuple[RecordedSession, ...], count: int, rng: random.Random) -> list[tuple[Visit, ...]]:
    """The recorded visits of each charger on one day, those with the largest first need first."""
    noon_s, later_s = 12 * 3600.0, 14.5 * 3600.0
    day = [_on_one_day(session) for session in sessions if session.arrival_s < 5 * DAY_S]
    day.sort(key=lambda session: (-session.energy_kwh, session.station_id, session.arrival_s))
    staying = [s for s in day if s.arrival_s <= noon_s - 1800.0 and s.departure_s >= later_s]
    leaving = [s for s in day if s.arrival_s <= noon_s - 1800.0 and noon_s + 600.0 <= s.departure_s < later_s]
    coming = [s for s in day if noon_s <= s.arrival_s <= later_s - 3600.0]
    few = max(1, count // 12)
    # The largest needs only, again and again for a large fleet: the small ones would be over before one has looked.
    first = [staying[index % 24] for index in range(count - 2 * few)]
    first += [leaving[index % len(leaving)] for index in range(few)]
    first += [coming[index % len(coming)] for index in range(few)]
    first.sort(key=lambda session: -session.energy_kwh)
    evening = [session for session in day if session.arrival_s > 16 * 3600.0]
    visits = []
    for session in first:
        follower = [s for s in rng.sample(evening, len(evening)) if s.arrival_s > session.departure_s + 300.0][:1]
        visits.append(tuple(_visit(s, rng) for s in (session, *follower)))
    return visits


def _on_one_day(session: RecordedSession) -> RecordedSession:
    start = session.arrival_s // DAY_S * DAY_S
    # Who stayed over midnight leaves at midnight: the day repeats.
    return replace(session, arrival_s=session.arrival_s - start, departure_s=min(session.departure_s - start, DAY_S))


def _visit(session: RecordedSession, rng: random.Random) -> Visit:
    # The car's size is not recorded; it is one into which the recorded energy fits.
    sizes_kwh = [size for size in (40.0, 52.0, 60.0, 77.0) if size * 0.85 >= session.energy_kwh]
    return Visit(
        arrival_s=session.arrival_s,
        departure_s=session.departure_s,
        energy_kwh=session.energy_kwh,
        capacity_kwh=rng.choice(sizes_kwh),
    )
