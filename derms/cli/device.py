"""`derms device` and `derms why`."""

from typing import Annotated

import typer

from derms.cli.command import Run, asking
from derms.cli.formats import Column, Listing
from derms.errors import UsageError
from derms.model import DeviceKind, Origin
from derms.wording.instants import age
from derms.wording.values import parse_duration, parse_magnitude, parse_power, parse_share

app = typer.Typer(help="See and change devices.", no_args_is_help=True, rich_markup_mode=None)

_Id = Annotated[str, typer.Argument(help="The device's id.")]
_Reason = Annotated[str, typer.Option(help="Why; it stands in the audit log.")]
_For = Annotated[str, typer.Option("--for", help="How long, such as 30m or 2h; then it ends by itself.")]
_Yes = Annotated[bool, typer.Option("--yes", help="Without asking.")]
_TONES = {"good": "good", "stale": "warn", "lost": "bad", "never": "dim"}


@app.command("list")
@asking
async def list_(
    run: Run,
    kind: Annotated[DeviceKind | None, typer.Option("--type", help="Only of this type.")] = None,
    origin: Annotated[Origin | None, typer.Option(help="Only simulated or physical ones.")] = None,
    feeder: Annotated[str | None, typer.Option(help="Only on this feeder, and below it.")] = None,
    match: Annotated[str | None, typer.Option("--match", help="Only with this in the id or the site.")] = None,
    sort: Annotated[str | None, typer.Option(help="A field; with a minus in front the largest first.")] = None,
) -> None:
    r"""List the devices, with what they were last heard and told.

    \b
    Examples:
      derms device list --type ev --sort -p_actual_kw
      derms device list -o json | jq '.devices[] | select(.soc < 0.3)'
    """
    from derms.api.schemas.devices import DeviceOut, DevicesQuery

    query = DevicesQuery(type=kind, origin=origin, feeder_id=feeder, q=match, sort=sort)
    async with run.client() as client:
        devices = await client.devices(query)

    def told(device: DeviceOut) -> float | None:
        return None if device.lease is None else device.lease.p_setpoint_kw

    run.rows(
        Listing(
            kind="devices",
            rows=devices,
            columns=[
                Column(name="device_id", title="DEVICE", value=lambda one: one.device_id),
                Column(name="origin", title="ORIGIN", value=lambda one: one.origin,
                       shown=lambda one: "PI" if one.origin is Origin.PHYSICAL else "sim"),
                Column(name="type", title="TYPE", value=lambda one: one.type),
                Column(name="feeder_id", title="FEEDER", value=lambda one: one.feeder_id),
                Column(name="priority", title="PRIO", value=lambda one: one.priority),
                Column(name="soc", title="SOC %", value=lambda one: one.soc,
                       shown=lambda one: "-" if one.soc is None else f"{100.0 * one.soc:.0f}"),
                Column(name="p_actual_kw", title="ACTUAL kW", value=lambda one: one.p_actual_kw),
                Column(name="lease_kw", title="TOLD kW", value=told),
                Column(name="freshness", title="FRESH", value=lambda one: one.freshness,
                       tone=lambda one: _TONES[one.freshness.value]),
                Column(name="age_s", title="HEARD", value=lambda one: one.age_s, shown=lambda one: age(one.age_s)),
            ],
            name=lambda one: one.device_id,
            nothing="no device is like that",
        )
    )  # fmt: skip


@app.command()
@asking
async def show(run: Run, device_id: _Id) -> None:
    """Show everything about one device."""
    async with run.client() as client:
        device = await client.device(device_id)

    def lines() -> str:
        lease = device.lease
        told = "no lease" if lease is None else (
            f"{lease.p_setpoint_kw:g} kW until {run.local(lease.valid_until)}"
            f"{'' if lease.acknowledged else ', not confirmed yet'}"
        )  # fmt: skip
        facts = {
            "device": f"{device.device_id} ({device.type.value}, {device.origin.value}, {device.enrolment.value})",
            "feeder": device.feeder_id,
            "site": device.site_id or "-",
            "priority": device.priority,
            "rating": f"import {device.p_import_max_kw:g} kW, export {device.p_export_max_kw:g} kW",
            "SOC": "-"
            if device.soc is None
            else f"{100.0 * device.soc:.0f} % of the target {100 * device.target_soc:.0f} %",
            "actual": "-" if device.p_actual_kw is None else f"{device.p_actual_kw:.2f} kW",
            "told": told,
            "why": "-" if lease is None else lease.reason,
            "override": "-" if device.override is None else f"{device.override.kind.value}: {device.override.reason}",
            "heard": f"{age(device.age_s)} ({device.freshness.value})",
        }
        return "".join(f"{name:<9} {value}\n" for name, value in facts.items())

    run.thing(device, device.device_id, lines)


