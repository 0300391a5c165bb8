"""What each setting is now, where that comes from, and what it may be."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from pydantic.fields import FieldInfo

from derms.errors import ConfigError
from derms.settings import Settings, read_env_file
from derms.settings import shown as as_text
from derms.settings_about import about
from derms.settings_machine import toml_file
from derms.settings_names import Named, mask_url, names_of, resolve_names
from derms.settings_secrets import read_secrets

_UNITS = {"kw": "kW", "kwh": "kWh", "s": "s", "h": "h", "mb": "MB"}


@dataclass(frozen=True, slots=True)
class _Given:
    """A value that somebody set."""

    source: str
    origin: str
    value: str


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """One setting."""

    key: str
    """In TOML; `DERMS_` and this in capitals as a variable."""
    value: str | float | bool | None
    """In effect; masked where it is secret."""
    source: str
    """`flag`, `environment`, `.env`, `secret` (a file of `secrets_dir`), `file` or `default`."""
    origin: str
    """Which flag, variable or file; nothing for a default."""
    default: str | float | bool | None
    """Null: none, or it depends on the machine or on other settings."""
    unit: str
    allowed: str
    """What it may be."""
    about: str
    """What it is, as `docs/settings.md` has it."""
    variables: list[str]
    """Its names in the environment, ours first."""


def explained(
    settings: Settings | None, flags: Mapping[str, object], *, env_file: Path | None = Path(".env")
) -> list[Explained]:
    """All settings, in the order of their page.

    Args:
        settings: In effect; None: they are refused, and what was given is shown as it was, masked.
        flags: Given on the command line.
        env_file: The `.env` file; None: there is none.

    Raises:
        ConfigError: A file cannot be read any more.
    """
    given = _given(flags, env_file)
    shown = settings.describe() if settings is not None else {}
    schema, words = Settings.model_json_schema(), about(Settings)
    told = []
    for name, field in Settings.model_fields.items():
        from_where = given.get(name, _Given("default", "", ""))
        told.append(
            Explained(
                key=name,
                value=_refused(from_where, field, schema["properties"][name])
                if settings is None
                else _plain(getattr(settings, name), shown[name]),
                source=from_where.source,
                origin=from_where.origin,
                default=None if field.default_factory is not None else _plain(field.default, as_text(field.default)),
                unit=_UNITS.get(name.rpartition("_")[2], ""),
                allowed=_allowed(schema["properties"][name], schema.get("$defs", {})),
                about=words[name],
                variables=names_of(name),
            )
        )
    return told


def _given(flags: Mapping[str, object], env_file: Path | None) -> dict[str, _Given]:
    """Who set what; by the rule of `derms.settings`, the first that has it wins."""
    dotenv = read_env_file(env_file) if env_file is not None and env_file.exists() else {}
    fields = Settings.model_fields
    in_process = resolve_names(os.environ, {}, fields)
    together = resolve_names(os.environ, dotenv, fields)
    chosen = flags.get("config") or (together["config"].value if "config" in together else None)
    path = toml_file(str(chosen) if chosen else None)
    found = {name: _Given("file", str(path), str(value)) for name, value in _read(path).items()}
    place = together["secrets_dir"].value if "secrets_dir" in together else None
    if place is None and "secrets_dir" in found:
        place = found["secrets_dir"].value
    for secret, text in read_secrets(place, fields).items():
        found[secret.name] = _Given("secret", str(secret), text)
    for name, one in together.items():
        here = in_process.get(name)
        found[name] = _named("environment" if here is not None and here == one else ".env", one)
    for name, value in flags.items():
        if value is not None:
            found[name] = _Given("flag", "--" + name.replace("_", "-"), str(value))
    return found


def _named(source: str, one: Named) -> _Given:
    return _Given(source, one.name, one.value)


def _read(path: Path | None) -> Mapping[str, object]:
    if path is None:
        return {}
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read", why=str(error), next_step="correct it") from error


def _refused(given: _Given, field: FieldInfo, schema: Mapping[str, Any]) -> str | float | bool | None:
    if given.source == "default":
        return None if field.default_factory is not None else _plain(field.default, as_text(field.default))
    # An item of a list of users is a secret, and so is all that the schema says is only written.
    return "********" if "writeOnly" in str(schema) or "AuthUser" in str(schema) else mask_url(given.value)


def _plain(value: object, shown: str) -> str | float | bool | None:
    if value is None or isinstance(value, bool | int | float):
        return value
    return None if value == () else shown


def _allowed(schema: Mapping[str, Any], named: Mapping[str, Any]) -> str:
    """The rule of a JSON schema in words."""
    if "anyOf" in schema:
        some = [_allowed(part, named) for part in schema["anyOf"] if part.get("type") != "null"]
        return f"{' or '.join(some)}, or unset"
    if "$ref" in schema:
        return _allowed(named[schema["$ref"].rpartition("/")[2]], named)
    if "enum" in schema:
        return " or ".join(str(one) for one in schema["enum"])
    match schema.get("type"):
        case "boolean":
            return "true or false"
        case "number" | "integer" as kind:
            return _range(schema, "a whole number" if kind == "integer" else "a number")
        case "array":
            return "a list"
    if "pattern" in schema:
        return f"text that matches {schema['pattern']}"
    longest, shortest = schema.get("maxLength"), schema.get("minLength")
    kind = {"path": "a path", "password": "a secret"}.get(schema.get("format", ""), "text")
    if longest is not None:
        return f"{kind} of at most {longest} characters"
    return f"{kind} of at least {shortest} characters" if shortest is not None and shortest > 1 else kind


def _range(schema: Mapping[str, Any], kind: str) -> str:
    low, above, high = (schema.get(name) for name in ("minimum", "exclusiveMinimum", "maximum"))
    if low is not None and high is not None:
        return f"{kind}, {low:g} to {high:g}"
    if above is not None:
        return f"{kind} above {above:g}" + ("" if high is None else f", at most {high:g}")
    return kind if low is None else f"{kind}, {low:g} or more"
