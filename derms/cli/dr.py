"""`derms dr`: demand-response events."""

from typing import TYPE_CHECKING, Annotated

import typer

from derms.cli.command import Run, asking, for_each, ids_of, watching
from derms.cli.foreseen import expectation, show_preview
from derms.cli.formats import Column, Listing
from derms.cli.names import Kind, names_of
from derms.cli.nouns import Noun
from derms.cli.transfer import exported, imported
from derms.errors import UnavailableError, UsageError
from derms.wording.instants import parse_instant
from derms.wording.values import parse_duration, parse_limit, parse_magnitude

if TYPE_CHECKING:
    from derms.api.schemas.events import EventIn, EventOut
    from derms.client import ApiClient

app = Noun(
    "Demand-response events.",
    "derms dr create --feeder feeder-1 --limit 150 --for 2h --wait",
    "derms dr list --state all",
)

_Id = Annotated[str, typer.Argument(help="The event's id.", autocompletion=names_of(Kind.EVENT))]
_Ids = Annotated[
    list[str], typer.Argument(help="Ids of events; - reads them from stdin.", autocompletion=names_of(Kind.EVENT))
]
_Feeders = Annotated[
    list[str] | None,
    typer.Option("--feeder", help="On which feeder; may stand several times.", autocompletion=names_of(Kind.FEEDER)),
]
_Dry = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
_Yes = Annotated[bool, typer.Option("--yes", help="Without asking.")]
_IdOnly = Annotated[bool, typer.Option("--id-only", help="The same as -o name.")]
_Import = Annotated[float | None, typer.Option("--limit", parser=parse_magnitude, metavar="KW", help="Import limit.")]
_Export = Annotated[
    float | None, typer.Option("--export-limit", parser=parse_magnitude, metavar="KW", help="Export limit.")
]
_Shed = Annotated[float | None, typer.Option(parser=parse_magnitude, metavar="KW", help="To be taken off the load.")]
_For = Annotated[str | None, typer.Option("--for", help="How long, such as 30m or 2h.")]
_Start = Annotated[str | None, typer.Option(help="now, +1h, 17:00, tomorrow 06:00, or RFC 3339; left out: now.")]
_End = Annotated[str | None, typer.Option(help="Like --start; instead of --for.")]
_Reason = Annotated[str, typer.Option(help="Why; people will read it.")]
_Name = Annotated[str, typer.Option(help="What people are to call it.")]
_STATES = ("open", "scheduled", "active", "over", "cancelled", "all")


@app.command()
@asking
async def create(
    run: Run,
    feeder: _Feeders = None,
    limit: _Import = None,
    export_limit: _Export = None,
    shed: _Shed = None,
    duration: _For = None,
    start: _Start = None,
    end: _End = None,
    reason: _Reason = "",
    name: _Name = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what it would do.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Until its limits are held; exit code 7 if they are not.")
    ] = False,
    within: Annotated[str, typer.Option(help="How long --wait waits after the start.")] = "2m",
    key: Annotated[
        str | None, typer.Option(help="Asked again with the same key, nothing is created twice; left out: a new one.")
    ] = None,
    id_only: _IdOnly = False,
) -> int | None:
    r"""Create an event: print its id, and on stderr what it is expected to do. Needs the role operator.

    \b
    Examples:
      derms dr create --feeder feeder-1 --limit 150 --for 2h
      derms dr create --shed 40 --start 17:00 --end 19:00 --reason "evening peak" --dry-run
      id=$(derms dr create --limit 100 --for 30m --wait)
    """
    wanted = event_in(run, feeder, limit, export_limit, shed, duration, start, end, reason, name)
    patience_s = parse_duration(within)
    async with run.client() as client:
        if dry_run:
            show_preview(run, await client.preview_event(wanted))
            return None
        try:
            expected = expectation(run, await client.preview_event(wanted))
        except UnavailableError as error:
            expected = [f"what it will do is not known: {error.what}"]
        made = await _created(run, client, wanted, key)
        run.made(made, made.event_id, id_only=id_only)
        for line in expected:
            run.say(line)
        if wait:
            from derms.cli.following import follow

            return await follow(run, client, made, patience_s)
    return None


@app.command()
@asking
async def preview(
    run: Run,
    feeder: _Feeders = None,
    limit: _Import = None,
    export_limit: _Export = None,
    shed: _Shed = None,
    duration: _For = None,
    start: _Start = None,
    end: _End = None,
) -> None:
    r"""Show what an event would do; nothing is stored or sent. Needs the role operator.

    \b
    Examples:
      derms dr preview --feeder feeder-1 --limit 150 --for 2h
      derms dr preview --shed 40 --start 17:00 --end 19:00 -o csv
    """
    wanted = event_in(run, feeder, limit, export_limit, shed, duration, start, end)
    async with run.client() as client:
        show_preview(run, await client.preview_event(wanted))


