"""The daemon's settings; the only door to pydantic-settings, read only by composition roots.

Where a value comes from, the first that has it wins::

    command-line flags > environment > .env in the working directory > files of secrets_dir > TOML file > default

The TOML file is the one named by ``--config`` or ``DERMS_CONFIG``, else ``$XDG_CONFIG_HOME/derms/config.toml``, else
``/etc/derms/config.toml``; its keys are the field names below. In the environment and in ``.env`` a setting is
``DERMS_`` and its name in capitals. The names of the predecessor (`ALIASES`, `COMPOSED`) are accepted there too; where
both are given the ``DERMS_`` name wins. An empty value is no value. A name that starts with ``DERMS_`` and is no
setting is refused, as is any unknown key of the TOML file.
"""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from derms.kinds import ServeRole
from derms.model import FeederMode, Policy
from derms.settings_access import AuthUser, AuthUsers, Origins, ServeRoles
from derms.settings_machine import expanded, host_controller_id, toml_file, xdg_directory
from derms.settings_names import ENV_PREFIX, check_url, each_host, mask_url, resolve_names
from derms.settings_secrets import read_secrets

LEASE_MARGIN_S = 5.0
"""What a renewal may be late (publish timeout, a slow broker) before a lease that is due must not yet be over [s]."""

REPORT_S = 1.0
"""How often a device reports unless it is told otherwise [s]."""

RETENTIONS = (
    "retention_raw_days",
    "retention_1m_days",
    "retention_15m_days",
    "retention_1h_days",
    "retention_1d_days",
)
"""From the samples to the coarsest buckets."""

_LEVELS = {"trace": "debug", "warn": "warning", "fatal": "critical", "silent": "critical"}


def _default_lease_s(earlier: dict[str, Any]) -> float:
    interval_s: float = earlier["control_interval_s"]
    return max(30.0, 3 * interval_s + LEASE_MARGIN_S)


def _default_leader_lease_s(earlier: dict[str, Any]) -> float:
    lease_s: float = earlier["lease_s"]
    return max(min(lease_s / 3.0, 10.0), 0.5)


def _mqtt_url(value: str) -> str:
    return check_url(value, ("mqtt", "mqtts"), "mqtt://broker.example:1883", host_needed=True)


def _database_url(value: str) -> str:
    for one in each_host(value):
        check_url(one, ("postgresql", "postgres"), "postgresql://user@db.example:5432/derms", host_needed=False)
    return value


def _api_url(value: str) -> str:
    return check_url(value, ("http", "https"), "https://derms-1.example:8080", host_needed=True)


