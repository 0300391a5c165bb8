"""`derms config`: what is set, by whom, and what would be refused."""

import csv
import io
import json
from pathlib import Path

import pytest

from derms.settings import Settings
from derms.settings_names import names_of
from tests.home import Home


def test_every_setting_is_shown_in_every_format(home: Home) -> None:
    table = home.derms("config", "show")
    assert (table.code, table.err) == (0, "")
    keys = list(Settings.model_fields)
    assert [line.split()[0] for line in table.out.splitlines()[1:]] == keys
    rows = json.loads(home.derms("config", "show", "-o", "json").out)["settings"]
    assert [row["key"] for row in rows] == keys
    assert [row["key"] for row in csv.DictReader(io.StringIO(home.derms("config", "show", "-o", "csv").out))] == keys
    assert home.derms("config", "show", "-o", "name").out.split() == keys
    assert home.derms("config", "show", "-o", "yaml").out.startswith("schema_version: 1\nsettings:\n  - key: config\n")


def test_u21_the_source_of_a_value_is_the_one_that_wins(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def source() -> tuple[object, str, str]:
        told = json.loads(home.derms("config", "explain", "state_dir", "-o", "json", *flags).out)
        return told["value"], told["source"], told["origin"].rpartition("/")[2]

    flags: tuple[str, ...] = ()
    assert source()[1] == "default"
    toml = home.path / ".config/derms/config.toml"
    toml.parent.mkdir(parents=True)
    toml.write_text('state_dir = "/file"\n')
    assert source() == ("/file", "file", "config.toml")
    (home.path / "secrets").mkdir()
    (home.path / "secrets" / "state_dir").write_text("/secret\n")
    toml.write_text(f'state_dir = "/file"\nsecrets_dir = "{home.path}/secrets"\n')
    assert source() == ("/secret", "secret", "state_dir")
    (home.path / ".env").write_text("DERMS_STATE_DIR=/dotenv\n")
    assert source() == ("/dotenv", ".env", "DERMS_STATE_DIR")
    monkeypatch.setenv("DERMS_STATE_DIR", "/environment")
    assert source() == ("/environment", "environment", "DERMS_STATE_DIR")
    flags = ("--state-dir", "/flag")
    assert source() == ("/flag", "flag", "--state-dir")


def test_a_value_under_an_older_name_says_which(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTROL_INTERVAL_SECONDS", "2")
    told = home.derms("config", "explain", "CONTROL_INTERVAL_SECONDS")
    assert told.out.splitlines()[:2] == [
        "control_interval_s = 2 s",
        "  from        environment, CONTROL_INTERVAL_SECONDS",
    ]
    assert "a number, 0.1 to 3600 [s]" in told.out
    assert "Time between two control ticks" in told.out
    assert names_of("control_interval_s")[1] in told.out


def test_only_what_is_not_the_default_is_shown_when_asked(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    assert home.derms("config", "show", "--changed").out == ""
    monkeypatch.setenv("PORT", "8081")
    [row] = home.derms("config", "show", "--changed", "-o", "csv").out.splitlines()[1:]
    assert row == "api_port,8081,,environment,PORT"


@pytest.mark.parametrize("wrong", [False, True])
def test_secrets_are_masked_whoever_gave_them_and_even_when_they_are_refused(
    wrong: bool, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DERMS_MQTT_URL", "mqtt://u:hidden-1@broker")
    monkeypatch.setenv("DERMS_DATABASE_URL", "postgresql://u:hidden-2@db/x?password=hidden-3")
    monkeypatch.setenv("JWT_SECRET", "hidden-4")
    (home.path / ".env").write_text("DERMS_MQTT_PASSWORD=hidden-5\nDERMS_PROMETHEUS_TOKEN=hidden-6-hidden-6\n")
    toml = home.path / "c.toml"
    toml.write_text('alert_webhook_url = "https://a/hidden-7"\n[[auth_users]]\nusername = "u"\npassword = "hidden-8"\n')
    if wrong:
        monkeypatch.setenv("DERMS_LEASE_S", "1")
    for output in ("table", "json", "yaml", "csv"):
        told = home.derms("config", "show", "--config", str(toml), "-o", output)
        assert "hidden" not in told.out + told.err
        assert "********" in told.out
        assert told.code == (2 if wrong else 0)


def test_a_check_says_ok(home: Home) -> None:
    told = home.derms("config", "check")
    assert (told.code, told.out, told.err) == (0, "ok\n", "")
    assert json.loads(home.derms("config", "check", "-o", "json").out) == {
        "schema_version": 1,
        "ok": True,
        "problems": [],
    }
    assert list(home.path.iterdir()) == [], "a check makes nothing"


def test_a_check_has_a_line_for_everything_that_is_wrong(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERMS_LEAS_S", "30")
    monkeypatch.setenv("DERMS_API_PORT", "70000")
    monkeypatch.setenv("DERMS_MQTT_URL", "http://broker")
    told = home.derms("config", "check")
    lines = told.err.splitlines()
    assert told.code == 2
    assert told.out == ""
    assert len(lines) == 3
    assert all(line.startswith("derms: ") and line.endswith(" [config]") for line in lines)
    for name in ("DERMS_LEASE_S?", "DERMS_API_PORT", "DERMS_MQTT_URL"):
        assert any(name in line for line in lines), name
    assert len(json.loads(home.derms("config", "check", "-o", "json").out)["problems"]) == 3


def test_a_check_finds_what_a_start_would_refuse_beyond_the_values_themselves(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    feeders = home.path / "feeders.toml"
    feeders.write_text('[[feeder]]\nid = "a"\nimport_limit_kv = 3\n')
    monkeypatch.setenv("DERMS_FEEDERS_FILE", str(feeders))
    monkeypatch.setenv("JWT_SECRET", "short")
    monkeypatch.setenv("DERMS_API_TLS_CERT_FILE", "none.pem")
    monkeypatch.setenv("DERMS_API_TLS_KEY_FILE", "none.key")
    monkeypatch.setenv("DERMS_MQTT_CA_FILE", "no-ca.pem")
    monkeypatch.setenv("DERMS_AUTH_USERS", '[{"username": "u", "password_hash": "md5:1"}]')
    monkeypatch.setenv("DERMS_STATE_DIR", str(feeders / "below"))
    told = home.derms("config", "check")
    assert told.code == 2
    for words in (
        "import_limit_kv",
        "5 bytes",
        "none.pem",
        "no-ca.pem",
        "the user 'u'",
        "feeders.toml is no directory",
    ):
        assert any(words in line for line in told.err.splitlines()), words


def test_an_unknown_setting_is_not_found_and_a_near_one_is_named(home: Home) -> None:
    for asked, near in (("leases_s", "lease_s"), ("DERMS_LEAS_S", "DERMS_LEASE_S"), ("outputs", "output")):
        told = home.derms("config", "explain", asked)
        assert told.code == 3
        assert f"did you mean {near}?" in told.err
    assert "`derms config show` lists them all" in home.derms("config", "explain", "colour of the sky").err


def test_a_setting_that_is_refused_is_explained_all_the_same(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERMS_LEASE_S", "2")
    told = home.derms("config", "explain", "lease_s")
    assert told.code == 2
    assert told.out.startswith("lease_s = 2 s\n  from        environment, DERMS_LEASE_S\n")
    assert "needs 20 or more" in told.err


def test_u21_the_url_of_the_commands_comes_from_flag_environment_context_or_nobody(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(*flags: str) -> tuple[object, str, str]:
        one = json.loads(home.derms("config", "explain", "url", "-o", "json", *flags).out)
        return one["value"], one["source"], one["origin"].partition(" in ")[0]

    assert told() == ("http://127.0.0.1:8080", "default", "")
    assert home.derms("context", "set", "plant", "--url", "https://plant:1").code == 0
    assert home.derms("context", "use", "plant").code == 0
    assert told() == ("https://plant:1", "context", "plant")
    monkeypatch.setenv("DERMS_URL", "https://other:2")
    assert told() == ("https://other:2", "environment", "DERMS_URL")
    assert told("--url", "https://third:3") == ("https://third:3", "flag", "--url")


def test_the_keys_of_the_commands_are_listed_apart(home: Home) -> None:
    rows = json.loads(home.derms("config", "show", "--client", "-o", "json").out)["settings"]
    assert {"url", "context", "output", "timeout", "token"} <= {row["key"] for row in rows}
    assert "DERMS_OUTPUT" in home.derms("config", "explain", "output").out


def test_a_settings_file_that_is_not_there_is_named(home: Home, tmp_path: Path) -> None:
    told = home.derms("config", "check", "--config", str(tmp_path / "missing.toml"))
    assert told.code == 2
    assert "missing.toml" in told.err
