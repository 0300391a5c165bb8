"""The options that every command takes which asks a controller."""

from dataclasses import dataclass, fields
from typing import Annotated

import typer

from derms.cli.formats import Format
from derms.cli.names import Kind, names_of
from derms.wording.values import Units


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """The options that every such command takes."""

    context: Annotated[
        str | None,
        typer.Option(
            "--context",
            envvar="DERMS_CONTEXT",
            help="Which controller; see `derms context`.",
            autocompletion=names_of(Kind.CONTEXT),
        ),
    ] = None
    url: Annotated[str | None, typer.Option("--url", envvar="DERMS_URL", help="Its URL, whatever the context.")] = None
    output: Annotated[
        Format | None,
        typer.Option(
            "-o", "--output", envvar="DERMS_OUTPUT", help="How data is written; table, unless the context says another."
        ),
    ] = None
    json: Annotated[bool, typer.Option("--json", help="The same as -o json.")] = False
    units: Annotated[
        Units | None,
        typer.Option("--units", envvar="DERMS_UNITS", help="What people read powers in; kw unless told."),
    ] = None
    timeout: Annotated[
        float | None,
        typer.Option("--timeout", envvar="DERMS_TIMEOUT", help="For one request [s]; 10 unless told.", min=0.1,
                     max=600.0),
    ] = None  # fmt: skip
    utc: Annotated[bool, typer.Option("--utc", envvar="DERMS_UTC", help="Times in UTC.")] = False
    no_color: Annotated[bool, typer.Option("--no-color", help="No colours.")] = False
    ascii: Annotated[bool, typer.Option("--ascii", help="Nothing beyond ASCII.")] = False
    no_input: Annotated[bool, typer.Option("--no-input", help="Never ask; fail instead.")] = False
    no_progress: Annotated[bool, typer.Option("--no-progress", help="No progress bar.")] = False
    no_pager: Annotated[bool, typer.Option("--no-pager", help="Long lists at once, without a pager.")] = False
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No narration on stderr.")] = False
    verbose: Annotated[
        int,
        typer.Option(
            "-v",
            "--verbose",
            count=True,
            show_default=False,
            help="Each request on stderr; -vv its answer's size and id.",
        ),
    ] = 0
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from, and its request.")] = False


Watch = Annotated[
    str | None,
    typer.Option(
        "-w", "--watch", metavar="[INTERVAL]", help="Again and again until Ctrl-C, every 2 s unless told otherwise."
    ),
]
"""The option of commands that only read."""

SHARED_NAMES = frozenset({each.name for each in fields(Shared)} | {"watch"})
"""Of parameters that stand last in a command's help."""
