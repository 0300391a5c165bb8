"""`derms feeder` and `derms status`."""

from typing import Annotated

import typer

from derms.cli.command import Run, asking
from derms.cli.formats import Column, Listing
from derms.errors import ConflictError
from derms.model import FeederMode, Policy
from derms.wording.values import parse_limit, parse_magnitude

app = typer.Typer(help="See and change feeders.", no_args_is_help=True, rich_markup_mode=None)

_Id = Annotated[str, typer.Argument(help="The feeder's id.")]
_Yes = Annotated[bool, typer.Option("--yes", help="Without asking.")]


@app.command("list")
@asking
async def list_(run: Run) -> None:
    """List the feeders as the last tick saw them.

    Example: derms feeder list -o csv > feeders.csv
    """
    async with run.client() as client:
        feeders = await client.feeder_summary()
    run.rows(
        Listing(
            kind="feeders",
            rows=feeders,
            columns=[
                Column(name="feeder_id", title="FEEDER", value=lambda one: one.feeder_id),
                Column(name="mode", title="MODE", value=lambda one: one.mode),
                Column(name="load_kw", title="LOAD kW", value=lambda one: one.load_kw,
                       tone=lambda one: "bad" if one.import_limit_kw is not None and one.load_kw > one.import_limit_kw
                       else ""),
                Column(name="import_limit_kw", title="LIMIT kW", value=lambda one: one.import_limit_kw),
                Column(name="limit_source", title="SET BY", value=lambda one: one.limit_source),
                Column(name="headroom_kw", title="HEADROOM kW", value=lambda one: one.headroom_kw),
                Column(name="commanded_kw", title="COMMANDED kW", value=lambda one: one.commanded_kw),
                Column(name="reserved_kw", title="RESERVED kW", value=lambda one: one.reserved_kw),
                Column(name="shortfall_kw", title="SHORT kW", value=lambda one: one.shortfall_kw,
                       tone=lambda one: "bad" if one.shortfall_kw > 0.0 else ""),
                Column(name="devices_total", title="DEVICES", value=lambda one: one.devices_total),
            ],
            name=lambda one: one.feeder_id,
        )
    )  # fmt: skip


@app.command()
@asking
async def limit(
    run: Run,
    feeder_id: _Id,
    kw: Annotated[str, typer.Argument(metavar="KW", help="The new import limit; none takes it away.")],
    export: Annotated[bool, typer.Option("--export", help="The export limit instead.")] = False,
    yes: _Yes = False,
) -> None:
    """Change a feeder's limit.

    Example: derms feeder limit feeder-1 150
    """
    from derms.api.schemas.feeders import FeederPatch

    which = "export" if export else "import"
    wanted = parse_limit(kw)
    told = "no limit" if wanted is None else f"{wanted:g} kW"
    run.confirm(f"Set the {which} limit of {feeder_id} to {told}?", yes=yes)
    patch = FeederPatch(export_limit_kw=wanted) if export else FeederPatch(import_limit_kw=wanted)
    async with run.client() as client:
        feeder = await client.change_feeder(feeder_id, patch)
    run.say(f"{feeder.feeder_id}: {which} {told}")
    if f"{which}_limit_kw" in feeder.declared:
        run.say("The settings or the feeders file say it too, and will say it again when the controller starts")


@app.command()
@asking
async def mode(
    run: Run,
    feeder_id: _Id,
    wanted: Annotated[FeederMode, typer.Argument(metavar="MODE", help="auto, advise or off.")],
    yes: _Yes = False,
) -> None:
    """Say what the controller does for a feeder: auto commands, advise only shows, off does nothing."""
    from derms.api.schemas.feeders import FeederPatch

    run.confirm(f"Set the mode of {feeder_id} to {wanted.value}?", yes=yes)
    async with run.client() as client:
        feeder = await client.change_feeder(feeder_id, FeederPatch(mode=wanted))
    run.say(f"{feeder.feeder_id} is on {feeder.mode.value}")


