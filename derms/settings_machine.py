"""Where settings and data lie on this machine, and its name."""

import os
import socket
from pathlib import Path

from derms.errors import ConfigError


def xdg_directory(variable: str, fallback: str) -> Path:
    """Our directory below one of the XDG base directories.

    Args:
        variable: Names the base directory.
        fallback: It, below the home directory, when the variable is unset.
    """
    base = os.environ.get(variable, "")
    # The XDG specification: a relative path there is to be ignored.
    return (Path(base) if base.startswith("/") else expanded(Path("~", fallback))) / "derms"


def expanded(path: Path) -> Path:
    """The path with a leading `~` resolved.

    Raises:
        ConfigError: There is no such home directory.
    """
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ConfigError(
            f"{path} leads nowhere",
            why="there is no such home directory",
            next_step="set DERMS_DATA_DIR, DERMS_STATE_DIR and XDG_CONFIG_HOME to whole paths",
        ) from error


def host_controller_id() -> str:
    """`controller-` and the host's name, as far as it fits into an MQTT topic."""
    host = socket.gethostname().split(".")[0]
    kept = "".join(c for c in host if c.isascii() and (c.isalnum() or c in "_-")).strip("-_")
    return f"controller-{kept}"[:64] if kept else "controller-1"


def toml_file(chosen: str | Path | None) -> Path | None:
    """The TOML file to be read: the chosen one, or the first of the usual places that has one."""
    if chosen:
        return expanded(Path(chosen))
    usual = (xdg_directory("XDG_CONFIG_HOME", ".config") / "config.toml", Path("/etc/derms/config.toml"))
    return next((path for path in usual if path.is_file()), None)
