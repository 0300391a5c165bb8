"""The tree of commands: groups that know their commands by name and load none of them before it is asked for.

`derms --help` is then as quick as Python itself allows, and a command pays for its own imports only.
"""

import importlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from derms.cli.coercing import lighten

F = TypeVar("F", bound=Callable[..., Any])

MORE = "Topics: `derms help`. The API: /api/docs of a controller, http://127.0.0.1:8080/api/docs unless told."
"""The last line of every help."""


class Formatter(Protocol):
    """What Typer writes a help with."""

    def write_text(self, text: str) -> None:
        """A paragraph, wrapped."""

    def write_paragraph(self) -> None:
        """An empty line, unless there is nothing yet."""

    def write_dl(self, rows: Sequence[tuple[str, str]]) -> None:
        """Two columns."""

    def section(self, name: str) -> Any:
        """A heading, as a context."""


class Word(NamedTuple):
    """A command or a group that is loaded when it is asked for."""

    where: str
    """`module:attribute`, below `derms.cli`."""
    what: str
    """What the list of commands says of it; a test holds it to what the command itself says."""


class _LightHelp:
    """Help that costs nothing unless it is asked for."""

    def get_help_option(self, ctx: typer.Context) -> TyperOption | None:
        """As Typer's, without its validator."""
        option: TyperOption | None = super().get_help_option(ctx)  # type: ignore[misc]
        if option is not None:
            lighten(option)
        return option


class Group(_LightHelp, TyperGroup):  # type: ignore[misc]
    """A group of commands."""


class Command(_LightHelp, TyperCommand):  # type: ignore[misc]
    r"""A command, in whose help the options that it shares with others come last.

    What stands below a line of `\\b` in its docstring is shown as it is written there.
    """

    def __init__(self, name: str | None, *, help: str | None = None, **said: Any) -> None:
        super().__init__(name, help=_as_written(help), **said)
        for each in self.params:
            if isinstance(each, TyperOption | TyperArgument):
                lighten(each)

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """As Typer's; what is wrong knows in which command it was."""
        try:
            return super().parse_args(ctx, args)
        except typer.TyperException as error:
            if getattr(error, "ctx", None) is None:
                error.ctx = ctx  # type: ignore[attr-defined]
            raise

    def format_options(self, ctx: typer.Context, formatter: Formatter) -> None:  # type: ignore[override]
        """Arguments, own options, shared options."""
        from derms.cli.shared import SHARED_NAMES

        parts: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": [], "Options of many commands": []}
        for each in self.get_params(ctx):
            record = each.get_help_record(ctx)
            if record is not None:
                shared = each.name in SHARED_NAMES or each.name == "help"
                own = "Arguments" if each.param_type_name == "argument" else "Options"
                parts["Options of many commands" if shared else own].append(record)
        for heading, records in parts.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)

    def format_epilog(self, ctx: typer.Context, formatter: Formatter) -> None:  # type: ignore[override]
        """Where there is more to read."""
        formatter.write_paragraph()
        formatter.write_text(MORE)


def _as_written(help: str | None) -> str | None:
    """What Typer marks with the character itself, which no docstring should hold."""
    return None if help is None else help.replace("\\b\n", "\b\n")


class Noun(typer.Typer):
    """A group of commands around one noun.

    Args:
        what: A sentence about it.
        examples: Lines that are worth a try.
    """

    def __init__(self, what: str, *examples: str) -> None:
        lines = "".join(f"\n  {line}" for line in examples)
        super().__init__(
            cls=Group,
            help=f"{what}\n\n\b\nExamples:{lines}" if examples else what,
            no_args_is_help=True,
            rich_markup_mode=None,
            add_completion=False,
            pretty_exceptions_enable=False,
            epilog=MORE,
        )

    def command(self, name: str | None = None, **said: Any) -> Callable[[F], F]:
        """As Typer's, for commands of this kind."""
        return super().command(name, **{"cls": Command, **said})


def made(found: object, name: str) -> TyperCommand | TyperGroup:
    """The command, or the group, that a module's attribute stands for.

    Args:
        found: A `Typer`, or a function.
        name: What it is called on the command line.
    """
    command: object
    if isinstance(found, typer.Typer):
        command = typer.main.get_group(found)  # a group of one command is still a group
    else:
        assert callable(found)
        alone = Noun("")
        alone.command(name)(found)
        command = typer.main.get_command(alone)
    assert isinstance(command, TyperCommand | TyperGroup)
    command.name = name
    return command


class Root(Group):
    """The root: every word is known, and loaded when it is asked for."""

    words: dict[str, Word]

    def __init__(self, *, help: str | None = None, **said: Any) -> None:
        super().__init__(help=_as_written(help), **said)
        for each in self.params:
            if isinstance(each, TyperOption):
                lighten(each)

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """All words, in their order."""
        return list(self.words)

    def get_command(self, ctx: typer.Context | None, cmd_name: str) -> TyperCommand | TyperGroup | None:  # type: ignore[override]
        """Load one."""
        if cmd_name not in self.words:
            return None
        if cmd_name not in self.commands:
            module, _, attribute = self.words[cmd_name].where.partition(":")
            found = getattr(importlib.import_module(f"derms.cli.{module}"), attribute)
            self.commands[cmd_name] = made(found, cmd_name)
        command = self.commands[cmd_name]
        assert isinstance(command, TyperCommand | TyperGroup)
        return command

    def format_commands(self, ctx: typer.Context, formatter: Formatter) -> None:  # type: ignore[override]
        """Without loading any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, word.what) for name, word in self.words.items()])

    def resolve_command(self, ctx: typer.Context, args: list[str]) -> Any:  # type: ignore[override]
        """With a guess at what was meant."""
        from difflib import get_close_matches

        name = args[0]
        if name not in self.words and not name.startswith("-"):
            near = get_close_matches(name, self.words)
            meant = f". Did you mean {', '.join(map(repr, near))}?" if near else "."
            ctx.fail(f"No such command {name!r}{meant}")
        return super().resolve_command(ctx, args)
