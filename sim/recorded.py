"""The recorded week that the simulation lives on: sun, kettles and cars of 13 to 19 May. Pure after loading.

Time is seconds since Monday 00:00 of that week on one wall clock, and wraps after Sunday. The three recordings are of
three places (see `data/SOURCES.md`); each keeps its own local time, so noon is noon for all of them.
"""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import resources

from sim.sun import Site, Sky, sun_position

DAY_S = 86_400.0
WEEK_S = 7 * DAY_S
MONDAY = datetime(2019, 5, 13)
_MONDAY_DAY_OF_YEAR = MONDAY.timetuple().tm_yday
_CLEAR_BEAM_FRACTION = 0.65
"""The share of the extraterrestrial beam that reaches the ground under a clear sky, about."""
_HORIZON_W_M2 = 40.0
"""Below this hourly mean at the top of the atmosphere the measured ratios are noise."""

SITE = Site(latitude_deg=36.1, longitude_deg=-79.95, utc_offset_h=-5.0)
"""Where the irradiance was measured: Greensboro, North Carolina."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedSession:
    """One car at one charger, as recorded."""

    arrival_s: float
    """Since Monday 00:00 [s]."""
    departure_s: float
    energy_kwh: float
    """Taken from the charger, on the grid side [kWh]."""
    station_id: str


@dataclass(frozen=True, slots=True)
class _Hour:
    beam_ratio: float
    diffuse_ratio: float
    temperature_c: float


class Weather:
    """Measured hours, turned into a sky for every second.

    An hour's measurement is divided by what the sun would send without an atmosphere; these ratios (clearness) change
    slowly and are interpolated, and multiplied again by the sun of the instant. So the curve follows the sun's
    geometry between the hours, and is zero at night.
    """

    def __init__(self, rows: Sequence[Mapping[str, str]], site: Site = SITE) -> None:
        self._site = site
        self._hours = [self._clearness(row, index) for index, row in enumerate(rows)]

    def at(self, t_s: float) -> Sky:
        """The sky at an instant.

        Args:
            t_s: Since Monday 00:00 [s]; wraps after a week.
        """
        t_s %= WEEK_S
        sun = sun_position(self._site, _MONDAY_DAY_OF_YEAR + int(t_s // DAY_S), t_s % DAY_S)
        position = t_s / 3600.0 - 0.5
        left = math.floor(position)
        fraction = position - left
        a, b = self._hours[left % len(self._hours)], self._hours[(left + 1) % len(self._hours)]
        beam_ratio = a.beam_ratio + (b.beam_ratio - a.beam_ratio) * fraction
        diffuse_ratio = a.diffuse_ratio + (b.diffuse_ratio - a.diffuse_ratio) * fraction
        lit = sun.cos_zenith > 0.0
        clear = min(1.0, beam_ratio / _CLEAR_BEAM_FRACTION)
        return Sky(
            sun=sun,
            beam_w_m2=beam_ratio * sun.extraterrestrial_w_m2 if lit else 0.0,
            diffuse_w_m2=diffuse_ratio * sun.extraterrestrial_w_m2 * sun.cos_zenith if lit else 0.0,
            # A clear sky (1) and a closed one (0) hold still; half and half is when clouds pass.
            beam_variability=3.6 * clear * (1.0 - clear),
            temperature_c=a.temperature_c + (b.temperature_c - a.temperature_c) * fraction,
        )

    def _clearness(self, row: Mapping[str, str], index: int) -> _Hour:
        day, hour = divmod(index, 24)
        suns = [
            sun_position(self._site, _MONDAY_DAY_OF_YEAR + day, hour * 3600.0 + minute * 60.0)
            for minute in range(1, 60, 2)
        ]
        top = sum(max(0.0, sun.cos_zenith) * sun.extraterrestrial_w_m2 for sun in suns) / len(suns)
        temperature_c = float(row["temperature_c"])
        if top < _HORIZON_W_M2:
            return _Hour(0.0, 0.0, temperature_c)
        diffuse = float(row["dhi_w_m2"]) / top
        # The beam is what the global reading leaves: the two horizontal readings then add up by construction.
        beam = max(0.0, float(row["ghi_w_m2"]) / top - diffuse)
        return _Hour(beam, diffuse, temperature_c)


class HouseholdProfile:
    """The standard household, as power for 1,000 kWh a year."""

    def __init__(self, rows: Sequence[Mapping[str, str]]) -> None:
        # kWh in a quarter hour for 1,000,000 kWh a year -> kW for 1,000 kWh a year: times 4, divided by 1,000.
        self._kw = {name: [float(row[name]) * 4.0 / 1000.0 for row in rows] for name in _KINDS_OF_DAY}

    def kw_per_mwh_year(self, t_s: float) -> float:
        """Mean power of a household with 1,000 kWh a year [kW].

        Args:
            t_s: Since Monday 00:00 [s]; wraps after a week.
        """
        t_s %= WEEK_S
        day = int(t_s // DAY_S)
        values = self._kw["weekday" if day < 5 else "saturday" if day == 5 else "sunday"]
        position = (t_s % DAY_S) / 900.0 - 0.5
        left = math.floor(position)
        a, b = values[left % 96], values[(left + 1) % 96]
        return (a + (b - a) * (position - left)) * _seasonal_factor(_MONDAY_DAY_OF_YEAR + day)


_KINDS_OF_DAY = ("weekday", "saturday", "sunday")


def _seasonal_factor(day_of_year: int) -> float:
    """How the household profile moves with the season.

    Source: BDEW, standard load profiles for households, the published polynomial in the day of the year.
    """
    d = float(day_of_year)
    return -3.92e-10 * d**4 + 3.2e-7 * d**3 - 7.02e-5 * d**2 + 2.1e-3 * d + 1.24


def load_weather() -> Weather:
    """The shipped week of irradiance."""
    return Weather(_rows("irradiance.csv"))


def load_household() -> HouseholdProfile:
    """The shipped household profile."""
    return HouseholdProfile(_rows("household.csv"))


def load_sessions() -> tuple[RecordedSession, ...]:
    """The shipped week of charging sessions, in order of arrival."""
    sessions = (
        RecordedSession(
            arrival_s=_since_monday(row["arrival"]),
            departure_s=_since_monday(row["departure"]),
            energy_kwh=float(row["energy_kwh"]),
            station_id=row["station_id"],
        )
        for row in _rows("sessions.csv")
    )
    return tuple(sorted(sessions, key=lambda session: (session.arrival_s, session.station_id)))


def _since_monday(text: str) -> float:
    return (datetime.fromisoformat(text) - MONDAY).total_seconds()


def _rows(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(resources.files("sim.data").joinpath(name).read_text(encoding="utf-8").splitlines()))
