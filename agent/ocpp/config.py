"""The configuration of `derms ocpp serve`: a TOML file. Read once, by the composition root; no message has a secret."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from agent.config import AgentConfig
from agent.files import read_by_hand
from agent.ocpp.profiles import RateUnit
from agent.options import checked
from derms.contract import check_device_id
from derms.errors import ConfigError
from derms.model import DeviceKind, Dialect

_SHORTEST_PASSWORD = 16
"""Of a station, by the protocol's security whitepaper."""

_Text = Annotated[str, Meta(min_length=1, max_length=128)]
_File = Annotated[str, Meta(min_length=1, max_length=4096)]
_Port = Annotated[int, Meta(ge=0, le=65_535)]
_Power = Annotated[float, Meta(gt=0, le=100_000)]


class StationOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One charging station: `[station.<its identity>]`."""

    password: Annotated[str, Meta(max_length=64)] | None = None
    """For basic authentication (security profile 1 and 2); None: it needs none."""
    device_id: _Text | None = None
    """Of its device on the wire; with several connectors `.1`, `.2`, ... follow. None: the station's identity."""
    connectors: Annotated[int, Meta(ge=1, le=32)] = 1
    """How many it has (in 2.0.1: EVSEs)."""
    p_max_kw: _Power = 11.0
    """The rating of each connector [kW]."""
    phases: Literal[1, 2, 3] = 3
    voltage_v: Annotated[float, Meta(ge=50, le=1000)] = 230.0
    """Between a phase and neutral [V]."""
    min_current_a: Annotated[float, Meta(ge=0, le=500)] = 6.0
    """The smallest charging current of a phase [A]; between 0 and it there is nothing."""
    rate_unit: RateUnit = "A"
    """In which unit the station takes limits."""
    profile: Literal["transaction", "station"] = "transaction"
    """Whether it is limited by profiles of transactions, or as a whole."""
    default_power_kw: Annotated[float, Meta(ge=0, le=100_000)] | None = None
    """Default control [kW]; None: its smallest charging power, so that a car is not stranded."""
    capacity_kwh: _Power | None = None
    site_id: _Text | None = None
    feeder_id: _Text | None = None
    mqtt_username: _Text | None = None
    mqtt_password: str | None = None
    """The device's own at the broker; None: the file's."""

    @property
    def min_power_kw(self) -> float:
        """The smallest charging power [kW]."""
        return self.min_current_a * self.voltage_v * self.phases / 1000


class OcppOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    station: dict[str, StationOptions] = msgspec.field(default_factory=dict)
    listen_host: _Text = "127.0.0.1"
    listen_port: _Port = 9000
    """0: one that the system chooses, which the log tells."""
    tls_cert_file: _File | None = None
    tls_key_file: _File | None = None
    """With both the endpoint speaks TLS (`wss`, security profile 2)."""
    unknown: Literal["refuse", "quarantine"] = "refuse"
    """What happens to a station that is not in the file."""
    tokens: list[_Text] | None = None
    """Who may charge, by the token they show; None: everyone."""
    heartbeat_s: Annotated[int, Meta(ge=5, le=86_400)] = 60
    sample_s: Annotated[int, Meta(ge=1, le=60)] = 10
    """How often a charging station is asked to measure [s]."""
    max_connections: Annotated[int, Meta(ge=1, le=10_000)] = 200
    broker_host: _Text = "127.0.0.1"
    broker_port: Annotated[int, Meta(ge=1, le=65_535)] = 1883
    broker_url: str | None = None
    """Instead of host and port: `mqtt://` or `mqtts://`."""
    username: _Text | None = None
    password: str | None = None
    tls_ca_file: _File | None = None
    """Of the broker."""
    topic_prefix: _Text = "der"
    publish_interval_seconds: Annotated[float, Meta(ge=0.1, le=3600)] = 5.0

    def agents(self) -> dict[tuple[str, int], AgentConfig]:
        """What the agent of each connector is told, by station and connector."""
        return {
            (station_id, number): AgentConfig(
                device_id=_device_id(station_id, options, number),
                device_type=DeviceKind.EV,
                broker_host=self.broker_host,
                broker_port=self.broker_port,
                broker_url=self.broker_url,
                username=options.mqtt_username or self.username,
                password=options.mqtt_password if options.mqtt_username is not None else self.password,
                tls_ca_file=self.tls_ca_file,
                topic_prefix=self.topic_prefix,
                dialect=Dialect.V1,
                site_id=options.site_id,
                feeder_id=options.feeder_id,
                p_max_kw=options.p_max_kw,
                min_power_kw=options.min_power_kw,
                capacity_kwh=options.capacity_kwh,
                default_power_kw=options.min_power_kw if options.default_power_kw is None else options.default_power_kw,
                publish_interval_seconds=self.publish_interval_seconds,
            )
            for station_id, options in self.station.items()
            for number in range(1, options.connectors + 1)
        }


