"""The keys that sign tokens: several, so that they can be changed without ending every login.

A text of keys (the secret file, or the setting `jwt_secret`) has one key a line, the newest first: it signs, the older
ones are still believed. A key's id, which a token names as `kid`, follows from the key.
"""

import contextlib
import hashlib
import itertools
import os
import re
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path

from derms.errors import ConfigError

MIN_SECRET_BYTES = 32
"""An HS256 key shorter than the hash can be guessed off line."""
MAX_KEYS = 8

_FEWEST_DIFFERENT = 10
_PLACEHOLDER = re.compile(
    r"change(me|this|it)|replace(me|this)|rotateme|your(jwt|own|super|very)?secret|(super|top|very|default|dev|test|demo)"
    r"(suite|scenario|jwt)?secret|secretkey|jwtsecret|password|placeholder|example|insecure|donotuse"
)
"""In letters and digits alone, as examples are written that get copied; the predecessor's own are among them."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key."""

    kid: str
    secret: str = field(repr=False)


class KeyRing:
    """All keys that are believed; the first one signs.

    Args:
        text: One key a line, the newest first.
        origin: Where it comes from, for messages.

    Raises:
        ConfigError: There is none, there are too many, or one is weak. The text never tells a key.
    """

    def __init__(self, text: str, *, origin: str = "the token secret") -> None:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        for number, line in enumerate(lines or [""], 1):
            where = origin if len(lines) < 2 else f"line {number} of {origin}"
            _refuse_weak(line, where)
        if len(lines) > MAX_KEYS:
            raise ConfigError(
                f"{origin} has {len(lines)} lines",
                why=f"each is a key, and at most {MAX_KEYS} are believed",
                next_step="remove the oldest, at the end",
            )
        keys = [Key(hashlib.sha256(b"derms kid " + line.encode()).hexdigest()[:16], line) for line in lines]
        self.newest = keys[0]
        """It signs."""
        self._by_kid = {key.kid: key for key in keys}

    def get(self, kid: object) -> Key | None:
        """The key of that id; None: it is not believed, or no longer."""
        return self._by_kid.get(kid) if isinstance(kid, str) else None


def _refuse_weak(secret: str, where: str) -> None:
    size = len(secret.encode())
    if size < MIN_SECRET_BYTES:
        what, why = f"{where} has {size} bytes", f"a secret that signs tokens needs at least {MIN_SECRET_BYTES}"
    elif _is_obvious(secret):
        what, why = f"{where} is easily guessed", "it repeats itself, counts, or is one that stands in examples"
    else:
        return
    raise ConfigError(
        what,
        why=why,
        next_step="make one with `openssl rand -base64 48`, or leave it out to have one made",
    )


def _is_obvious(secret: str) -> bool:
    if len(set(secret)) < _FEWEST_DIFFERENT or secret in (secret + secret)[1:-1]:
        return True
    codes = [ord(character) for character in secret]
    counted = sum(abs(after - before) == 1 for before, after in itertools.pairwise(codes))
    return counted > len(codes) // 2 or bool(_PLACEHOLDER.search("".join(filter(str.isalnum, secret.lower()))))


def load_or_create_keys(path: Path) -> KeyRing:
    """Read the secret file, or make one: 0600, in a directory that is made 0700, never overwriting one.

    Raises:
        ConfigError: The file cannot be read or made, is weak, or others may read it.
    """
    try:
        if not path.exists():
            _create(path)
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the token secret {path} cannot be read or made",
            why=str(error),
            next_step="correct its permissions, or set DERMS_JWT_SECRET",
        ) from error
    if mode & 0o077:
        raise ConfigError(
            f"the token secret {path} has mode {mode:04o}",
            why="others than its owner may read it",
            next_step=f"remove it to have a new one made, or run `chmod 600 {path}`",
        )
    return KeyRing(text, origin=f"the token secret {path}")


def _create(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(48) + "\n")
            file.flush()
            os.fsync(file.fileno())
        # A link, not a rename: when another process was first, its secret stays.
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink()
