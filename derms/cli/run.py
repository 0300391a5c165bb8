"""One run of a command: which controller is meant, and how it is spoken to."""

import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from derms.cli.formats import Format, Listing, one, written
from derms.cli.output import write_no_more
from derms.cli.shared import Shared
from derms.cli.terminal import Terminal, here, printable
from derms.errors import ConfigError, DermsError, UsageError
from derms.wording.values import Units

if TYPE_CHECKING:
    import ssl
    from datetime import datetime

    import msgspec

    from derms.cli.contexts import Context
    from derms.cli.tokens import Tokens, Vault
    from derms.client import ApiClient, Exchange

T = TypeVar("T")

TIMEOUT_S = 10.0
"""For one request, unless told otherwise [s]."""

_COMMANDS = {"POST /api/auth/login": "`derms login`", "GET /api/devices": "`derms device list`"}
"""What an answer of the API tells to do next -> the command that does it."""


@dataclass(slots=True, kw_only=True)
class Run:
    """One run of a command."""

    shared: Shared
    terminal: Terminal
    context: "Context"
    origin: str
    """Who chose the context's URL: `flag`, `environment`, `context`, `system` or `default`."""
    dry: bool = False
    """Nothing is to be done; `confirm` says what would be."""
    again: bool = False
    """It is one picture of many: JSON stands on one line, and what is written goes to `picture`."""
    picture: list[str] = field(default_factory=list)

    @property
    def format(self) -> Format:
        """How data is written."""
        if self.shared.json:
            return Format.JSON
        return self.shared.output or Format(self.context.output or Format.TABLE)

    @property
    def timeout_s(self) -> float:
        """For one request [s]."""
        return self.shared.timeout or self.context.timeout_s or TIMEOUT_S

    @property
    def now(self) -> "datetime":
        """This instant."""
        from datetime import UTC, datetime

        return datetime.now(UTC)

    def rows(self, listing: Listing[T]) -> None:
        """Write rows to stdout; where there are none, people are told so on stderr."""
        if not listing.rows and self.format is Format.TABLE:
            self.say(listing.nothing)
        self.write(written(listing, self.format, self.terminal, line=self.again))

    def thing(self, value: "msgspec.Struct", name: str, lines: Callable[[], str]) -> None:
        """Write one thing to stdout."""
        self.write(one(value, self.format, name, lambda: printable(lines(), self.terminal), line=self.again))

    def made(self, value: "msgspec.Struct", name: str, *, id_only: bool) -> None:
        """Write something that was created: to people its id alone."""
        if id_only:
            self.write(f"{name}\n")
        else:
            self.thing(value, name, lambda: f"{name}\n")

    def write(self, text: str) -> None:
        """Data, to stdout; at once, because a command may go on for minutes."""
        if self.again:
            self.picture.append(text)
            return
        if self.terminal.looks and not self.shared.no_pager and text.count("\n") >= self.terminal.lines:
            from derms.cli.pager import paged

            if paged(text):
                return
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError:
            write_no_more()  # the command itself goes on

    def say(self, text: str) -> None:
        """Narration, to stderr."""
        if not self.shared.quiet:
            typer.echo(printable(text, self.terminal), err=True)

    def local(self, at: "datetime | None") -> str:
        """An instant as this user reads it."""
        from derms.wording.instants import local

        return "-" if at is None else local(at, utc=self.shared.utc)

    def power(self, kw: float | None, digits: int = 1) -> str:
        """A power as this user reads it, with its unit."""
        return self.terminal.power(kw, digits)

    def plain(self) -> Terminal:
        """This terminal without colours."""
        return replace(self.terminal, colour=False)

    def confirm(self, question: str, *, yes: bool) -> bool:
        """Ask before something is done that others will feel.

        Returns:
            Whether to go on; false for a dry run, which has said what would be done.

        Raises:
            UsageError: Nobody can answer, or the answer is no.
        """
        if self.dry:
            would = question.rstrip("?")
            self.say(f"dry run: would {would[:1].lower()}{would[1:]} at {self.context.name} {self.context.url}")
            return False
        if yes:
            return True
        if not self.terminal.asks:
            raise UsageError(
                "this needs a yes", why=f"{question} Nobody can be asked here", next_step="say --yes if it is meant"
            )
        if not typer.confirm(f"[{self.context.name} {self.context.url}] {question}", default=False, err=True):
            raise typer.Abort
        return True

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

        told: dict[str, Any] = {"timeout_s": self.timeout_s, "tls": _trusting(self.context.ca_file)}
        if self.shared.verbose:
            told["on_exchange"] = self._tell
        given = os.environ.get("DERMS_TOKEN") or None
        kept = None if anonymous or given else self.tokens()
        if kept is not None:
            client: ApiClient = KeptClient(kept, self.vault, **told)
        else:
            client = ApiClient(self.context.url, token=None if anonymous else given, **told)
        try:
            async with client:
                yield client
        except DermsError as error:
            for call, command in _COMMANDS.items():
                error.next_step = error.next_step.replace(call, command)
            raise

    @property
    def vault(self) -> "Vault":
        """Where this context's tokens are kept."""
        from derms.cli.tokens import vault

        return vault(os.environ, self.context.name)

    def tokens(self) -> "Tokens | None":
        """What the last login to this controller gave; a token for another one is never sent here."""
        kept = self.vault.read()
        return kept if kept is not None and kept.url == self.context.url else None

    def _tell(self, exchange: "Exchange") -> None:
        status = "no answer" if exchange.status is None else exchange.status
        more = f", {exchange.received} bytes, request {exchange.request_id}" if self.shared.verbose > 1 else ""
        typer.echo(f"{exchange.method} {exchange.path} {status} {1000 * exchange.took_s:.0f} ms{more}", err=True)


def run_of(shared: Shared) -> Run:
    """Find out which controller is meant: flag, then environment, then the current context, then the default."""
    from derms.cli.contexts import known_contexts

    contexts = known_contexts(os.environ)
    context = contexts.named(shared.context or contexts.current)
    origin = contexts.origin(context.name)
    if shared.url:
        origin = "environment" if os.environ.get("DERMS_URL") == shared.url else "flag"
        context = replace(context, url=shared.url.rstrip("/"))
    terminal = replace(
        here(no_color=shared.no_color, ascii_only=shared.ascii, no_input=shared.no_input),
        watts=(shared.units or context.units or Units.KW) == Units.W,
    )
    return Run(shared=shared, terminal=terminal, context=context, origin=origin)


def _trusting(ca_file: str) -> "ssl.SSLContext | None":
    if not ca_file:
        return None
    import ssl

    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise ConfigError(
            f"the certificate authority {ca_file} cannot be read",
            why=str(error),
            next_step="correct it with `derms context set --ca-file`",
        ) from error
