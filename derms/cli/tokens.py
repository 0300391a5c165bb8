"""Where the tokens of a login are kept: in the system's keyring where there is one, else in a file of one's own.

The keyring is used when the package `keyring` is installed (the extra of the same name) and finds a backend that is
worth the name; `DERMS_KEYRING=0` turns it off.
"""

import contextlib
import functools
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from derms.cli.contexts import replace_file, token_file
from derms.errors import ConfigError

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

_SERVICE = "derms"


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """What a login gave."""

    url: str
    """Whose they are: they are sent nowhere else."""
    username: str
    token: str
    refresh_token: str | None = None


@dataclass(frozen=True, slots=True)
class Vault:
    """The place of one context's tokens."""

    name: str
    """The context's."""
    path: Path
    """The file, where there is no keyring."""
    ring: "Callable[[], KeyringBackend | None]" = lambda: None
    """Finds the keyring; asked only where the file does not do, as finding it takes time."""

    @property
    def lock(self) -> Path:
        """Held by whoever renews the tokens."""
        return self.path.with_suffix(".lock")

    @property
    def where(self) -> str:
        """As people are told."""
        found = self.ring()
        return str(self.path) if found is None else f"the keyring ({found.name})"

    def read(self) -> Tokens | None:
        """What the last login gave; None: there was none.

        Raises:
            ConfigError: It cannot be read, or others may read it.
        """
        kept = read_tokens(self.path)  # of a login before there was a keyring
        if kept is None and (keyring := self.ring()) is not None:
            secret = _asked(keyring, self.name)
            kept = None if secret is None else _decoded(secret.encode(), self.where)
        return kept

    def write(self, tokens: Tokens) -> None:
        """Keep what a login gave; in the file, where the keyring does not take it.

        Raises:
            ConfigError: It cannot be written.
        """
        private(self.path.parent)
        keyring = self.ring()
        if keyring is not None and _taken(keyring, self.name, msgspec.json.encode(tokens).decode()):
            self.path.unlink(missing_ok=True)
            return
        replace_file(self.path, msgspec.json.encode(tokens).decode() + "\n", 0o600)

    def forget(self) -> None:
        """Keep nothing."""
        self.path.unlink(missing_ok=True)
        if (keyring := self.ring()) is not None:
            # It says so when there is nothing to delete, each backend in its own way.
            with contextlib.suppress(Exception):
                keyring.delete_password(_SERVICE, self.name)


def vault(environment: Mapping[str, str], name: str) -> Vault:
    """The place of one context's tokens."""
    return Vault(name, token_file(environment, name), functools.cache(lambda: _keyring(environment)))


def private(directory: Path) -> None:
    """Make a directory that only its owner may look into.

    Raises:
        ConfigError: It cannot be made.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if stat.S_IMODE(directory.stat().st_mode) != 0o700:
            directory.chmod(0o700)
    except OSError as error:
        raise ConfigError(
            f"{directory} cannot be made private", why=str(error), next_step="correct its owner, or XDG_STATE_HOME"
        ) from error


def read_tokens(path: Path) -> Tokens | None:
    """What stands in a token file; None: there is none.

    Raises:
        ConfigError: The file cannot be read, or others may read it.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read", why=str(error), next_step="correct its permissions") from error
    if mode & 0o077:
        raise ConfigError(
            f"{path} has mode {mode:04o}",
            why="it holds a token, and others than its owner may read it",
            next_step=f"run `chmod 600 {path}`, or log in again with `derms login`",
        )
    return _decoded(raw, str(path))


def _decoded(raw: bytes, where: str) -> Tokens:
    try:
        return msgspec.json.decode(raw, type=Tokens)
    except msgspec.DecodeError as error:
        raise ConfigError(
            f"the token in {where} is damaged", why=str(error), next_step="log in again with `derms login`"
        ) from error


def _keyring(environment: Mapping[str, str]) -> "KeyringBackend | None":
    if environment.get("DERMS_KEYRING", "1") in ("0", "false", "no", "off"):
        return None
    try:
        import keyring
        from keyring.backends import chainer, fail, null
    except ImportError:
        return None
    try:
        found = keyring.get_keyring()
    except Exception:  # a backend that cannot even start is no keyring
        return None
    useless = isinstance(found, fail.Keyring | null.Keyring) or (
        isinstance(found, chainer.ChainerBackend) and not found.backends
    )
    return None if useless else found


def _asked(keyring: "KeyringBackend", name: str) -> str | None:
    try:
        return keyring.get_password(_SERVICE, name)
    except Exception as error:  # each backend has errors of its own
        raise ConfigError(
            "the keyring does not answer",
            why=str(error) or type(error).__name__,
            next_step="unlock it, or set DERMS_KEYRING=0 and log in again",
        ) from error


def _taken(keyring: "KeyringBackend", name: str, secret: str) -> bool:
    try:
        keyring.set_password(_SERVICE, name, secret)
    except Exception:  # a locked keyring, or one without a session: the file is as good
        return False
    return True


def lock_file(path: Path) -> int:
    """Open a file to be locked.

    Returns:
        Its descriptor.
    """
    private(path.parent)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
