"""Settings that lie in files of their own, as Docker and Kubernetes mount secrets: a file a setting, named like it."""

from collections.abc import Container
from pathlib import Path

from derms.errors import ConfigError
from derms.settings_machine import expanded


def read_secrets(directory: str | Path | None, fields: Container[str]) -> dict[Path, str]:
    """Read the directory.

    Directories in it, and names with a dot (`tls.key`, the `..data` of Kubernetes), are none of ours.

    Args:
        directory: Where they are; None: nowhere.
        fields: The names of all settings.

    Returns:
        What each file says, without line ends at its end; the last part of a path is the setting's name. An empty file
        is no value.

    Raises:
        ConfigError: A file cannot be read, or is named like no setting.
    """
    if not directory:
        return {}
    place = expanded(Path(directory))
    found: dict[Path, str] = {}
    try:
        for path in sorted(place.iterdir()):
            if "." in path.name or path.is_dir():
                continue
            if path.name not in fields or path.name in ("config", "secrets_dir"):
                raise ConfigError(
                    f"there is a file {path}",
                    why="each file of secrets_dir is named like the setting that it holds",
                    next_step="rename it, or take it out; docs/settings.md lists all names",
                )
            if text := path.read_text(encoding="utf-8").rstrip("\r\n"):
                found[path] = text
    except (OSError, UnicodeDecodeError) as error:
        # `from None`: the decoder's error carries what it could not read, which is a secret.
        raise ConfigError(
            f"secrets_dir is {place}, and cannot be read",
            why=(error.strerror or str(error)) if isinstance(error, OSError) else "a file in it is not UTF-8",
            next_step="name a directory that derms may read, with files that it may read",
        ) from None
    return found
