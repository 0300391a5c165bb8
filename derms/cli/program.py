"""`derms program`: demand-response programs."""

from typing import TYPE_CHECKING, Annotated

import typer

from derms.cli.command import Run, asking, watching
from derms.cli.formats import Column, Listing
from derms.cli.names import Kind, names_of
from derms.cli.nouns import Noun
from derms.kinds import ProgramKind
from derms.wording.instants import parse_instant
from derms.wording.values import parse_magnitude, parse_price

if TYPE_CHECKING:
    from derms.api.schemas.programs import ProgramOut

app = Noun(
    "Demand-response programs.",
    "derms program list",
    "derms program create Evening --kind fixed_cap --shed 40 --start 17:00 --end 19:00",
)

_Id = Annotated[str, typer.Argument(help="The program's id.", autocompletion=names_of(Kind.PROGRAM))]
_Dry = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
_Yes = Annotated[bool, typer.Option("--yes", help="Without asking.")]
_Price = Annotated[float | None, typer.Option(parser=parse_price, metavar="PRICE", help="Currency per kWh.")]


@app.command("list")
@watching
async def list_(
    run: Run,
    kind: Annotated[ProgramKind | None, typer.Option(help="Only of this kind.")] = None,
    feeder: Annotated[
        str | None, typer.Option(help="Only those that bear on it.", autocompletion=names_of(Kind.FEEDER))
    ] = None,
) -> None:
    r"""List the programs.

    \b
    Examples:
      derms program list
      derms program list --kind fixed_cap -o json
    """
    from derms.api.schemas.programs import ProgramOut, ProgramsQuery
    from derms.cli.paging import pages

    async with run.client() as client:
        got = await pages(client.programs, ProgramsQuery(kind=kind, feeder_id=feeder))
    columns: list[Column[ProgramOut]] = [
        Column(name="program_id", title="PROGRAM", value=lambda one: one.program_id),
        Column(name="name", title="NAME", value=lambda one: one.name),
        Column(name="kind", title="KIND", value=lambda one: one.kind),
        Column(name="state", title="STATE", value=lambda one: one.state,
               tone=lambda one: "good" if one.state.value == "bearing" else ""),
        Column(name="feeder_ids", title="FEEDERS", value=lambda one: " ".join(one.feeder_ids),
               shown=lambda one: " ".join(one.feeder_ids) or "all"),
        Column(name="start", title="START", value=lambda one: one.start, shown=lambda one: run.local(one.start)),
        Column(name="end", title="END", value=lambda one: one.end, shown=lambda one: run.local(one.end)),
        Column(name="target_shed_kw", title="SHED kW", value=lambda one: one.target_shed_kw),
        Column(name="incentive_per_kwh", title="INCENTIVE /kWh", value=lambda one: one.incentive_per_kwh, digits=3),
        Column(name="penalty_per_kwh", title="PENALTY /kWh", value=lambda one: one.penalty_per_kwh, digits=3),
    ]  # fmt: skip
    rows = [one for page in got for one in page.programs]
    run.rows(
        Listing(
            kind="programs", rows=rows, columns=columns, name=lambda one: one.program_id, nothing="there is no program"
        )
    )


@app.command()
@watching
async def show(run: Run, program_id: _Id) -> None:
    r"""Show one program.

    \b
    Examples:
      derms program show dp-1
      derms program show dp-1 -o yaml
    """
    async with run.client() as client:
        program = await client.program(program_id)
    run.thing(program, program.program_id, lambda: _lines(run, program))


@app.command()
@asking
async def create(
    run: Run,
    name: Annotated[str, typer.Argument(help="What people call it.")],
    kind: Annotated[ProgramKind, typer.Option(help="fixed_cap or price_elastic.")],
    end: Annotated[str, typer.Option(help="When it is over: 19:00, tomorrow 06:00, 2027-03-01 00:00, RFC 3339.")],
    start: Annotated[str, typer.Option(help="Like --end.")] = "now",
    feeder: Annotated[
        list[str] | None,
        typer.Option(help="On which; may stand several times; left out: all.", autocompletion=names_of(Kind.FEEDER)),
    ] = None,
    shed: Annotated[
        float | None,
        typer.Option(parser=parse_magnitude, metavar="KW", help="Of a fixed cap: to be taken off the load."),
    ] = None,
    incentive: _Price = None,
    penalty: _Price = None,
    activate: Annotated[bool, typer.Option("--activate", help="Switch it on at once.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what it would do.")] = False,
    id_only: Annotated[bool, typer.Option("--id-only", help="The same as -o name.")] = False,
) -> None:
    r"""Create a program, and print its id. Needs the role operator.

    \b
    Examples:
      derms program create Evening --kind fixed_cap --shed 40 --start 17:00 --end 19:00
      derms program create Winter --kind price_elastic --incentive 0.15 --end "2027-03-01 00:00"
    """
    from derms.api.schemas.programs import ProgramIn
    from derms.cli.foreseen import show_preview

    begins = parse_instant(start, run.now, utc=run.shared.utc)
    wanted = ProgramIn(
        name=name,
        kind=kind,
        feeder_ids=feeder or ([run.context.feeder] if run.context.feeder else []),
        start=begins,
        end=parse_instant(end, begins, utc=run.shared.utc),
        target_shed_kw=shed or 0.0,
        incentive_per_kwh=incentive or 0.0,
        penalty_per_kwh=penalty or 0.0,
        active=activate,
    )
    async with run.client() as client:
        if dry_run:
            show_preview(run, await client.preview_program(wanted))
            return
        made = await client.create_program(wanted)
    run.made(made, made.program_id, id_only=id_only)
    run.say(f"{made.name} is {made.state.value}")


@app.command()
@asking
async def activate(run: Run, program_id: _Id) -> None:
    r"""Switch a program on. Needs the role operator.

    \b
    Examples:
      derms program activate dp-1
      derms program activate dp-1 --context plant
    """
    async with run.client() as client:
        program = await client.activate_program(program_id)
    run.say(f"{program.program_id} is {program.state.value}")


@app.command()
@asking
async def deactivate(run: Run, program_id: _Id) -> None:
    r"""Switch a program off. Needs the role operator.

    \b
    Examples:
      derms program deactivate dp-1
      derms program deactivate dp-1 --context plant
    """
    async with run.client() as client:
        program = await client.deactivate_program(program_id)
    run.say(f"{program.program_id} is {program.state.value}")


@app.command()
@asking
async def delete(run: Run, program_id: _Id, dry_run: _Dry = False, yes: _Yes = False) -> None:
    r"""Remove a program. Needs the role admin.

    \b
    Examples:
      derms program delete dp-1 --dry-run
      derms program delete dp-1 --yes
    """
    async with run.client() as client:
        name = (await client.program(program_id)).name if dry_run else program_id
        if not run.confirm(f"Remove the program {name}?", yes=yes):
            return
        await client.delete_program(program_id)
    run.say(f"{program_id} is removed")


def _lines(run: Run, program: "ProgramOut") -> str:
    facts = {
        "program": f"{program.program_id} ({program.state.value})",
        "name": program.name,
        "kind": program.kind.value,
        "feeders": ", ".join(program.feeder_ids) or "all",
        "start": run.local(program.start),
        "end": run.local(program.end),
        "shed": run.power(program.target_shed_kw),
        "incentive": f"{program.incentive_per_kwh:g} /kWh",
        "penalty": f"{program.penalty_per_kwh:g} /kWh",
    }
    return "".join(f"{name:<9} {value}\n" for name, value in facts.items())