@asking
async def why(run: Run, device_id: _Id) -> None:
    """Say why a device has the setpoint it has: every bound, the one that binds, and what would change it.

    Example: derms why ev-007
    """
    async with run.client() as client:
        answer = await client.why(device_id)

    def lines() -> str:
        mark, blank = ("▶", " ") if run.terminal.unicode else (">", " ")
        parts = [answer.words, ""]
        for bound in answer.bounds:
            limit = "" if bound.limit_kw is None else f"{bound.limit_kw:8.2f} kW"
            parts.append(f"{mark if bound.binding else blank} {limit:<11}  {bound.words}")
            parts += [f"               -> {remedy}" for remedy in bound.remedies if bound.binding]
        return "\n".join(parts) + "\n"

    run.thing(answer, answer.device_id, lines)


@app.command()
@asking
async def hold(
    run: Run,
    device_id: _Id,
    power: Annotated[
        float,
        typer.Option("--power", parser=parse_power, metavar="KW", help="Charging positive, discharging negative."),
    ],
    reason: _Reason,
    duration: _For = "1h",
    yes: _Yes = False,
) -> None:
    """Hold a device at a power, as long as every limit allows it."""
    from derms.api.schemas.overrides import OverrideIn
    from derms.model import OverrideKind

    seconds = parse_duration(duration)
    run.confirm(f"Hold {device_id} at {power:g} kW for {duration}?", yes=yes)
    async with run.client() as client:
        wanted = OverrideIn(kind=OverrideKind.HOLD, p_kw=power, reason=reason, duration_s=seconds)
        laid = await client.put_override(device_id, wanted)
    run.say(f"{device_id} is held at {power:g} kW until {run.local(laid.until)}")


@app.command()
@asking
async def block(run: Run, device_id: _Id, reason: _Reason, duration: _For = "1h", yes: _Yes = False) -> None:
    """Keep a device at nothing: no charge, no discharge, no generation."""
    from derms.api.schemas.overrides import OverrideIn
    from derms.model import OverrideKind

    seconds = parse_duration(duration)
    run.confirm(f"Block {device_id} for {duration}?", yes=yes)
    async with run.client() as client:
        laid = await client.put_override(
            device_id, OverrideIn(kind=OverrideKind.BLOCK, reason=reason, duration_s=seconds)
        )
    run.say(f"{device_id} is blocked until {run.local(laid.until)}")


@app.command()
@asking
async def release(run: Run, device_id: _Id) -> None:
    """Take a hold or a block off."""
    async with run.client() as client:
        await client.release_override(device_id)
    run.say(f"{device_id} is released")


@app.command()
@asking
async def adopt(run: Run, device_id: _Id) -> None:
    """Take a device in that is quarantined or retired."""
    async with run.client() as client:
        device = await client.adopt_device(device_id)
    run.say(f"{device.device_id} is {device.enrolment.value} on {device.feeder_id}")


@app.command()
@asking
async def retire(run: Run, device_id: _Id, yes: _Yes = False) -> None:
    """Retire a device: its messages are refused from now on. Needs the role admin."""
    run.confirm(f"Retire {device_id}?", yes=yes)
    async with run.client() as client:
        await client.retire_device(device_id)
    run.say(f"{device_id} is retired")


@app.command("set")
@asking
async def set_(
    run: Run,
    device_id: _Id,
    feeder: Annotated[str | None, typer.Option(help="Where it hangs.")] = None,
    priority: Annotated[int | None, typer.Option(help="1..10, larger is served first.", min=1, max=10)] = None,
    target_soc: Annotated[
        float | None, typer.Option(parser=parse_share, metavar="SHARE", help="0..1, or in %.")
    ] = None,
    reserve: Annotated[
        float | None, typer.Option(parser=parse_share, metavar="SHARE", help="No discharge below it.")
    ] = None,
    import_max: Annotated[
        float | None, typer.Option(parser=parse_magnitude, metavar="KW", help="Rating, charging.")
    ] = None,
    export_max: Annotated[
        float | None, typer.Option(parser=parse_magnitude, metavar="KW", help="Rating, discharging or generating.")
    ] = None,
) -> None:
    """Change a device's registration; what is not given stays as it is."""
    import msgspec

    from derms.api.schemas.devices import DevicePatch

    given = {
        "feeder_id": feeder,
        "priority": priority,
        "target_soc": target_soc,
        "min_soc_reserve": reserve,
        "p_import_max_kw": import_max,
        "p_export_max_kw": export_max,
    }
    said = {name: value for name, value in given.items() if value is not None}
    if not said:
        raise UsageError("nothing is to be changed", why="no option says what", next_step="see `derms device set -h`")
    async with run.client() as client:
        device = await client.change_device(device_id, msgspec.convert(said, DevicePatch))
    run.say(f"{device.device_id} is changed: {', '.join(said)}")
