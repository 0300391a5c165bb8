"""`derms serve` as a process of its own, started as a user would, to be measured from outside."""

import asyncio
import contextlib
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from derms.auth import KeyRing, Tokens
from derms.bench.served import free_port
from derms.errors import UnavailableError
from derms.model import Role
from derms.runtime import SystemClock

_READY_S = 60.0
_END_S = 20.0
_ASK_EVERY_S = 0.005
_KEPT = ("PATH", "PYTHONPATH", "VIRTUAL_ENV", "TMPDIR")
_REQUEST = b"GET /api/ready HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """A `derms serve` that is ready."""

    pid: int
    api_url: str
    token: str
    """Of an operator."""
    ready_s: float
    """From starting the process until `GET /api/ready` answered 200 [s]."""

    @property
    def memory_mb(self) -> float:
        """What the process itself holds in memory, without its database and broker [MB of 1e6 bytes]."""
        return resident_mb(Path(f"/proc/{self.pid}/status").read_text(encoding="ascii"))

    @property
    def used_s(self) -> float:
        """The processor's time that the process has taken [s]."""
        words = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.asynccontextmanager
async def daemon(home: Path, **settings: object) -> AsyncIterator[Daemon]:
    """Run one.

    Args:
        home: Its user's home; what it keeps is there, unless the settings say another place.
        settings: By their names; a port of the API is chosen.

    Raises:
        UnavailableError: It does not become ready.
    """
    secret, port = random.SystemRandom().randbytes(32).hex(), free_port()
    given = {"data_dir": home / "data", "state_dir": home / "state", "jwt_secret": secret, "api_port": port} | settings
    log = home / "serve.log"
    with log.open("ab") as said:
        began_s = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "derms", "serve", stdin=asyncio.subprocess.DEVNULL, stdout=said, stderr=said,
            cwd=home, env=_environment(home, given),
        )  # fmt: skip
    try:
        await _until_ready(process, port, log)
        yield Daemon(
            pid=process.pid,
            api_url=f"http://127.0.0.1:{port}",
            token=Tokens(KeyRing(secret), SystemClock()).issue("bench", Role.OPERATOR, ttl_s=24 * 3600.0).token,
            ready_s=time.monotonic() - began_s,
        )
    finally:
        await ended(process)


def resident_mb(status: str) -> float:
    """What `/proc/PID/status` says of the memory that a process holds [MB of 1e6 bytes]."""
    for line in status.splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise UnavailableError("the process holds no memory", why="it has ended", next_step="see what it logged")


async def ended(process: asyncio.subprocess.Process) -> None:
    """Ask a process to end, and make it end when it does not."""
    if process.returncode is None:
        process.terminate()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _END_S)
    if process.returncode is None:
        process.kill()
        await process.wait()


def _environment(home: Path, settings: Mapping[str, object]) -> dict[str, str]:
    """That of a user without settings of their own."""
    kept = {name: value for name, value in os.environ.items() if name in _KEPT}
    told = {f"DERMS_{name.upper()}": str(value) for name, value in settings.items()}
    return kept | {"HOME": str(home), "LANG": "C.UTF-8"} | told


async def _until_ready(process: asyncio.subprocess.Process, port: int, log: Path) -> None:
    deadline_s = time.monotonic() + _READY_S
    while not await _ready(port):
        if process.returncode is not None or time.monotonic() > deadline_s:
            raise UnavailableError("`derms serve` does not become ready", why=_last_line(log))
        await asyncio.sleep(_ASK_EVERY_S)


def _last_line(log: Path) -> str:
    return (log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["it said nothing"])[-1]


async def _ready(port: int) -> bool:
    with contextlib.suppress(OSError):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(_REQUEST)
            return (await reader.readline()).split()[1:2] == [b"200"]
        finally:
            writer.close()
    return False
