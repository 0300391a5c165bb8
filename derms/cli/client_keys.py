"""What the commands that ask a controller go by, and who says so: a flag, the environment, the context, or nobody."""

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING

from derms.cli.command import Shared
from derms.cli.contexts import DEFAULT_NAME, DEFAULT_URL, config_file, read_contexts, read_tokens, token_file
from derms.cli.formats import Format

if TYPE_CHECKING:
    from derms.settings_explain import Explained

_Value = str | float | bool | None


def client_keys(environment: Mapping[str, str], flags: Mapping[str, _Value]) -> "list[Explained]":
    """All of them.

    Args:
        environment: `DERMS_URL` and so on, and where the contexts stand.
        flags: Given on the command line, by key; None: not given, or by the environment alone.

    Raises:
        ConfigError: The contexts or the token cannot be read.
        NotFoundError: There is no such context.
    """
    from derms.settings_explain import Explained

    file = config_file(environment)
    contexts = read_contexts(file)
    chosen = _chosen(
        environment, flags, "context", (contexts.current, "context", str(file)) if contexts.known else None
    )
    context = contexts.named(str(chosen[0] or DEFAULT_NAME))
    stands = context.name in contexts.known

    def of_context(value: str) -> tuple[_Value, str, str] | None:
        return (value, "context", f"{context.name} in {file}") if stands and value else None

    kept = read_tokens(token_file(environment, context.name))
    login = None if kept is None else ("********", "login", str(token_file(environment, context.name)))
    refused = bool(environment.get("NO_COLOR")) or environment.get("TERM") == "dumb"
    colour = (False, "environment", "NO_COLOR" if environment.get("NO_COLOR") else "TERM") if refused else None
    rows: list[tuple[str, tuple[_Value, str, str], _Value, str, str, str, list[str]]] = [
        ("context", chosen, DEFAULT_NAME, "", "a context; see `derms context list`",
         "Which controller is meant.", ["DERMS_CONTEXT"]),
        ("url", _chosen(environment, flags, "url", of_context(context.url), DEFAULT_URL), DEFAULT_URL, "",
         "http:// or https://, host and port", "Where the controller's API is.", ["DERMS_URL"]),
        ("ca_file", _chosen(environment, flags, "", of_context(context.ca_file)), None, "", "a path (PEM), or unset",
         "Whom to trust for https beside the system's authorities.", []),
        ("feeder", _chosen(environment, flags, "", of_context(context.feeder)), None, "", "a feeder's id, or unset",
         "Meant where a command names no feeder.", []),
        ("output", _chosen(environment, flags, "output", None, Format.TABLE.value), Format.TABLE.value, "",
         " or ".join(Format), "How data is written.", ["DERMS_OUTPUT"]),
        ("timeout", _chosen(environment, flags, "timeout", None, _default("timeout")), _default("timeout"), "s",
         "a number, 0.1 to 600", "For one request.", []),
        ("token", _masked(_chosen(environment, flags, "token", login)), None, "", "a token",
         "Who asks; kept by `derms login`.", ["DERMS_TOKEN"]),
        ("color", colour or (True, "default", ""), True, "", "true or false",
         "Whether a terminal gets colours; --no-color, or NO_COLOR in the environment, takes them away.", ["NO_COLOR"]),
    ]  # fmt: skip
    return [
        Explained(
            key=key,
            value=value,
            source=source,
            origin=origin,
            default=default,
            unit=unit,
            allowed=allowed,
            about=about,
            variables=variables,
        )
        for key, (value, source, origin), default, unit, allowed, about, variables in rows
    ]


def _chosen(
    environment: Mapping[str, str],
    flags: Mapping[str, _Value],
    key: str,
    kept: tuple[_Value, str, str] | None,
    default: _Value = None,
) -> tuple[_Value, str, str]:
    """The value that counts, its source, and where exactly."""
    variable = f"DERMS_{key.upper()}"
    if flags.get(key) is not None and str(flags[key]) != environment.get(variable):
        return flags[key], "flag", f"--{key}"
    if key and environment.get(variable):
        return environment[variable], "environment", variable
    return kept or (DEFAULT_NAME if key == "context" else default, "default", "")


def _masked(chosen: tuple[_Value, str, str]) -> tuple[_Value, str, str]:
    return (None if chosen[0] is None else "********", *chosen[1:])


def _default(option: str) -> float:
    return float(inspect.signature(Shared).parameters[option].default)
