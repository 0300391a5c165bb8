"""Client certificates for devices, signed by a small authority of the site's own. Calls `openssl`; blocking.

The common name is the device's name, which the broker takes for its user name. Keys are made here and handed over with
the certificate; the authority's key never leaves its directory.
"""

import secrets
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from agent.credentials import write_secret
from derms.errors import ConfigError, ConflictError

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
_AUTHORITY_DAYS = 7300
DEVICE_DAYS = 825
"""How long a device's certificate is good where nothing is said [days]."""
_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """Where a device's certificate and its key are."""

    cert_file: Path
    key_file: Path


class Authority:
    """Signs devices in.

    Args:
        directory: Holds `derms.crt` and `derms.key`; made, with both, when missing.

    Raises:
        ConfigError: It cannot be used, or there is no openssl.
    """

    def __init__(self, directory: Path) -> None:
        if shutil.which("openssl") is None:
            raise ConfigError(
                "there is no openssl on this machine", why="it signs the certificates", next_step="install openssl"
            )
        self.cert_file, self._key_file = directory / "derms.crt", directory / "derms.key"
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._key_file.exists():
                self._make()
        except OSError as error:
            raise _unusable(directory, error) from error

    def sign(self, name: str, out: Path, *, days: int = DEVICE_DAYS, replace: bool = False) -> Certificate:
        """Make a key and a certificate for a device.

        Args:
            name: The device's.
            out: The directory for both.
            days: How long it is good.
            replace: Those that are there are replaced.

        Raises:
            ConflictError: There are some, and `replace` is not said.
            ConfigError: They cannot be made or written.
        """
        made = Certificate(cert_file=out / f"{name}.crt", key_file=out / f"{name}.key")
        if made.key_file.exists() and not replace:
            raise ConflictError(f"{made.key_file} exists", next_step="say --yes to replace it, or name another --out")
        with tempfile.TemporaryDirectory() as text:
            here = Path(text)
            _openssl(here, "req", *_KEY, "-keyout", "key", "-out", "request", "-subj", f"/CN={name}")
            (here / "extensions").write_text(
                "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth\n"
            )
            authority = ("-CA", str(self.cert_file.resolve()), "-CAkey", str(self._key_file.resolve()))
            serial = f"0x{secrets.token_hex(16)}"
            _openssl(
                here, "x509", "-req", "-in", "request", *authority, "-set_serial", serial, "-days", str(days),
                "-extfile", "extensions", "-out", "certificate",
            )  # fmt: skip
            try:
                out.mkdir(mode=0o700, parents=True, exist_ok=True)
                write_secret(made.key_file, (here / "key").read_bytes())
                write_secret(made.cert_file, (here / "certificate").read_bytes(), mode=0o644)
            except OSError as error:
                raise _unusable(out, error) from error
        return made

    def _make(self) -> None:
        with tempfile.TemporaryDirectory() as text:
            here = Path(text)
            _openssl(
                here, "req", "-x509", *_KEY, "-keyout", "key", "-out", "certificate", "-days", str(_AUTHORITY_DAYS),
                "-subj", "/CN=derms devices", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
            )  # fmt: skip
            write_secret(self._key_file, (here / "key").read_bytes())
            write_secret(self.cert_file, (here / "certificate").read_bytes(), mode=0o644)


def _openssl(directory: Path, *arguments: str) -> None:
    try:
        subprocess.run(
            ["openssl", *arguments], cwd=directory, check=True, capture_output=True, text=True, timeout=_TIMEOUT_S
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        said = (error.stderr or "") if isinstance(error.stderr, str) else ""
        why = said.strip().splitlines()[-1] if said.strip() else "it did not answer"
        raise ConfigError(
            f"openssl {arguments[0]} failed", why=why, next_step="look at the authority's files"
        ) from error


def _unusable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"{path} cannot be used",
        why=error.strerror or str(error),
        next_step="name a directory that you may write to",
    )
