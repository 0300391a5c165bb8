"""`derms help`."""

from typing import Annotated

import typer

from derms.cli.names import Kind, names_of
from derms.errors import NotFoundError


def help_(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TOPIC | COMMAND...]", help="Left out: list them.", autocompletion=names_of(Kind.TOPIC)
        ),
    ] = None,
) -> None:
    r"""Explain a topic, or a command.

    \b
    Examples:
      derms help times
      derms help dr create
    """
    from derms.cli.terminal import here, printable
    from derms.cli.topics import topics

    known = topics()
    if not words:
        width = max(map(len, known))
        listed = "".join(f"  {name:<{width}}  {topic.title}\n" for name, topic in known.items())
        typer.echo(f"Topics:\n{listed}\nderms help TOPIC explains one, derms help COMMAND a command.")
    elif len(words) == 1 and words[0] in known:
        typer.echo(printable(known[words[0]].text, here()), nl=False)
    else:
        _of_command(words)


def _of_command(words: list[str]) -> None:
    from typer.core import TyperCommand, TyperGroup

    from derms.cli import app
    from derms.cli.topics import topics

    command: TyperCommand | TyperGroup | None = typer.main.get_command(app)  # type: ignore[assignment]
    assert isinstance(command, TyperGroup)
    context = typer.Context(command, info_name="derms")
    for word in words:
        found = command.get_command(context, word) if isinstance(command, TyperGroup) else None
        if not isinstance(found, TyperCommand | TyperGroup):
            raise NotFoundError(
                f"there is neither a topic nor a command {' '.join(words)!r}",
                why=f"topics are {', '.join(topics())}",
                next_step="see `derms -h` for the commands",
            )
        command, context = found, typer.Context(found, parent=context, info_name=word)
    assert command is not None
    typer.echo(command.get_help(context))
