"""Which controllers there are, which one is meant, and the tokens for them.

Contexts stand in `$XDG_CONFIG_HOME/derms/contexts.toml`; tokens, which are secrets, in `$XDG_STATE_HOME/derms/tokens/`,
one file a context, 0600 in a directory that is 0700.
"""

import contextlib
import json
import os
import re
import secrets
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import msgspec

from derms.errors import ConfigError, NotFoundError, UsageError

DEFAULT_URL = "http://127.0.0.1:8080"
DEFAULT_NAME = "default"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One controller, and how it is spoken to."""

    name: str = DEFAULT_NAME
    url: str = DEFAULT_URL
    ca_file: str = ""
    """PEM; whom to trust for https beside the system's authorities."""
    feeder: str = ""
    """Meant where a command names no feeder."""


@dataclass(frozen=True, slots=True)
class Contexts:
    """All of them."""

    current: str = DEFAULT_NAME
    known: Mapping[str, Context] = field(default_factory=dict)

    def named(self, name: str) -> Context:
        """One of them; the default one is always there.

        Raises:
            NotFoundError: There is none of that name.
        """
        if name in self.known:
            return self.known[name]
        if name == DEFAULT_NAME:
            return Context()
        raise NotFoundError(
            f"there is no context {name!r}",
            why=f"there are {', '.join(sorted({DEFAULT_NAME, *self.known}))}",
            next_step="name one of them, or make it with `derms context set`",
        )

    def with_one(self, context: Context) -> "Contexts":
        """With this one, in place of one of its name."""
        return replace(self, known={**self.known, context.name: context})

    def without(self, name: str) -> "Contexts":
        """Without that one; the default one is current again where it was."""
        left = {key: value for key, value in self.known.items() if key != name}
        return Contexts(DEFAULT_NAME if self.current == name else self.current, left)


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """What a login gave."""

    url: str
    """Whose they are: they are sent nowhere else."""
    username: str
    token: str
    refresh_token: str | None = None


def config_file(environment: Mapping[str, str]) -> Path:
    """Where contexts stand."""
    return _xdg(environment, "XDG_CONFIG_HOME", ".config") / "derms" / "contexts.toml"


def token_file(environment: Mapping[str, str], name: str) -> Path:
    """Where the tokens of one context stand."""
    return _xdg(environment, "XDG_STATE_HOME", ".local/state") / "derms" / "tokens" / f"{checked_name(name)}.json"


def ui_state_file(environment: Mapping[str, str], name: str) -> Path:
    """Where it is kept how `derms tui` was left in one context."""
    return _xdg(environment, "XDG_STATE_HOME", ".local/state") / "derms" / "tui" / f"{checked_name(name)}.json"


def cache_dir(environment: Mapping[str, str]) -> Path:
    """Where names for completion are kept."""
    return _xdg(environment, "XDG_CACHE_HOME", ".cache") / "derms"


def _xdg(environment: Mapping[str, str], name: str, below_home: str) -> Path:
    # What is not absolute is to be ignored, says the XDG base directory specification.
    given = environment.get(name, "")
    return Path(given) if given.startswith("/") else Path(environment.get("HOME") or Path.home()) / below_home


def checked_name(name: str) -> str:
    """A context's name, which is also a file's.

    Raises:
        UsageError: It cannot be one.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"the context's name is {name!r}",
            why="it is a letter or digit, then up to 63 letters, digits, '.', '_' or '-'",
            next_step="choose another",
        )
    return name


def read_contexts(path: Path) -> Contexts:
    """Read them; where there is no file there are none.

    Raises:
        ConfigError: The file cannot be read, or says what cannot be meant.
    """
    try:
        with path.open("rb") as file:
            tree = tomllib.load(file)
    except FileNotFoundError:
        return Contexts()
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read", why=str(error), next_step="correct it, or remove it") from error
    known: dict[str, Context] = {}
    keys = {each.name for each in fields(Context)} - {"name"}
    for name, table in tree.get("context", {}).items():
        good = isinstance(table, dict) and set(table) <= keys and all(isinstance(one, str) for one in table.values())
        if not good or not _NAME.fullmatch(name):
            raise ConfigError(
                f"{path}: context {name!r} is wrong",
                why=f"it has texts for {', '.join(sorted(keys))}, and nothing else",
                next_step="correct it, or set it again with `derms context set`",
            )
        known[name] = Context(name=name, **table)
    return Contexts(str(tree.get("current", DEFAULT_NAME)), known)


def write_contexts(path: Path, contexts: Contexts) -> None:
    """Write them, at once or not at all."""
    lines = [f"current = {json.dumps(contexts.current)}"]
    for name, context in sorted(contexts.known.items()):
        lines += ["", f"[context.{json.dumps(name)}]"]
        lines += [
            f"{each.name} = {json.dumps(getattr(context, each.name))}"
            for each in fields(Context)
            if each.name != "name" and getattr(context, each.name)
        ]
    _replace(path, "\n".join(lines) + "\n", 0o644)


def read_tokens(path: Path) -> Tokens | None:
    """What the last login gave; None: there was none.

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
    try:
        return msgspec.json.decode(raw, type=Tokens)
    except msgspec.DecodeError as error:
        raise ConfigError(f"{path} is damaged", why=str(error), next_step="log in again with `derms login`") from error


def write_tokens(path: Path, tokens: Tokens) -> None:
    """Keep what a login gave."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    _replace(path, msgspec.json.encode(tokens).decode() + "\n", 0o600)


def forget_tokens(path: Path) -> None:
    """Keep nothing."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()


def _replace(path: Path, text: str, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written", why=str(error), next_step="correct its permissions") from error
    finally:
        temporary.unlink(missing_ok=True)
