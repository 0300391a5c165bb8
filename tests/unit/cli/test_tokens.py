"""Where the tokens of a login are kept."""

import stat
from pathlib import Path

import pytest
from keyring.backend import KeyringBackend
from keyring.compat import properties
from keyring.errors import KeyringLocked, PasswordDeleteError

from derms.cli.tokens import Tokens, Vault, vault
from derms.errors import ConfigError

TOKENS = Tokens(url="http://127.0.0.1:8080", username="op", token="a.b.c", refresh_token="r")


class Ring(KeyringBackend):
    """A keyring in memory, which may be locked."""

    @properties.classproperty
    def priority(self) -> float:
        raise RuntimeError("it is found by nobody who does not hold it")

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.locked = False
        self.held: dict[tuple[str, str], str] = {}

    def _open(self) -> None:
        if self.locked:
            raise KeyringLocked("it is locked")

    def get_password(self, service: str, username: str) -> str | None:
        self._open()
        return self.held.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._open()
        self.held[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self._open()
        if self.held.pop((service, username), None) is None:
            raise PasswordDeleteError("there is none")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_tokens_are_for_their_owner_alone_however_open_the_place_was(tmp_path: Path) -> None:
    directory = tmp_path / "tokens"
    directory.mkdir(mode=0o755)
    place = Vault("default", directory / "default.json")
    place.write(TOKENS)
    assert (mode(place.path), mode(directory)) == (0o600, 0o700)
    assert place.read() == TOKENS
    place.path.chmod(0o640)
    with pytest.raises(ConfigError, match="mode 0640"):
        place.read()
    place.forget()
    place.forget()
    assert place.read() is None
    assert list(directory.iterdir()) == []


def test_a_damaged_token_file_says_how_to_go_on(tmp_path: Path) -> None:
    path = tmp_path / "default.json"
    path.write_text("{")
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="damaged") as refused:
        Vault("default", path).read()
    assert "derms login" in refused.value.next_step


def test_a_keyring_keeps_tokens_off_the_disk(tmp_path: Path) -> None:
    ring = Ring()
    place = Vault("plant", tmp_path / "tokens/plant.json", lambda: ring)
    assert place.read() is None
    Vault("plant", place.path).write(TOKENS)  # of a login before there was a keyring
    assert place.read() == TOKENS
    place.write(TOKENS)
    assert not place.path.exists()
    assert list(ring.held) == [("derms", "plant")]
    assert place.read() == TOKENS
    assert Vault("lab", tmp_path / "tokens/lab.json", lambda: ring).read() is None
    place.forget()
    place.forget()
    assert (place.read(), ring.held) == (None, {})


def test_a_keyring_that_is_locked_leaves_new_tokens_to_the_file_and_says_so_of_old_ones(tmp_path: Path) -> None:
    ring = Ring()
    place = Vault("plant", tmp_path / "tokens/plant.json", lambda: ring)
    ring.locked = True
    with pytest.raises(ConfigError, match="does not answer") as refused:
        place.read()
    assert "DERMS_KEYRING=0" in refused.value.next_step
    place.write(TOKENS)
    assert mode(place.path) == 0o600
    assert place.read() == TOKENS


def test_a_machine_without_a_keyring_that_is_worth_the_name_keeps_files(monkeypatch: pytest.MonkeyPatch) -> None:
    for backend in ("keyring.backends.fail.Keyring", "keyring.backends.null.Keyring"):
        monkeypatch.setenv("PYTHON_KEYRING_BACKEND", backend)
        monkeypatch.setattr("keyring.core._keyring_backend", None)
        assert vault({"HOME": "/home/a"}, "default").ring() is None
    assert vault({"HOME": "/home/a", "DERMS_KEYRING": "0"}, "default").ring() is None
