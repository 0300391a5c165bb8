"""`derms context`: which controllers there are, and which one is meant."""

import os
from dataclasses import replace
from typing import Annotated

import typer

from derms.cli.contexts import (
    Context,
    Contexts,
    checked_name,
    config_file,
    forget_tokens,
    read_contexts,
    read_tokens,
    token_file,
    write_contexts,
)
from derms.cli.formats import Column, Format, Listing, written
from derms.cli.terminal import here
from derms.errors import ConflictError, UsageError

app = typer.Typer(help="Choose between controllers.", no_args_is_help=True, rich_markup_mode=None)

_Output = Annotated[Format, typer.Option("-o", "--output", help="table, json, yaml, csv or name.")]
_Name = Annotated[str, typer.Argument(help="The context's name.")]


@app.command("list")
def list_(output: _Output = Format.TABLE) -> None:
    """List the contexts; a star marks the current one."""
    contexts = _read()
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
            Column(name="user", title="USER", value=_user),
        ],
        name=lambda one: one.name,
    )  # fmt: skip
    typer.echo(written(listing, output, here()), nl=False)


@app.command()
def use(name: _Name) -> None:
    """Make a context the current one."""
    contexts = _read()
    contexts.named(name)
    write_contexts(config_file(os.environ), replace(contexts, current=name))
    typer.echo(f"{name} is the current context", err=True)


@app.command("set")
def set_(
    name: _Name,
    url: Annotated[str | None, typer.Option(help="Where its API is, https://host:port.")] = None,
    ca_file: Annotated[str | None, typer.Option(help="PEM of a certificate authority to trust.")] = None,
    feeder: Annotated[str | None, typer.Option(help="Meant where a command names no feeder.")] = None,
) -> None:
    """Make a context, or change one; what is not given stays as it is."""
    contexts = _read()
    before = contexts.known.get(checked_name(name), Context(name=name))
    given = {"url": url, "ca_file": ca_file, "feeder": feeder}
    context = replace(before, **{key: value for key, value in given.items() if value is not None})
    if not context.url.startswith(("http://", "https://")) or "@" in context.url:
        raise UsageError(
            f"the URL is {context.url!r}",
            why="it is http:// or https://, host and port, without a user",
            next_step="write it like https://derms.example:8080",
        )
    write_contexts(config_file(os.environ), contexts.with_one(context))
    typer.echo(f"{name} is {context.url}", err=True)


@app.command()
def delete(
    name: _Name, yes: Annotated[bool, typer.Option("--yes", help="Even the current one, without asking.")] = False
) -> None:
    """Forget a context, and the token that was kept for it."""
    contexts = _read()
    contexts.named(name)
    if name == contexts.current and not yes:
        raise ConflictError(
            f"{name} is the current context",
            why="commands without --context mean it",
            next_step="say --yes to forget it",
        )
    write_contexts(config_file(os.environ), contexts.without(name))
    forget_tokens(token_file(os.environ, name))
    typer.echo(f"{name} is forgotten", err=True)


def _read() -> Contexts:
    return read_contexts(config_file(os.environ))


def _user(context: Context) -> str | None:
    kept = read_tokens(token_file(os.environ, context.name))
    return kept.username if kept is not None and kept.url == context.url else None
