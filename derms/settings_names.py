"""The names a setting goes by in the environment, and the URLs made of the predecessor's parts. Pure."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import quote, urlsplit

ENV_PREFIX = "DERMS_"

CLIENTS = frozenset(
    f"DERMS_{name}" for name in ("URL", "CONTEXT", "TOKEN", "OUTPUT", "UNITS", "TIMEOUT", "UTC", "KEYRING", "PAGER")
)
"""Variables of the commands that ask a controller; they are no settings of the daemon's, and not wrong."""

ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "JWT_SECRET": "jwt_secret",
        "AUTH_USERS": "auth_users",
        "JWT_TOKEN_TTL_HOURS": "token_ttl_h",
        "MQTT_TOPIC_PREFIX": "topic_prefix",
        "MQTT_USERNAME": "mqtt_username",
        "MQTT_PASSWORD": "mqtt_password",
        "CONTROL_INTERVAL_SECONDS": "control_interval_s",
        "FEEDER_DEFAULT_LIMIT_KW": "feeder_import_limit_kw",
        "DEFAULT_FEEDER_ID": "feeder_id",
        "LOG_LEVEL": "log_level",
        "LOG_PRETTY": "log_pretty",
        "TLS_ENABLED": "api_tls_enabled",
        "TLS_KEY_PATH": "api_tls_key_file",
        "TLS_CERT_PATH": "api_tls_cert_file",
        "PROMETHEUS_ENABLED": "prometheus_enabled",
        "PORT": "api_port",
        "ALERT_WEBHOOK_URL": "alert_webhook_url",
    }
)
"""The predecessor's name of a setting -> ours."""

COMPOSED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "database_url": ("DB_HOST", "DB_PORT", "DB_USER", "DB_PASSWORD", "DB_NAME"),
        "mqtt_url": ("MQTT_HOST", "MQTT_PORT"),
    }
)
"""Our setting -> the predecessor's names it is made of; the first, the host, decides whether it is made at all."""

_PASSWORD_IN_QUERY = re.compile(r"((?:^|&)[^=&]*(?:password|secret|token)[^=&]*=)[^&]*", re.IGNORECASE)
_BEGINS_AS_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_PASSWORD_IN_WORDS = re.compile(r"(password\s*=\s*).*", re.IGNORECASE | re.DOTALL)
"""In ``host=h password=p``, as PostgreSQL's own tools take it and people therefore try; it may hold blanks."""


@dataclass(frozen=True, slots=True)
class Named:
    """A value found under a name."""

    value: str
    name: str
    """As it stands in the environment or in `.env`."""


def names_of(field: str) -> list[str]:
    """Every name of a setting in the environment, ours first."""
    legacy = [name for name, target in ALIASES.items() if target == field]
    return [ENV_PREFIX + field.upper(), *legacy, *COMPOSED.get(field, ())]


def resolve_names(
    environment: Mapping[str, str | None], dotenv: Mapping[str, str | None], fields: Iterable[str]
) -> dict[str, Named]:
    """Find the settings in the environment and in `.env`.

    Args:
        environment: All variables of the process; they beat those of `dotenv`.
        dotenv: All variables of the file.
        fields: The names of all settings.

    Returns:
        By setting what was found. An unknown ``DERMS_`` name stands there under itself, for the model to refuse.
    """
    there = {name: value for name, value in {**dotenv, **environment}.items() if value}
    found: dict[str, Named] = {}
    for field, parts in COMPOSED.items():
        if parts[0] in there:
            found[field] = Named(_compose(field, there), parts[0])
    found |= {field: Named(there[name], name) for name, field in ALIASES.items() if name in there}
    ours = {ENV_PREFIX + field.upper(): field for field in fields}
    for name, value in there.items():
        if name.startswith(ENV_PREFIX) and name not in CLIENTS:
            found[ours.get(name, name)] = Named(value, name)
    return found


def _compose(field: str, there: Mapping[str, str]) -> str:
    if field == "mqtt_url":
        return f"mqtt://{_host(there['MQTT_HOST'])}:{there.get('MQTT_PORT', '1883')}"
    user = quote(there.get("DB_USER", ""), safe="")
    if "DB_PASSWORD" in there:
        user += ":" + quote(there["DB_PASSWORD"], safe="")
    name = quote(there.get("DB_NAME", ""), safe="")
    return f"postgresql://{user + '@' if user else ''}{_host(there['DB_HOST'])}:{there.get('DB_PORT', '5432')}/{name}"


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else quote(host, safe="[]:%")


def mask_url(url: str) -> str:
    """The URL, or what was given for one, without its password, fit to be printed."""
    if not _BEGINS_AS_URL.match(url):
        url = _PASSWORD_IN_WORDS.sub(r"\g<1>********", url)
    scheme, separator, rest = url.partition("://") if "://" in url else ("", "", url)
    cut = min((i for i in (rest.find(c) for c in "/?#") if i >= 0), default=len(rest))
    # An unencoded "/" or "?" in a password ends the authority early: then everything up to the last "@" is suspect.
    if rest.rfind("@") > cut:
        cut = rest.rfind("@") + 1
    authority, tail = rest[:cut], rest[cut:]
    if "@" in authority:
        user, _, host = authority.rpartition("@")
        authority = f"{user.partition(':')[0]}{':********' if ':' in user else ''}@{host}"
    path, mark, query = tail.partition("?")
    masked = _PASSWORD_IN_QUERY.sub(r"\g<1>********", query)
    return f"{scheme}{separator}{authority}{path}{mark}{masked}"


def each_host(url: str) -> list[str]:
    """The URL once for each of its hosts: PostgreSQL's may name several, with commas between, and a port of each."""
    scheme, separator, rest = url.partition("://")
    authority, tail = re.split(r"(?=[/?#])", rest, maxsplit=1) if re.search(r"[/?#]", rest) else (rest, "")
    login, at, hosts = authority.rpartition("@")
    return [f"{scheme}{separator}{login}{at}{host}{tail}" for host in hosts.split(",")]


def check_url(url: str, schemes: tuple[str, ...], example: str, *, host_needed: bool) -> str:
    """Accept a URL of one of the schemes.

    Raises:
        ValueError: Its text says what is wrong, never the password.
    """
    hint = f"write it like {example}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        # `from None`: the parser's error repeats the URL, password included.
        raise ValueError(f"host and port cannot be read; {hint}, special characters percent-encoded") from None
    if parts.scheme not in schemes:
        raise ValueError(f"the scheme must be {' or '.join(f'{scheme}://' for scheme in schemes)}; {hint}")
    if host_needed and not parts.hostname:
        raise ValueError(f"the host is missing; {hint}")
    if port == 0:
        raise ValueError(f"the port must be 1..65535; {hint}")
    if any(c.isspace() or not c.isprintable() for c in url):
        raise ValueError(f"it holds a blank or a control character; {hint}, special characters percent-encoded")
    return url
