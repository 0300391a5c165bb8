"""The endpoint's configuration."""

from pathlib import Path
from typing import Any

import pytest

from agent.ocpp.config import load_ocpp_config, parse_ocpp_config
from derms.errors import ConfigError

GOOD = """
listen_port = 0
[station.CP-1]
password = "a-password-of-20-cha"
p_max_kw = 22
[station.CP-2]
device_id = "garage"
connectors = 2
phases = 1
p_max_kw = 7.4
default_power_kw = 0
"""


def test_each_connector_becomes_an_agent(tmp_path: Path) -> None:
    file = tmp_path / "ocpp.toml"
    file.write_text(GOOD)
    agents = load_ocpp_config(file).agents()
    found = {place: (config.device_id, config.p_max_kw, config.default_power_kw) for place, config in agents.items()}
    # 6 A over three phases of 230 V are 4.14 kW
    assert found == {
        ("CP-1", 1): ("CP-1", 22.0, 4.14),
        ("CP-2", 1): ("garage.1", 7.4, 0.0),
        ("CP-2", 2): ("garage.2", 7.4, 0.0),
    }
    assert agents["CP-2", 1].min_power_kw == 1.38


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({"listen_prt": 1}, "unknown key 'listen_prt'; every key must have a reader; did you mean 'listen_port'?"),
        ({"station": {"A": {"pasword": "x"}}}, "station A: unknown key 'pasword'"),
        ({"station": {"A": {"password": "short"}}}, "its password has 5 characters; it has at least 16"),
        ({"station": {"A B": {}}}, "device_id = 'A B' is wrong"),
        ({"station": {"A": {"device_id": "x"}, "B": {"device_id": "x"}}}, "the device x stands twice; station A has"),
        ({"station": {"A": {"phases": 4}}}, "phases = 4 is wrong"),
        ({"station": {"A": {"p_max_kw": 2}}}, "is below its smallest power; 6 A over 3 phases are 4.14 kW"),
        ({"station": {"A": {"default_power_kw": 12}}}, "default_power_kw = 12 is above p_max_kw = 11"),
        ({"station": {"A": {"profile": "station", "connectors": 2}}}, "profile = 'station' with 2 connectors"),
        ({"station": 1}, "station is no table"),
        ({"station": {"A": 1}}, "Expected `object`, got `int`"),
        ({"tls_cert_file": "x"}, "only one of tls_cert_file and tls_key_file"),
        ({"unknown": "maybe"}, "unknown = \"maybe\" is wrong"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_told(tree: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_ocpp_config(tree, name="ocpp.toml")
    assert said in str(caught.value)


def test_no_message_shows_a_password() -> None:
    for tree in ({"station": {"A": {"password": ["hunter2-hunter2"]}}}, {"password": ["hunter2-hunter2"]}):
        with pytest.raises(ConfigError) as caught:
            parse_ocpp_config(tree, name="ocpp.toml")
        assert "hunter2" not in str(caught.value)


def test_a_file_that_is_not_toml_is_told(tmp_path: Path) -> None:
    file = tmp_path / "ocpp.toml"
    file.write_text("listen_port 1")
    with pytest.raises(ConfigError, match="not TOML"):
        load_ocpp_config(file)
    with pytest.raises(ConfigError, match="cannot read"):
        load_ocpp_config(tmp_path / "none.toml")
