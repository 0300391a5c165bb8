"""`derms db`: the database of the daemon, on its own machine."""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from derms.cli.formats import Column, Format, Listing, written
from derms.cli.local import local, working_on
from derms.cli.nouns import Noun
from derms.cli.run import Run
from derms.errors import UsageError

if TYPE_CHECKING:
    from derms.store.reach import Reached

app = Noun(
    "Look after the daemon's database, on its own machine.",
    "derms db status",
    "derms db backup derms.dump",
)

_Config = Annotated[Path | None, typer.Option(help="TOML file with settings.")]
_DataDir = Annotated[Path | None, typer.Option(help="Directory of the embedded database.")]
_StateDir = Annotated[Path | None, typer.Option(help="Directory of the spool and the token secret.")]
_Url = Annotated[str | None, typer.Option(help="PostgreSQL; without one the embedded server is meant.")]
_Yes = Annotated[bool, typer.Option("--yes", help="Without asking.")]
_File = Annotated[str, typer.Argument(help="A file, or - for a pipe.")]


class TableOut(msgspec.Struct, frozen=True, kw_only=True):
    """One table."""

    name: str
    rows: int
    """An estimate."""
    bytes: int
    partitions: int


class StatusOut(msgspec.Struct, frozen=True, kw_only=True):
    """What is in the database."""

    database: str
    server_version: str
    schema_version: int
    pending: list[str]
    bytes: int
    oldest_sample: datetime | None
    newest_sample: datetime | None
    packed_until: datetime | None
    """Samples before it are packed, but for late ones."""
    dropped_until: datetime | None
    """Samples before it are gone: their retention is over."""
    touched_minutes: int
    """Of so many minutes buckets are still to be made."""
    tables: list[TableOut]


class MigrationOut(msgspec.Struct, frozen=True, kw_only=True):
    """One migration."""

    name: str
    state: str
    """`applied` or `pending`."""


class BackupOut(msgspec.Struct, frozen=True, kw_only=True):
    """A backup, written or put back."""

    file: str
    bytes: int
    schema_version: int


@app.command()
@local
async def status(
    run: Run, config: _Config = None, data_dir: _DataDir = None, state_dir: _StateDir = None, database_url: _Url = None
) -> None:
    r"""Show versions, pending migrations, sizes, about how many rows, and from when to when there are samples.

    \b
    Examples:
      derms db status
      derms db status --database-url postgresql://derms@db.example/derms -o json
    """
    from derms.store.survey import survey

    async with _database(config, data_dir, state_dir, database_url, create=False) as database:
        found = await survey(database.link)
        out = StatusOut(
            database=database.link.where,
            server_version=found.server_version,
            schema_version=found.schema_version,
            pending=list(found.pending),
            bytes=found.bytes,
            oldest_sample=found.oldest_sample,
            newest_sample=found.newest_sample,
            packed_until=found.packed_until,
            dropped_until=found.dropped_until,
            touched_minutes=found.touched_minutes,
            tables=[
                TableOut(name=one.name, rows=one.rows, bytes=one.bytes, partitions=one.partitions)
                for one in found.tables
            ],
        )
    run.thing(out, out.database, lambda: _status_lines(run, out))


@app.command()
@local
async def migrate(
    run: Run,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be applied.")] = False,
    config: _Config = None,
    data_dir: _DataDir = None,
    state_dir: _StateDir = None,
    database_url: _Url = None,
) -> None:
    r"""Bring the schema to this program's version, under a lock; `derms serve` does it by itself at its start.

    \b
    Examples:
      derms db migrate --dry-run
      derms db migrate --config /etc/derms/config.toml
    """
    from derms.store.migrate import migrate as apply
    from derms.store.survey import still_pending

    async with _database(config, data_dir, state_dir, database_url, create=not dry_run) as database:
        if dry_run:
            names = [one.name for one in await still_pending(database.link)]
        else:
            names = await apply(database.link)
    rows = [MigrationOut(name=name, state="pending" if dry_run else "applied") for name in names]
    columns: list[Column[MigrationOut]] = [
        Column(name="name", title="MIGRATION", value=lambda one: one.name),
        Column(name="state", title="STATE", value=lambda one: one.state),
    ]
    run.rows(
        Listing(
            kind="migrations", rows=rows, columns=columns, name=lambda one: one.name, nothing="the schema is up to date"
        )
    )


@app.command()
@local
async def backup(
    run: Run,
    file: _File,
    yes: _Yes = False,
    config: _Config = None,
    data_dir: _DataDir = None,
    state_dir: _StateDir = None,
    database_url: _Url = None,
) -> None:
    r"""Write everything that is stored to a file, in pg_dump's custom format; the daemon may go on meanwhile.

    The file is whole or not there, and only its owner may read it: it holds hashes of passwords.

    \b
    Examples:
      derms db backup /backup/derms-$(date +%F).dump
      derms db backup - | ssh other 'cat > derms.dump'
    """
    from derms.store.dump import dump, dump_to
    from derms.store.survey import survey

    path = _target(run, file, yes=yes)
    async with _database(config, data_dir, state_dir, database_url, create=False) as database:
        version = (await survey(database.link)).schema_version
        run.say(f"Backing up {database.link.where}, schema {version} ...")
        if path is None:
            sys.stdout.flush()
            await dump_to(database.link, database.url, sys.stdout.buffer)
            return
        await dump(database.link, database.url, path)
    out = BackupOut(file=file, bytes=_bytes(path), schema_version=version)
    run.thing(out, file, lambda: f"{file}: {_size(out.bytes)}, schema {version}\n")


