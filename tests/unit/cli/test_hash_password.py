"""`derms user hash-password`."""

import io
import json

import pytest

from derms.auth import Passwords
from derms.settings_load import load_settings
from tests.home import Home

PASSWORD = "a few words, ünd more"


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_the_hash_is_one_line_that_the_password_fits(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, f"{PASSWORD}\n")
    told = home.derms("user", "hash-password", "--password-stdin")
    assert (told.code, told.err) == (0, "")
    [line] = told.out.splitlines()
    assert line.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert Passwords().matches(PASSWORD, line)
    assert not Passwords().matches(PASSWORD + "x", line)


def test_the_settings_take_the_hash(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, f"{PASSWORD}\n")
    made = json.loads(home.derms("user", "hash-password", "op", "--password-stdin", "-o", "json").out)["password_hash"]
    users = json.dumps([{"username": "op", "password_hash": made, "role": "operator"}])
    monkeypatch.setenv("DERMS_AUTH_USERS", users)
    assert load_settings().auth_users[0].username == "op"
    assert home.derms("config", "check").code == 0


@pytest.mark.parametrize(
    ("words", "text", "said"),
    [
        (["op"], "short\n", "12 to 256"),
        (["opal"], "opal-and-some-more\n", "the user's name"),
        (["op"], "\n", "the password is empty"),
        (["op"], "", "the password is empty"),
    ],
)
def test_a_password_that_the_api_would_refuse_is_refused(
    words: list[str], text: str, said: str, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(monkeypatch, text)
    told = home.derms("user", "hash-password", *words, "--password-stdin")
    assert (told.code, told.out, said in told.err) == (2, "", True), told.err
    assert not text.strip() or text.strip() not in told.err


def test_where_nobody_can_be_asked_it_says_so(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, "")
    told = home.derms("user", "hash-password", "op", "--no-input")
    assert told.code == 2
    assert "--password-stdin" in told.err