@app.command("list")
@watching
async def list_(
    run: Run,
    state: Annotated[str, typer.Option(help=f"{', '.join(_STATES)}; open: scheduled and active.")] = "open",
    feeder: Annotated[
        str | None, typer.Option(help="Only those that name it.", autocompletion=names_of(Kind.FEEDER))
    ] = None,
) -> None:
    r"""List the events.

    \b
    Examples:
      derms dr list
      derms dr list --state all -o json
    """
    from derms.api.schemas.events import EventFilter, EventOut

    if state not in _STATES:
        raise UsageError(
            f"the state is {state!r}", why=f"it is one of {', '.join(_STATES)}", next_step="name one of them"
        )
    async with run.client() as client:
        events = await client.events(state=EventFilter(state), feeder_id=feeder)
    columns: list[Column[EventOut]] = [
        Column(name="event_id", title="EVENT", value=lambda one: one.event_id),
        Column(name="state", title="STATE", value=lambda one: one.state,
               tone=lambda one: "good" if one.state.value == "active" else ""),
        Column(name="feeder_ids", title="FEEDERS", value=lambda one: " ".join(one.feeder_ids)),
        Column(name="start", title="START", value=lambda one: one.start, shown=lambda one: run.local(one.start)),
        Column(name="end", title="END", value=lambda one: one.end, shown=lambda one: run.local(one.end)),
        Column(name="import_limit_kw", title="IMPORT kW", value=lambda one: one.import_limit_kw),
        Column(name="export_limit_kw", title="EXPORT kW", value=lambda one: one.export_limit_kw),
        Column(name="shed_kw", title="SHED kW", value=lambda one: one.shed_kw),
        Column(name="created_by", title="BY", value=lambda one: one.created_by),
        Column(name="reason", title="REASON", value=lambda one: one.reason),
    ]  # fmt: skip
    run.rows(
        Listing(
            kind="events", rows=events, columns=columns, name=lambda one: one.event_id, nothing="no event is like that"
        )
    )


@app.command()
@watching
async def show(run: Run, event_id: _Id) -> None:
    r"""Show one event.

    \b
    Examples:
      derms dr show dr-2bb356058a3b
      derms dr show dr-2bb356058a3b --watch
    """
    async with run.client() as client:
        event = await client.event(event_id)
    run.thing(event, event.event_id, lambda: event_lines(run, event))


@app.command()
@asking
async def amend(
    run: Run,
    event_id: _Id,
    limit: Annotated[str | None, typer.Option(metavar="KW", help="Import limit; none takes it away.")] = None,
    export_limit: Annotated[str | None, typer.Option(metavar="KW", help="Export limit; none takes it away.")] = None,
    shed: Annotated[str | None, typer.Option(metavar="KW", help="Only before the start; none takes it away.")] = None,
    duration: Annotated[str | None, typer.Option("--for", help="It ends so long from now.")] = None,
    end: _End = None,
    reason: Annotated[str | None, typer.Option(help="Why; people will read it.")] = None,
    name: Annotated[str | None, typer.Option(help="What people are to call it.")] = None,
    dry_run: _Dry = False,
) -> None:
    r"""Change an event that is not over; what is not given stays as it is. Needs the role operator.

    \b
    Examples:
      derms dr amend dr-2bb356058a3b --limit 120 --end 20:00
      derms dr amend dr-2bb356058a3b --for 30m --dry-run
    """
    import msgspec

    from derms.api.schemas.events import EventAmendIn

    if duration is not None and end is not None:
        raise _twice()
    until = f"+{duration}" if duration is not None else end
    said = {
        "name": name,
        "end": None if until is None else parse_instant(until, run.now, utc=run.shared.utc),
        "reason": reason,
    }
    changes: dict[str, object] = {key: value for key, value in said.items() if value is not None}
    limits = {"import_limit_kw": limit, "export_limit_kw": export_limit, "shed_kw": shed}
    changes |= {key: parse_limit(text) for key, text in limits.items() if text is not None}
    if not changes:
        raise UsageError("nothing is to be changed", why="no option says what", next_step="see `derms dr amend -h`")
    async with run.client() as client:
        if dry_run:
            before = await client.event(event_id)
            words = (f"{key} {getattr(before, key)} -> {value}" for key, value in changes.items())
            run.confirm(f"Change {event_id}: {', '.join(words)}?", yes=False)
            return
        event = await client.amend_event(event_id, msgspec.convert(changes, EventAmendIn))
    run.say(f"{event.event_id} is changed: {', '.join(changes)}")