def load_ocpp_config(path: Path) -> OcppOptions:
    """Read and check the file.

    Raises:
        ConfigError: It cannot be read, is no TOML, or says something that cannot be.
    """
    step = "give the path of a TOML file; docs/ocpp.md has an example"
    raw = read_by_hand(path, what="the configuration", next_step=step)
    try:
        tree = tomllib.loads(raw.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML", why=str(error)[:160], next_step="correct it") from error
    return parse_ocpp_config(tree, name=str(path))


def parse_ocpp_config(tree: dict[str, Any], *, name: str) -> OcppOptions:
    """Check what the file says.

    Raises:
        ConfigError: See `load_ocpp_config`.
    """
    stations = tree.get("station", {})
    if not isinstance(stations, dict):
        raise ConfigError(f"{name}: station is no table", why="each is [station.<identity>]", next_step="correct it")
    for station_id, table in stations.items():
        if isinstance(table, dict):
            checked(table, StationOptions, name=f"{name}, station {station_id}", hidden=("password", "mqtt_password"))
    options = checked(tree, OcppOptions, name=name, hidden=("password", "broker_url", "station"))
    _check(options, name)
    return options


def _device_id(station_id: str, options: StationOptions, number: int) -> str:
    own = options.device_id or station_id
    return own if options.connectors == 1 else f"{own}.{number}"


def _check(options: OcppOptions, name: str) -> None:
    """The rules that no single field's type can tell."""
    if (options.tls_cert_file is None) != (options.tls_key_file is None):
        raise ConfigError(
            f"{name}: only one of tls_cert_file and tls_key_file",
            why="a certificate needs its key",
            next_step="give both or neither",
        )
    seen: dict[str, str] = {}
    for station_id, station in options.station.items():
        where = f"{name}, station {station_id}"
        if station.password is not None and len(station.password) < _SHORTEST_PASSWORD:
            raise ConfigError(
                f"{where}: its password has {len(station.password)} characters",
                why=f"it has at least {_SHORTEST_PASSWORD}, so that it cannot be guessed",
                next_step="choose a longer one, and tell the station",
            )
        if station.profile == "station" and station.connectors > 1:
            raise ConfigError(
                f"{where}: profile = 'station' with {station.connectors} connectors",
                why="a limit of the whole station is one limit, and each connector would set it",
                next_step="take profile out, or give connectors = 1",
            )
        if station.min_power_kw > station.p_max_kw:
            raise ConfigError(
                f"{where}: p_max_kw = {station.p_max_kw:g} is below its smallest power",
                why=f"{station.min_current_a:g} A over {station.phases} phases are {station.min_power_kw:g} kW",
                next_step="correct phases, min_current_a or p_max_kw",
            )
        if station.default_power_kw is not None and station.default_power_kw > station.p_max_kw:
            raise ConfigError(
                f"{where}: default_power_kw = {station.default_power_kw:g} is above p_max_kw = {station.p_max_kw:g}",
                why="a station cannot do more than its rating",
                next_step="lower it",
            )
        for number in range(1, station.connectors + 1):
            device_id = _device_id(station_id, station, number)
            if not check_device_id(device_id):
                raise ConfigError(
                    f"{where}: device_id = {device_id[:80]!r} is wrong",
                    why="it is a letter or digit, then at most 63 letters, digits, '.', '_' or '-'",
                    next_step="give the station a device_id of its own",
                )
            if device_id in seen:
                raise ConfigError(
                    f"{where}: the device {device_id} stands twice",
                    why=f"station {seen[device_id]} has it too",
                    next_step="give one of them another device_id",
                )
            seen[device_id] = station_id
