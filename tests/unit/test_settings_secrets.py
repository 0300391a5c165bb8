"""Settings in files of their own: where they stand among the sources, and what is refused."""

import os
import traceback
from pathlib import Path

import pytest

from derms.errors import ConfigError
from derms.settings_load import load_settings
from derms.settings_names import ALIASES, COMPOSED, ENV_PREFIX

KEY = "a-key-of-the-tests-with-32-bytes-or-more"


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A directory that is named by the environment, and no other setting from this machine."""
    for name in list(os.environ):
        if name.startswith(ENV_PREFIX) or name in ALIASES or any(name in parts for parts in COMPOSED.values()):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    directory = tmp_path / "secrets"
    directory.mkdir()
    monkeypatch.setenv("DERMS_SECRETS_DIR", str(directory))
    return directory


def test_a_file_of_the_directory_is_the_setting_it_is_named_like(secrets: Path) -> None:
    (secrets / "jwt_secret").write_text(f"{KEY}\nolder-{KEY}\n")
    (secrets / "database_url").write_text("postgresql://derms:pw@db/derms\n")
    (secrets / "auth_users").write_text('[{"username": "ann", "password": "p", "role": "admin"}]')
    settings = load_settings()
    assert settings.jwt_secret is not None
    assert settings.jwt_secret.get_secret_value() == f"{KEY}\nolder-{KEY}"
    assert settings.database_url == "postgresql://derms:pw@db/derms"
    assert [user.username for user in settings.auth_users] == ["ann"]


def test_a_variable_beats_a_secret_and_a_secret_beats_the_toml_file(
    secrets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toml = tmp_path / "config/derms/config.toml"
    toml.parent.mkdir(parents=True)
    toml.write_text('mqtt_username = "toml"\n')
    seen = [load_settings().mqtt_username]
    (secrets / "mqtt_username").write_text("secret")
    seen.append(load_settings().mqtt_username)
    (tmp_path / ".env").write_text("DERMS_MQTT_USERNAME=dotenv\n")
    seen.append(load_settings().mqtt_username)
    monkeypatch.setenv("MQTT_USERNAME", "environment")
    (tmp_path / ".env").unlink()
    seen.append(load_settings().mqtt_username)
    assert seen == ["toml", "secret", "dotenv", "environment"]


def test_the_toml_file_may_name_the_directory(secrets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DERMS_SECRETS_DIR")
    toml = tmp_path / "config/derms/config.toml"
    toml.parent.mkdir(parents=True)
    toml.write_text(f'secrets_dir = "{secrets}"\n')
    (secrets / "mqtt_username").write_text("secret")
    assert load_settings().mqtt_username == "secret"


def test_what_kubernetes_lays_beside_the_secrets_is_passed_over(secrets: Path) -> None:
    data = secrets / "..2026_11_29"
    data.mkdir()
    (data / "mqtt_username").write_text("secret\n")
    (secrets / "..data").symlink_to(data)
    (secrets / "mqtt_username").symlink_to("..data/mqtt_username")
    (secrets / "tls.key").write_text("a key")
    (secrets / "mqtt_password").write_text("\n")
    settings = load_settings()
    assert settings.mqtt_username == "secret"
    assert settings.mqtt_password is None, "an empty file is no value"


def refusal() -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
    return str(caught.value)


def test_a_file_that_is_no_setting_is_refused_by_name(secrets: Path) -> None:
    (secrets / "jwt-secret").write_text("hunter2")
    assert f"there is a file {secrets / 'jwt-secret'}; each file of secrets_dir is named like" in refusal()


def test_a_directory_that_is_not_there_is_refused(secrets: Path) -> None:
    secrets.rmdir()
    assert f"secrets_dir is {secrets}, and cannot be read; No such file or directory" in refusal()


def test_what_is_no_text_is_refused_without_showing_it(secrets: Path) -> None:
    (secrets / "jwt_secret").write_bytes(b"hunter2\xff")
    assert "a file in it is not UTF-8" in refusal()


def test_a_wrong_value_is_told_by_the_path_of_its_file_and_not_shown(secrets: Path) -> None:
    (secrets / "database_url").write_text("mysql://u:hunter2@h/n")
    assert f"{secrets / 'database_url'} is 'mysql://u:********@h/n'; the scheme must be" in refusal()