@app.command()
@asking
async def show(run: Run, feeder_id: _Id) -> None:
    """Show one feeder as it is registered."""
    async with run.client() as client:
        feeder = await client.feeder(feeder_id)

    def lines() -> str:
        limits = {"import": feeder.import_limit_kw, "export": feeder.export_limit_kw}
        facts = {
            "feeder": f"{feeder.feeder_id}{f' ({feeder.name})' if feeder.name else ''}",
            "below": feeder.parent_id or "nothing: it is a root",
            **{name: "no limit" if kw is None else f"{kw:g} kW" for name, kw in limits.items()},
            "margin": f"{feeder.margin_kw:g} kW",
            "unmetered": f"{feeder.assumed_unmetered_kw:g} kW assumed",
            "mode": feeder.mode.value,
            "policy": feeder.policy.value,
            "declared": ", ".join(feeder.declared) or "-",
        }
        return "".join(f"{name:<9} {value}\n" for name, value in facts.items())

    run.thing(feeder, feeder.feeder_id, lines)


@app.command()
@asking
async def create(
    run: Run,
    feeder_id: _Id,
    limit: Annotated[
        float | None,
        typer.Option("--limit", parser=parse_magnitude, metavar="KW", help="Import limit; left out: none."),
    ] = None,
    export_limit: Annotated[
        float | None, typer.Option(parser=parse_magnitude, metavar="KW", help="Export limit; left out: none.")
    ] = None,
    parent: Annotated[str | None, typer.Option(help="The feeder it hangs on; left out: it is a root.")] = None,
    margin: Annotated[
        float | None, typer.Option(parser=parse_magnitude, metavar="KW", help="Kept free below its limits.")
    ] = None,
    name: Annotated[str, typer.Option(help="What people call it.")] = "",
    wanted: Annotated[FeederMode, typer.Option("--mode", help="auto, advise or off.")] = FeederMode.AUTO,
    policy: Annotated[Policy | None, typer.Option(help="Of a root: how headroom is given.")] = None,
    if_not_exists: Annotated[bool, typer.Option("--if-not-exists", help="One that is there is left as it is.")] = False,
) -> None:
    r"""Create a feeder, and print its id.

    \b
    Example: derms feeder create lane-2 --limit 80 --parent feeder-1
    """
    from derms.api.schemas.feeders import FeederIn

    made = FeederIn(
        feeder_id=feeder_id,
        name=name,
        parent_id=parent,
        import_limit_kw=limit,
        export_limit_kw=export_limit,
        margin_kw=margin or 0.0,
        mode=wanted,
        policy=policy,
    )
    async with run.client() as client:
        try:
            feeder = await client.create_feeder(made)
        except ConflictError:
            if not if_not_exists:
                raise
            feeder = await client.feeder(feeder_id)
            run.say(f"{feeder_id} was there already")
    run.thing(feeder, feeder.feeder_id, lambda: f"{feeder.feeder_id}\n")


@asking
async def status(run: Run) -> None:
    """One screen: the parts of the controller, and every feeder with load, limit and headroom."""
    from derms.api.schemas.feeders import FeedersOut
    from derms.api.schemas.health import PartState

    async with run.client() as client:
        health = await client.health()
        feeders = await client.feeder_summary()

    def lines() -> str:
        marks = {PartState.OK: "ok", PartState.DOWN: "DOWN", PartState.STARTING: "starting"}
        parts = ", ".join(f"{name} {marks[part.state]}" for name, part in health.parts.items())
        told = [f"{run.context.url}  derms {health.version}, up {health.uptime_s / 3600.0:.1f} h: {parts}", ""]
        for feeder in feeders:
            limit = "no limit" if feeder.import_limit_kw is None else f"of {feeder.import_limit_kw:.1f} kW"
            told.append(
                f"{feeder.feeder_id} [{feeder.mode.value}] {feeder.load_kw:.1f} {limit} ({feeder.limit_source}), "
                f"headroom {'-' if feeder.headroom_kw is None else f'{feeder.headroom_kw:.1f} kW'}, "
                f"{feeder.devices_total} devices"
            )
            if feeder.shortfall_kw > 0.0:
                told.append(f"  {feeder.shortfall_kw:.1f} kW too much, and nothing left to relieve it with")
            told += [f"  event {event.event_id} until {event.end.astimezone():%H:%M}" for event in feeder.active_events]
        return "\n".join(told) + "\n"

    run.thing(FeedersOut(feeders=feeders), "status", lines)
