"""`derms feeder`."""

from typing import Annotated

import typer

from derms.cli.command import Run, asking, created, watching
from derms.cli.formats import Column, Listing
from derms.cli.history import feeder_history
from derms.cli.names import Kind, names_of
from derms.cli.nouns import Noun
from derms.kinds import FeederMode, Policy
from derms.wording.values import parse_limit, parse_magnitude

app = Noun(
    "See and change feeders.",
    "derms feeder list",
    "derms feeder limit feeder-1 150",
)

_Id = Annotated[str, typer.Argument(help="The feeder's id.", autocompletion=names_of(Kind.FEEDER))]
_Dry = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
_Yes = Annotated[bool, typer.Option("--yes", help="Without asking.")]


@app.command("list")
@watching
async def list_(run: Run) -> None:
    r"""List the feeders as the last tick saw them.

    \b
    Examples:
      derms feeder list
      derms feeder list -o csv > feeders.csv
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
    dry_run: _Dry = False,
    yes: _Yes = False,
) -> None:
    r"""Change a feeder's limit. Needs the role operator.

    \b
    Examples:
      derms feeder limit feeder-1 150
      derms feeder limit feeder-1 none --export --dry-run
    """
    from derms.api.schemas.feeders import FeederPatch

    which = "export" if export else "import"
    wanted = parse_limit(kw)
    told = "no limit" if wanted is None else f"{wanted:g} kW"
    patch = FeederPatch(export_limit_kw=wanted) if export else FeederPatch(import_limit_kw=wanted)
    async with run.client() as client:
        before = await client.feeder(feeder_id)
        was_kw = before.export_limit_kw if export else before.import_limit_kw
        was = "no limit" if was_kw is None else f"{was_kw:g} kW"
        if not run.confirm(f"Set the {which} limit of {feeder_id} from {was} to {told}?", yes=yes):
            return
        feeder = await client.change_feeder(feeder_id, patch)
    run.say(f"{feeder.feeder_id}: {which} {told}, before {was}")
    if f"{which}_limit_kw" in feeder.declared:
        run.say("The settings or the feeders file say it too, and will say it again when the controller starts")


@app.command()
@asking
async def mode(
    run: Run,
    feeder_id: _Id,
    wanted: Annotated[FeederMode, typer.Argument(metavar="MODE", help="auto, advise or off.")],
    dry_run: _Dry = False,
    yes: _Yes = False,
) -> None:
    r"""Say what the controller does for a feeder: auto commands, advise only shows, off does nothing.

    Needs the role operator.

    \b
    Examples:
      derms feeder mode feeder-1 advise
      derms feeder mode feeder-1 auto --yes
    """
    from derms.api.schemas.feeders import FeederPatch

    async with run.client() as client:
        before = await client.feeder(feeder_id)
        if not run.confirm(f"Set the mode of {feeder_id} from {before.mode.value} to {wanted.value}?", yes=yes):
            return
        feeder = await client.change_feeder(feeder_id, FeederPatch(mode=wanted))
    run.say(f"{feeder.feeder_id} is on {feeder.mode.value}")


@app.command()
@watching
async def show(run: Run, feeder_id: _Id) -> None:
    r"""Show one feeder as it is registered.

    \b
    Examples:
      derms feeder show feeder-1
      derms feeder show feeder-1 -o yaml
    """
    async with run.client() as client:
        feeder = await client.feeder(feeder_id)

    def lines() -> str:
        limits = {"import": feeder.import_limit_kw, "export": feeder.export_limit_kw}
        facts = {
            "feeder": f"{feeder.feeder_id}{f' ({feeder.name})' if feeder.name else ''}",
            "below": feeder.parent_id or "nothing: it is a root",
            **{name: "no limit" if kw is None else run.power(kw) for name, kw in limits.items()},
            "margin": run.power(feeder.margin_kw),
            "unmetered": f"{run.power(feeder.assumed_unmetered_kw)} assumed",
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
    parent: Annotated[
        str | None, typer.Option(help="The feeder it hangs on; left out: a root.", autocompletion=names_of(Kind.FEEDER))
    ] = None,
    margin: Annotated[
        float | None, typer.Option(parser=parse_magnitude, metavar="KW", help="Kept free below its limits.")
    ] = None,
    name: Annotated[str, typer.Option(help="What people call it.")] = "",
    wanted: Annotated[FeederMode, typer.Option("--mode", help="auto, advise or off.")] = FeederMode.AUTO,
    policy: Annotated[Policy | None, typer.Option(help="Of a root: how headroom is given.")] = None,
    if_not_exists: Annotated[bool, typer.Option("--if-not-exists", help="One that is there is left as it is.")] = False,
    id_only: Annotated[bool, typer.Option("--id-only", help="The same as -o name.")] = False,
) -> None:
    r"""Create a feeder, and print its id. Needs the role operator.

    \b
    Examples:
      derms feeder create lane-2 --limit 80 --parent feeder-1
      derms feeder create lane-2 --limit 80 --if-not-exists --id-only
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
        feeder = await created(
            run, lambda: client.create_feeder(made), lambda: client.feeder(feeder_id), feeder_id,
            if_not_exists=if_not_exists,
        )  # fmt: skip
    run.made(feeder, feeder.feeder_id, id_only=id_only)


app.command("history")(feeder_history)
