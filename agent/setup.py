"""Making an agent's configuration file: checked before it is written, closed to others, replaced in one step."""

import json
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.config import AgentConfig, parse_config
from agent.credentials import write_secret
from derms.errors import ConfigError, ConflictError, UsageError


def device_name() -> str:
    """This machine's name, as a device may be called."""
    name = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname().partition(".")[0])
    return name.lstrip("._-")[:64] or "device"


def read_credentials(path: Path) -> dict[str, str]:
    """What `derms agent enroll --out` wrote, as keys of the configuration.

    Raises:
        ConfigError: It is not such a file.
    """
    try:
        tree = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"cannot use {path}", why=str(error), next_step="give the file that `derms agent enroll --out` wrote"
        ) from error
    names = {"device_id": "device_id", "username": "username", "password": "password", "broker": "broker_url"}
    if not isinstance(tree, dict) or not all(key in names and isinstance(value, str) for key, value in tree.items()):
        raise ConfigError(
            f"{path} holds no credentials",
            why=f"it is a JSON object with {', '.join(names)}",
            next_step="give the file that `derms agent enroll --out` wrote",
        )
    return {names[key]: value for key, value in tree.items()}


def driver_table(kind: str, options: list[str]) -> dict[str, Any]:
    """The `driver` table of `KEY=VALUE` words; a value is JSON where it can be read as such, else text.

    Raises:
        UsageError: A word is not of that form.
    """
    table: dict[str, Any] = {"kind": kind}
    for word in options:
        key, equals, text = word.partition("=")
        if not equals or not key:
            raise UsageError(
                f"--driver-option {word!r}", why="it is KEY=VALUE", next_step="write it like host=10.0.0.5"
            )
        try:
            table[key] = json.loads(text)
        except ValueError:
            table[key] = text
    return table


def write_config(path: Path, keys: Mapping[str, Any], *, replace: bool = False) -> AgentConfig:
    """Check a configuration and write it (mode 0600).

    Args:
        path: Where to; its directory is made when missing.
        keys: What it says; None is left out.
        replace: An old one is replaced.

    Raises:
        ConfigError: It says something that cannot be, or cannot be written; the old one stays.
        ConflictError: There is an old one, and `replace` is not said.
    """
    tree = {key: value for key, value in keys.items() if value is not None}
    raw = json.dumps(tree, indent=2).encode() + b"\n"
    config = parse_config(raw, name=str(path))
    refuse_to_replace(path, replace=replace)
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        write_secret(path, raw)
    except OSError as error:
        raise ConfigError(
            f"cannot write {path}",
            why=error.strerror or str(error),
            next_step="name another file with --config, or run this as a user who may",
        ) from error
    return config


def refuse_to_replace(path: Path, *, replace: bool) -> None:
    """See that nothing is overwritten that is not meant to be.

    Raises:
        ConflictError: There is a file, and `replace` is not said.
    """
    if path.exists() and not replace:
        raise ConflictError(f"{path} exists", why="it is not overwritten unasked", next_step="say --yes to replace it")
