"""Where the API listens, looked at before it does; loads nothing of the API."""

import errno
import socket
import ssl
from pathlib import Path

from derms.errors import AddressInUseError, ConfigError


def ensure_port_free(host: str, port: int) -> None:
    """Look whether the API's port can be had, before anything else is started.

    Raises:
        AddressInUseError: The port is taken.
        ConfigError: The address cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise listen_error(error, host, port) from error


def listen_error(error: OSError | UnicodeError, host: str, port: int) -> AddressInUseError | ConfigError:
    """Why an address cannot be listened on."""
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EADDRINUSE:
        return AddressInUseError(
            f"{host}:{port} is in use",
            why="another program listens there, perhaps a second `derms serve`",
            next_step="stop it, or set DERMS_API_PORT to a free port",
        )
    if number == errno.EACCES:
        return ConfigError(
            f"{host}:{port} may not be listened on",
            why="ports below 1024 need a privilege this process has not",
            next_step="set DERMS_API_PORT to 1024 or more",
        )
    why = error.strerror or str(error) if isinstance(error, socket.gaierror) else "it is no address of this machine"
    return ConfigError(f"{host}:{port} cannot be listened on", why=why, next_step="correct DERMS_API_HOST")


def tls_context(cert_file: Path, key_file: Path) -> ssl.SSLContext:
    """TLS for the server, 1.2 or newer.

    Raises:
        ConfigError: A file cannot be read, or the two do not belong together.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # A password callback, because without one OpenSSL asks for it on the terminal and the daemon hangs.
        context.load_cert_chain(cert_file, key_file, password=lambda: "")
    except OSError as error:
        raise ConfigError(
            f"the API's certificate {cert_file} or its key {key_file} cannot be used",
            why=str(error),
            next_step="correct DERMS_API_TLS_CERT_FILE and DERMS_API_TLS_KEY_FILE (PEM, no passphrase)",
        ) from error
    return context
