"""What lets a device in at the broker, made on the broker's side: a line in Mosquitto's password file.

The name of a device is its user name, its client id, the name in its topics and the name in its messages; the broker's
access rules (`deploy/mosquitto/derms.acl`) hold it to that. Secrets are made here, at random; they are on no command
line, and in no message but the one that hands them over. Files are replaced in one step.

Source: Mosquitto 2.0, mosquitto_passwd(1): `$7$` is PBKDF2 with HMAC-SHA-512.
"""

import base64
import contextlib
import fcntl
import grp
import hashlib
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from derms.contract import check_device_id
from derms.errors import ConfigError, ConflictError, NotFoundError, UsageError

ACCOUNTS = ("derms-controller", "homeassistant")
"""The accounts of the access rules that are no devices and may more than one."""
_ITERATIONS = 101
"""As Mosquitto itself: it hashes at every connection, on its only thread, and 192 random bits need no more."""
_SALT_BYTES = 12
_SECRET_BYTES = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a device shows the broker."""

    username: str
    password: str = field(repr=False)


def check_name(name: str, *, account: bool) -> None:
    """See that a device, or an account of the access rules, may be called so.

    Raises:
        UsageError: It may not.
    """
    if not check_device_id(name):
        raise UsageError(
            f"{name[:80]!r} cannot name a device",
            why="it is a letter or digit, then at most 63 letters, digits, '.', '_' or '-'",
            next_step="choose another name",
        )
    if account is not (name in ACCOUNTS):
        raise UsageError(
            f"{name!r} is {'no' if account else 'an'} account of the access rules",
            why=f"these are {' and '.join(ACCOUNTS)}, and they may do more than a device",
            next_step="leave --account out" if account else "choose another name, or say --account if it is meant",
        )


def hash_password(password: str, *, salt: bytes | None = None, iterations: int = _ITERATIONS) -> str:
    """The form in which Mosquitto keeps a password."""
    salt = secrets.token_bytes(_SALT_BYTES) if salt is None else salt
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, iterations)
    return f"$7${iterations}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


class PasswordFile:
    """Mosquitto's password file: a line `name:hash` for each user. Blocking.

    Args:
        path: The file; made when missing, readable by the broker's group where there is one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def enrol(self, name: str, *, replace: bool = False) -> Credentials:
        """Give a user a new password.

        Args:
            name: Of the device.
            replace: The old password, if there is one, ends.

        Raises:
            ConflictError: It has one, and `replace` is not said.
            ConfigError: The file cannot be read or written.
        """
        credentials = Credentials(username=name, password=secrets.token_urlsafe(_SECRET_BYTES))
        with self._changing() as lines:
            if name in lines and not replace:
                raise ConflictError(
                    f"{name} is enrolled in {self._path} already",
                    why="a new password would lock the device out until it is told",
                    next_step="say --yes to give it a new one",
                )
            lines[name] = hash_password(credentials.password)
        return credentials

    def remove(self, name: str) -> None:
        """Let a user in no more.

        Raises:
            NotFoundError: There is none of that name.
            ConfigError: The file cannot be read or written.
        """
        with self._changing() as lines:
            if name not in lines:
                raise NotFoundError(f"{name} is not enrolled in {self._path}", next_step="check the name and the file")
            del lines[name]

    @contextlib.contextmanager
    def _changing(self) -> Iterator[dict[str, str]]:
        """The users by name, written back at the end; one process at a time."""
        try:
            # The file itself is replaced, so what is locked is its directory.
            directory = os.open(self._path.parent, os.O_RDONLY)
            try:
                fcntl.flock(directory, fcntl.LOCK_EX)
                lines = self._read()
                yield lines
                self._write(lines)
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as error:
            raise ConfigError(
                f"the password file {self._path} cannot be changed",
                why=error.strerror or str(error),
                next_step="run this on the broker's machine as root, or name another file with --password-file",
            ) from error

    def _read(self) -> dict[str, str]:
        if not self._path.exists():
            return {}
        lines: dict[str, str] = {}
        for number, line in enumerate(self._path.read_text(encoding="utf-8").splitlines(), start=1):
            name, colon, digest = line.partition(":")
            if not line.strip() or line.startswith("#"):
                continue
            if not colon or not digest.startswith("$"):
                raise ConfigError(
                    f"{self._path}, line {number} is not `name:hash`",
                    why="a password file of Mosquitto has nothing else, and no password in clear",
                    next_step="check that this is the right file; hash clear passwords with mosquitto_passwd -U",
                )
            lines[name] = digest
        return lines

    def _write(self, lines: dict[str, str]) -> None:
        text = "".join(f"{name}:{digest}\n" for name, digest in lines.items())
        old = self._path.stat() if self._path.exists() else None
        write_secret(
            self._path,
            text.encode(),
            mode=0o640 if old is None else old.st_mode & 0o777,
            owner=_broker_group() if old is None else (old.st_uid, old.st_gid),
        )


def write_secret(path: Path, data: bytes, *, mode: int = 0o600, owner: tuple[int, int] | None = None) -> None:
    """Replace a file in one step; at no moment can others read it, or find half of it.

    Args:
        path: The file.
        data: All of it.
        mode: Its permissions.
        owner: User and group; None: whoever we are. Only root can give a file away.

    Raises:
        OSError: The disk does not take it; the old file stays.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            if owner is not None and os.geteuid() == 0:
                os.fchown(file.fileno(), *owner)
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _broker_group() -> tuple[int, int] | None:
    """Root and the broker's group: Mosquitto reads the file anew as itself, after it has given root away."""
    with contextlib.suppress(KeyError):
        return 0, grp.getgrnam("mosquitto").gr_gid
    return None