@app.command()
@local
async def restore(
    run: Run,
    file: _File,
    replace: Annotated[
        bool, typer.Option("--replace", help="Remove everything that is in the database first.")
    ] = False,
    yes: _Yes = False,
    config: _Config = None,
    data_dir: _DataDir = None,
    state_dir: _StateDir = None,
    database_url: _Url = None,
) -> None:
    r"""Put a backup into an empty database, as a whole or not at all; no daemon may use it meanwhile.

    \b
    Examples:
      derms db restore derms.dump --yes
      derms db restore derms.dump --replace
    """
    from derms.store.dump import restore as put_back

    async with _database(config, data_dir, state_dir, database_url, create=True) as database:
        working_on(run, "database", database.link.where)
        with _seekable(file) as path:
            what = "Lose everything in it and restore" if replace else "Restore"
            run.confirm(f"{what} {file}?", yes=yes)
            run.say(f"Restoring {file} into {database.link.where} ...")
            version = await put_back(database.link, database.url, path, replace=replace)
            out = BackupOut(file=file, bytes=_bytes(path), schema_version=version)
    run.thing(out, file, lambda: f"{file}: restored, schema {version}\n")


@contextlib.asynccontextmanager
async def _database(
    config: Path | None, data_dir: Path | None, state_dir: Path | None, url: str | None, *, create: bool
) -> "AsyncIterator[Reached]":
    """The database that `derms serve` would use with these settings."""
    import random

    from derms.runtime import SystemClock
    from derms.settings_load import load_settings
    from derms.store.place import default_data_dir
    from derms.store.reach import reached

    settings = load_settings(config=config, data_dir=data_dir, state_dir=state_dir, database_url=url)
    directory = settings.data_dir or default_data_dir(os.environ, os.geteuid())
    async with reached(
        settings.database_url, directory, create=create, clock=SystemClock(), rng=random.Random()
    ) as database:
        yield database


def _target(run: Run, file: str, *, yes: bool) -> Path | None:
    """Where a backup goes; None: to stdout."""
    if file == "-":
        if sys.stdout.isatty():
            raise UsageError(
                "a backup is not for a terminal", why="it is binary", next_step="name a file, or send it through a pipe"
            )
        return None
    path = Path(file)
    if path.is_dir() or not path.parent.is_dir():
        what = f"{file} is a directory" if path.is_dir() else f"there is no directory {path.parent}"
        raise UsageError(what, why="a backup is one file", next_step="name a file in a directory that is there")
    if path.exists():
        run.confirm(f"{file} exists. Replace it?", yes=yes)
    return path


def _bytes(path: Path) -> int:
    return path.stat().st_size


@contextlib.contextmanager
def _seekable(file: str) -> Iterator[Path]:
    """The file; from a pipe it is kept first, for it is read twice."""
    if file != "-":
        yield Path(file)
        return
    with tempfile.NamedTemporaryFile(prefix="derms-restore-") as kept:  # made 0600
        shutil.copyfileobj(sys.stdin.buffer, kept)
        kept.flush()
        yield Path(kept.name)


def _status_lines(run: Run, out: StatusOut) -> str:
    columns: list[Column[TableOut]] = [
        Column(name="name", title="TABLE", value=lambda one: one.name),
        Column(name="rows", title="ROWS (about)", value=lambda one: one.rows),
        Column(name="bytes", title="SIZE", value=lambda one: one.bytes, shown=lambda one: _size(one.bytes)),
        Column(name="partitions", title="PARTITIONS", value=lambda one: one.partitions),
    ]
    tables = Listing(kind="tables", rows=out.tables, columns=columns, name=lambda one: one.name)
    lines = [
        f"database    {out.database}, {_size(out.bytes)}",
        f"server      PostgreSQL {out.server_version}",
        f"schema      {out.schema_version}"
        + (f"; pending: {', '.join(out.pending)}" if out.pending else ", up to date"),
        f"samples     {run.local(out.oldest_sample)} to {run.local(out.newest_sample)}"
        if out.newest_sample is not None
        else "samples     none",
        "packed      " + ("none yet" if out.packed_until is None else f"until {run.local(out.packed_until)}"),
        f"buckets     {out.touched_minutes} minutes to be made"
        + ("" if out.dropped_until is None else f"; samples dropped until {run.local(out.dropped_until)}"),
    ]
    # The text is checked as a whole, so that colours of the table's own would not pass.
    return "\n".join(lines) + "\n\n" + written(tables, Format.TABLE, run.plain())


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000.0:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000.0
    return f"{size:.1f} TB"
