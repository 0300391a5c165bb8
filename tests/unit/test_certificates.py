"""When certificates end."""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from derms.certificates import ends_at
from derms.metrics import Metrics
from derms.serve.parts import announce
from derms.settings_load import load_settings


def made(directory: Path, days: int, name: str = "one") -> str:
    """A certificate that openssl has made, and its key behind it."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
         str(days), "-keyout", f"{name}.key", "-out", f"{name}.crt", "-subj", f"/CN={name}"],
        cwd=directory, check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    return (directory / f"{name}.crt").read_text() + (directory / f"{name}.key").read_text()


# RFC 5280: up to 2049 an end is a UTCTime, from 2050 on a GeneralizedTime.
@pytest.mark.parametrize("days", [1, 825, 365 * 40])
def test_the_end_is_what_openssl_was_told(days: int, tmp_path: Path) -> None:
    wanted = datetime.now(UTC) + timedelta(days=days)
    assert abs(ends_at(made(tmp_path, days)) - wanted) < timedelta(minutes=2)


def test_of_a_chain_the_first_counts(tmp_path: Path) -> None:
    chain = made(tmp_path, 10, "leaf") + made(tmp_path, 3000, "authority")
    assert (ends_at(chain) - datetime.now(UTC)).days in (9, 10)


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "-----BEGIN CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n",
    ],
)
def test_what_is_no_certificate_has_no_end(pem: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        ends_at(pem)


def test_the_metrics_tell_the_end_of_every_certificate_that_is_set(tmp_path: Path) -> None:
    made(tmp_path, 100)
    chain, key = tmp_path / "one.crt", tmp_path / "one.key"
    files = {"api_tls_cert_file": chain, "api_tls_key_file": key, "mqtt_ca_file": chain}
    metrics = Metrics(version="0")
    announce(load_settings(isolated=True, **files, control_interval_s=2.0, spool_max_mb=3), metrics)
    values = metrics.registry.get_sample_value
    name = "derms_certificate_expiry_timestamp_seconds"
    for certificate in ("api", "mqtt_ca"):
        assert values(name, {"certificate": certificate}) == ends_at(chain.read_text()).timestamp()
    assert values(name, {"certificate": "mqtt_client"}) is None
    assert values("derms_control_interval_seconds") == 2.0
    assert values("derms_spool_max_bytes") == 3 * 1024 * 1024
