"""From the sources to checked `Settings`, or to one `ConfigError` that says everything that is wrong at once."""

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pydantic import SecretStr, ValidationError

from derms.errors import ConfigError
from derms.feeders_file import read_feeders
from derms.settings import IsolatedSettings, Settings, read_env_file
from derms.settings_machine import toml_file
from derms.settings_names import ENV_PREFIX, Named, mask_url, resolve_names
from derms.settings_secrets import read_secrets

_FLAGS = {"control_interval_s": "--interval", "feeder_import_limit_kw": "--limit", "roles": "--role"}
"""The flags that are not named as their setting is."""
_SECRET_FIELDS = frozenset({"jwt_secret", "mqtt_password", "auth_users", "prometheus_token"})


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong with the settings."""

    what: str
    why: str
    next_step: str

    def __str__(self) -> str:
        """On one line."""
        return "; ".join(part for part in (self.what, self.why, self.next_step) if part)


def load_settings(*, env_file: Path | None = Path(".env"), isolated: bool = False, **flags: object) -> Settings:
    """Read and check the settings, and the feeders file that they name.

    Args:
        env_file: The `.env` file; None: none is read.
        isolated: Take nothing but the flags: no environment, no file.
        flags: Settings given on the command line; None means not given.

    Raises:
        ConfigError: Something is wrong; the text has one line for each thing that is.
    """
    found = examine(env_file=env_file, isolated=isolated, **flags)
    # Raised here, outside the handlers: the library's error holds the values, and some of them are secrets.
    if isinstance(found, Settings):
        if found.feeders_file is not None:
            read_feeders(found.feeders_file)  # read again at the start: what is wrong with it is better said before
        return found
    if len(found) == 1:
        raise ConfigError(found[0].what, why=found[0].why, next_step=found[0].next_step)
    text = "\n".join(f"  {problem}" for problem in found)
    raise ConfigError(f"{len(found)} settings are wrong:\n{text}")


def examine(
    *, env_file: Path | None = Path(".env"), isolated: bool = False, **flags: object
) -> Settings | list[Problem]:
    """As `load_settings`, without the feeders file; what is wrong is an answer.

    Raises:
        ConfigError: A path leads nowhere.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    named: dict[str, Named] = {}
    try:
        if isolated:
            return IsolatedSettings(**cast("dict[str, Any]", {"_env_file": None, **given}))
        dotenv = read_env_file(env_file) if env_file is not None and env_file.exists() else {}
        named = resolve_names(os.environ, dotenv, Settings.model_fields)
        said = _read_toml(given.get("config") or (named["config"].value if "config" in named else None))
        place = given.get("secrets_dir") or (named["secrets_dir"].value if "secrets_dir" in named else None)
        secrets = read_secrets(cast("str | None", place or said.get("secrets_dir")), Settings.model_fields)
        named = {path.name: Named(text, str(path)) for path, text in secrets.items()} | named
        return Settings(**cast("dict[str, Any]", {"_env_file": env_file, **given}))
    except ValidationError as error:
        return [Problem(*line) for item in error.errors(include_url=False) for line in _lines(item, given, named)]
    except tomllib.TOMLDecodeError as error:
        return [Problem("the settings file is not TOML", str(error), "correct that line")]
    except (OSError, UnicodeDecodeError) as error:
        return [Problem("a settings file cannot be read", str(error), "correct the file or its permissions")]


def _read_toml(chosen: object) -> Mapping[str, object]:
    """Open the file that is going to be read, because the library passes silently over one that is missing."""
    path = toml_file(str(chosen) if chosen else None)
    if path is None:
        return {}
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise tomllib.TOMLDecodeError(f"{path}: {error}") from error


def _lines(item: Any, flags: Mapping[str, object], named: Mapping[str, Named]) -> Iterator[tuple[str, str, str]]:
    """What, why and next step of each thing one of the model's complaints is about."""
    location = item["loc"]
    message = str(item["msg"]).removeprefix("Value error, ")
    if not location:
        for line in message.split("\n"):
            what, why, next_step = line.split("; ")
            yield _named(what), _named(why), _named(next_step)
        return
    if item["type"] == "default_factory_not_called":
        # A default that hangs on a setting that is wrong itself, and is told of.
        return
    field, *inner = (str(part) for part in location)
    if item["type"] == "extra_forbidden" and not inner:
        yield _unknown(field)
        return
    name = _given_as(field, flags, named)
    where = f"{name}[{'.'.join(inner)}]" if field == "auth_users" and inner else name
    shown = "" if field in _SECRET_FIELDS else f" is {_clean(item['input'])!r}"
    rule, _, hint = message.partition("; ")
    yield f"{where}{shown}" if shown else f"{where} is wrong", rule, hint or f"correct {name} or leave it out"


def _unknown(field: str) -> tuple[str, str, str]:
    in_environment = field.startswith(ENV_PREFIX)
    known = [ENV_PREFIX + name.upper() if in_environment else name for name in Settings.model_fields]
    near = difflib.get_close_matches(field, known, n=1, cutoff=0.6)
    step = f"did you mean {near[0]}?" if near else "docs/settings.md lists them all"
    return f"{field} is set", "there is no such setting", step


def _given_as(field: str, flags: Mapping[str, object], named: Mapping[str, Named]) -> str:
    """The name under which the value that counts was given."""
    if field in flags:
        return _FLAGS.get(field, "--" + field.replace("_", "-"))
    # What neither a flag nor a variable nor a file of its own gave stands in the TOML file, under its own name.
    return named[field].name if field in named else field


def _named(text: str) -> str:
    """The text with field names as people set them."""
    words = []
    for word in text.split(" "):
        bare = word.rstrip(",;.")
        words.append(ENV_PREFIX + bare.upper() + word[len(bare) :] if bare in Settings.model_fields else word)
    return " ".join(words)


def _clean(value: object) -> str:
    if isinstance(value, SecretStr):
        return "********"
    return mask_url(str(value))[:120]
