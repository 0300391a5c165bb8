"""`derms demo`: a whole controlled feeder, from nothing."""

from typing import Annotated

import typer


def demo(
    for_: Annotated[
        str | None,
        typer.Option("--for", help="How long, such as 60s or 2m; on a terminal until Ctrl-C, else 60s."),
    ] = None,
    devices: Annotated[int, typer.Option(help="Devices on the feeder, its head meter included.")] = 60,
    seed: Annotated[int, typer.Option(help="Which fleet, and which clouds.")] = 1,
    speed: Annotated[float, typer.Option(help="Simulated seconds in a second.")] = 60.0,
    interval: Annotated[float, typer.Option(help="Seconds between control ticks.")] = 2.0,
) -> None:
    r"""Run a whole controlled feeder here, simulated devices and all, and watch the limit being held.

    Without a terminal, or with --for, it ends with a report and exits 0 if the limit was held, 1 if not.

    \b
    Examples:
      derms demo
      derms demo --for 2m --devices 200
    """
    import asyncio
    import sys

    from derms.cli.output import ExitCode
    from derms.cli.watch import watch
    from derms.demo import DemoOptions
    from derms.wording.values import parse_duration

    live = sys.stdout.isatty() and for_ is None
    options = DemoOptions(
        duration_s=None if live else parse_duration("60s" if for_ is None else for_),
        devices=devices,
        seed=seed,
        speed=speed,
        interval_s=interval,
    )
    held = asyncio.run(watch(options, live=live))
    if not held:
        raise typer.Exit(ExitCode.FAILURE)
