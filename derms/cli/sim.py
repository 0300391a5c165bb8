"""`derms sim`: a simulated feeder, each device an MQTT client of its own."""

from pathlib import Path
from typing import Annotated

import typer

from derms.cli.command import Run, asking
from derms.cli.nouns import Noun

app = Noun(
    "Simulated devices.",
    "derms sim run --devices 60",
    "derms sim mode night",
)


@app.command("run")
def run(
    mqtt_url: Annotated[str, typer.Option(help="The MQTT broker.")] = "mqtt://127.0.0.1:1883",
    mqtt_url_from: Annotated[
        Path | None, typer.Option(help="A file that holds the broker's URL, so that no login is on the command line.")
    ] = None,
    replay: Annotated[
        Path | None, typer.Option(help="CSV to replay: ts,device_id,p_kw[,soc], or a table of charging sessions.")
    ] = None,
    devices: Annotated[int, typer.Option(help="Devices of the demo's feeder, its head meter included.")] = 60,
    seed: Annotated[int, typer.Option(help="Which fleet, and which clouds.")] = 1,
    speed: Annotated[float, typer.Option(help="Simulated seconds in a second.")] = 1.0,
    interval: Annotated[float, typer.Option(help="Seconds between two measurements of a device.")] = 1.0,
    start_hour: Annotated[float | None, typer.Option(help="When the simulated day starts, 0..24.")] = None,
    for_: Annotated[str | None, typer.Option("--for", help="How long, such as 60s or 2h; else until Ctrl-C.")] = None,
    free: Annotated[bool, typer.Option("--free", help="Devices ignore setpoints and do as they like.")] = False,
    topic_prefix: Annotated[str, typer.Option(help="What every topic starts with.")] = "der",
    log_level: Annotated[str, typer.Option(help="debug, info, warning, error or critical.")] = "info",
) -> None:
    r"""Run a simulated feeder against a broker until Ctrl-C, and print what it came to as JSON.

    \b
    Examples:
      derms sim run --devices 60 --for 2m
      derms sim run --mqtt-url mqtt://broker.example:1883 --replay sessions.csv --speed 60
    """
    import asyncio
    import json

    from derms.log import configure_logging
    from derms.runtime import SystemClock, stop_on_signals
    from derms.wording.values import parse_duration
    from sim.runner import SimOptions, run_sim
    from sim.scenario import START_HOUR

    options = SimOptions(
        broker_url=mqtt_url if mqtt_url_from is None else _read(mqtt_url_from),
        replay=replay,
        devices=devices,
        seed=seed,
        speed=speed,
        interval_s=interval,
        duration_s=None if for_ is None else parse_duration(for_),
        free=free,
        topic_prefix=topic_prefix,
        start_hour=START_HOUR if start_hour is None else start_hour,
    )
    configure_logging(level=log_level)

    async def until_stopped() -> None:
        stop = asyncio.Event()
        stop_on_signals(stop)
        summary = await run_sim(options, stop=stop, clock=SystemClock())
        kwh = {kind.value: round(energy, 3) for kind, energy in summary.imported_kwh.items()}
        back_kwh = {kind.value: round(energy, 3) for kind, energy in summary.exported_kwh.items()}
        typer.echo(
            json.dumps(
                {
                    "devices": summary.devices,
                    "simulated_s": round(summary.simulated_s, 1),
                    "peak_head_kw": round(summary.peak_head_kw, 3),
                    "imported_kwh": kwh,
                    "exported_kwh": back_kwh,
                    "background_kwh": round(summary.background_kwh, 3),
                }
            )
        )

    asyncio.run(until_stopped())


def _read(file: Path) -> str:
    from derms.errors import UsageError

    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = str(error.strerror) if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"cannot read {file}", why=why, next_step="name a file with the broker's URL") from None


@app.command()
@asking
async def mode(
    run: Run,
    wanted: Annotated[str | None, typer.Argument(metavar="[day|night|auto]", help="Left out: show it.")] = None,
) -> None:
    r"""Show or set which hour the simulators play: day is noon, night ten in the evening, auto goes with the clock.

    \b
    Examples:
      derms sim mode
      derms sim mode night
    """
    from derms.contract import SimulationProfile
    from derms.errors import UsageError

    known = [one.value for one in SimulationProfile]
    if wanted is not None and wanted not in known:
        raise UsageError(
            f"the mode is {wanted!r}", why=f"it is one of {', '.join(known)}", next_step="name one of them"
        )
    async with run.client() as client:
        if wanted is None:
            told = await client.simulation_mode()
        else:
            told = await client.set_simulation_mode(SimulationProfile(wanted))
    name = "-" if told.mode is None else told.mode.value
    run.thing(told, name, lambda: f"{name}\n")
