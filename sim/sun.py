"""Where the sun stands and what falls on a tilted plane. Pure.

Angles in radians, azimuth clockwise from north, irradiance in W/m2, clock time is the standard time of the site.
"""

import math
from dataclasses import dataclass

SOLAR_CONSTANT_W_M2 = 1361.0
"""Source: G. Kopp and J. Lean, "A new, lower value of total solar irradiance", 2011."""

_GROUND_ALBEDO = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A place on earth."""

    latitude_deg: float
    longitude_deg: float
    """East positive."""
    utc_offset_h: float
    """Of the standard time [h]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SunPosition:
    """The sun as seen from a site."""

    cos_zenith: float
    """1: overhead; negative: below the horizon."""
    azimuth_rad: float
    extraterrestrial_w_m2: float
    """On a plane that faces the sun, above the atmosphere [W/m2]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sky:
    """What comes from the sky at one instant."""

    sun: SunPosition
    beam_w_m2: float
    """Direct, on a plane that faces the sun [W/m2]."""
    diffuse_w_m2: float
    """From the rest of the sky, on the horizontal [W/m2]."""
    beam_variability: float = 0.0
    """How far passing clouds move the beam from its mean, 0..1: none under a clear or a closed sky."""
    temperature_c: float = 20.0

    @property
    def global_w_m2(self) -> float:
        """On the horizontal, from everywhere [W/m2]."""
        return self.beam_w_m2 * max(0.0, self.sun.cos_zenith) + self.diffuse_w_m2


def sun_position(site: Site, day_of_year: int, seconds_of_day: float) -> SunPosition:
    """The sun's place, to a quarter of a degree.

    Source: J. W. Spencer, "Fourier series representation of the position of the sun", 1971 (declination, equation of
    time, distance); J. Duffie and W. Beckman, "Solar Engineering of Thermal Processes", chapter 1.6 (hour angle,
    zenith, azimuth).

    Args:
        site: From where it is seen.
        day_of_year: 1..366.
        seconds_of_day: Standard time since midnight [s].
    """
    b = 2.0 * math.pi * (day_of_year - 1) / 365.0
    sin1, cos1, sin2, cos2 = math.sin(b), math.cos(b), math.sin(2 * b), math.cos(2 * b)
    declination = (
        0.006918
        - 0.399912 * cos1
        + 0.070257 * sin1
        - 0.006758 * cos2
        + 0.000907 * sin2
        - 0.002697 * math.cos(3 * b)
        + 0.00148 * math.sin(3 * b)
    )
    equation_min = 229.18 * (0.000075 + 0.001868 * cos1 - 0.032077 * sin1 - 0.014615 * cos2 - 0.04089 * sin2)
    distance = 1.00011 + 0.034221 * cos1 + 0.00128 * sin1 + 0.000719 * cos2 + 0.000077 * sin2
    offset_min = 4.0 * (site.longitude_deg - 15.0 * site.utc_offset_h) + equation_min
    hour_angle = math.radians((seconds_of_day / 60.0 + offset_min) / 4.0 - 180.0)
    latitude = math.radians(site.latitude_deg)
    cos_zenith = math.sin(latitude) * math.sin(declination) + math.cos(latitude) * math.cos(declination) * math.cos(
        hour_angle
    )
    east = -math.cos(declination) * math.sin(hour_angle)
    north = math.cos(latitude) * math.sin(declination) - math.sin(latitude) * math.cos(declination) * math.cos(
        hour_angle
    )
    return SunPosition(
        cos_zenith=cos_zenith,
        azimuth_rad=math.atan2(east, north) % (2.0 * math.pi),
        extraterrestrial_w_m2=SOLAR_CONSTANT_W_M2 * distance,
    )


def plane_of_array_w_m2(sky: Sky, *, tilt_rad: float, azimuth_rad: float, beam_w_m2: float) -> float:
    """What falls on a tilted plane [W/m2].

    Source: B. Liu and R. Jordan, "The long-term average performance of flat-plate solar-energy collectors", 1963
    (isotropic sky).

    Args:
        sky: Sun and diffuse light.
        tilt_rad: Of the plane from the horizontal.
        azimuth_rad: Where the plane faces.
        beam_w_m2: The direct light at this plane now, after the clouds before it [W/m2].
    """
    cos_zenith = sky.sun.cos_zenith
    if cos_zenith <= 0.0:
        return 0.0
    sin_zenith = math.sqrt(max(0.0, 1.0 - cos_zenith * cos_zenith))
    cos_tilt = math.cos(tilt_rad)
    cos_incidence = cos_zenith * cos_tilt + sin_zenith * math.sin(tilt_rad) * math.cos(
        sky.sun.azimuth_rad - azimuth_rad
    )
    on_ground = beam_w_m2 * cos_zenith + sky.diffuse_w_m2
    return (
        beam_w_m2 * max(0.0, cos_incidence)
        + sky.diffuse_w_m2 * (1.0 + cos_tilt) / 2.0
        + on_ground * _GROUND_ALBEDO * (1.0 - cos_tilt) / 2.0
    )
