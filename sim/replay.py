"""Replaying a CSV file: recorded powers, or a table of charging sessions.

Two kinds of file, told apart by their header (comma or semicolon, any order, other columns are passed over):

- ``ts,device_id,p_kw[,soc][,type]``: power series, in order of time. Each device follows what was recorded, in the
  load convention, and holds a value until its next. The type is the column's, else it is read from the id (``pv-``,
  ``ev-``, ``bat``, ``load``, ``meter``), else it is a load.
- ``arrival,departure,energy_kwh,station_id``: a charger for each station, whose cars come and go and need what was
  recorded; how they charge is up to whoever commands them.

The whole file is read and checked before anything is built from it. A power series is then read again, row by row as
its time comes, so its size does not matter. The file's first instant is the start.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

from derms.contract import MAX_POWER_KW, check_device_id
from derms.errors import UsageError
from derms.model import Device, DeviceKind, Feeder
from sim.feeder import Climate
from sim.physics import Outlook, Step, Surroundings
from sim.recorded import load_household, load_weather
from sim.scenario import FEEDER_ID, Member, Scenario
from sim.storage import ChargerSpec, EvCharger, Visit
from sim.table import Row, missing_column, read_header, rows

SERIES_COLUMNS = ("ts", "device_id", "p_kw")
SESSION_COLUMNS = ("arrival", "departure", "energy_kwh", "station_id")
HEAD_METER_ID = "meter-feeder-1"

_MOST_DEVICES = 5_000
"""Each is an MQTT client of this process."""
_LONE_HOLD_S = 60.0
"""For how long a series of one instant is shown [s]."""
_KIND_BY_PREFIX = {
    "pv-": DeviceKind.PV,
    "ev-": DeviceKind.EV,
    "bat": DeviceKind.BATTERY,
    "load": DeviceKind.LOAD,
    "meter": DeviceKind.METER,
}
_CHARGERS_KW = (7.4, 11.0, 22.0, 50.0, 150.0, 350.0)
_TARGET_SOC = 0.9
_CAR_KWH = 60.0


def replay_scenario(path: Path) -> Scenario:
    """Check a file whole, and make the feeder that replays it. It has no limit.

    Raises:
        UsageError: The file cannot be read or meant; it names the line.
    """
    names = read_header(path)
    if all(name in names for name in SERIES_COLUMNS):
        return _series(path)
    if all(name in names for name in SESSION_COLUMNS):
        return _sessions(path)
    # Complain about the kind of file that it resembles more.
    as_series, as_sessions = (len(set(wanted) & set(names)) for wanted in (SERIES_COLUMNS, SESSION_COLUMNS))
    raise missing_column(path, names, SESSION_COLUMNS if as_sessions > as_series else SERIES_COLUMNS)


# ---------------------------------------------------------------------- power series


@dataclass(slots=True)
class _Track:
    """What the first reading learned of a device."""

    kind: DeviceKind
    low_kw: float = 0.0
    high_kw: float = 0.0


class Tape:
    """A checked power series, read again as time goes on; all its devices share it."""

    def __init__(self, path: Path, first_s: float) -> None:
        self._path = path
        self._first_s = first_s
        self._reached_s = 0.0
        self._values: dict[str, tuple[float, float | None]] = {}
        self._rows: Generator[Row, None, None] | None = None
        self._ahead: tuple[float, Row] | None = None

    def value(self, device_id: str, t_s: float) -> tuple[float, float | None]:
        """Power [kW] and state of charge of a device; 0 kW before its first row.

        Args:
            device_id: Whose.
            t_s: Since the file's first instant [s]; going back starts the tape anew.
        """
        if self._rows is None or t_s < self._reached_s:
            self.close()
            self._values.clear()
            self._rows = rows(self._path)
            self._take()
        self._reached_s = t_s
        while self._ahead is not None and self._ahead[0] <= t_s:
            row = self._ahead[1]
            self._values[row.text("device_id")] = (_power(row), _soc(row))
            self._take()
        return self._values.get(device_id, (0.0, None))

    def close(self) -> None:
        """Let go of the file."""
        if self._rows is not None:
            self._rows.close()
            self._rows = None

    def _take(self) -> None:
        row = next(self._rows, None) if self._rows is not None else None
        self._ahead = None if row is None else (row.instant_s("ts") - self._first_s, row)


class Replayed:
    """A device that does what was recorded, whatever it is told; a plant."""

    def __init__(self, device_id: str, tape: Tape) -> None:
        self._device_id = device_id
        self._tape = tape

    def look(self, now: Surroundings) -> Outlook:
        """Its recorded state of charge."""
        return Outlook(soc=self._tape.value(self._device_id, now.t_s)[1], obeys=False)

    def step(self, now: Surroundings, dt_s: float, command_kw: float | None) -> Step:
        """Follow the record."""
        return Step(p_kw=self._tape.value(self._device_id, now.t_s)[0])


def _series(path: Path) -> Scenario:
    tracks: dict[str, _Track] = {}
    first_s = last_s = None
    hold_s = _LONE_HOLD_S
    for row in rows(path):
        at_s = row.instant_s("ts")
        if last_s is not None and at_s < last_s:
            raise row.wrong(f"ts {row.text('ts')} is before the row above", "the rows are in order of time")
        if last_s is not None and at_s > last_s:
            hold_s = at_s - last_s
        first_s, last_s = at_s if first_s is None else first_s, at_s
        _note(tracks, row)
    if first_s is None or last_s is None:
        raise _no_rows(path)
    _check_signs(path, tracks)
    tape = Tape(path, first_s)
    members = [
        Member(device=_replayed_device(device_id, track), plant=partial(Replayed, device_id, tape))
        for device_id, track in tracks.items()
    ]
    # The last values are held as long as the ones before them: they too are meant to be seen.
    return _scenario(path, members, duration_s=last_s - first_s + hold_s, release=tape.close)


def _note(tracks: dict[str, _Track], row: Row) -> None:
    device_id = _identifier(row, "device_id")
    kind = _kind(row, device_id)
    track = tracks.get(device_id)
    if track is None:
        if len(tracks) == _MOST_DEVICES:
            raise row.wrong(f"device number {_MOST_DEVICES + 1}", f"a replay has at most {_MOST_DEVICES} devices")
        track = tracks[device_id] = _Track(kind)
    if track.kind is not kind:
        raise row.wrong(f"{device_id} is now a {kind}", f"it was a {track.kind} above")
    p_kw = _power(row)
    _soc(row)
    track.low_kw, track.high_kw = min(track.low_kw, p_kw), max(track.high_kw, p_kw)


def _check_signs(path: Path, tracks: dict[str, _Track]) -> None:
    """A recording that counts generation as positive would otherwise be replayed as a load."""
    for device_id, track in tracks.items():
        if track.kind is DeviceKind.PV and track.high_kw > -track.low_kw:
            raise UsageError(
                f"{path.name}: {device_id} is an array that draws up to {track.high_kw:g} kW",
                why="power drawn from the feeder is positive, generation is negative",
                next_step="negate the p_kw of arrays, or give the device another type",
            )


def _power(row: Row) -> float:
    return row.number("p_kw", low=-MAX_POWER_KW, high=MAX_POWER_KW)


def _soc(row: Row) -> float | None:
    return row.number("soc", low=0.0, high=1.0) if row.text("soc") else None


def _kind(row: Row, device_id: str) -> DeviceKind:
    text = row.text("type").lower()
    if not text:
        lower = device_id.lower()
        return next((kind for prefix, kind in _KIND_BY_PREFIX.items() if lower.startswith(prefix)), DeviceKind.LOAD)
    try:
        return DeviceKind(text)
    except ValueError as error:
        raise row.wrong(f"type is {text[:60]!r}", f"it is one of {', '.join(DeviceKind)}") from error


def _identifier(row: Row, column: str) -> str:
    text = row.text(column)
    if not check_device_id(text):
        raise row.wrong(f"{column} is {text[:80]!r}", "it is 1 to 64 letters, digits, '.', '_' or '-'")
    return text


def _replayed_device(device_id: str, track: _Track) -> Device:
    return Device(
        device_id=device_id,
        kind=track.kind,
        feeder_id=FEEDER_ID,
        p_import_max_kw=track.high_kw,
        p_export_max_kw=0.0 - track.low_kw,
        default_power_kw=track.low_kw if track.kind is DeviceKind.PV else 0.0,
    )


# ---------------------------------------------------------------------- sessions


def _sessions(path: Path) -> Scenario:
    stations: dict[str, list[tuple[float, float, float, Row]]] = {}
    for row in rows(path):
        arrival_s, departure_s = row.instant_s("arrival"), row.instant_s("departure")
        if departure_s <= arrival_s:
            raise row.wrong(f"departure {row.text('departure')} is not after arrival", "a car leaves after it came")
        energy_kwh = row.number("energy_kwh", low=0.0, high=1_000.0)
        if energy_kwh * 3600.0 / (departure_s - arrival_s) > _CHARGERS_KW[-1]:
            raise row.wrong(f"{energy_kwh:g} kWh in that time", f"no charger gives more than {_CHARGERS_KW[-1]:g} kW")
        station_id = _identifier(row, "station_id")
        if station_id not in stations and len(stations) == _MOST_DEVICES:
            raise row.wrong(f"station number {_MOST_DEVICES + 1}", f"a replay has at most {_MOST_DEVICES} devices")
        stations.setdefault(station_id, []).append((arrival_s, departure_s, energy_kwh, row))
    if not stations:
        raise _no_rows(path)
    first_s = min(visit[0] for visits in stations.values() for visit in visits)
    last_s = max(visit[1] for visits in stations.values() for visit in visits)
    members = [_station(station_id, visits, first_s) for station_id, visits in stations.items()]
    return _scenario(path, members, duration_s=last_s - first_s)


def _station(station_id: str, recorded: list[tuple[float, float, float, Row]], first_s: float) -> Member:
    recorded.sort(key=lambda visit: visit[:2])
    for before, after in pairwise(recorded):
        if after[0] < before[1]:
            raise after[3].wrong(
                f"a car arrives at {station_id} before the one of line {before[3].line} has left",
                "a station serves one car at a time",
            )
    needed_kw = max(energy * 3600.0 / (departure - arrival) for arrival, departure, energy, _ in recorded)
    p_max_kw = next(kw for kw in _CHARGERS_KW if kw >= needed_kw)
    spec = ChargerSpec(p_max_kw=p_max_kw, p_min_kw=1.4 if p_max_kw <= 7.4 else 4.1, target_soc=_TARGET_SOC)
    visits = tuple(
        Visit(
            arrival_s=arrival - first_s,
            departure_s=departure - first_s,
            energy_kwh=energy,
            capacity_kwh=max(_CAR_KWH, energy / 0.85),
        )
        for arrival, departure, energy, _ in recorded
    )
    device = Device(
        device_id=station_id,
        kind=DeviceKind.EV,
        feeder_id=FEEDER_ID,
        p_import_max_kw=spec.p_max_kw,
        p_min_kw=spec.p_min_kw,
        capacity_kwh=_CAR_KWH,
        target_soc=spec.target_soc,
    )
    return Member(device=device, plant=partial(EvCharger, spec, visits))


# ---------------------------------------------------------------------- both


def _scenario(
    path: Path, members: list[Member], *, duration_s: float, release: Callable[[], None] | None = None
) -> Scenario:
    if not any(member.device.kind is DeviceKind.METER for member in members):
        # Someone has to measure the sum; a file that has a meter of its own is believed.
        meter = Device(device_id=HEAD_METER_ID, kind=DeviceKind.METER, feeder_id=FEEDER_ID)
        members = [Member(device=meter, plant=None), *members]
    return Scenario(
        feeder=Feeder(feeder_id=FEEDER_ID, name=f"Replay of {path.name}"),
        members=tuple(members),
        background=None,
        climate=Climate(weather=load_weather(), household=load_household()),
        start_s=0.0,
        seed=0,
        duration_s=duration_s,
        release=release,
    )


def _no_rows(path: Path) -> UsageError:
    return UsageError(
        f"{path.name} has a header and no rows", why="there is nothing to replay", next_step="name a file with rows"
    )
