"""The command line. Every command is loaded when it is asked for, so that `derms --help` is quick."""

import sys
from typing import Annotated

import typer
from typer.core import TyperGroup

from derms.cli.nouns import MORE, Root, Word


class _Derms(Root):
    """The words behind `derms`."""

    words = {  # noqa: RUF012 -- Typer makes the group, so it cannot be given to it
        "serve": Word("serve:serve", "Run the controller until SIGTERM or Ctrl-C."),
        "demo": Word("demo:demo", "Run a whole controlled feeder here, simulated devices and all."),
        "tui": Word("tui:tui", "Watch and run the feeders on one live screen."),
        "status": Word("status:status", "One screen: the controller's parts, its feeders, its alarms."),
        "login": Word("login:login", "Log in, and keep the token for the commands to come."),
        "logout": Word("login:logout", "End the login on the controller, and forget its token."),
        "whoami": Word("login:whoami", "Show who you are to the controller."),
        "feeder": Word("feeder:app", "See and change feeders."),
        "device": Word("device:app", "See and change devices."),
        "why": Word("device:why", "Say why a device has the setpoint it has."),
        "tracking-error": Word("tracking:tracking_error", "Show how well devices follow their setpoints."),
        "dr": Word("dr:app", "Demand-response events."),
        "program": Word("program:app", "Demand-response programs."),
        "alarm": Word("alarm:app", "See what is not normal, and say that you know."),
        "audit": Word("audit:audit", "Show who did what, the newest first."),
        "user": Word("user:app", "Who may log in."),
        "doctor": Word("doctor:doctor", "Check the whole way from this terminal to the controller."),
        "config": Word("config:app", "See and check settings."),
        "db": Word("db:app", "Look after the daemon's database."),
        "context": Word("context:app", "Choose between controllers."),
        "sim": Word("sim:app", "Simulated devices."),
        "agent": Word("agent:app", "What runs beside a device."),
        "ocpp": Word("ocpp:app", "The endpoint of charging stations."),
        "cosim": Word("cosim:cosim", "Drive the control engine from a model of yours, over stdin and stdout."),
        "token": Word("token:token", "Make an API token, on the controller's own machine."),
        "bench": Word("bench:app", "Measure the engine, the API, the command line and the control center."),
        "completion": Word("completion:completion", "Print what makes a shell complete derms."),
        "version": Word("version:version", "Show the release and commit of this program and of the controller."),
        "help": Word("help:help_", "Explain a topic, or a command."),
    }


app = typer.Typer(
    cls=_Derms,
    name="derms",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=MORE,
)


def _version(wanted: bool) -> None:
    if wanted:
        from derms.version import described

        typer.echo(f"derms {described()}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print release and commit, and exit.")
    ] = False,
) -> None:
    r"""Keep a feeder within its power limit: solar, batteries and EV chargers over MQTT.

    \b
    Examples:
      derms demo                                             a controlled feeder, here and now
      derms login op                                         at a controller; see `derms help contexts`
      derms dr create --feeder feeder-1 --limit 150 --for 2h --wait
      derms device list --type ev -o json | jq .devices
    """


def main() -> None:
    """Run the command line and exit with its code."""
    from derms.cli.output import exit_code_of

    # Looked for here, because what is wrong may be the words themselves.
    debug = "--debug" in sys.argv[1:]
    sys.exit(exit_code_of(lambda: invoke(sys.argv[1:]), debug=debug))


def invoke(words: list[str]) -> object:
    """Run one command.

    Args:
        words: Behind `derms`.

    Returns:
        Its exit code, or nothing for 0.
    """
    from derms.cli.argv import typed
    from derms.cli.completing import ASKS, answer

    command = typer.main.get_command(app)
    assert isinstance(command, TyperGroup)
    if words[:1] == [ASKS]:
        answer(command, words[2:] if words[1:2] == ["--"] else words[1:])
        return None
    return command.main(typed(words, _takes_value), standalone_mode=False, prog_name="derms")


def _takes_value(option: str) -> bool | None:
    from derms.cli.options import takes_value

    return takes_value(option)
