"""`derms dr export` and `derms dr import`: events from one controller to another, or from a file."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from derms.cli.command import Run, asking
from derms.errors import ConflictError, UsageError

if TYPE_CHECKING:
    from derms.api.schemas.events import EventIn

_MOST = 1000
_TAKEN = ("name", "feeder_ids", "start", "end", "import_limit_kw", "export_limit_kw", "shed_kw", "reason")
"""Of an event as it is shown; the others are its controller's own."""


@asking
async def exported(
    run: Run,
    state: Annotated[str, typer.Option(help="open, scheduled, active, over, cancelled or all.")] = "open",
) -> None:
    r"""Write events as JSON, for `derms dr import` of another controller.

    \b
    Examples:
      derms dr export > events.json
      derms dr export --context plant | derms dr import - --context lab
    """
    from derms.api.schemas.events import EventFilter
    from derms.cli.formats import document, plain

    if state not in [one.value for one in EventFilter]:
        raise UsageError(
            f"the state is {state!r}",
            why=f"it is one of {', '.join(one.value for one in EventFilter)}",
            next_step="name one of them",
        )
    async with run.client() as client:
        events = await client.events(state=EventFilter(state))
    run.write(document({"events": [plain(event) for event in events]}))
    run.say(f"{len(events)} events")


@asking
async def imported(
    run: Run,
    file: Annotated[str, typer.Argument(help="JSON as `derms dr export` writes it; - is stdin.")],
    skip_over: Annotated[bool, typer.Option("--skip-over", help="Leave out those that are over already.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be created.")] = False,
) -> int:
    r"""Create the events of a file, and print their ids. All of it is checked before anything is created.

    Needs the role operator.

    The same file creates nothing twice: each event carries a key made of what it says.

    \b
    Examples:
      derms dr import events.json --dry-run
      derms dr export --context plant | derms dr import - --context lab
    """
    import msgspec

    wanted = [event for event in _events_in(_read(file)) if not skip_over or event.end is None or event.end > run.now]
    over = [event for event in wanted if event.end is not None and event.end <= run.now]
    if over:
        raise UsageError(
            f"{len(over)} of {len(wanted)} events are over",
            why=f"one ended at {run.local(over[0].end)}; nothing was created",
            next_step="leave them out with --skip-over",
        )
    if dry_run:
        for event in wanted:
            feeders = ", ".join(event.feeder_ids or ["all feeders"])
            run.confirm(f"Create an event on {feeders} until {run.local(event.end)}?", yes=False)
        return 0
    async with run.client() as client:
        for number, event in enumerate(wanted, 1):
            try:
                begun = event.start is not None and event.start <= run.now
                # What has begun elsewhere begins here now: a start that is past would be refused.
                wish = msgspec.structs.replace(event, start=None) if begun else event
                made = await client.create_event(wish, key=_key(event))
            except ConflictError as error:
                raise ConflictError(
                    f"event {number} of {len(wanted)} is not created: {error.what}",
                    why=error.why,
                    next_step=error.next_step or "correct the file, and import it again: nothing is created twice",
                ) from error
            run.write(f"{made.event_id}\n")
    run.say(f"{len(wanted)} events")
    return 0


def _read(file: str) -> str:
    if file == "-":
        return sys.stdin.read()
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{file} cannot be read", why=getattr(error, "strerror", "") or str(error), next_step="name another file"
        ) from error


def _events_in(text: str) -> "list[EventIn]":
    import msgspec

    from derms.api.schemas.events import EventIn
    from derms.cli.stdin import things_in

    events = []
    for number, told in enumerate(things_in(text), 1):
        kept = {name: told[name] for name in _TAKEN if told.get(name) not in (None, "")}
        try:
            event = msgspec.convert(kept, EventIn)
        except msgspec.ValidationError as error:
            raise UsageError(
                f"event {number} of the file is wrong", why=f"{error}; nothing was created", next_step="correct it"
            ) from error
        if event.end is None or (event.import_limit_kw, event.export_limit_kw, event.shed_kw) == (None, None, None):
            raise UsageError(
                f"event {number} of the file is no event",
                why="it has an end, and at least one limit; nothing was created",
                next_step="write the file with `derms dr export`",
            )
        events.append(event)
    return events


def _key(event: "EventIn") -> str:
    import hashlib

    import msgspec

    return f"import-{hashlib.sha256(msgspec.json.encode(event)).hexdigest()[:40]}"
