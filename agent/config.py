"""The agent's configuration file: JSON, with the keys that agents in the field already have.

Read once, by the composition root. A mistake is a `ConfigError` that names the key, the rule and the next step;
secrets are in no message and in no `repr`.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from msgspec import Meta

from agent.driver import Capabilities
from agent.drivers.options import driver_options
from agent.options import checked
from derms.contract import Topics, check_device_id
from derms.errors import ConfigError
from derms.model import DeviceKind, Dialect
from derms.mqtt import parse_broker_url

_MAX_FILE_BYTES = 64 * 1024

_Power = Annotated[float, Meta(gt=0, le=1_000_000)]
_Port = Annotated[int, Meta(ge=1, le=65_535)]
_Seconds = Annotated[float, Meta(ge=0.1, le=3600)]
_Text = Annotated[str, Meta(min_length=1, max_length=128)]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    """What one agent is told."""

    device_id: str
    device_type: DeviceKind
    broker_host: _Text = "127.0.0.1"
    broker_port: _Port = 1883
    broker_url: str | None = field(default=None, repr=False)
    """`mqtt://` or `mqtts://`; instead of `broker_host` and `broker_port`. May hold user name and password."""
    username: _Text | None = None
    password: str | None = field(default=None, repr=False)
    tls_ca_file: str | None = None
    tls_cert_file: str | None = None
    tls_key_file: str | None = None
    topic_prefix: str = "der"
    dialect: Dialect = Dialect.V1
    site_id: _Text | None = None
    feeder_id: _Text | None = None
    p_max_kw: _Power = 5.0
    """The rating [kW], a magnitude: charging of a battery or car (a battery's discharging too), generation of PV."""
    min_power_kw: Annotated[float, Meta(ge=0, le=1_000_000)] = 0.0
    """The smallest non-zero charging power [kW]."""
    capacity_kwh: _Power | None = None
    """[kWh]; a battery or car without one is taken for 10 kWh or 60 kWh by the simulated driver."""
    default_power_kw: Annotated[float, Meta(ge=-1_000_000, le=1_000_000)] | None = None
    """Default control [kW], load convention; for PV the most negative power allowed. None: 0, and PV runs freely."""
    publish_interval_seconds: _Seconds = 1.0
    report_deadband_kw: Annotated[float, Meta(ge=0, le=1_000_000)] | None = None
    """A power that moves by more than this is reported at once [kW]; None: 5 % of `p_max_kw`."""
    state_dir: _Text | None = None
    """Where samples wait while the broker is away, below it a directory for each device; None: `$STATE_DIRECTORY`
    (systemd), else `$XDG_STATE_HOME/derms/agent`, else `~/.local/state/derms/agent`."""
    buffer_mb: Annotated[float, Meta(ge=0, le=100_000)] = 32.0
    """How much disk they may fill [MB]: some 140,000 samples. 0: they are dropped instead."""
    replay_per_second: Annotated[float, Meta(ge=0.1, le=1_000)] = 10.0
    """How fast they are sent later."""
    reconnect_spread_seconds: Annotated[float, Meta(ge=0, le=600)] = 5.0
    """A lost connection is tried again after a random part of this [s], and what waited is sent after another: so that
    a whole street does not come back at once."""
    ha_discovery: bool = False
    """Make the device known to Home Assistant."""
    ha_prefix: _Text = "homeassistant"
    """Where Home Assistant looks for that."""
    driver: dict[str, Any] = field(default_factory=lambda: {"kind": "simulated"})
    """Which device there is and how it is reached: `kind`, and that kind's options (`agent.drivers.options`)."""
    seed: int = 0
    """Of the simulated driver's weather and of the agent's jitter."""

    def url(self) -> str:
        """Where the broker is, as one URL; holds the password, so it is never logged."""
        login = ""
        if self.username is not None:
            password = "" if self.password is None else ":" + quote(self.password, safe="")
            login = f"{quote(self.username, safe='')}{password}@"
        if self.broker_url is not None:
            scheme, mark, rest = self.broker_url.partition("://")
            return self.broker_url if "@" in rest else f"{scheme}{mark}{login}{rest}"
        host = f"[{self.broker_host}]" if ":" in self.broker_host else self.broker_host
        return f"{'mqtts' if self.tls_ca_file else 'mqtt'}://{login}{host}:{self.broker_port}"

    def deadband_kw(self) -> float:
        """A power that moves by more than this is reported at once [kW]."""
        return 0.05 * self.p_max_kw if self.report_deadband_kw is None else self.report_deadband_kw

    def capabilities(self) -> Capabilities:
        """What the device can do, by this configuration."""
        kind = self.device_type
        default_kw = self.default_power_kw
        return Capabilities(
            kind=kind,
            p_import_max_kw=0.0 if kind is DeviceKind.PV else self.p_max_kw,
            p_export_max_kw=self.p_max_kw if kind in (DeviceKind.PV, DeviceKind.BATTERY) else 0.0,
            p_min_kw=self.min_power_kw,
            capacity_kwh=self.capacity_kwh,
            default_power_kw=0.0 if default_kw is None and kind is not DeviceKind.PV else default_kw,
        )


def load_config(path: Path) -> AgentConfig:
    """Read and check a configuration file.

    Raises:
        ConfigError: It cannot be read, is not JSON, or says something that cannot be.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}",
            why=error.strerror or "the operating system refused",
            next_step="give the path of a JSON file with at least `device_id` and `device_type`",
        ) from error
    if len(raw) > _MAX_FILE_BYTES:
        raise ConfigError(
            f"{path} has {len(raw)} bytes",
            why=f"a configuration has at most {_MAX_FILE_BYTES}",
            next_step="check that this is the right file",
        )
    return parse_config(raw, name=str(path))


def parse_config(raw: bytes, *, name: str) -> AgentConfig:
    """Check a configuration's bytes.

    Args:
        raw: JSON, UTF-8, with or without a byte order mark.
        name: What messages call it.

    Raises:
        ConfigError: See `load_config`.
    """
    tree = _read_json(raw, name)
    config = checked(tree, AgentConfig, name=name, hidden=("password", "broker_url"))
    _check_values(config, tree, name)
    return config


def _read_json(raw: bytes, name: str) -> dict[str, Any]:
    try:
        tree = json.loads(raw.decode("utf-8-sig"), object_pairs_hook=_pairs, parse_constant=_constant)
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{name} is not UTF-8", why=f"byte {error.start} is not", next_step="save it as UTF-8"
        ) from error
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"{name}, line {error.lineno}, column {error.colno}: not JSON",
            why=error.msg,
            next_step="correct that line",
        ) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{name} cannot be meant", why=str(error)[:120], next_step="correct it") from error
    if not isinstance(tree, dict):
        raise ConfigError(
            f"{name} holds no object", why="a configuration is one JSON object", next_step="put the keys between { }"
        )
    return tree


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree = dict(pairs)
    if len(tree) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"{twice!r} stands twice")
    return tree


def _constant(text: str) -> float:
    raise ValueError(f"{text} is not a number of JSON")


def _check_values(config: AgentConfig, tree: dict[str, Any], name: str) -> None:
    """The rules that no single field's type can tell."""
    if not check_device_id(config.device_id):
        raise ConfigError(
            f"{name}: device_id = {config.device_id[:80]!r} is wrong",
            why="it is a letter or digit, then at most 63 letters, digits, '.', '_' or '-'",
            next_step="choose another name",
        )
    Topics(config.topic_prefix)
    Topics(config.ha_prefix)
    parse_broker_url(config.url())
    driver_options(config.driver, name=f"{name}, driver")
    if config.broker_url is not None and ("broker_host" in tree or "broker_port" in tree):
        raise ConfigError(
            f"{name}: broker_url and broker_host or broker_port",
            why="they name the broker twice",
            next_step="keep one of them",
        )
    if (config.tls_cert_file is None) != (config.tls_key_file is None):
        raise ConfigError(
            f"{name}: only one of tls_cert_file and tls_key_file",
            why="a client certificate needs its key",
            next_step="give both or neither",
        )
    if config.password is not None and config.username is None and config.broker_url is None:
        raise ConfigError(f"{name}: password without username", why="MQTT takes it only with one", next_step="add it")
    capabilities = config.capabilities()
    default_kw = config.default_power_kw
    if default_kw is not None and not -capabilities.p_export_max_kw <= default_kw <= capabilities.p_import_max_kw:
        raise ConfigError(
            f"{name}: default_power_kw = {default_kw} is wrong",
            why=f"this {config.device_type.value} spans {-capabilities.p_export_max_kw} to "
            f"{capabilities.p_import_max_kw} kW, import positive",
            next_step="choose a power in that range",
        )
    if config.min_power_kw > config.p_max_kw:
        raise ConfigError(
            f"{name}: min_power_kw = {config.min_power_kw} is wrong",
            why=f"it is above p_max_kw = {config.p_max_kw}",
            next_step="lower it",
        )
