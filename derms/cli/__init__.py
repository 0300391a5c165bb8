"""The command line. Heavy imports stay inside the commands, so that `derms --version` is quick."""

import sys
from typing import Annotated

import typer

from derms.cli import agent, bench, cosim, demo, serve, sim, token

app = typer.Typer(
    name="derms",
    help="Keep a feeder within its power limit: solar, batteries and EV chargers over MQTT.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("serve")(serve.serve)
app.command("demo")(demo.demo)
app.command("cosim")(cosim.cosim)
app.command("token")(token.token)
app.add_typer(agent.app, name="agent")
app.add_typer(bench.app, name="bench")
app.add_typer(sim.app, name="sim")


def _version(wanted: bool) -> None:
    if wanted:
        from derms import __version__

        typer.echo(f"derms {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Keep a feeder within its power limit: solar, batteries and EV chargers over MQTT."""


def main() -> None:
    """Run the command line and exit with its code."""
    from derms.cli.output import exit_code_of

    sys.exit(exit_code_of(lambda: app(standalone_mode=False)))
