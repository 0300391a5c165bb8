"""What the commands that ask a controller go by, and who says so: a flag, the environment, the context, or nobody."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from derms.cli.contexts import DEFAULT_NAME, DEFAULT_URL, Context, config_file, known_contexts
from derms.cli.formats import Format
from derms.cli.run import TIMEOUT_S
from derms.cli.tokens import vault
from derms.wording.values import Units

if TYPE_CHECKING:
    from derms.settings_explain import Explained

_Value = str | float | bool | None
_Chosen = tuple[_Value, str, str]
"""The value that counts, its source, and where exactly."""


def client_keys(environment: Mapping[str, str], flags: Mapping[str, _Value]) -> "list[Explained]":
    """All of them.

    Args:
        environment: `DERMS_URL` and so on, and where the contexts stand.
        flags: Given on the command line, by key; None: not given, or by the environment alone.

    Raises:
        ConfigError: The contexts or the token cannot be read.
        NotFoundError: There is no such context.
    """
    contexts = known_contexts(environment)
    of_file = (contexts.current, contexts.origin(contexts.current), str(config_file(environment)))
    chosen = _chosen(environment, flags, "context", of_file if contexts.known else None, DEFAULT_NAME)
    context = contexts.named(str(chosen[0]))
    origin = contexts.origin(context.name)
    where = f"{context.name}" if origin == "system" else f"{context.name} in {config_file(environment)}"

    def of_context(value: str | float) -> _Chosen | None:
        return (value, origin, where) if origin != "default" and value else None

    return [
        _row("context", chosen, DEFAULT_NAME, "a context; see `derms context list`", "Which controller is meant."),
        _row("url", _chosen(environment, flags, "url", of_context(context.url), DEFAULT_URL), DEFAULT_URL,
             "http:// or https://, host and port", "Where the controller's API is."),
        _row("ca_file", of_context(context.ca_file) or (None, "default", ""), None, "a path (PEM), or unset",
             "Whom to trust for https beside the system's authorities.", variable=False),
        _row("feeder", of_context(context.feeder) or (None, "default", ""), None, "a feeder's id, or unset",
             "Meant where a command names no feeder.", variable=False),
        *_shown(environment, flags, context, of_context),
        _row("token", _token(environment, context.name), None, "a token", "Who asks; kept by `derms login`."),
    ]  # fmt: skip


def _shown(
    environment: Mapping[str, str],
    flags: Mapping[str, _Value],
    context: Context,
    of_context: Callable[[str | float], _Chosen | None],
) -> "list[Explained]":
    """How it is asked, and how answers are shown."""
    table, kw = Format.TABLE.value, Units.KW.value
    return [
        _row("output", _chosen(environment, flags, "output", of_context(context.output), table), table,
             " or ".join(Format), "How data is written."),
        _row("units", _chosen(environment, flags, "units", of_context(context.units), kw), kw, " or ".join(Units),
             "What people read powers in."),
        _row("timeout", _chosen(environment, flags, "timeout", of_context(context.timeout_s), TIMEOUT_S), TIMEOUT_S,
             "a number, 0.1 to 600", "For one request.", unit="s"),
        _row("utc", _chosen(environment, flags, "utc", None, False), False, "true or false", "Times in UTC."),
        _row("color", _colour(environment, flags), True, "true or false",
             "Whether a terminal gets colours; --no-color, or NO_COLOR in the environment, takes them away.",
             variable=False),
    ]  # fmt: skip


def _row(
    key: str, chosen: _Chosen, default: _Value, allowed: str, about: str, *, unit: str = "", variable: bool = True
) -> "Explained":
    from derms.settings_explain import Explained

    value, source, origin = chosen
    return Explained(
        key=key,
        value=value,
        source=source,
        origin=origin,
        default=default,
        unit=unit,
        allowed=allowed,
        about=about,
        variables=[f"DERMS_{key.upper()}"] if variable else [],
    )


def _chosen(
    environment: Mapping[str, str], flags: Mapping[str, _Value], key: str, kept: _Chosen | None, default: _Value
) -> _Chosen:
    variable = f"DERMS_{key.upper()}"
    given = flags.get(key)
    if given is not None and str(given) != environment.get(variable):
        return given, "flag", f"--{key}"
    if environment.get(variable):
        return environment[variable], "environment", variable
    return kept or (default, "default", "")


def _token(environment: Mapping[str, str], name: str) -> _Chosen:
    if environment.get("DERMS_TOKEN"):
        return "********", "environment", "DERMS_TOKEN"
    kept = vault(environment, name)
    return (None, "default", "") if kept.read() is None else ("********", "login", kept.where)


def _colour(environment: Mapping[str, str], flags: Mapping[str, _Value]) -> _Chosen:
    if flags.get("color") is False:
        return False, "flag", "--no-color"
    if environment.get("NO_COLOR"):
        return False, "environment", "NO_COLOR"
    return (False, "environment", "TERM") if environment.get("TERM") == "dumb" else (True, "default", "")
