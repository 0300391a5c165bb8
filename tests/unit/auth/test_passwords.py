"""Hashes of passwords, and which passwords are taken."""

import base64
import hashlib

import pytest
from argon2 import PasswordHasher, Type, extract_parameters

from derms.auth.passwords import MEMORY_KIB, PASSES, Passwords, check_password, is_hash
from derms.errors import UsageError
from tests.fakes_api import QUICK

WORD = "four words of nonsense"


def predecessors_hash(password: str, salt: bytes = b"0123456789abcdef") -> str:
    """As Node's crypto.scrypt makes it with N=16384, r=8, p=1 and 64 bytes."""
    key = hashlib.scrypt(password.encode(), salt=salt, n=16384, r=8, p=1, dklen=64)
    return f"scrypt:{base64.b64encode(salt).decode()}:{base64.b64encode(key).decode()}"


def test_a_hash_is_argon2id_with_the_recommended_parameters_and_a_salt_of_its_own() -> None:
    passwords = Passwords()
    first, second = passwords.hash(WORD), passwords.hash(WORD)
    made = extract_parameters(first)
    assert (made.type, made.memory_cost, made.time_cost, made.parallelism) == (Type.ID, 19_456, 2, 1)
    assert (MEMORY_KIB, PASSES) == (19_456, 2)
    assert (made.salt_len, made.hash_len) == (16, 32)
    assert first != second
    assert not passwords.is_weak(first)


@pytest.mark.parametrize(
    "stored",
    [QUICK.hash(WORD), predecessors_hash(WORD), PasswordHasher(1, 8, 1).hash(WORD)],
    ids=["ours", "the predecessor's", "the library's"],
)
def test_the_password_of_a_hash_matches_and_no_other_does(stored: str) -> None:
    assert is_hash(stored)
    assert QUICK.matches(WORD, stored)
    for other in (WORD + " ", WORD.upper(), "", "\ud800", WORD[:-1]):
        assert not QUICK.matches(other, stored)


def test_nobody_has_a_password() -> None:
    assert not QUICK.matches("nobody has this password", None)


def test_a_hash_of_the_predecessor_and_of_less_work_is_weak_and_of_more_is_not() -> None:
    passwords = Passwords(memory_kib=64, passes=2)
    weak = [
        predecessors_hash(WORD),
        PasswordHasher(2, 32, 1).hash(WORD),
        PasswordHasher(1, 64, 1).hash(WORD),
        PasswordHasher(2, 64, 1, type=Type.I).hash(WORD),
    ]
    assert all(passwords.is_weak(stored) for stored in weak)
    assert not passwords.is_weak(PasswordHasher(3, 128, 2).hash(WORD))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain words",
        "scrypt:",
        "scrypt::",
        "scrypt:AAAA:AAAA",
        "scrypt:!:!",
        "$argon2id$x",
        "$2b$12$abc",
        "scrypt:a",
    ],
)
def test_what_is_no_hash_is_told_and_matches_nothing(text: str) -> None:
    assert not is_hash(text)
    assert not QUICK.matches("", text)
    assert not QUICK.matches(text, text)


REFUSED = [
    ("short", "it has 5 characters, and must have 12 to 256"),
    ("x" * 11, "it has 11 characters"),
    ("x" * 257, "it has 257 characters"),
    ("ababababababab", "fewer than 5 different"),
    ("my name is Alice!", "it holds the user's name"),
    ("Password1234", "everybody tries first"),
]


@pytest.mark.parametrize(("password", "why"), REFUSED)
def test_a_password_that_is_guessed_easily_is_refused_and_not_repeated(password: str, why: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_password("alice", password)
    assert why in caught.value.why
    assert password not in str(caught.value)


@pytest.mark.parametrize("password", ["twelve chars", "aaaaaaa bbbbb cd", "ünïcödé wörds", "四个词的一个长长的密码串"])
def test_a_long_password_is_taken_whatever_its_characters_are(password: str) -> None:
    check_password("alice", password)
