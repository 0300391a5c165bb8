from pathlib import Path

import pytest

from derms.errors import ConfigError
from derms.mqtt import BrokerAddress, TlsFiles, parse_broker_url, tls_context


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mqtt://host", BrokerAddress(host="host", port=1883)),
        ("mqtts://host", BrokerAddress(host="host", port=8883, tls=True)),
        ("mqtt://10.0.0.7:1999/", BrokerAddress(host="10.0.0.7", port=1999)),
        ("mqtt://[::1]:1884", BrokerAddress(host="::1", port=1884)),
        ("MQTT://user@host", BrokerAddress(host="host", port=1883, username="user")),
        ("mqtt://u:@host", BrokerAddress(host="host", port=1883, username="u", password="")),
        ("mqtt://u%40x:p%2Fa%3As@host:2", BrokerAddress(host="host", port=2, username="u@x", password="p/a:s")),
        ("mqtt://u:p@ss@host", BrokerAddress(host="host", port=1883, username="u", password="p@ss")),
    ],
)
def test_a_broker_url_is_read(url: str, expected: BrokerAddress) -> None:
    assert parse_broker_url(url) == expected


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "mqtt://"),
        ("host:1883", "mqtt://"),
        ("http://host", "mqtt://"),
        ("mqtt://", "host"),
        ("mqtt://ho st", "host"),
        ("mqtt://host:notaport", "cannot be read"),
        ("mqtt://host:70000", "cannot be read"),
        ("mqtt://host:0", "port 0"),
        ("mqtt://host/topic", "after|follow"),
        ("mqtt://:hunter2@host", "no user name"),
    ],
)
def test_a_wrong_broker_url_says_what_is_wrong_and_what_to_write(url: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as caught:
        parse_broker_url(url)
    assert "mqtts://user:password@host:8883" in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://u:hunter2@host",
        "mqtt://u:hunter2@host:notaport",
        "mqtt://u:hun/ter2@host",
        "mqtt://u:hunter2/x@host",
        "mqtt://u:hunter2#x@host",
        "mqtt:/u:hunter2@host",
        "u:hunter2@host",
        "mqtt://u:hunter2@host/path",
        "mqtt://u:hunter2@[::1",
    ],
)
def test_no_part_of_a_password_is_shown(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_broker_url(url)
    shown = str(caught.value) + repr(caught.value.__cause__)
    assert "hun" not in shown
    assert "ter2" not in shown


def test_printing_an_address_shows_no_login() -> None:
    address = parse_broker_url("mqtts://u:hunter2@[fe80::1]:1")
    assert str(address) == "mqtts://[fe80::1]:1"
    assert "hunter2" not in repr(address)


def test_a_missing_certificate_is_a_configuration_error(tmp_path: Path) -> None:
    missing = tmp_path / "ca.pem"
    with pytest.raises(ConfigError, match=r"ca\.pem"):
        tls_context(TlsFiles(ca_file=missing))
    missing.write_text("not a certificate")
    with pytest.raises(ConfigError, match=r"ca\.pem"):
        tls_context(TlsFiles(ca_file=missing))
    with pytest.raises(ConfigError, match="client certificate"):
        tls_context(TlsFiles(cert_file=missing, key_file=missing))
    with pytest.raises(ConfigError, match="no certificate"):
        tls_context(TlsFiles(key_file=missing))
