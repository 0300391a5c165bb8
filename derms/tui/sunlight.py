"""Whether it is day where somebody sits: by the sun over the city that their time zone is named after."""

import os
import re
from datetime import UTC, datetime
from pathlib import Path

from sim.sun import Site, sun_position

_ZONES = Path("/usr/share/zoneinfo")
_PLACE = re.compile(r"([+-])(\d{2})(\d{2})(\d{2})?([+-])(\d{3})(\d{2})(\d{2})?")
_FIRST_HOUR, _LAST_HOUR = 7, 19
"""Of the day where the sun is not known."""


def is_day(now: datetime, place: tuple[float, float] | None) -> bool:
    """Whether the sun is up.

    Args:
        now: This instant.
        place: Latitude and longitude [deg]; None: not known, then it is by the clock.
    """
    if place is None:
        return _FIRST_HOUR <= now.astimezone().hour < _LAST_HOUR
    here = now.astimezone(UTC)
    site = Site(latitude_deg=place[0], longitude_deg=place[1], utc_offset_h=0.0)
    seconds = here.hour * 3600.0 + here.minute * 60.0 + here.second
    return sun_position(site, here.timetuple().tm_yday, seconds).cos_zenith > 0.0


def zone_place(zones: Path = _ZONES, zone: str | None = None) -> tuple[float, float] | None:
    """Where the time zone's city is, latitude and longitude [deg]; None: it is not said.

    Args:
        zones: Where the system keeps its zones.
        zone: Its name; None: this process's.
    """
    name = zone_name(zones) if zone is None else zone
    for table in ("zone1970.tab", "zone.tab"):
        try:
            lines = (zones / table).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            continue
        for line in lines:
            fields = line.split("\t")
            if len(fields) >= 3 and fields[2] == name:
                return read_place(fields[1])
    return None


def zone_name(zones: Path) -> str:
    """The name of this process's time zone; empty: it has none."""
    if given := os.environ.get("TZ", "").lstrip(":"):
        return given
    try:
        return Path("/etc/localtime").resolve().relative_to(zones.resolve()).as_posix()
    except (OSError, ValueError):
        return ""


def read_place(text: str) -> tuple[float, float] | None:
    """Read `+4852+00220`, degrees and minutes, seconds too where they stand there (ISO 6709)."""
    found = _PLACE.fullmatch(text)
    if found is None:
        return None
    latitude, longitude = (
        (-1.0 if sign == "-" else 1.0) * (int(degrees) + int(minutes) / 60.0 + int(seconds or 0) / 3600.0)
        for sign, degrees, minutes, seconds in (found.groups()[:4], found.groups()[4:])
    )
    return latitude, longitude
