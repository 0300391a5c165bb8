"""Where settings come from, what is refused, and that secrets stay secret."""

import json
import traceback
from pathlib import Path
from typing import Any

import pytest

from derms.errors import ConfigError
from derms.model import Role
from derms.settings import Settings
from derms.settings_about import about
from derms.settings_access import revealed
from derms.settings_docs import ENV_EXAMPLE, SETTINGS_PAGE, render_env_example, render_settings_page
from derms.settings_load import load_settings
from derms.settings_names import ALIASES, COMPOSED, ENV_PREFIX, mask_url

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No setting from the machine the tests run on."""
    import os

    for name in list(os.environ):
        if name.startswith(ENV_PREFIX) or name in ALIASES or any(name in parts for parts in COMPOSED.values()):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusal(**flags: object) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_settings(**flags)  # type: ignore[arg-type]  # the wrong ones are the point
    return caught.value


def test_nothing_set_gives_the_defaults_and_they_fit_together(tmp_path: Path) -> None:
    settings = load_settings()
    assert settings.mqtt_url is None
    assert settings.database_url is None
    assert (settings.api_host, settings.api_port) == ("127.0.0.1", 8080)
    assert settings.data_dir is None
    assert settings.jwt_secret_file == tmp_path / "state/derms/jwt-secret"
    assert settings.controller_id.startswith("controller-")


def test_a_source_beats_those_below_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    toml = tmp_path / "config/derms/config.toml"
    toml.parent.mkdir(parents=True)
    seen = [load_settings().api_port]
    toml.write_text("api_port = 1001\n")
    seen.append(load_settings().api_port)
    (tmp_path / ".env").write_text("DERMS_API_PORT=1002\n")
    seen.append(load_settings().api_port)
    monkeypatch.setenv("DERMS_API_PORT", "1003")
    seen.append(load_settings().api_port)
    seen.append(load_settings(api_port=1004).api_port)
    assert seen == [8080, 1001, 1002, 1003, 1004]


@pytest.mark.parametrize("how", ["flag", "environment", ".env"])
def test_the_settings_file_can_be_named_in_three_ways(
    how: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('feeder_id = "f-9"\n[[auth_users]]\nusername = "u"\npassword = "p"\nrole = "admin"\n')
    if how == "environment":
        monkeypatch.setenv("DERMS_CONFIG", str(path))
    if how == ".env":
        (tmp_path / ".env").write_text(f"DERMS_CONFIG={path}\n")
    settings = load_settings(config=path if how == "flag" else None)
    assert settings.feeder_id == "f-9"
    assert settings.auth_users[0].role is Role.ADMIN


LEGACY: list[tuple[str, str, str, object, str, object]] = [
    ("CONTROL_INTERVAL_SECONDS", "2.5", "control_interval_s", 2.5, "3", 3.0),
    ("FEEDER_DEFAULT_LIMIT_KW", "75", "feeder_import_limit_kw", 75.0, "76", 76.0),
    ("DEFAULT_FEEDER_ID", "main", "feeder_id", "main", "ours", "ours"),
    ("LOG_LEVEL", "WARN", "log_level", "warning", "error", "error"),
    ("LOG_PRETTY", "true", "log_pretty", True, "false", False),
    ("PROMETHEUS_ENABLED", "false", "prometheus_enabled", False, "yes", True),
    ("JWT_TOKEN_TTL_HOURS", "8", "token_ttl_h", 8.0, "9", 9.0),
    ("PORT", "3001", "api_port", 3001, "3002", 3002),
    ("MQTT_TOPIC_PREFIX", "site/der", "topic_prefix", "site/der", "ours", "ours"),
    ("MQTT_USERNAME", "u", "mqtt_username", "u", "ours", "ours"),
    ("MQTT_HOST", "h", "mqtt_url", "mqtt://h:1883", "mqtts://ours", "mqtts://ours"),
    ("TLS_ENABLED", "true", "api_tls_enabled", True, "false", False),
]


@pytest.mark.parametrize(("name", "text", "field", "value", "our_text", "our_value"), LEGACY)
def test_an_older_name_is_accepted_and_ours_beats_it(
    name: str,
    text: str,
    field: str,
    value: object,
    our_text: str,
    our_value: object,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    files: dict[str, Any] = {"api_tls_cert_file": "c", "api_tls_key_file": "k"}
    monkeypatch.setenv(name, text)
    assert getattr(load_settings(**files), field) == value
    (tmp_path / ".env").write_text(f"{ENV_PREFIX}{field.upper()}={our_text}\n")
    assert getattr(load_settings(**files), field) == our_value
    (tmp_path / ".env").write_text(f"{name}={text}\n")
    monkeypatch.delenv(name)
    assert getattr(load_settings(**files), field) == value


def test_secrets_of_the_predecessor_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_SECRET", "x" * 40)
    monkeypatch.setenv("MQTT_PASSWORD", "pw")
    monkeypatch.setenv("AUTH_USERS", '[{"username":"ann","password":"secret-word","role":"operator"}]')
    settings = load_settings()
    assert settings.jwt_secret is not None
    assert settings.jwt_secret.get_secret_value() == "x" * 40
    assert settings.mqtt_password is not None
    assert settings.mqtt_password.get_secret_value() == "pw"
    assert revealed(settings.auth_users[0].password) == "secret-word"


@pytest.mark.parametrize(
    ("parts", "url"),
    [
        ({"DB_HOST": "db"}, "postgresql://db:5432/"),
        (
            {"DB_HOST": "db", "DB_PORT": "6000", "DB_USER": "a@b", "DB_PASSWORD": "p/:@?# %", "DB_NAME": "x y"},
            "postgresql://a%40b:p%2F%3A%40%3F%23%20%25@db:6000/x%20y",
        ),
        ({"DB_HOST": "::1", "DB_USER": "u", "DB_NAME": "n"}, "postgresql://u@[::1]:5432/n"),
        ({"DB_PASSWORD": "stray"}, None),
        ({"DB_HOST": "db", "DERMS_DATABASE_URL": "postgres://other/n"}, "postgres://other/n"),
    ],
)
def test_the_database_url_is_made_of_its_parts(
    parts: dict[str, str], url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in parts.items():
        monkeypatch.setenv(name, value)
    assert load_settings().database_url == url


HOSTS = "postgresql://u:p,w@db-1:5432,[::1]:5433,db-3/derms?target_session_attrs=read-write"


def test_the_database_may_have_several_hosts_each_with_its_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERMS_DATABASE_URL", HOSTS)
    assert load_settings().database_url == HOSTS
    for wrong in (HOSTS.replace("5433", "port"), HOSTS.replace("5433", "0")):
        monkeypatch.setenv("DERMS_DATABASE_URL", wrong)
        with pytest.raises(ConfigError, match=r"host and port cannot be read|the port must be 1\.\.65535"):
            load_settings()


def test_the_parts_of_a_url_may_stand_in_different_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DB_HOST=db\nDB_USER=u\nMQTT_HOST=b\n")
    monkeypatch.setenv("DB_PASSWORD", "from-outside")
    monkeypatch.setenv("MQTT_PORT", "8883")
    settings = load_settings()
    assert settings.database_url == "postgresql://u:from-outside@db:5432/"
    assert settings.mqtt_url == "mqtt://b:8883"


def test_an_empty_variable_is_not_set_and_foreign_names_are_no_concern(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DERMS_API_PORT", "")
    monkeypatch.setenv("PORT", "3001")
    (tmp_path / ".env").write_text("NODE_ENV=production\nexport OTHER=1\n")
    assert load_settings().api_port == 3001


REFUSED: list[tuple[str, str, str]] = [
    ("DERMS_API_PRT", "1", "DERMS_API_PRT is set; there is no such setting; did you mean DERMS_API_PORT?"),
    ("DERMS_XYZZY", "1", "DERMS_XYZZY is set; there is no such setting; docs/settings.md lists them all"),
    ("DERMS_API_PORT", "70000", "DERMS_API_PORT is '70000'; Input should be less than or equal to 65535"),
    ("PORT", "http", "PORT is 'http'; Input should be a valid integer"),
    ("DERMS_LEASE_S", "nan", "DERMS_LEASE_S is 'nan'; Input should be"),
    ("DERMS_FEEDER_IMPORT_LIMIT_KW", "-1", "DERMS_FEEDER_IMPORT_LIMIT_KW is '-1'; Input should be greater than or"),
    ("DERMS_FEEDER_ID", "a/b", "DERMS_FEEDER_ID is 'a/b'; String should match pattern"),
    ("DERMS_REGISTRATION", "maybe", "DERMS_REGISTRATION is 'maybe'; Input should be 'open' or 'approve'"),
    ("DERMS_MQTT_URL", "http://x", "DERMS_MQTT_URL is 'http://x'; the scheme must be mqtt:// or mqtts://; write it"),
    ("DERMS_MQTT_URL", "mqtt://", "DERMS_MQTT_URL is 'mqtt://'; the host is missing; write it like"),
    ("DERMS_MQTT_URL", "mqtt://h:0", "DERMS_MQTT_URL is 'mqtt://h:0'; the port must be 1..65535; write it"),
    ("DERMS_DATABASE_URL", "mysql://h/n", "DERMS_DATABASE_URL is 'mysql://h/n'; the scheme must be postgresql:// or"),
    ("DERMS_TARGET_SOC", "0.1", "DERMS_TARGET_SOC is 0.1; it must be above DERMS_MIN_SOC_RESERVE, which is 0.2; raise"),
    ("DERMS_LEASE_S", "19", "DERMS_LEASE_S is 19; a lease must outlive 3 control intervals and 5 s, so a"),
    ("DERMS_LOST_AFTER_S", "15", "DERMS_LOST_AFTER_S is 15; a device is stale before it is lost"),
    ("DERMS_STALE_AFTER_S", "1.5", "DERMS_STALE_AFTER_S is 1.5; a device that reports every 1 s must be able to miss"),
    (
        "DERMS_REBOUND_S",
        "60",
        "DERMS_REBOUND_S is 60; it covers the recovery, so it must not be less than DERMS_RECOVERY",
    ),
    ("DERMS_HORIZON_S", "0", "DERMS_HORIZON_S is '0'; Input should be greater than or equal to 60"),
    ("DERMS_RAMP_UP_S", "0", "DERMS_RAMP_UP_S is '0'; Input should be greater than or equal to 0.1"),
    ("DERMS_FEEDER_MODE", "on", "DERMS_FEEDER_MODE is 'on'; Input should be 'auto', 'advise' or 'off'"),
    ("DERMS_FEEDER_POLICY", "x", "DERMS_FEEDER_POLICY is 'x'; Input should be 'deficit', 'proportional', 'priority', "),
    ("DERMS_FEEDERS_FILE", "nowhere.toml", "the feeders file nowhere.toml cannot be read; No such file or directory"),
    ("DERMS_FEEDER_MARGIN_KW", "250", "DERMS_FEEDER_MARGIN_KW is 250; it must leave something of"),
    ("DERMS_MQTT_KEY_FILE", "k", "only one of DERMS_MQTT_CERT_FILE and DERMS_MQTT_KEY_FILE is set; a certificate"),
    ("TLS_CERT_PATH", "c", "only one of DERMS_API_TLS_CERT_FILE and DERMS_API_TLS_KEY_FILE is set; a certificate"),
    ("TLS_ENABLED", "true", "DERMS_API_TLS_ENABLED is true but there is no certificate; TLS needs one"),
    ("AUTH_USERS", "ann:hunter2", "AUTH_USERS is wrong; it must be a JSON array of objects with username"),
    ("AUTH_USERS", '[{"username":"a","password":""}]', "AUTH_USERS[0.password] is wrong; Value should have at least"),
    ("AUTH_USERS", '[{"username":"a"}]', "AUTH_USERS[0] is wrong; a user has either a password or a password_hash"),
    ("DERMS_PROMETHEUS_TOKEN", "hunter2", "DERMS_PROMETHEUS_TOKEN is wrong; Value should have at least 16"),
    ("DERMS_API_CORS_ORIGINS", "*", "DERMS_API_CORS_ORIGINS is '*'; an origin is a scheme, a host and perhaps a port"),
    ("DERMS_API_CORS_ORIGINS", "https://a, https://b/c", "an origin is a scheme, a host and perhaps a port"),
    ("AUTH_USERS", '{"username":"a"}', "AUTH_USERS is wrong; Input should be a valid tuple"),
]


@pytest.mark.parametrize(("name", "value", "text"), REFUSED)
def test_a_wrong_value_is_refused_in_one_line(
    name: str, value: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    message = str(refusal())
    assert text in message
    assert "\n" not in message


@pytest.mark.parametrize("isolated", [False, True])
def test_a_wrong_feeders_file_is_refused_with_the_settings(isolated: bool, tmp_path: Path) -> None:
    path = tmp_path / "feeders.toml"
    path.write_text("[[feeder]]\nid = 'a'\nlimit = 3\n")
    assert "limit is set; there is no such key" in str(refusal(isolated=isolated, feeders_file=path))
    path.write_text("[[feeder]]\nid = 'a'\n")
    assert load_settings(isolated=isolated, feeders_file=path).feeders_file == path


def test_isolated_settings_hear_nothing_but_the_flags(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DERMS_LEASE_S", "nonsense")
    monkeypatch.setenv("DERMS_CONFIG", str(tmp_path / "missing.toml"))
    (tmp_path / ".env").write_text("DERMS_NONSENSE=1\n")
    assert load_settings(isolated=True, api_port=7).api_port == 7
    assert str(refusal(isolated=True, api_port=-1)).startswith("--api-port is '-1'; ")


def test_a_lease_of_exactly_three_intervals_and_the_margin_is_accepted() -> None:
    assert load_settings(control_interval_s=5, lease_s=20).lease_s == 20  # 3 x 5 + 5


@pytest.mark.parametrize(("interval_s", "lease_s"), [(1, 30), (8, 30), (10, 35), (60, 185)])  # 3 x interval + 5
def test_an_unset_lease_is_long_enough_for_the_interval(interval_s: float, lease_s: float) -> None:
    assert load_settings(control_interval_s=interval_s).lease_s == lease_s


def test_several_wrong_values_are_told_together(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DERMS_API_PORT", "x")
    (tmp_path / ".env").write_text("DERMS_API_PROT=1\nDERMS_STALE_AFTER_S=-1\n")
    lines = str(refusal(target_soc=7)).splitlines()
    assert lines[0] == "4 settings are wrong:"
    assert {line.split()[0] for line in lines[1:]} == {
        "DERMS_API_PORT",
        "DERMS_API_PROT",
        "DERMS_STALE_AFTER_S",
        "--target-soc",
    }


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"api_prt = 1\n", "api_prt is set; there is no such setting; did you mean api_port?"),
        (b"api_port = \n", "is not TOML"),
        (b"\xff\xfe", "is not TOML"),
        (b'api_port = "x"\n', "api_port is 'x'; Input should be a valid integer"),
        (None, "cannot be read"),
    ],
)
def test_a_wrong_settings_file_is_refused(content: bytes | None, text: str, tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    if content is not None:
        path.write_bytes(content)
    message = str(refusal(config=path))
    assert text in message
    assert "\n" not in message


@pytest.mark.parametrize("how", ["directory", "bytes"])
def test_an_unreadable_env_file_is_refused(how: str, tmp_path: Path) -> None:
    if how == "directory":
        (tmp_path / ".env").mkdir()
        assert load_settings().api_port == 8080  # a directory of that name is no file of ours
        return
    (tmp_path / ".env").write_bytes(b"DERMS_API_PORT=\xff\n")
    assert "cannot be read" in str(refusal())


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_STATE_HOME")

    def nowhere(path: Path) -> Path:
        if str(path).startswith("~"):
            raise RuntimeError("Could not determine home directory.")
        return path

    monkeypatch.setattr(Path, "expanduser", nowhere)
    assert "leads nowhere; there is no such home directory; set DERMS_DATA_DIR" in str(refusal())


SECRETS = ("hunter2-user", "hunter2-jwt-padded-to-32-bytes-and-more", "hunter2-db/@:", "hunter2-mqtt", "hunter2-url")


def set_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    users = json.dumps([{"username": "ann", "password": SECRETS[0], "role": "admin"}])
    monkeypatch.setenv("AUTH_USERS", users)
    monkeypatch.setenv("JWT_SECRET", SECRETS[1])
    monkeypatch.setenv("DB_HOST", "db")
    monkeypatch.setenv("DB_USER", "dbuser")
    monkeypatch.setenv("DB_PASSWORD", SECRETS[2])
    monkeypatch.setenv("MQTT_PASSWORD", SECRETS[3])
    monkeypatch.setenv("DERMS_MQTT_URL", f"mqtt://u:{SECRETS[4]}@broker")


def test_secrets_are_not_in_repr_str_or_describe(monkeypatch: pytest.MonkeyPatch) -> None:
    set_secrets(monkeypatch)
    settings = load_settings()
    text = repr(settings) + str(settings) + repr(settings.describe()) + repr(settings.auth_users)
    assert "hunter2" not in text
    assert "dbuser" in text
    assert "ann (admin)" in text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DERMS_API_PORT", "x"),
        ("DB_PORT", "x"),
        ("DERMS_MQTT_URL", "mqtt://u:hunter2/with@slash@h:port"),
        ("DERMS_MQTT_URL", "http://u:hunter2@h"),
        ("DERMS_MQTT_URL", "u:hunter2@h"),
        ("DERMS_DATABASE_URL", "postgresql://h/n?password=hunter2&a=\x01"),
        ("DERMS_DATABASE_URL", "host=h user=u password=hunter2"),
        ("AUTH_USERS", '[{"username":"a","password":"hunter2"'),
        ("AUTH_USERS", '[{"username":"a","password":"hunter2"},{"username":"a","password":"hunter2"}]'),
        ("AUTH_USERS", '[{"username":"a","password":["hunter2"],"role":"king"}]'),
        ("DERMS_JWT_SECRT", "hunter2"),
        ("DERMS_LEASE_S", "1"),
    ],
)
def test_secrets_are_not_in_a_refusal_nor_in_its_traceback(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_secrets(monkeypatch)
    monkeypatch.setenv(name, value)
    error = refusal()
    assert "hunter2" not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("mqtt://h", "mqtt://h"),
        ("mqtt://u@h:1", "mqtt://u@h:1"),
        ("mqtt://u:p@h:1", "mqtt://u:********@h:1"),
        ("mqtt://u:p@q@h", "mqtt://u:********@h"),
        ("mqtt://u:p/q@h/x", "mqtt://u:********@h/x"),
        ("postgresql:///n?user=u&password=p&x=1", "postgresql:///n?user=u&password=********&x=1"),
        ("host=h password=p q", "host=h password=********"),
        ("host=h Password = 'p@q/r'", "host=h Password = ********"),
        ("host=h password=p://q", "host=h password=********"),
    ],
)
def test_the_password_of_a_url_is_masked(url: str, masked: str) -> None:
    assert mask_url(url) == masked


def test_the_checked_in_files_are_current() -> None:
    again = "run `python -m derms.settings_docs`"
    assert (ROOT / ENV_EXAMPLE).read_text() == render_env_example(Settings), again
    assert (ROOT / SETTINGS_PAGE).read_text() == render_settings_page(Settings), again


def test_the_example_lists_every_name_and_is_accepted_when_its_defaults_are_taken(tmp_path: Path) -> None:
    text = (ROOT / ENV_EXAMPLE).read_text()
    for name in [*ALIASES, *(part for parts in COMPOSED.values() for part in parts)]:
        assert name in text
    taken = [line.removeprefix("# ") for line in text.splitlines() if line.startswith(f"# {ENV_PREFIX}")]
    assert len(taken) == len(Settings.model_fields)
    before = load_settings()
    (tmp_path / ".env").write_text("\n".join(taken))
    assert load_settings() == before


def test_every_setting_says_what_it_is() -> None:
    told = about(Settings)
    assert [name for name in Settings.model_fields if not told.get(name)] == []


def test_a_user_may_be_given_by_the_hash_that_the_predecessor_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_USERS", '[{"username":"ann","passwordHash":"scrypt:c2FsdA==:a2V5","role":"admin"}]')
    (user,) = load_settings().auth_users
    assert (user.password, revealed(user.password_hash)) == (None, "scrypt:c2FsdA==:a2V5")
    monkeypatch.setenv("AUTH_USERS", '[{"username":"ann","password_hash":"x","password":"hunter2"}]')
    assert "hunter2" not in str(refusal())


def test_roles_are_listed_with_commas_and_said_in_one_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERMS_MQTT_URL", "mqtt://broker.example")
    monkeypatch.setenv("DERMS_DATABASE_URL", "postgresql:///derms")
    monkeypatch.setenv("DERMS_ROLES", "api, control,api")
    assert load_settings().describe()["roles"] == "control, api"
    monkeypatch.setenv("DERMS_ROLES", ",")
    assert "name one or more of control, ingest, api" in str(refusal())


def test_origins_are_listed_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERMS_API_CORS_ORIGINS", "https://Screen.example:8443, http://127.0.0.1:3000,")
    settings = load_settings()
    assert settings.api_cors_origins == ("https://screen.example:8443", "http://127.0.0.1:3000")
    assert settings.describe()["api_cors_origins"] == "https://screen.example:8443, http://127.0.0.1:3000"
