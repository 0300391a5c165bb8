"""Backups: PostgreSQL's own `pg_dump`, and back through `pg_restore` and `psql` in one transaction.

Rules:
    - A backup file is whole or not there: it is written beside its place, read once, synced and renamed.
    - A restore is done as a whole or not at all: `COMMIT` is only sent after the last line of a good dump.
    - A password is in the environment of these programs, never among their words, where others could see it.
"""

import asyncio
import contextlib
import os
import re
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from derms.errors import ConfigError, ConflictError, StoreError, UsageError
from derms.store.link import Link
from derms.store.migrate import MIGRATION_LOCK
from derms.store.place import find_install
from derms.store.schema import load_migrations, pending

_CHECK_S = 30.0
_CHUNK = 1 << 16
_DEBIAN = Path("/usr/lib/postgresql")
_MAGIC = b"PGDMP"
"""How a dump in the custom format begins."""

_EMPTY = """
SELECT count(*) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname NOT IN ('pg_catalog', 'information_schema') AND nspname NOT LIKE 'pg_toast%'
  AND nspname NOT LIKE 'pg_temp%' AND relkind IN ('r', 'p', 'v', 'm', 'f')
"""
_REFUSE_FULL = f"""
DO $$ BEGIN IF ({_EMPTY.strip()}) > 0 THEN RAISE EXCEPTION 'the database is not empty any more'; END IF; END $$;
"""
_CLEAR = "DROP SCHEMA public CASCADE; CREATE SCHEMA public;"


@dataclass(frozen=True, slots=True)
class Tools:
    """PostgreSQL's programs of one release."""

    directory: Path
    major: int


async def find_tools(server_major: int) -> Tools:
    """Find `pg_dump` and its like, as new as the server at least: the wheel's, then `PATH`, then Debian's directories.

    Raises:
        ConfigError: There are none, or all of them are older.
    """
    found: list[Tools] = []
    for directory in _directories():
        if all((directory / name).is_file() for name in ("pg_dump", "pg_restore", "psql")):
            tools = Tools(directory, await _major(directory / "pg_dump"))
            if tools.major >= server_major:
                return tools
            found.append(tools)
    seen = ", ".join(f"{one.major} in {one.directory}" for one in found) or "none"
    raise ConfigError(
        f"there is no pg_dump for PostgreSQL {server_major} here",
        why=f"it must not be older than the server; found: {seen}",
        next_step=f"install postgresql-client-{server_major} or newer, or put its directory on PATH",
    )


async def dump(link: Link, url: str, file: Path) -> None:
    """Write a backup to a file; one that is there is replaced.

    Raises:
        ConfigError: There is no fitting pg_dump, or the file cannot be written.
        StoreError: It failed; nothing is left.
    """
    tools = await find_tools(await server_major(link))
    await _refuse_hypertables(link)
    part = file.with_name(f".{file.name}.{secrets.token_hex(6)}")
    try:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        await _run(tools, "pg_dump", [*_DUMP_WORDS, f"--file={part}"], url)
        await _run(tools, "pg_restore", ["--list", "--file=/dev/null", str(part)], None)
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.replace(file)
        _sync_directory(file.parent)
    except OSError as error:
        raise ConfigError(
            f"the backup {file} cannot be written", why=error.strerror or str(error), next_step="choose another place"
        ) from error
    finally:
        part.unlink(missing_ok=True)


async def dump_to(link: Link, url: str, out: IO[bytes]) -> None:
    """Write a backup to a stream.

    Raises:
        ConfigError: There is no fitting pg_dump.
        StoreError: It failed; what was written is no backup.
    """
    tools = await find_tools(await server_major(link))
    await _refuse_hypertables(link)
    await _run(tools, "pg_dump", _DUMP_WORDS, url, out=out)


_DUMP_WORDS = ["--format=custom", "--no-owner", "--no-privileges", "--no-password"]


async def restore(link: Link, url: str, file: Path, *, replace: bool) -> int:
    """Put a backup into a database.

    Args:
        link: The database.
        url: Its URL.
        file: The backup.
        replace: Remove everything that is in the database first, in the same transaction.

    Returns:
        The version of its schema.

    Raises:
        UsageError: The file is no backup of this program.
        ConfigError: The backup is newer than this program, or there is no fitting pg_restore.
        ConflictError: There is something in the database, or a daemon uses it.
        StoreError: It failed; the database is as it was.
    """
    with _opened(file) as head:
        if head.read(len(_MAGIC)) != _MAGIC:
            raise UsageError(
                f"{file} is no backup", why="it is not in pg_dump's custom format", next_step="name another file"
            )
    tools = await find_tools(await server_major(link))
    applied = await _applied_in(tools, file)
    pending(applied, load_migrations())
    async with link.use(_CHECK_S) as connection:
        [others] = await (await connection.execute(_OTHERS.encode())).fetchone() or [0]
        if others:
            raise ConflictError(
                "a daemon is connected to the database",
                why="what it knows would not be what is stored",
                next_step="stop `derms serve`, restore, and start it again",
            )
        [tables] = await (await connection.execute(_EMPTY.encode())).fetchone() or [0]
        if tables and not replace:
            raise ConflictError(
                f"the database {link.where} has {tables} tables",
                why="a backup is restored into an empty one",
                next_step="make another database, or say --replace to lose everything that is in this one",
            )
    await _replay(tools, url, file, replace=replace)
    return max(applied)


_OTHERS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'derms' AND pid <> pg_backend_pid()
"""


async def server_major(link: Link) -> int:
    """The server's release."""
    async with link.use(_CHECK_S) as connection:
        return connection.info.server_version // 10_000


