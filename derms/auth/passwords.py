"""Hashes of passwords, and which passwords are taken; the only door to argon2. Slow on purpose: see `hashing`.

New hashes are argon2id in the PHC format, `$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH`. Understood as well is what the
predecessor stored, ``scrypt:SALT:KEY``: both in standard base64, the salt of any length, the key of 64 bytes, made with
N=16384, r=8, p=1. It is replaced at the next login.

Source: OWASP Password Storage Cheat Sheet, "Argon2id": m=19456 (19 MiB), t=2, p=1.
"""

import base64
import binascii
import contextlib
import hashlib
import hmac
import secrets

from argon2 import PasswordHasher, Type, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError

from derms.errors import UsageError

MIN_LENGTH = 12
MAX_LENGTH = 256
MEMORY_KIB = 19_456
PASSES = 2

_HASH_BYTES = 32
_SALT_BYTES = 16
_SCRYPT = "scrypt:"
_SCRYPT_KEY_BYTES = 64
_FEWEST_DIFFERENT = 5
_SHORTEST_NAME = 4
"""A shorter one stands in many a word."""
# Long enough to pass the rule of length, and tried first by everyone.
_COMMON = frozenset({
    "123456789012", "1234567890123", "12345678901234", "1234567890qwerty", "1q2w3e4r5t6y", "1qaz2wsx3edc",
    "abcd1234abcd", "abcdefghijkl", "adminadminadmin", "administrator", "changeme12345", "changemenow!",
    "correcthorsebatterystaple", "iloveyou1234", "letmeinletmein", "operator1234", "p@ssw0rd1234", "passw0rd1234",
    "password1234", "password12345", "password123456", "passwordpassword", "qwerty123456", "qwertyuiop12",
    "qwertyuiop123", "qwertyuiopasdf", "trustno1trustno1", "welcome12345", "welcomewelcome", "zaq12wsxcde3",
})  # fmt: skip


class Passwords:
    """Makes and checks hashes.

    Args:
        memory_kib: Memory one hash takes [KiB].
        passes: How often it goes through it.
    """

    def __init__(self, *, memory_kib: int = MEMORY_KIB, passes: int = PASSES) -> None:
        self._memory_kib, self._passes = memory_kib, passes
        self._argon2 = PasswordHasher(
            time_cost=passes,
            memory_cost=memory_kib,
            parallelism=1,
            hash_len=_HASH_BYTES,
            salt_len=_SALT_BYTES,
            type=Type.ID,
        )
        self._nobodys = _hash_of_nothing(memory_kib, passes)

    def hash(self, password: str) -> str:
        """A new hash."""
        return self._argon2.hash(_bytes(password))

    def matches(self, password: str, stored: str | None) -> bool:
        """Whether it is the password of a hash.

        Args:
            password: What was sent.
            stored: The hash; None: there is no such user, which takes as long and is False.
        """
        if stored is not None and stored.startswith(_SCRYPT):
            return _scrypt_matches(password, stored)
        try:
            return self._argon2.verify(stored or self._nobodys, _bytes(password)) and stored is not None
        except (VerificationError, InvalidHashError):
            return False

    def is_weak(self, stored: str) -> bool:
        """Whether a hash is weaker than those that are made now."""
        if stored.startswith(_SCRYPT):
            return True
        made = extract_parameters(stored)
        return made.type is not Type.ID or made.memory_cost < self._memory_kib or made.time_cost < self._passes


def is_hash(text: str) -> bool:
    """Whether this is a hash that `Passwords.matches` understands."""
    if text.startswith(_SCRYPT):
        return _scrypt_parts(text) is not None
    with contextlib.suppress(InvalidHashError):
        return text.startswith("$argon2") and bool(extract_parameters(text))
    return False


def check_password(username: str, password: str) -> None:
    """Refuse a password that is guessed easily. Length counts; which kinds of characters it has does not.

    Source: NIST SP 800-63B, 3.1.1.2: at least so long, no rules of composition, compared with a list.

    Raises:
        UsageError: Why it is refused; never the password.
    """
    bare = password.casefold()
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        why = f"it has {len(password)} characters, and must have {MIN_LENGTH} to {MAX_LENGTH}"
    elif len(username) >= _SHORTEST_NAME and username.casefold() in bare:
        why = "it holds the user's name"
    elif len(set(bare)) < _FEWEST_DIFFERENT:
        why = f"it has fewer than {_FEWEST_DIFFERENT} different characters"
    elif bare in _COMMON:
        why = "it is one that everybody tries first"
    else:
        return
    raise UsageError("the password is refused", why=why, next_step="take a longer one, a few words for example")


def _hash_of_nothing(memory_kib: int, passes: int) -> str:
    """Looks like a hash, and takes as long to compare with, but was made of no password."""
    salt, made = (base64.b64encode(secrets.token_bytes(n)).decode().rstrip("=") for n in (_SALT_BYTES, _HASH_BYTES))
    return f"$argon2id$v=19$m={memory_kib},t={passes},p=1${salt}${made}"


def _scrypt_matches(password: str, stored: str) -> bool:
    parts = _scrypt_parts(stored)
    if parts is None:
        return False
    salt, key = parts
    made = hashlib.scrypt(_bytes(password), salt=salt, n=2**14, r=8, p=1, dklen=_SCRYPT_KEY_BYTES)
    return hmac.compare_digest(made, key)


def _scrypt_parts(stored: str) -> tuple[bytes, bytes] | None:
    try:
        salt, key = (base64.b64decode(part, validate=True) for part in stored.removeprefix(_SCRYPT).split(":"))
    except (ValueError, binascii.Error):
        return None
    return (salt, key) if salt and len(key) == _SCRYPT_KEY_BYTES else None


def _bytes(password: str) -> bytes:
    # What JSON let through as half a surrogate is a wrong password, not an error.
    return password.encode("utf-8", "surrogatepass")