@app.command()
@asking
async def cancel(run: Run, event_ids: _Ids, dry_run: _Dry = False, yes: _Yes = False) -> int:
    r"""End events at once; their devices come back staggered. Needs the role operator.

    \b
    Examples:
      derms dr cancel dr-2bb356058a3b --yes
      derms dr list -o name | derms dr cancel - --yes
    """
    ids = ids_of(event_ids, "event_id")
    async with run.client() as client:
        named = ids[0] if len(ids) == 1 else f"{len(ids)} events"
        if dry_run or (not yes and len(ids) == 1 and run.terminal.asks):
            event = await client.event(ids[0])
            named += f" on {', '.join(event.feeder_ids)}, {event.state.value} until {run.local(event.end)}"
        if not run.confirm(f"Cancel {named}?", yes=yes):
            return 0

        async def end(event_id: str) -> None:
            event = await client.cancel_event(event_id)
            run.say(f"{event.event_id} is {event.state.value}")

        return await for_each(ids, end)


@app.command()
@watching
async def outcome(
    run: Run,
    event_id: _Id,
    bucket: Annotated[str | None, typer.Option(help="Length of the intervals, such as 1m.")] = None,
) -> None:
    r"""Show what came of an event: what each feeder gave, how long it held, what each device did.

    \b
    Examples:
      derms dr outcome dr-2bb356058a3b
      derms dr outcome dr-2bb356058a3b --bucket 1m -o json
    """
    from derms.cli.outcomes import outcome_lines

    bucket_s = None if bucket is None else parse_duration(bucket)
    async with run.client() as client:
        told = await client.event_outcome(event_id, bucket_s=bucket_s)
    run.thing(told, event_id, lambda: outcome_lines(run, told))


def event_in(
    run: Run,
    feeders: list[str] | None,
    limit: float | None,
    export_limit: float | None,
    shed: float | None,
    duration: str | None,
    start: str | None,
    end: str | None,
    reason: str = "",
    name: str = "",
) -> "EventIn":
    """The event that the options describe.

    Raises:
        UsageError: They do not describe one.
    """
    from derms.api.schemas.events import EventIn

    if limit is None and export_limit is None and shed is None:
        raise UsageError(
            "the event limits nothing", why="it needs one of --limit, --export-limit and --shed", next_step="say one"
        )
    if duration is None and end is None:
        raise UsageError("the event has no end", why="it needs --for or --end", next_step="say how long, --for 2h")
    if duration is not None and end is not None:
        raise _twice()
    at = None if start is None else parse_instant(start, run.now, utc=run.shared.utc)
    return EventIn(
        name=name,
        feeder_ids=feeders or ([run.context.feeder] if run.context.feeder else None),
        start=at,
        # A clock time is the next one after the start: 23:00 to 01:00 is two hours.
        end=None if end is None else parse_instant(end, at or run.now, utc=run.shared.utc),
        duration_s=None if duration is None else parse_duration(duration),
        import_limit_kw=limit,
        export_limit_kw=export_limit,
        shed_kw=shed,
        reason=reason,
    )


def event_lines(run: Run, event: "EventOut") -> str:
    """All facts of an event."""
    limits = {"import": event.import_limit_kw, "export": event.export_limit_kw, "shed": event.shed_kw}
    facts = {
        "event": f"{event.event_id} ({event.state.value})",
        "name": event.name or "-",
        "feeders": ", ".join(event.feeder_ids),
        "start": run.local(event.start),
        "end": run.local(event.end),
        **{name: run.power(kw) for name, kw in limits.items() if kw is not None},
        "reason": event.reason or "-",
        "created": f"{run.local(event.created_at)} by {event.created_by}",
        **({"cancelled": run.local(event.cancelled_at)} if event.cancelled_at else {}),
    }
    return "".join(f"{name:<9} {value}\n" for name, value in facts.items())


async def _created(run: Run, client: "ApiClient", wanted: "EventIn", key: str | None) -> "EventOut":
    """Create it; where no answer comes it is asked once more, which cannot create a second one."""
    import uuid

    key = key or str(uuid.uuid4())
    try:
        return await client.create_event(wanted, key=key)
    except UnavailableError as error:
        run.say(f"{error.what}; asking again")
    try:
        return await client.create_event(wanted, key=key)
    except UnavailableError as error:
        raise UnavailableError(
            error.what,
            why=f"{error.why}; whether the event exists is not known",
            next_step=f"run it again with --key {key}, which creates no second one",
        ) from error


def _twice() -> UsageError:
    return UsageError("--for and --end are both given", why="each says when it ends", next_step="leave one out")


app.command("export")(exported)
app.command("import")(imported)