async def _applied_in(tools: Tools, file: Path) -> dict[int, str]:
    """The migrations that a backup's schema has: number -> checksum."""
    words = ["--data-only", "--table=schema_migrations", "--file=-", str(file)]
    text = (await _run(tools, "pg_restore", words, None)).decode(errors="replace")
    _, _, rows = text.partition("COPY public.schema_migrations ")
    head, _, body = rows.partition("\n")
    names = [name.strip() for name in head.partition("(")[2].partition(")")[0].split(",")]
    applied = {}
    for line in body.split("\n\\.", 1)[0].splitlines():
        row = dict(zip(names, line.split("\t"), strict=False))
        if row.get("number", "").isdigit():
            applied[int(row["number"])] = row.get("checksum", "")
    if not applied:
        raise UsageError(
            f"{file} is no backup of this program", why="it has no schema_migrations", next_step="name another file"
        )
    return applied


async def _replay(tools: Tools, url: str, file: Path, *, replace: bool) -> None:
    """Let psql run what pg_restore says, and commit only when both were content to the end."""
    words = ["--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1", "--output=/dev/null", "--file=-"]
    begin = f"BEGIN; SET LOCAL statement_timeout = 0; SELECT pg_advisory_xact_lock({MIGRATION_LOCK});\n"
    begin += _CLEAR if replace else _REFUSE_FULL
    async with (
        _started(tools, "psql", words, url, stdin=asyncio.subprocess.PIPE) as psql,
        _started(tools, "pg_restore", ["--no-owner", "--no-privileges", "--file=-", str(file)], None) as source,
    ):
        assert psql.stdin is not None
        assert source.stdout is not None
        assert source.stderr is not None
        assert psql.stderr is not None
        said = asyncio.create_task(psql.stderr.read(), name="psql-stderr")
        complained = asyncio.create_task(source.stderr.read(), name="pg_restore-stderr")
        with contextlib.suppress(ConnectionError):  # psql met an error, and says which
            psql.stdin.write(f"{begin}\n".encode())
            while chunk := await source.stdout.read(_CHUNK):
                psql.stdin.write(chunk)
                await psql.stdin.drain()
            if await source.wait() == 0:
                psql.stdin.write(b"\nCOMMIT;\n")
                await psql.stdin.drain()
        psql.stdin.close()
        if source.stdout.at_eof() and await source.wait() != 0:
            raise _failure("pg_restore", await complained)
        code = await psql.wait()
        if code != 0:
            raise _failure("psql", await said)
        await asyncio.wait([said, complained])


async def _refuse_hypertables(link: Link) -> None:
    async with link.use(_CHECK_S) as connection:
        rows = await connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'")
        if await rows.fetchone() is not None:
            raise ConfigError(
                "the database is TimescaleDB's",
                why="its chunks come back only by its own procedure, which this program does not follow",
                next_step="back it up as TimescaleDB's manual says (pg_dump, timescaledb_pre_restore)",
            )


async def _major(binary: Path) -> int:
    process = await asyncio.create_subprocess_exec(
        binary, "--version", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    out, _ = await process.communicate()
    found = re.search(rb"\(PostgreSQL\) (\d+)", out)
    return int(found[1]) if found else 0


def _directories() -> Iterator[Path]:
    with contextlib.suppress(ConfigError):
        yield find_install() / "bin"
    if (on_path := shutil.which("pg_dump")) is not None:
        yield Path(on_path).parent
    yield from sorted(_DEBIAN.glob("*/bin"), reverse=True)


async def _run(tools: Tools, name: str, words: list[str], url: str | None, *, out: IO[bytes] | None = None) -> bytes:
    async with _started(tools, name, words, url, out=out) as process:
        told, said = await process.communicate()
        if process.returncode != 0:
            raise _failure(name, said)
        return told or b""


@contextlib.asynccontextmanager
async def _started(
    tools: Tools,
    name: str,
    words: list[str],
    url: str | None,
    *,
    stdin: int = asyncio.subprocess.DEVNULL,
    out: IO[bytes] | None = None,
) -> AsyncIterator[asyncio.subprocess.Process]:
    """One of the programs; it ends with the body, whatever ends that."""
    database, secret = _split(url) if url is not None else ("", {})
    process = await asyncio.create_subprocess_exec(
        tools.directory / name,
        *words,
        *([f"--dbname={database}"] if database else []),
        stdin=stdin,
        stdout=asyncio.subprocess.PIPE if out is None else out,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.defpath, "HOME": os.environ.get("HOME", "/"), "LC_ALL": "C", **_libpq(), **secret},
        umask=0o077,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _libpq() -> dict[str, str]:
    """What the environment says of the server, as it counts for every other connection to it."""
    return {name: value for name, value in os.environ.items() if name.startswith("PG") and name != "PGOPTIONS"}


def _split(url: str) -> tuple[str, Mapping[str, str]]:
    """What may be seen of a URL, and its password."""
    parts = conninfo_to_dict(url)
    password = parts.pop("password", None)
    seen = make_conninfo("", **parts)
    return seen, {} if password is None else {"PGPASSWORD": str(password)}


def _failure(name: str, said: bytes) -> StoreError:
    lines = [line for line in said.decode(errors="replace").splitlines() if line.strip()]
    why = next(
        (line for line in lines if "ERROR" in line or "error:" in line), lines[0] if lines else "it said nothing"
    )
    return StoreError(f"{name} failed", why=why.strip()[:300], next_step="correct that, and try again")


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[IO[bytes]]:
    try:
        opened = file.open("rb")
    except OSError as error:
        raise UsageError(
            f"{file} cannot be read", why=error.strerror or str(error), next_step="name another file"
        ) from error
    with opened:
        yield opened


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
