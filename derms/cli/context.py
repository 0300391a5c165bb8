"""`derms context`: which controllers there are, and which one is meant."""

import os
from dataclasses import replace
from typing import Annotated, Any

import typer

from derms.cli.formats import Column, Format, Listing, written
from derms.cli.names import Kind, names_of
from derms.cli.nouns import Noun
from derms.wording.values import Units

app = Noun(
    "Choose between controllers.",
    "derms context set plant --url https://derms.example:8080",
    "derms context use plant",
)

_Output = Annotated[
    Format, typer.Option("-o", "--output", envvar="DERMS_OUTPUT", help="How data is written.")
]  # fmt: skip
_Json = Annotated[bool, typer.Option("--json", help="The same as -o json.")]
_Name = Annotated[str, typer.Argument(help="The context's name.", autocompletion=names_of(Kind.CONTEXT))]


@app.command("list")
def list_(output: _Output = Format.TABLE, json: _Json = False) -> None:
    r"""List the contexts; a star marks the current one.

    \b
    Examples:
      derms context list
      derms context list -o name
    """
    from derms.cli.contexts import Context, known_contexts
    from derms.cli.terminal import here
    from derms.cli.tokens import vault

    contexts = known_contexts(os.environ)

    def user(context: Context) -> str | None:
        kept = vault(os.environ, context.name).read()
        return kept.username if kept is not None and kept.url == context.url else None

    rows = sorted({"default": contexts.named("default"), **contexts.known}.values(), key=lambda one: one.name)
    listing = Listing(
        kind="contexts",
        rows=rows,
        columns=[
            Column(name="current", title="", value=lambda one: one.name == contexts.current,
                   shown=lambda one: "*" if one.name == contexts.current else ""),
            Column(name="name", title="NAME", value=lambda one: one.name),
            Column(name="url", title="URL", value=lambda one: one.url),
            Column(name="feeder", title="FEEDER", value=lambda one: one.feeder or None),
            Column(name="user", title="USER", value=user),
            Column(name="from", title="FROM", value=lambda one: contexts.origin(one.name)),
        ],
        name=lambda one: one.name,
    )  # fmt: skip
    typer.echo(written(listing, Format.JSON if json else output, here()), nl=False)


@app.command()
def use(name: _Name) -> None:
    r"""Make a context the current one.

    \b
    Examples:
      derms context use plant
      derms context use default
    """
    from derms.cli.contexts import config_file, known_contexts, read_contexts, write_contexts

    known_contexts(os.environ).named(name)
    write_contexts(config_file(os.environ), replace(read_contexts(config_file(os.environ)), current=name))
    typer.echo(f"{name} is the current context", err=True)


@app.command("set")
def set_(
    name: _Name,
    url: Annotated[str | None, typer.Option(help="Where its API is, https://host:port.")] = None,
    ca_file: Annotated[str | None, typer.Option(help="PEM of a certificate authority to trust.")] = None,
    feeder: Annotated[
        str | None,
        typer.Option(help="Meant where a command names no feeder.", autocompletion=names_of(Kind.FEEDER)),
    ] = None,
    output: Annotated[Format | None, typer.Option("-o", "--output", help="How data is written there.")] = None,
    units: Annotated[Units | None, typer.Option(help="What people read powers in there.")] = None,
    timeout: Annotated[
        float | None, typer.Option(help="For one request there [s]; 0: as everywhere.", min=0.0, max=600.0)
    ] = None,
) -> None:
    r"""Make a context, or change one; what is not given stays as it is.

    \b
    Examples:
      derms context set plant --url https://derms.example:8080 --ca-file ca.pem
      derms context set plant --feeder feeder-1 --units w
    """
    from derms.cli.contexts import Context, checked_name, config_file, known_contexts, read_contexts, write_contexts
    from derms.errors import UsageError

    before = known_contexts(os.environ).known.get(checked_name(name), Context(name=name))
    given: dict[str, Any] = {
        "url": url,
        "ca_file": None if not ca_file else os.path.abspath(ca_file),
        "feeder": feeder,
        "output": output and output.value,
        "units": units and units.value,
        "timeout_s": timeout,
    }
    context = replace(before, **{key: value for key, value in given.items() if value is not None})
    if not context.url.startswith(("http://", "https://")) or "@" in context.url:
        raise UsageError(
            f"the URL is {context.url!r}",
            why="it is http:// or https://, host and port, without a user",
            next_step="write it like https://derms.example:8080",
        )
    path = config_file(os.environ)
    write_contexts(path, read_contexts(path).with_one(replace(context, url=context.url.rstrip("/"))))
    typer.echo(f"{name} is {context.url}", err=True)


@app.command()
def delete(
    name: _Name, yes: Annotated[bool, typer.Option("--yes", help="Even the current one, without asking.")] = False
) -> None:
    r"""Forget a context, and the token that was kept for it.

    \b
    Examples:
      derms context delete lab
      derms context delete plant --yes
    """
    from derms.cli.contexts import config_file, known_contexts, read_contexts, write_contexts
    from derms.cli.tokens import vault
    from derms.errors import ConflictError

    contexts = known_contexts(os.environ)
    contexts.named(name)
    if name in contexts.of_machine:
        raise ConflictError(
            f"{name} is a context of this machine",
            why="it stands in a file of the system, not in yours",
            next_step="set another of that name, or ask whoever keeps the machine",
        )
    if name == contexts.current and not yes:
        raise ConflictError(
            f"{name} is the current context",
            why="commands without --context mean it",
            next_step="say --yes to forget it",
        )
    path = config_file(os.environ)
    write_contexts(path, read_contexts(path).without(name))
    vault(os.environ, name).forget()
    typer.echo(f"{name} is forgotten", err=True)
