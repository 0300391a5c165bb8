"""`derms tracking-error`."""

from typing import Annotated

import typer

from derms.cli.command import Run, watching
from derms.cli.formats import Column, Listing
from derms.cli.names import Kind, names_of
from derms.errors import UsageError
from derms.wording.values import parse_duration

_LEAST_S, _MOST_S = 10, 1200


@watching
async def tracking_error(
    run: Run,
    window: Annotated[str, typer.Option(help="Over how long, 10s to 20m.")] = "10m",
    feeder: Annotated[
        str | None, typer.Option(help="Only on this feeder, and below it.", autocompletion=names_of(Kind.FEEDER))
    ] = None,
    device: Annotated[str | None, typer.Option(help="Only this one.", autocompletion=names_of(Kind.DEVICE))] = None,
    sort: Annotated[
        str, typer.Option(help="device_id, mean_kw, mean_abs_kw or samples; with a minus the largest first.")
    ] = "-mean_abs_kw",
) -> None:
    r"""Show how well devices follow: what they draw less what they say they are to draw.

    \b
    Examples:
      derms tracking-error
      derms tracking-error --window 5m --feeder feeder-1 --sort device_id
    """
    from derms.api.schemas.tracking import DeviceErrorOut, TrackingQuery

    window_s = parse_duration(window)
    if not _LEAST_S <= window_s <= _MOST_S:
        raise UsageError(f"the window is {window!r}", why="it is 10s to 20m", next_step="choose one between")
    query = TrackingQuery(window_s=round(window_s), feeder_id=feeder, device_id=device, sort=sort)
    async with run.client() as client:
        told = await client.tracking_error(query)
    columns: list[Column[DeviceErrorOut]] = [
        Column(name="device_id", title="DEVICE", value=lambda one: one.device_id),
        Column(name="feeder_id", title="FEEDER", value=lambda one: one.feeder_id),
        Column(name="mean_kw", title="MEAN kW", value=lambda one: one.mean_kw, digits=2),
        Column(name="mean_abs_kw", title="MEAN |kW|", value=lambda one: one.mean_abs_kw, digits=2),
        Column(name="samples", title="SAMPLES", value=lambda one: one.samples),
    ]
    run.rows(
        Listing(
            kind="devices",
            rows=told.devices,
            columns=columns,
            name=lambda one: one.device_id,
            nothing="no device has said what it follows",
        )
    )
    if told.mean_abs_kw is not None:
        run.say(f"all together {run.power(told.mean_abs_kw, 2)} over {told.samples} samples")
