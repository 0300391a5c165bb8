"""`derms device` and `derms why`."""

from typing import TYPE_CHECKING, Annotated

import typer

from derms.cli.command import Run, asking, created, for_each, ids_of, watching
from derms.cli.formats import Column, Listing
from derms.cli.history import device_telemetry
from derms.cli.names import Kind, names_of
from derms.cli.nouns import Noun
from derms.errors import UsageError
from derms.kinds import DeviceKind, Origin
from derms.wording.instants import age
from derms.wording.values import parse_duration, parse_magnitude, parse_power, parse_share

if TYPE_CHECKING:
    from derms.api.schemas.overrides import OverrideIn
    from derms.client import ApiClient

app = Noun(
    "See and change devices.",
    "derms device list --type ev",
    "derms device hold bat-01 --power -3.5 --for 30m --reason test",
)

_Id = Annotated[str, typer.Argument(help="The device's id.", autocompletion=names_of(Kind.DEVICE))]
_Ids = Annotated[
    list[str],
    typer.Argument(help="Ids of devices; - reads them from stdin.", autocompletion=names_of(Kind.DEVICE)),
]
_Gateway = typer.Option(help="Behind this gateway, which then speaks for it; '' for none.", metavar="GATEWAY")
_Feeder = typer.Option(help="On which feeder.", autocompletion=names_of(Kind.FEEDER))
_Reason = Annotated[str, typer.Option(help="Why; it stands in the audit log.")]
_For = Annotated[str, typer.Option("--for", help="How long, such as 30m or 2h; then it ends by itself.")]
_Yes = Annotated[bool, typer.Option("--yes", help="Without asking.")]
_Dry = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
_TONES = {"good": "good", "stale": "warn", "lost": "bad", "never": "dim"}


