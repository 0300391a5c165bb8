"""Which controllers there are, and which one is meant.

Contexts stand in `$XDG_CONFIG_HOME/derms/contexts.toml`, and below them those of the machine, in `derms/contexts.toml`
of the directories in `$XDG_CONFIG_DIRS`. The tokens for them are in `derms.cli.tokens`.
"""

import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeGuard

from derms.cli.formats import Format
from derms.errors import ConfigError, NotFoundError, UsageError
from derms.wording.values import Units

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
    output: str = ""
    """How data is written where no option says it."""
    units: str = ""
    """What people read powers in where no option says it."""
    timeout_s: float = 0.0
    """For one request where no option says it [s]; 0: as everywhere."""


_TEXTS = frozenset(each.name for each in fields(Context)) - {"name", "timeout_s"}
LONGEST_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Contexts:
    """All of them."""

    current: str = DEFAULT_NAME
    known: Mapping[str, Context] = field(default_factory=dict)
    of_machine: frozenset[str] = frozenset()
    """Those that the machine knows, and the user has not set."""

    def origin(self, name: str) -> str:
        """Who says what a context is: `context`, `system` or `default`."""
        if name not in self.known:
            return "default"
        return "system" if name in self.of_machine else "context"

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
        return replace(self, current=DEFAULT_NAME if self.current == name else self.current, known=left)


def config_file(environment: Mapping[str, str]) -> Path:
    """Where contexts stand."""
    return _xdg(environment, "XDG_CONFIG_HOME", ".config") / "derms" / "contexts.toml"


def system_files(environment: Mapping[str, str]) -> list[Path]:
    """Where the machine's contexts may stand, the most important first."""
    given = environment.get("XDG_CONFIG_DIRS") or "/etc/xdg"
    return [Path(one) / "derms" / "contexts.toml" for one in given.split(":") if one.startswith("/")]


def known_contexts(environment: Mapping[str, str]) -> Contexts:
    """The user's contexts, above those of the machine.

    Raises:
        ConfigError: A file cannot be read, or says what cannot be meant.
    """
    own = read_contexts(config_file(environment))
    known: dict[str, Context] = {}
    current = ""
    for path in system_files(environment):
        read = read_contexts(path)
        known = {**read.known, **known}
        current = current or (read.current if read.known else "")
    of_machine = frozenset(known) - frozenset(own.known)
    chosen = own.current if own.current != DEFAULT_NAME or own.known else current or DEFAULT_NAME
    return Contexts(chosen, {**known, **own.known}, of_machine)


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
    tables = tree.get("context", {})
    for name, table in tables.items() if isinstance(tables, dict) else [("", None)]:
        if not _NAME.fullmatch(name) or not _meant(table):
            raise ConfigError(
                f"{path}: context {name!r} is wrong",
                why=f"it has {', '.join(sorted(_TEXTS))}, all of them texts, and a number for timeout_s",
                next_step="correct it, or set it again with `derms context set`",
            )
        known[name] = Context(name=name, **table)
    return Contexts(str(tree.get("current", DEFAULT_NAME)), known)


def _meant(table: object) -> TypeGuard[dict[str, Any]]:
    """Whether a table of the file can be a context."""
    if not isinstance(table, dict) or not set(table) <= _TEXTS | {"timeout_s"}:
        return False
    timeout_s = table.get("timeout_s", 0.0)
    return (
        all(isinstance(value, str) for key, value in table.items() if key != "timeout_s")
        and isinstance(timeout_s, int | float)
        and not isinstance(timeout_s, bool)
        and 0.0 <= timeout_s <= LONGEST_TIMEOUT_S
        and table.get("output", "") in ("", *Format)
        and table.get("units", "") in ("", *Units)
    )


def write_contexts(path: Path, contexts: Contexts) -> None:
    """Write them, at once or not at all."""
    lines = [f"current = {json.dumps(contexts.current)}"]
    for name, context in sorted(contexts.known.items()):
        lines += ["", f"[context.{json.dumps(name)}]"]
        lines += [
            f"{each.name} = {json.dumps(getattr(context, each.name), ensure_ascii=False)}"
            for each in fields(Context)
            if each.name != "name" and getattr(context, each.name)
        ]
    replace_file(path, "\n".join(lines) + "\n", 0o644)


def replace_file(path: Path, text: str, mode: int) -> None:
    """Write a file, at once or not at all.

    Args:
        path: Which; its directory is made.
        text: What is to stand in it.
        mode: Who may read it.

    Raises:
        ConfigError: It cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
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
