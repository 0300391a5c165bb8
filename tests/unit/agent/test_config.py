"""The agent's configuration file."""

import json
from pathlib import Path
from typing import Any

import pytest

from agent.config import load_config, parse_config
from derms.errors import ConfigError
from derms.model import DeviceKind, Dialect

PREDECESSOR = {
    "broker_host": "192.168.1.10",
    "broker_port": 1883,
    "device_id": "pi-der-001",
    "device_type": "battery",
    "site_id": "home-site",
    "p_max_kw": 5.0,
    "publish_interval_seconds": 5,
}


def raw(**changes: Any) -> bytes:
    return json.dumps({k: v for k, v in (PREDECESSOR | changes).items() if v is not ...}).encode()


def test_a_predecessors_file_works_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(PREDECESSOR, indent=2).replace("\n", "\r\n").encode())
    config = load_config(path)
    assert (config.device_id, config.device_type, config.site_id) == ("pi-der-001", DeviceKind.BATTERY, "home-site")
    assert (config.p_max_kw, config.publish_interval_seconds) == (5.0, 5.0)
    assert config.url() == "mqtt://192.168.1.10:1883"
    assert config.dialect is Dialect.V1


def test_name_and_type_are_enough() -> None:
    config = parse_config(b'{"device_id":"a","device_type":"pv"}', name="c")
    assert config.url() == "mqtt://127.0.0.1:1883"
    capabilities = config.capabilities()
    assert (capabilities.p_import_max_kw, capabilities.p_export_max_kw) == (0.0, 5.0)
    assert capabilities.default_power_kw is None


@pytest.mark.parametrize(
    ("changes", "url"),
    [
        ({"username": "u", "password": "p@:/"}, "mqtt://u:p%40%3A%2F@192.168.1.10:1883"),
        ({"username": "u"}, "mqtt://u@192.168.1.10:1883"),
        ({"broker_host": "::1"}, "mqtt://[::1]:1883"),
        ({"tls_ca_file": "ca.pem", "broker_port": 8883}, "mqtts://192.168.1.10:8883"),
        ({"broker_host": ..., "broker_port": ..., "broker_url": "mqtts://u:p@b"}, "mqtts://u:p@b"),
    ],
)
def test_the_broker_becomes_one_url(changes: dict[str, Any], url: str) -> None:
    assert parse_config(raw(**changes), name="c").url() == url


def test_no_secret_is_printed() -> None:
    config = parse_config(raw(username="u", password="hunter2"), name="c")
    assert "hunter2" not in repr(config)
    url_config = parse_config(raw(broker_host=..., broker_port=..., broker_url="mqtt://u:hunter2@b"), name="c")
    assert "hunter2" not in repr(url_config)
    with pytest.raises(ConfigError) as error:
        parse_config(raw(password=["hunter2"]), name="c")
    assert "hunter2" not in str(error.value)


BAD: list[tuple[str, bytes, str]] = [
    ("nothing", b"", "line 1, column 1"),
    ("a comma too many", b'{\n  "device_id": "a",\n  "device_type": "pv",\n}', "line 4, column 1"),
    ("no object", b"[]", "no object"),
    ("not UTF-8", b'{"device_id": "\xff"}', "not UTF-8"),
    ("NaN", raw().replace(b"5.0", b"NaN"), "NaN"),
    ("deep", b"[" * 100_000, "c cannot be meant"),
    ("a key twice", raw()[:-1] + b',"device_id":"b"}', "'device_id' stands twice"),
    ("a misspelt key", raw(devcie_type="ev"), "did you mean 'device_type'"),
    ("a strange key", raw(colour="red"), "known are"),
    ("no device_id", raw(device_id=...), "device_id"),
    ("no device_type", raw(device_type=...), "device_type"),
    ("an unknown type", raw(device_type="fridge"), 'device_type = "fridge"'),
    ("a wild name", raw(device_id="a/#"), "device_id = 'a/#'"),
    ("a port as text", raw(broker_port="1883"), 'broker_port = "1883"'),
    ("a port too high", raw(broker_port=70000), "broker_port = 70000"),
    ("a bool for a port", raw(broker_port=True), "broker_port = true"),
    ("a negative rating", raw(p_max_kw=-3), "p_max_kw = -3"),
    ("an infinite rating", raw().replace(b"5.0", b"1e999"), "p_max_kw"),
    ("no interval", raw(publish_interval_seconds=0), "publish_interval_seconds = 0"),
    ("a bad prefix", raw(topic_prefix="der/#"), "topic prefix"),
    ("a default out of range", raw(default_power_kw=5.5), "default_power_kw = 5.5"),
    ("a minimum above the rating", raw(min_power_kw=6), "min_power_kw = 6"),
    ("two brokers", raw(broker_url="mqtt://b"), "broker twice"),
    ("half a certificate", raw(tls_cert_file="c.pem"), "tls_key_file"),
    ("a password alone", raw(password="x"), "without username"),
]


@pytest.mark.parametrize(("content", "says"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_mistake_is_named_on_one_line(content: bytes, says: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_config(content, name="c")
    assert says in str(error.value)
    assert "\n" not in str(error.value)
    assert error.value.next_step


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.json", tmp_path):
        with pytest.raises(ConfigError, match=str(path)):
            load_config(path)
    big = tmp_path / "big.json"
    big.write_bytes(b" " * 100_000)
    with pytest.raises(ConfigError, match="100000 bytes"):
        load_config(big)
