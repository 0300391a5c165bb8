"""The command line. Heavy imports stay inside the commands, so that `derms --version` is quick."""

import sys
from typing import Annotated

import typer

from derms.cli import (
    agent,
    alarm,
    audit,
    bench,
    context,
    cosim,
    demo,
    device,
    dr,
    feeder,
    history,
    login,
    program,
    serve,
    sim,
    token,
    tracking,
    tui,
    user,
)

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
app.command("tui")(tui.tui)
app.command("cosim")(cosim.cosim)
app.command("token")(token.token)
app.command("login")(login.login)
app.command("logout")(login.logout)
app.command("whoami")(login.whoami)
app.command("status")(feeder.status)
app.command("why")(device.why)
app.command("tracking-error")(tracking.tracking_error)
app.command("audit")(audit.audit)
feeder.app.command("history")(history.feeder_history)
device.app.command("telemetry")(history.device_telemetry)
app.add_typer(feeder.app, name="feeder")
app.add_typer(device.app, name="device")
app.add_typer(dr.app, name="dr")
app.add_typer(program.app, name="program")
app.add_typer(alarm.app, name="alarm")
app.add_typer(user.app, name="user")
app.add_typer(context.app, name="context")
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

    # Looked for here, because what is wrong may be the words themselves.
    debug = "--debug" in sys.argv[1:]
    sys.exit(exit_code_of(lambda: app(standalone_mode=False, prog_name="derms"), debug=debug))
