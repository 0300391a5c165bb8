"""A primary and a standby of PostgreSQL, with passwords and synchronous streaming replication."""

import os
import shutil
import subprocess
from pathlib import Path

import psycopg

from tests.docs.terminals import programs_path
from tests.faults.cluster import free_port
from tests.processes import eventually

_AS_ROOT = os.geteuid() == 0
# As root PostgreSQL does not run.
_USER, _GROUP = ("nobody", "nogroup") if _AS_ROOT else (None, None)


class Server:
    """One of the two; ended by its own id.

    Args:
        directory: Where it lies; it is made.
        port: On which it listens, on loopback.
    """

    def __init__(self, directory: Path, port: int) -> None:
        self.directory, self.port = directory, port
        self._process: subprocess.Popen[bytes] | None = None

    def tool(self, program: str, *words: str, **environment: str) -> None:
        """Run one of PostgreSQL's programs as the account that it runs as."""
        done = subprocess.run(
            [program, *words], env=_environment() | environment, capture_output=True, text=True, timeout=60,
            check=False, cwd="/", user=_USER, group=_GROUP,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self.directory.parent / f"{self.directory.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                ["postgres", "-D", self.directory, "-p", str(self.port), "-h", "127.0.0.1", "-k", ""],
                env=_environment(), stdout=log, stderr=log, cwd="/", user=_USER, group=_GROUP,
            )  # fmt: skip
        ready = ["pg_isready", "-h", "127.0.0.1", "-p", str(self.port)]
        eventually(
            lambda: subprocess.run(ready, env=_environment(), capture_output=True, check=False).returncode == 0,
            "it answers",
        )

    def kill(self) -> None:
        """Kill -9 its first process, upon which the others end too."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def promote(self) -> None:
        """Let a standby take writes."""
        self.tool("pg_ctl", "promote", "-D", str(self.directory), "-w")


class Pair:
    """A primary that waits with each commit for its standby.

    Args:
        directory: A directory that any account may walk to.
    """

    def __init__(self, directory: Path) -> None:
        self.password = "first-password"
        self.primary = Server(_made(directory / "a"), free_port())
        self.standby = Server(_made(directory / "b"), free_port())
        secret = directory / "password"
        secret.write_text(self.password)
        secret.chmod(0o644)
        self.primary.tool("initdb", "-D", str(self.primary.directory), "-U", "derms", "-A", "scram-sha-256",
                          f"--pwfile={secret}", "--no-sync", "-E", "UTF8", "--locale=C")  # fmt: skip
        self.primary.start()
        self.say(self.primary, "CREATE DATABASE derms")
        source = ("-h", "127.0.0.1", "-p", str(self.primary.port), "-U", "derms")
        how = ("-D", str(self.standby.directory), "-R", "-c", "fast", "-X", "stream")
        self.standby.tool("pg_basebackup", *source, *how, PGPASSWORD=self.password)
        self.standby.start()
        self.say(self.primary, "ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.say(self.primary, "SELECT pg_reload_conf()")
        eventually(
            lambda: self.say(self.primary, "SELECT sync_state FROM pg_stat_replication") == [("sync",)],
            "it is followed",
        )

    @property
    def url(self) -> str:
        """Of both, as docs/operations.md has it; without the password."""
        hosts = f"127.0.0.1:{self.primary.port},127.0.0.1:{self.standby.port}"
        return f"postgresql://derms:{self.password}@{hosts}/derms?target_session_attrs=read-write&connect_timeout=2"

    def say(self, server: Server, statement: str) -> list[tuple[object, ...]]:
        """Tell one of them something."""
        database = "postgres" if statement.startswith(("CREATE DATABASE", "ALTER SYSTEM")) else "derms"
        where = f"host=127.0.0.1 port={server.port} user=derms dbname={database} password={self.password}"
        with psycopg.connect(where, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def close(self) -> None:
        for server in (self.standby, self.primary):
            server.kill()


def _environment() -> dict[str, str]:
    return {"PATH": programs_path(), "LC_ALL": "C.UTF-8"}


def _made(directory: Path) -> Path:
    directory.mkdir(mode=0o700)
    if _USER is not None:
        shutil.chown(directory, _USER, _GROUP)
    return directory