@app.command("list")
@watching
async def list_(
    run: Run,
    kind: Annotated[DeviceKind | None, typer.Option("--type", help="Only of this type.")] = None,
    origin: Annotated[Origin | None, typer.Option(help="Only simulated or physical ones.")] = None,
    feeder: Annotated[
        str | None,
        typer.Option(help="Only on this feeder, and below it.", autocompletion=names_of(Kind.FEEDER)),
    ] = None,
    gateway: Annotated[str | None, typer.Option(help="Only behind this gateway.", metavar="GATEWAY")] = None,
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

    query = DevicesQuery(type=kind, origin=origin, feeder_id=feeder, gateway_id=gateway, q=match, sort=sort)
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
@watching
async def show(run: Run, device_id: _Id) -> None:
    r"""Show everything about one device.

    \b
    Examples:
      derms device show ev-007
      derms device show ev-007 -o yaml
    """
    async with run.client() as client:
        device = await client.device(device_id)

    def lines() -> str:
        lease = device.lease
        told = "no lease" if lease is None else (
            f"{run.power(lease.p_setpoint_kw, 2)} until {run.local(lease.valid_until)}"
            f"{'' if lease.acknowledged else ', not confirmed yet'}"
        )  # fmt: skip
        facts = {
            "device": f"{device.device_id} ({device.type.value}, {device.origin.value}, {device.enrolment.value})",
            "feeder": device.feeder_id,
            "site": device.site_id or "-",
            "gateway": device.gateway_id or "- (it speaks for itself)",
            "priority": device.priority,
            "rating": f"import {run.power(device.p_import_max_kw)}, export {run.power(device.p_export_max_kw)}",
            "SOC": "-"
            if device.soc is None
            else f"{100.0 * device.soc:.0f} % of the target {100 * device.target_soc:.0f} %",
            "actual": run.power(device.p_actual_kw, 2),
            "told": told,
            "why": "-" if lease is None else lease.reason,
            "override": "-" if device.override is None else f"{device.override.kind.value}: {device.override.reason}",
            "heard": f"{age(device.age_s)} ({device.freshness.value})",
        }
        return "".join(f"{name:<9} {value}\n" for name, value in facts.items())

    run.thing(device, device.device_id, lines)


@watching
async def why(run: Run, device_id: _Id) -> None:
    r"""Say why a device has the setpoint it has: every bound, the one that binds, and what would change it.

    \b
    Examples:
      derms why ev-007
      derms why ev-007 --watch 5s
    """
    async with run.client() as client:
        answer = await client.why(device_id)

    def lines() -> str:
        mark, blank = ("▶", " ") if run.terminal.unicode else (">", " ")
        parts = [answer.words, ""]
        for bound in answer.bounds:
            limit = "" if bound.limit_kw is None else run.power(bound.limit_kw, 2)
            parts.append(f"{mark if bound.binding else blank} {limit:>11}  {bound.words}")
            parts += [f"               -> {remedy}" for remedy in bound.remedies if bound.binding]
        return "\n".join(parts) + "\n"

    run.thing(answer, answer.device_id, lines)


@app.command()
@asking
async def create(
    run: Run,
    device_id: Annotated[str, typer.Argument(help="Its id, as it will speak.")],
    kind: Annotated[DeviceKind, typer.Option("--type", help="Of this type.")],
    feeder: Annotated[str, _Feeder],
    import_max: Annotated[
        float | None, typer.Option(parser=parse_magnitude, metavar="KW", help="Rating, charging.")
    ] = None,
    export_max: Annotated[
        float | None, typer.Option(parser=parse_magnitude, metavar="KW", help="Rating, discharging or generating.")
    ] = None,
    priority: Annotated[int, typer.Option(help="1..10, larger is served first.", min=1, max=10)] = 5,
    origin: Annotated[Origin, typer.Option(help="Simulated or physical.")] = Origin.PHYSICAL,
    gateway: Annotated[str | None, _Gateway] = None,
    if_not_exists: Annotated[bool, typer.Option("--if-not-exists", help="One that is there is left as it is.")] = False,
    id_only: Annotated[bool, typer.Option("--id-only", help="The same as -o name.")] = False,
) -> None:
    r"""Register a device before it speaks, and print its id. Needs the role operator.

    \b
    Examples:
      derms device create pi-bat-01 --type battery --feeder lane-2 --import-max 5 --export-max 5
      derms device create pi-ev-02 --type ev --feeder lane-2 --import-max 11 --if-not-exists --id-only
    """
    from derms.api.schemas.devices import DeviceIn

    made = DeviceIn(
        device_id=device_id,
        type=kind,
        feeder_id=feeder,
        origin=origin,
        priority=priority,
        gateway_id=gateway or None,
        p_import_max_kw=import_max or 0.0,
        p_export_max_kw=export_max or 0.0,
    )
    async with run.client() as client:
        device = await created(
            run, lambda: client.create_device(made), lambda: client.device(device_id), device_id,
            if_not_exists=if_not_exists,
        )  # fmt: skip
    run.made(device, device.device_id, id_only=id_only)


@app.command()
@asking
async def hold(
    run: Run,
    device_ids: _Ids,
    power: Annotated[
        float,
        typer.Option("--power", parser=parse_power, metavar="KW", help="Charging positive, discharging negative."),
    ],
    reason: _Reason,
    duration: _For = "1h",
    dry_run: _Dry = False,
    yes: _Yes = False,
) -> int:
    r"""Hold devices at a power, as long as every limit allows it. Needs the role operator.

    \b
    Examples:
      derms device hold bat-01 --power -3.5 --for 30m --reason "test of the inverter"
      derms device list --type ev -o name | derms device hold - --power 0 --reason fair --dry-run
    """
    from derms.api.schemas.overrides import OverrideIn
    from derms.kinds import OverrideKind

    wanted = OverrideIn(kind=OverrideKind.HOLD, p_kw=power, reason=reason, duration_s=parse_duration(duration))
    return await _overridden(run, device_ids, wanted, f"at {power:g} kW for {duration}", dry=dry_run, yes=yes)


@app.command()
@asking
async def block(
    run: Run, device_ids: _Ids, reason: _Reason, duration: _For = "1h", dry_run: _Dry = False, yes: _Yes = False
) -> int:
    r"""Keep devices at nothing: no charge, no discharge, no generation. Needs the role operator.

    \b
    Examples:
      derms device block ev-007 --reason "cable is hot" --for 2h
      derms device list --feeder lane-2 -o name | derms device block - --reason works --yes
    """
    from derms.api.schemas.overrides import OverrideIn
    from derms.kinds import OverrideKind

    wanted = OverrideIn(kind=OverrideKind.BLOCK, reason=reason, duration_s=parse_duration(duration))
    return await _overridden(run, device_ids, wanted, f"for {duration}", dry=dry_run, yes=yes)


async def _overridden(run: Run, words: list[str], wanted: "OverrideIn", how: str, *, dry: bool, yes: bool) -> int:
    ids = ids_of(words, "device_id")
    verb = wanted.kind.value
    async with run.client() as client:
        if dry:  # at least they must be there
            await for_each(ids, lambda one: _exists(client, one))
        if not run.confirm(f"{verb.capitalize()} {_counted(ids)} {how}?", yes=yes):
            return 0

        async def lay(device_id: str) -> None:
            laid = await client.put_override(device_id, wanted)
            run.say(f"{device_id}: {verb} {how}, until {run.local(laid.until)}")

        return await for_each(ids, lay)


async def _exists(client: "ApiClient", device_id: str) -> None:
    await client.device(device_id)


def _counted(ids: list[str]) -> str:
    return ids[0] if len(ids) == 1 else f"{len(ids)} devices ({', '.join(ids[:3])}{', ...' if len(ids) > 3 else ''})"


@app.command()
@asking
async def release(run: Run, device_ids: _Ids, dry_run: _Dry = False) -> int:
    r"""Take a hold or a block off. Needs the role operator.

    \b
    Examples:
      derms device release ev-007
      derms device list -o json | jq '.devices[] | select(.override)' | jq -s | derms device release -
    """
    ids = ids_of(device_ids, "device_id")
    async with run.client() as client:
        if dry_run:
            run.confirm(f"Release {_counted(ids)}?", yes=False)
            return 0

        async def let_go(device_id: str) -> None:
            await client.release_override(device_id)
            run.say(f"{device_id} is released")

        return await for_each(ids, let_go)


@app.command()
@asking
async def adopt(run: Run, device_ids: _Ids, dry_run: _Dry = False) -> int:
    r"""Take devices in that are quarantined or retired. Needs the role operator.

    \b
    Examples:
      derms device adopt pi-der-001
      derms device list -o json | jq '[.devices[] | select(.enrolment=="quarantined")]' | derms device adopt -
    """
    ids = ids_of(device_ids, "device_id")
    async with run.client() as client:
        if dry_run:
            run.confirm(f"Adopt {_counted(ids)}?", yes=False)
            return 0

        async def take_in(device_id: str) -> None:
            device = await client.adopt_device(device_id)
            run.say(f"{device.device_id} is {device.enrolment.value} on {device.feeder_id}")

        return await for_each(ids, take_in)


@app.command()
@asking
async def retire(run: Run, device_ids: _Ids, dry_run: _Dry = False, yes: _Yes = False) -> int:
    r"""Retire devices: their messages are refused from now on. Needs the role admin.

    \b
    Examples:
      derms device retire ev-007
      derms device retire ev-007 ev-008 --yes
    """
    ids = ids_of(device_ids, "device_id")
    async with run.client() as client:
        if dry_run:
            await for_each(ids, lambda one: _exists(client, one))
        if not run.confirm(f"Retire {_counted(ids)}?", yes=yes):
            return 0

        async def put_away(device_id: str) -> None:
            await client.retire_device(device_id)
            run.say(f"{device_id} is retired")

        return await for_each(ids, put_away)


@app.command("set")
@asking
async def set_(
    run: Run,
    device_id: _Id,
    feeder: Annotated[str | None, _Feeder] = None,
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
    gateway: Annotated[str | None, _Gateway] = None,
    dry_run: _Dry = False,
) -> None:
    r"""Change a device's registration; what is not given stays as it is. Needs the role operator.

    \b
    Examples:
      derms device set ev-007 --priority 8 --target-soc 90%
      derms device set bat-01 --import-max 5 --export-max 5 --dry-run
      derms device set ev-007 --gateway gw-1
    """
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
    said: dict[str, object] = {name: value for name, value in given.items() if value is not None}
    if gateway is not None:
        said["gateway_id"] = gateway or None
    if not said:
        raise UsageError("nothing is to be changed", why="no option says what", next_step="see `derms device set -h`")
    async with run.client() as client:
        if dry_run:
            before = await client.device(device_id)
            changes = (f"{name} {getattr(before, name)} -> {value}" for name, value in said.items())
            run.confirm(f"Change {device_id}: {', '.join(changes)}?", yes=False)
            return
        device = await client.change_device(device_id, msgspec.convert(said, DevicePatch))
    run.say(f"{device.device_id} is changed: {', '.join(said)}")


app.command("telemetry")(device_telemetry)
