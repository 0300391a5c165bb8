"""What every command that asks a controller has in common: its options, its context, its output.

A command is written as ``async def devices(run: Run, ...)``; `asking` makes of it what Typer takes, with the shared
options after its own.
"""

import asyncio
import contextlib
import functools
import inspect
import os
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from derms.cli.contexts import Context, Tokens, config_file, read_contexts, read_tokens, token_file
from derms.cli.formats import Format, Listing, one, written
from derms.cli.output import write_no_more
from derms.cli.terminal import Terminal, here, printable
from derms.errors import ConfigError, DermsError, UsageError
from derms.wording.instants import local

if TYPE_CHECKING:
    import msgspec

    from derms.client import ApiClient

T = TypeVar("T")

_COMMANDS = {"POST /api/auth/login": "`derms login`", "GET /api/devices": "`derms device list`"}
"""What an answer of the API tells to do next -> the command that does it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """The options that every such command takes."""

    context: Annotated[
        str | None, typer.Option("--context", envvar="DERMS_CONTEXT", help="Which controller; see `derms context`.")
    ] = None
    url: Annotated[str | None, typer.Option("--url", envvar="DERMS_URL", help="Its URL, whatever the context.")] = None
    output: Annotated[
        Format, typer.Option("-o", "--output", envvar="DERMS_OUTPUT", help="table, json, yaml, csv or name.")
    ] = Format.TABLE
    json: Annotated[bool, typer.Option("--json", help="The same as -o json.")] = False
    timeout: Annotated[float, typer.Option("--timeout", help="For one request [s].", min=0.1, max=600.0)] = 10.0
    utc: Annotated[bool, typer.Option("--utc", help="Times in UTC.")] = False
    no_color: Annotated[bool, typer.Option("--no-color", help="No colours.")] = False
    ascii: Annotated[bool, typer.Option("--ascii", help="Nothing beyond ASCII.")] = False
    no_input: Annotated[bool, typer.Option("--no-input", help="Never ask; fail instead.")] = False
    no_progress: Annotated[bool, typer.Option("--no-progress", help="No progress bar.")] = False
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No narration on stderr.")] = False
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from, and its request.")] = False


@dataclass(slots=True, kw_only=True)
class Run:
    """One run of a command."""

    shared: Shared
    terminal: Terminal
    context: Context
    origin: str
    """Who chose the context's URL: `flag`, `environment`, `context` or `default`."""

    @property
    def format(self) -> Format:
        """How data is written."""
        return Format.JSON if self.shared.json else self.shared.output

    @property
    def now(self) -> datetime:
        """This instant."""
        return datetime.now(UTC)

    def rows(self, listing: Listing[T]) -> None:
        """Write rows to stdout; where there are none, people are told so on stderr."""
        if not listing.rows and self.format is Format.TABLE:
            self.say(listing.nothing)
        self.write(written(listing, self.format, self.terminal))

    def thing(self, value: "msgspec.Struct", name: str, lines: Callable[[], str]) -> None:
        """Write one thing to stdout."""
        self.write(one(value, self.format, name, lambda: printable(lines(), self.terminal)))

    def write(self, text: str) -> None:
        """Data, to stdout; at once, because a command may go on for minutes."""
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError:
            write_no_more()  # the command itself goes on

    def say(self, text: str) -> None:
        """Narration, to stderr."""
        if not self.shared.quiet:
            typer.echo(printable(text, self.terminal), err=True)

    def local(self, at: datetime | None) -> str:
        """An instant as this user reads it."""
        return "-" if at is None else local(at, utc=self.shared.utc)

    def plain(self) -> Terminal:
        """This terminal without colours."""
        return replace(self.terminal, colour=False)

    def confirm(self, question: str, *, yes: bool) -> None:
        """Ask before something is done that cannot be taken back.

        Raises:
            UsageError: Nobody can answer, or the answer is no.
        """
        if yes:
            return
        if not self.terminal.asks:
            raise UsageError(
                "this needs a yes", why=f"{question} Nobody can be asked here", next_step="say --yes if it is meant"
            )
        if not typer.confirm(f"[{self.context.name} {self.context.url}] {question}", default=False, err=True):
            raise typer.Abort

    @contextlib.asynccontextmanager
    async def client(self, *, anonymous: bool = False) -> AsyncIterator["ApiClient"]:
        """The controller, asked with the token that the last login left.

        Args:
            anonymous: Without one.

        Raises:
            DermsError: As the client says.
        """
        from derms.cli.kept import KeptClient
        from derms.client import ApiClient

        timeout_s, tls = self.shared.timeout, _trusting(self.context.ca_file)
        given = os.environ.get("DERMS_TOKEN") or None
        kept = None if anonymous or given else self.tokens()
        if kept is not None:
            client: ApiClient = KeptClient(kept, self.token_file, timeout_s=timeout_s, tls=tls)
        else:
            token = None if anonymous else given
            client = ApiClient(self.context.url, token=token, timeout_s=timeout_s, tls=tls)
        try:
            async with client:
                yield client
        except DermsError as error:
            for call, command in _COMMANDS.items():
                error.next_step = error.next_step.replace(call, command)
            raise

    @property
    def token_file(self) -> Path:
        """Where this context's tokens are kept."""
        return token_file(os.environ, self.context.name)

    def tokens(self) -> Tokens | None:
        """What the last login to this controller gave; a token for another one is never sent here."""
        kept = read_tokens(self.token_file)
        return kept if kept is not None and kept.url == self.context.url else None


def asking(command: Callable[..., Awaitable[T]]) -> Callable[..., T]:
    """Make a coroutine that takes a `Run` into a command.

    Args:
        command: Its first parameter is the run; the others are Typer's.
    """
    signature = inspect.signature(command, eval_str=True)
    own = list(signature.parameters.values())[1:]
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=each.default, annotation=each.annotation)
        for name, each in inspect.signature(Shared, eval_str=True).parameters.items()
    ]
    names = [each.name for each in shared]

    @functools.wraps(command)
    def wrapped(**given: Any) -> T:
        options = Shared(**{name: given.pop(name) for name in names})
        return asyncio.run(_awaited(command(run_of(options), **given)))

    own = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own]
    wrapped.__signature__ = signature.replace(parameters=[*own, *shared])  # type: ignore[attr-defined]
    wrapped.__annotations__ = {each.name: each.annotation for each in (*own, *shared)}
    return wrapped


async def _awaited(result: Awaitable[T]) -> T:
    return await result


def run_of(shared: Shared) -> Run:
    """Find out which controller is meant: flag, then environment, then the current context, then the default."""
    contexts = read_contexts(config_file(os.environ))
    context = contexts.named(shared.context or contexts.current)
    origin = "context" if context.name in contexts.known else "default"
    if shared.url:
        origin = "environment" if os.environ.get("DERMS_URL") == shared.url else "flag"
        context = Context(name=context.name, url=shared.url, ca_file=context.ca_file, feeder=context.feeder)
    terminal = here(no_color=shared.no_color, ascii_only=shared.ascii, no_input=shared.no_input)
    return Run(shared=shared, terminal=terminal, context=context, origin=origin)


def _trusting(ca_file: str) -> ssl.SSLContext | None:
    if not ca_file:
        return None
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise ConfigError(
            f"the certificate authority {ca_file} cannot be read",
            why=str(error),
            next_step="correct it with `derms context set --ca-file`",
        ) from error
