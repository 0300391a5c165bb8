"""The keys that sign tokens, and the file they live in."""

import os
import secrets
import stat
from pathlib import Path

import pytest

from derms.auth.keys import KeyRing, load_or_create_keys
from derms.errors import ConfigError
from tests.fakes_api import SECRET

OBVIOUS = [
    "x" * 64,
    "ab" * 32,
    "0123456789" * 5,
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "kX9$wq2Lz!pR7v" * 3,
    "change-me-change-me-change-me-1234567890",
    "please CHANGE this before going to production",
    "demo-scenario-secret-change-me-please",
    "test-suite-secret-rotate-me-please-123",
    "your-super-secret-jwt-key-for-development",
    "dev_secret_dev_secret_qwertyuiopasdfgh",
    "my very long password for the controller",
]


@pytest.mark.parametrize("secret", ["", "x", "a secret of thirty-one bytes!!!", *OBVIOUS])
def test_a_short_or_obvious_secret_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(ConfigError) as caught:
        KeyRing(secret)
    assert len(secret) < 2 or secret not in str(caught.value)
    assert "openssl rand" in caught.value.next_step


@pytest.mark.parametrize(
    "secret",
    [SECRET, "Tq7#vLz9!mXw2@Rb5$Nc8%Kd1^Hf4&Jg", *(secrets.token_urlsafe(48) for _ in range(50))],
    ids=range(52),
)
def test_a_long_random_secret_is_taken(secret: str) -> None:
    ring = KeyRing(secret)
    assert ring.newest.secret == secret
    assert ring.get(ring.newest.kid) == ring.newest
    assert secret not in repr(ring.newest)


def test_the_first_line_signs_and_the_others_are_believed() -> None:
    newest, oldest = secrets.token_urlsafe(48), secrets.token_urlsafe(48)
    ring = KeyRing(f"{newest}\n\n  {oldest}  \n")
    assert ring.newest.secret == newest
    assert ring.get(KeyRing(oldest).newest.kid) == KeyRing(oldest).newest
    assert ring.get("nobody's") is None
    assert ring.get(["a list"]) is None


def test_every_line_must_be_good_and_there_may_be_eight() -> None:
    good = [secrets.token_urlsafe(48) for _ in range(9)]
    with pytest.raises(ConfigError, match="line 2 of the token secret has 5 bytes"):
        KeyRing(f"{good[0]}\nshort")
    with pytest.raises(ConfigError, match="has 9 lines"):
        KeyRing("\n".join(good))
    KeyRing("\n".join(good[:8]))


def test_the_secret_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "jwt-secret"
    key = load_or_create_keys(path).newest
    assert load_or_create_keys(path).newest == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert os.listdir(path.parent) == ["jwt-secret"]


@pytest.mark.parametrize(
    ("content", "mode", "text"),
    [
        (SECRET.encode(), 0o644, "has mode 0644; others than its owner may read it"),
        (b"short", 0o600, "has 5 bytes; a secret that signs tokens needs at least 32"),
        (b"", 0o600, "has 0 bytes"),
        (b"x" * 40, 0o600, "is easily guessed"),
        (b"\xff" * 40, 0o600, "cannot be read"),
    ],
)
def test_a_wrong_secret_file_is_refused_and_left_alone(content: bytes, mode: int, text: str, tmp_path: Path) -> None:
    path = tmp_path / "jwt-secret"
    path.write_bytes(content)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=text):
        load_or_create_keys(path)
    assert path.read_bytes() == content


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be read or made"):
        load_or_create_keys(tmp_path / "file" / "jwt-secret")
