"""One owner a directory, and no server without one.

A server that an earlier owner left behind is found, and stopped before another one starts. It is found by what runs
on the directory (`/proc/<pid>/cwd`), not by `postmaster.pid` alone: after a crash that file may name a process that is
gone, or one that has nothing to do with it. Where there is no `/proc`, PostgreSQL's own checks are what is left.
"""

import asyncio
import contextlib
import ctypes
import fcntl
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from derms.errors import ConflictError

_log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold a directory by its lock file; the kernel lets go when this process ends, however it ends.

    Raises:
        ConflictError: Another process holds it.
    """
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise ConflictError(
                f"the database directory {path.parent} is in use",
                why=f"process {file.read().strip() or 'unknown'} holds it",
                next_step="stop that process, or choose another data directory",
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def dies_with_owner() -> Callable[[], None] | None:
    """Make what a child does before it becomes the server: ask the kernel for SIGINT when its parent dies.

    Returns:
        None: this system cannot do it.
    """
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl  # looked up here: between fork and exec there must be no loading
    owner = os.getpid()

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGINT), 0, 0, 0)
        if os.getppid() != owner:  # it died before it could be asked
            os._exit(1)

    return ask


async def stop_servers_on(cluster: Path, *, patience_s: float = 10.0) -> None:
    """Stop every PostgreSQL process on a directory, and clear a pid file that names a stranger.

    The caller holds the directory's lock, so nobody else can mean to use what is found.

    Args:
        cluster: The server's data directory.
        patience_s: How long each of the two signals may take.

    Raises:
        ConflictError: A process does not go.
    """
    for number in (signal.SIGINT, signal.SIGQUIT):
        found = await asyncio.to_thread(_processes_on, cluster)
        if not found:
            break
        head = _named_pid(cluster)
        _log.warning("stopping a database server left behind", extra={"pids": found, "signal": number.name})
        # Children of a living server are its own business; children without one leave by themselves, or are told to.
        for pid in [head] if head in found else found if number is signal.SIGQUIT else []:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await _until_gone(cluster)
    found = await asyncio.to_thread(_processes_on, cluster)
    if found:
        raise ConflictError(
            f"a database server still runs on {cluster}",
            why=f"the processes {found} did not stop when told to",
            next_step="end them, then start again",
        )
    await asyncio.to_thread(_clear_strangers_pid, cluster)


async def _until_gone(cluster: Path) -> None:
    found = await asyncio.to_thread(_processes_on, cluster)
    while found:  # they are not our children: there is nothing to wait for but their absence
        await asyncio.sleep(0.05)
        found = await asyncio.to_thread(_processes_on, cluster)


def _clear_strangers_pid(cluster: Path) -> None:
    """Forget a pid that now belongs to another program: PostgreSQL would refuse to start because of it."""
    named = _named_pid(cluster)
    if named is not None and Path("/proc", str(named)).exists():
        (cluster / "postmaster.pid").unlink(missing_ok=True)


def _named_pid(cluster: Path) -> int | None:
    try:
        return int((cluster / "postmaster.pid").read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None


def _processes_on(cluster: Path) -> list[int]:
    try:
        here = cluster.stat()
        numbers = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    except FileNotFoundError:
        return []
    found = []
    for pid in numbers:
        try:
            cwd = Path(f"/proc/{pid}/cwd").stat()
            binary = Path(f"/proc/{pid}/exe").readlink().name
        except OSError:  # it is gone, or it is somebody else's
            continue
        if (cwd.st_dev, cwd.st_ino) == (here.st_dev, here.st_ino) and binary.startswith("postgres"):
            found.append(pid)
    return found
