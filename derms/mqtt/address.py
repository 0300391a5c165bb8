"""Where a broker is and how to prove who we are: the URL, the certificates, the last will.

Pure but for `tls_context`, which reads the certificate files.
"""

import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from derms.errors import ConfigError

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_HOST = re.compile(r"[A-Za-z0-9._:%-]+")
_USERINFO = re.compile(r"^([A-Za-z0-9+.-]+:/*)?.*@", re.DOTALL)
_NEXT_STEP = "write it as mqtt://host:1883 or mqtts://user:password@host:8883"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerAddress:
    """A broker and the login for it. Printing one never shows the password."""

    host: str
    """A name or an IP address, without brackets."""
    port: int
    tls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        """The URL without the login."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """PEM files for TLS. Without `ca_file` the system's authorities are trusted."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Will:
    """What the broker publishes for us when the connection ends without a goodbye."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = True


def parse_broker_url(url: str) -> BrokerAddress:
    """Read ``mqtt://[user[:password]@]host[:port]`` or ``mqtts://...``; user and password may be percent-encoded.

    Raises:
        ConfigError: It is not such a URL; the text shows the URL without its login.
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        # not chained: the standard library quotes the piece it could not read, which can be the password
        raise _wrong(url, "it cannot be read as a URL") from None
    if parts.scheme not in _PORTS:
        raise _wrong(url, "it must begin with mqtt:// or mqtts://")
    if not parts.hostname or not _HOST.fullmatch(parts.hostname):
        raise _wrong(url, "it names no valid host")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise _wrong(url, "nothing may follow the port; in a password, write / ? # @ percent-encoded")
    if port == 0:
        raise _wrong(url, "port 0 cannot be connected to")
    username = unquote(parts.username) if parts.username else None
    if parts.password and username is None:
        raise _wrong(url, "it has a password but no user name")
    return BrokerAddress(
        host=parts.hostname,
        port=port or _PORTS[parts.scheme],
        tls=parts.scheme == "mqtts",
        username=username,
        password=unquote(parts.password) if parts.password is not None else None,
    )


def _wrong(url: str, why: str) -> ConfigError:
    shown = _USERINFO.sub(r"\1***@", url)
    return ConfigError(f"not a broker URL: {shown!r}", why=why, next_step=_NEXT_STEP)


def tls_context(files: TlsFiles) -> ssl.SSLContext:
    """Load the certificates; the host name of the broker is always checked.

    Share one context among the links of a process: loading the system's authorities takes milliseconds and a
    few hundred kilobytes.

    Raises:
        ConfigError: A file cannot be read, or is not what it should be.
    """
    try:
        context = ssl.create_default_context(cafile=files.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise _bad_file(files.ca_file, "CA certificate", error) from error
    if files.key_file and not files.cert_file:
        raise ConfigError(
            f"the key {str(files.key_file)!r} has no certificate",
            why="a client key proves nothing without its certificate",
            next_step="name the certificate file too, or leave the key out",
        )
    if files.cert_file:
        try:
            # an empty password instead of a prompt on the terminal for an encrypted key
            context.load_cert_chain(files.cert_file, files.key_file, password="")
        except (OSError, ssl.SSLError) as error:
            raise _bad_file(files.cert_file, "client certificate or its key", error) from error
    return context


def _bad_file(path: Path | None, what: str, error: Exception) -> ConfigError:
    return ConfigError(
        f"the {what} {str(path)!r} cannot be used",
        why=str(error),
        next_step="name a readable PEM file; a key must not be encrypted",
    )