def _webhook_url(value: SecretStr) -> SecretStr:
    check_url(value.get_secret_value(), ("http", "https"), "https://alerts.example/hook", host_needed=True)
    return value


Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Port = Annotated[int, Field(ge=0, le=65535)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Settings(BaseSettings):
    """Everything that can be set, checked. Made by `derms.settings_load.load_settings`."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_file=".env",
        env_file_encoding="utf-8",
        case_sensitive=True,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        validate_default=True,
    )

    config: Path | None = None
    """The TOML file with the rest of the settings; must exist when named."""
    secrets_dir: Path | None = None
    """Directory of files that each hold the setting they are named like (`jwt_secret`, `database_url`), as Docker and
    Kubernetes mount secrets; unset: none are read."""

    mqtt_url: Annotated[str, AfterValidator(_mqtt_url)] | None = None
    """The MQTT broker, `mqtt://[user:password@]host[:port]` or `mqtts://`; unset: an embedded broker is started."""
    mqtt_username: str | None = None
    """The controller's user at the broker; beats the one in the URL."""
    mqtt_password: SecretStr | None = None
    """Its password."""
    mqtt_ca_file: Path | None = None
    """Certificate authority that signed the broker's certificate (PEM); unset: the system's."""
    mqtt_cert_file: Path | None = None
    """The controller's own certificate for the broker (PEM); needs `mqtt_key_file`."""
    mqtt_key_file: Path | None = None
    """The key of `mqtt_cert_file` (PEM)."""
    topic_prefix: str = Field(default="der", pattern=r"^[A-Za-z0-9._-]{1,64}(/[A-Za-z0-9._-]{1,64}){0,3}$")
    """What every MQTT topic starts with."""
    embedded_broker_port: Port = 1883
    """TCP port of the embedded broker on loopback; 0: one the system chooses."""

    database_url: Annotated[str, AfterValidator(_database_url)] | None = None
    """PostgreSQL, `postgresql://user:password@host:port/name`; unset: an embedded server is started."""
    data_dir: Path | None = None
    """Directory of the embedded database and broker; unset: `derms` in the XDG data directory, `/var/lib/derms` for
    root."""
    state_dir: Path = Field(default_factory=lambda: xdg_directory("XDG_STATE_HOME", ".local/state"))
    """Directory of the spool and the generated token secret, made when missing; unset: `$XDG_STATE_HOME/derms`."""
    spool_max_mb: int = Field(default=512, ge=1)
    """Disk the spool may fill while the database is away [MB]; beyond it new rows are refused and counted."""

    telemetry_raw_h: float = Field(default=3.0, ge=0.25, le=7 * 24)
    """Samples older than this are packed, a device and minute a row, in an eighth to a quarter of the disk [h]."""
    retention_raw_days: float = Field(default=14.0, ge=1, le=36_600)
    """How long samples are kept, at least; whole days (UTC) go [days]."""
    retention_1m_days: float = Field(default=90.0, ge=1, le=36_600)
    """How long buckets of a minute are kept, at least [days]; not less than `retention_raw_days`."""
    retention_15m_days: float = Field(default=400.0, ge=1, le=36_600)
    """Likewise those of 15 minutes; whole months go [days]; not less than `retention_1m_days`."""
    retention_1h_days: float = Field(default=1_830.0, ge=1, le=36_600)
    """Likewise those of an hour; whole months go [days]; not less than `retention_15m_days`."""
    retention_1d_days: float = Field(default=36_600.0, ge=1, le=36_600)
    """Likewise those of a day; whole years go [days]; not less than `retention_1h_days`."""
    retention_setpoints_days: float = Field(default=90.0, ge=2, le=36_600)
    """Likewise setpoints that were sent; whole days go [days]."""
    retention_decisions_days: float = Field(default=800.0, ge=2, le=36_600)
    """Likewise what was decided at every tick; whole months go [days]."""

    api_host: str = Field(default="127.0.0.1", min_length=1)
    """Address the API listens on."""
    api_port: Port = 8080
    """TCP port of the API; 0: one the system chooses."""
    api_tls_enabled: bool | None = None
    """Whether the API speaks TLS; unset: it does when certificate and key are both given."""
    api_tls_cert_file: Path | None = None
    """The API's certificate chain (PEM)."""
    api_tls_key_file: Path | None = None
    """The key of `api_tls_cert_file` (PEM)."""
    prometheus_enabled: bool = True
    """Whether `GET /metrics` exists."""
    prometheus_token: SecretStr | None = Field(default=None, min_length=16)
    """A token that suffices for `GET /metrics` alone; unset: it needs a token of the role viewer, like everything."""
    api_cors_origins: Origins = ()
    """Whose pages may read the API in a browser: origins such as `https://screen.example`, with commas between; unset:
    nobody's."""

    alert_webhook_url: Annotated[SecretStr, AfterValidator(_webhook_url)] | None = None
    """Where alarms are posted as JSON, `http://` or `https://`; kept secret, as it may hold a token; unset: nowhere."""
    alert_cooldown_s: float = Field(default=300.0, ge=0, le=7 * 24 * 3600)
    """Within so long of the last message that an alarm was raised, no other one of the same alarm is posted [s]."""

    jwt_secret: SecretStr | None = None
    """Signs the API's tokens, at least 32 bytes; several lines are several keys, the newest first; unset: generated
    once and kept in the state directory."""
    auth_users: AuthUsers = ()
    """Users to begin with: a JSON array of `{"username", "password", "role"}`, or `password_hash` instead of the
    password; role `viewer`, `operator` or `admin`."""
    access_token_ttl_s: float = Field(default=900.0, ge=10, le=24 * 3600)
    """How long the access token of a login is good; it is then refreshed without a password [s]."""
    token_ttl_h: float = Field(default=12.0, gt=0, le=24 * 366)
    """How long a login can be refreshed, and how long a token of `derms token` is good [h]."""

    controller_id: Identifier = Field(default_factory=host_controller_id)
    """This controller's name on MQTT and among controllers, of which each needs another; unset: `controller-` and the
    host's name."""
    advertise_url: Annotated[str, AfterValidator(_api_url)] | None = None
    """Where other controllers send those who want to change something while this one commands,
    `https://derms-1.example:8080`; unset: they only say its name."""
    roles: ServeRoles = tuple(ServeRole)
    """What this process does, with commas between: `control` (it may command, and takes changes), `ingest` (it stores
    the telemetry it hears; alone, it shares that with its like), `api` (it answers what is read and sends on what is to
    be changed). Fewer than all need `mqtt_url` and `database_url`."""
    control_interval_s: float = Field(default=5.0, ge=0.1, le=3600)
    """Time between two control ticks when nothing changes [s]."""
    lease_s: float = Field(default_factory=_default_lease_s, ge=1, le=24 * 3600)
    """How long a device follows an unrenewed setpoint [s], at least 3 control intervals + 5 s; unset: that, or 30."""
    leader_lease_s: float = Field(default_factory=_default_leader_lease_s, ge=0.5, le=3600)
    """For how long a controller commands without renewing its lease in the database; another one takes over after it
    [s]; `lease_s` must outlast it by two control intervals; unset: a third of `lease_s`, at most 10."""
    spread_feeders: bool = False
    """Where several controllers run, each commands its share of the trees of feeders; false: one commands all."""
    stale_after_s: float = Field(default=15.0, gt=0)
    """Age from which telemetry is stale: the device is told nothing, and what it may draw is reserved [s]."""
    lost_after_s: float = Field(default=60.0, gt=0)
    """Age from which a device counts as lost: once its leases are over, its default power is reserved [s]; more than
    `stale_after_s`."""
    horizon_s: float = Field(default=4 * 3600.0, ge=60, le=7 * 24 * 3600)
    """By when a device that does not say when it must be ready should have its target, from now [s]."""
    ramp_up_s: float = Field(default=10.0, ge=0.1, le=3600)
    """How long a device takes at least from nothing to its rating, upwards only [s]; down is at once."""
    recovery_s: float = Field(default=120.0, ge=1, le=24 * 3600)
    """Over how long a limit rises back after a DR event, so that devices return staggered [s]."""
    rebound_s: float = Field(default=3600.0, ge=1, le=24 * 3600)
    """For how long after a DR event, at most, the load is kept under the peak before it [s]; not less than
    `recovery_s`."""
    registration: Literal["open", "approve"] = "open"
    """A device never seen before is registered at once (`open`) or waits for an operator (`approve`)."""

    feeder_id: Identifier = "feeder-1"
    """The feeder that is made at first start, and to which unknown devices belong."""
    feeder_name: str = Field(default="", max_length=120)
    """What people call it."""
    feeder_import_limit_kw: float = Field(default=250.0, ge=0)
    """Its import limit [kW]."""
    feeder_export_limit_kw: float | None = Field(default=None, ge=0)
    """Its export limit [kW]; unset: none."""
    feeder_margin_kw: float = Field(default=0.0, ge=0)
    """Kept free below the limit, in each direction [kW]."""
    feeder_mode: FeederMode = FeederMode.AUTO
    """What is done for it: setpoints are sent (`auto`), only computed and shown (`advise`), or nothing is (`off`)."""
    feeder_policy: Policy = Policy.DEFICIT
    """How its headroom is given: `deficit`, `proportional`, `priority`, `least_laxity`, `sessions`, `fair` or
    `equal`."""
    feeders_file: Path | None = None
    """TOML file that declares more feeders, and how they hang together; `feeder_id` must then be one of them."""
    min_soc_reserve: Fraction = 0.2
    """No battery is discharged below it unless its registration says otherwise [0..1]."""
    target_soc: Fraction = 0.8
    """What a device is charged to unless its registration says otherwise [0..1]; above `min_soc_reserve`."""
    default_priority: int = Field(default=5, ge=1, le=10)
    """Priority of a device registered on first sight, 1..10, larger is served first."""

    log_level: Literal["debug", "info", "warning", "error", "critical"] = "info"
    """The least severe message that is logged."""
    log_pretty: bool | None = None
    """Log for people (true) or as JSON lines (false); unset: for people when stderr is a terminal."""

    @field_validator("log_level", mode="before")
    @classmethod
    def _known_level(cls, value: object) -> object:
        return _LEVELS.get(value.lower(), value.lower()) if isinstance(value, str) else value

    @field_validator("config", "secrets_dir", "data_dir", "state_dir", "feeders_file", mode="after")
    @classmethod
    def _home_expanded(cls, value: Path | None) -> Path | None:
        return expanded(value) if value else value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        broken = [text for holds, text in self._invariants() if not holds]
        if broken:
            raise ValueError("\n".join(broken))
        return self

    def _invariants(self) -> list[tuple[bool, str]]:
        least_lease = 3 * self.control_interval_s + LEASE_MARGIN_S
        tls_files = (self.api_tls_cert_file, self.api_tls_key_file)
        return [
            (
                self.roles == tuple(ServeRole) or (self.mqtt_url is not None and self.database_url is not None),
                f"roles is {','.join(self.roles)}; what the others do needs a broker and a database that all "
                "processes share; set mqtt_url and database_url",
            ),
            (
                self.lease_s >= least_lease,
                f"lease_s is {self.lease_s:g}; a lease must outlive 3 control intervals and {LEASE_MARGIN_S:g} s, so a "
                f"control_interval_s of {self.control_interval_s:g} needs {least_lease:g} or more; raise lease_s or "
                "lower control_interval_s",
            ),
            (
                self.leader_lease_s <= self.lease_s - 2 * self.control_interval_s,
                f"leader_lease_s is {self.leader_lease_s:g}; a lease of {self.lease_s:g} s must outlast it by two "
                f"control intervals of {self.control_interval_s:g} s, so that devices are led again before it ends; "
                "lower leader_lease_s or raise lease_s",
            ),
            (
                self.lost_after_s > self.stale_after_s,
                f"lost_after_s is {self.lost_after_s:g}; a device is stale before it is lost, so it must be more than "
                f"stale_after_s, which is {self.stale_after_s:g}; raise lost_after_s or lower stale_after_s",
            ),
            (
                self.stale_after_s >= 2 * REPORT_S,
                f"stale_after_s is {self.stale_after_s:g}; a device that reports every {REPORT_S:g} s must be able to "
                f"miss a report, so it must be {2 * REPORT_S:g} or more; raise stale_after_s",
            ),
            (
                self.rebound_s >= self.recovery_s,
                f"rebound_s is {self.rebound_s:g}; it covers the recovery, so it must not be less than recovery_s, "
                f"which is {self.recovery_s:g}; raise rebound_s or lower recovery_s",
            ),
            *(
                (
                    getattr(self, coarser) >= getattr(self, finer),
                    f"{coarser} is {getattr(self, coarser):g}; coarser buckets are made of finer ones, so it must not "
                    f"be less than {finer}, which is {getattr(self, finer):g}; raise {coarser} or lower {finer}",
                )
                for finer, coarser in pairwise(RETENTIONS)
            ),
            (
                self.telemetry_raw_h <= 24 * self.retention_raw_days,
                f"telemetry_raw_h is {self.telemetry_raw_h:g}; samples are packed before they are dropped, so it must "
                f"not be more than 24 * retention_raw_days, which is {24 * self.retention_raw_days:g}; lower it",
            ),
            (
                self.target_soc > self.min_soc_reserve,
                f"target_soc is {self.target_soc:g}; it must be above min_soc_reserve, which is "
                f"{self.min_soc_reserve:g}; raise target_soc or lower min_soc_reserve",
            ),
            (
                self.feeder_import_limit_kw == 0 or self.feeder_margin_kw < self.feeder_import_limit_kw,
                f"feeder_margin_kw is {self.feeder_margin_kw:g}; it must leave something of feeder_import_limit_kw, "
                f"which is {self.feeder_import_limit_kw:g}; lower feeder_margin_kw",
            ),
            (
                (self.mqtt_cert_file is None) == (self.mqtt_key_file is None),
                "only one of mqtt_cert_file and mqtt_key_file is set; a certificate needs its key; set both or neither",
            ),
            (
                self.api_tls_enabled is False or (tls_files[0] is None) == (tls_files[1] is None),
                "only one of api_tls_cert_file and api_tls_key_file is set; a certificate needs its key; set both or "
                "neither",
            ),
            (
                self.api_tls_enabled is not True or tls_files != (None, None),
                "api_tls_enabled is true but there is no certificate; TLS needs one and its key; set api_tls_cert_file "
                "and api_tls_key_file",
            ),
        ]

    @property
    def api_tls_files(self) -> tuple[Path, Path] | None:
        """Certificate and key of the API; None: it speaks plain HTTP."""
        if self.api_tls_enabled is False or self.api_tls_cert_file is None or self.api_tls_key_file is None:
            return None
        return self.api_tls_cert_file, self.api_tls_key_file

    @property
    def jwt_secret_file(self) -> Path:
        """Where the generated token secret lives when `jwt_secret` is unset."""
        return self.state_dir / "jwt-secret"

    def describe(self) -> dict[str, str]:
        """Every setting as text fit to be printed: secrets and passwords in URLs are masked."""
        return {name: shown(getattr(self, name)) for name in type(self).model_fields}

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        """Keep what `repr` and `str` print to what `describe` shows."""
        return [(name, text) for name, text in self.describe().items()]

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read names our way (aliases, composed URLs), from what the library has read of environment and `.env`."""
        assert isinstance(env_settings, EnvSettingsSource)
        assert isinstance(dotenv_settings, EnvSettingsSource)
        assert isinstance(init_settings, InitSettingsSource)
        named = resolve_names(env_settings.env_vars, dotenv_settings.env_vars, cls.model_fields)
        values = {field: found.value for field, found in named.items()}
        chosen = init_settings.init_kwargs.get("config") or values.get("config")
        toml = TomlConfigSettingsSource(settings_cls, toml_file(chosen))
        place = init_settings.init_kwargs.get("secrets_dir") or values.get("secrets_dir")
        secrets = read_secrets(place or toml.toml_data.get("secrets_dir"), cls.model_fields)
        return (
            init_settings,
            InitSettingsSource(settings_cls, values),
            InitSettingsSource(settings_cls, {path.name: text for path, text in secrets.items()}),
            toml,
        )


class IsolatedSettings(Settings):
    """Settings made of what is passed and of defaults, whatever the environment and the files say."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *_: PydanticBaseSettingsSource,
        **__: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Nothing but the arguments."""
        return (init_settings,)


def read_env_file(path: Path) -> Mapping[str, str | None]:
    """The variables of a `.env` file; none when there is no such file."""
    return DotEnvSettingsSource(Settings, env_file=path, env_file_encoding="utf-8", case_sensitive=True).env_vars


def shown(value: object) -> str:
    """A setting's value as text fit to be printed."""
    if value is None:
        return "(unset)"
    if isinstance(value, SecretStr):
        return "********"
    if isinstance(value, tuple):
        each = (f"{one.username} ({one.role})" if isinstance(one, AuthUser) else str(one) for one in value)
        return ", ".join(each) or "(none)"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    return mask_url(text) if "://" in text and urlsplit(text).scheme else text
