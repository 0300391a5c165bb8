"""Sun, clouds and households against the recordings they come from."""

import csv
import math
from importlib import resources
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.noise import smooth_noise
from sim.physics import Households, HouseholdSpec, PvArray, PvSpec, Surroundings
from sim.recorded import DAY_S, SITE, WEEK_S, load_household, load_sessions, load_weather
from sim.sun import Site, Sky, SunPosition, plane_of_array_w_m2, sun_position

FRIDAY = 4
WEATHER = load_weather()
HOUSEHOLD = load_household()


def measured() -> list[dict[str, str]]:
    text = resources.files("sim.data").joinpath("irradiance.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def surroundings(t_s: float) -> Surroundings:
    return Surroundings(t_s=t_s, sky=WEATHER.at(t_s), household_kw=HOUSEHOLD.kw_per_mwh_year(t_s))


def test_the_sun_above_the_atmosphere_is_the_one_of_the_recording() -> None:
    # An independent source: the hourly column of the TMY3 file. 13 May is day 133.
    for index, row in enumerate(measured()):
        day, hour = divmod(index, 24)
        suns = [sun_position(SITE, 133 + day, hour * 3600.0 + 60.0 * (minute + 0.5)) for minute in range(60)]
        mean = sum(max(0.0, sun.cos_zenith) * sun.extraterrestrial_w_m2 for sun in suns) / 60
        assert mean == pytest.approx(float(row["etr_w_m2"]), abs=10.0), row


@pytest.mark.parametrize(("day", "zenith_deg"), [(80, 50.0), (172, 26.6), (355, 73.4)])
def test_at_noon_the_sun_stands_where_latitude_and_season_put_it(day: int, zenith_deg: float) -> None:
    # Latitude 50: 50 at the equinox, 50 - 23.4 at midsummer, 50 + 23.4 at midwinter.
    site = Site(latitude_deg=50.0, longitude_deg=0.0, utc_offset_h=0.0)
    highest = max((sun_position(site, day, 60.0 * minute) for minute in range(1440)), key=lambda sun: sun.cos_zenith)
    assert math.degrees(math.acos(highest.cos_zenith)) == pytest.approx(zenith_deg, abs=0.5)
    assert math.degrees(highest.azimuth_rad) == pytest.approx(180.0, abs=1.0)


def test_in_the_morning_the_sun_stands_in_the_east() -> None:
    assert 45.0 < math.degrees(sun_position(SITE, 133, 8 * 3600.0).azimuth_rad) < 120.0


def test_the_interpolated_week_has_the_measured_energy() -> None:
    expected = sum(float(row["ghi_w_m2"]) for row in measured())
    shown = sum(WEATHER.at(60.0 * minute).global_w_m2 for minute in range(7 * 24 * 60)) / 60
    assert shown == pytest.approx(expected, rel=0.01)


def test_a_plane_that_faces_the_sun_gets_the_beam_and_a_part_of_the_sky() -> None:
    # Zenith 30, tilt 30, same azimuth: incidence 0.
    # 800 + 100 * (1 + cos 30) / 2 + 0.2 * (800 cos 30 + 100) * (1 - cos 30) / 2
    sun = SunPosition(cos_zenith=math.cos(math.radians(30.0)), azimuth_rad=math.pi, extraterrestrial_w_m2=1361.0)
    sky = Sky(sun=sun, beam_w_m2=800.0, diffuse_w_m2=100.0)
    plane = plane_of_array_w_m2(sky, tilt_rad=math.radians(30.0), azimuth_rad=math.pi, beam_w_m2=800.0)
    assert plane == pytest.approx(800.0 + 93.301 + 10.622, abs=0.01)


@given(t_s=st.floats(0.0, 2 * WEEK_S), seed=st.integers(0, 2**32))
def test_an_array_never_draws_and_is_dark_at_night(t_s: float, seed: int) -> None:
    array = PvArray(PvSpec(peak_kw=8.0, inverter_kw=6.0, tilt_deg=30.0, azimuth_deg=180.0, seed=seed))
    now = surroundings(t_s)
    step = array.step(now, 60.0, None)
    assert -6.0 <= step.p_kw <= 0.0
    assert step.source_kwh == pytest.approx(-step.p_kw / 60.0, abs=1e-12)
    if t_s % DAY_S < 4.5 * 3600.0 or t_s % DAY_S > 20.0 * 3600.0:
        assert step.p_kw == 0.0


@pytest.mark.parametrize(("cap", "expected"), [(None, -2.0), (-1.5, -1.5), (0.0, 0.0), (-99.0, -2.0), (3.0, 0.0)])
def test_a_generation_cap_holds_and_the_inverter_clips(cap: float | None, expected: float) -> None:
    array = PvArray(PvSpec(peak_kw=10.0, inverter_kw=2.0, tilt_deg=20.0, azimuth_deg=180.0))
    assert array.step(surroundings(FRIDAY * DAY_S + 11.5 * 3600.0), 60.0, cap).p_kw == expected


def test_clouds_pass_within_minutes_and_keep_the_mean() -> None:
    array = PvArray(PvSpec(peak_kw=5.0, inverter_kw=5.0, tilt_deg=20.0, azimuth_deg=180.0, seed=7))
    start = FRIDAY * DAY_S + 12.5 * 3600.0
    powers = [array.available_kw(surroundings(start + 10.0 * i)) for i in range(360)]
    assert max(powers) - min(powers) > 1.0
    assert max(abs(b - a) for a, b in pairwise(powers)) < 0.5  # 10 s apart: no jumps


def test_the_same_seed_shows_the_same_clouds_and_another_does_not() -> None:
    spec = PvSpec(peak_kw=5.0, inverter_kw=5.0, tilt_deg=20.0, azimuth_deg=180.0, seed=7)
    other = PvSpec(peak_kw=5.0, inverter_kw=5.0, tilt_deg=20.0, azimuth_deg=180.0, seed=8)
    now = surroundings(FRIDAY * DAY_S + 13 * 3600.0)
    assert PvArray(spec).available_kw(now) == PvArray(spec).available_kw(now)
    assert PvArray(spec).available_kw(now) != PvArray(other).available_kw(now)


def test_a_household_of_the_profile_draws_its_year_of_energy() -> None:
    # May is a little below the year's mean: 1000 kWh a year are 0.114 kW.
    mean = sum(HOUSEHOLD.kw_per_mwh_year(900.0 * i) for i in range(672)) / 672
    assert 0.085 < mean < 0.114


def test_households_wander_around_their_profile() -> None:
    plant = Households(HouseholdSpec(annual_kwh=35_000.0, seed=3))
    ratios = [
        plant.step(surroundings(60.0 * i), 60.0, 99.0).p_kw / (35.0 * HOUSEHOLD.kw_per_mwh_year(60.0 * i))
        for i in range(7 * 1440)
    ]
    assert sum(ratios) / len(ratios) == pytest.approx(1.0, abs=0.02)
    assert 0.7 < min(ratios) < 0.95 < 1.05 < max(ratios) < 1.3


@given(seed=st.integers(), t_s=st.floats(-1e7, 1e7), period_s=st.floats(0.5, 1e5))
def test_noise_is_bounded_and_has_no_memory(seed: int, t_s: float, period_s: float) -> None:
    value = smooth_noise(seed, t_s, period_s)
    assert -1.0 <= value <= 1.0
    assert value == smooth_noise(seed, t_s, period_s)


def test_noise_has_mean_zero() -> None:
    assert abs(sum(smooth_noise(1, 100.0 * i, 100.0) for i in range(10_000)) / 10_000) < 0.03


def test_the_recorded_sessions_are_those_of_one_week() -> None:
    sessions = load_sessions()
    assert len(sessions) == 226
    assert all(0.0 <= session.arrival_s < WEEK_S for session in sessions)
    assert all(session.departure_s > session.arrival_s for session in sessions)
    assert sum(session.energy_kwh for session in sessions) == pytest.approx(2066.5, abs=0.1)
