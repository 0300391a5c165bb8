"""Create, amend and cancel events; switch programs."""

import uuid
from datetime import timedelta
from typing import Any

from derms.api.schemas.events import EventAmendIn, EventIn, EventOut, PreviewOut
from derms.api.schemas.programs import ProgramOut
from derms.client import ApiClient
from derms.errors import UsageError
from derms.model import EventState
from derms.tui import readers
from derms.tui.desk import Desk
from derms.tui.dialogs.form import Field
from derms.tui.lines import Row
from derms.tui.paint.dr import amount, preview_rows
from derms.tui.said import day_clock, span

_PREVIEW_CELLS = 76


def _something(values: dict[str, Any]) -> None:
    if all(values[name] is None for name in ("import", "export", "shed")):
        raise UsageError("it asks for nothing", why="import, export or shed is needed", next_step="fill one of them")


async def new_event(desk: Desk) -> None:
    """Create an event, after a preview."""
    feeder = desk.picture.feeder(desk.feeder_id)
    if feeder is None:
        desk.notice("there is no feeder", "warn")
        return
    hint = "" if feeder.import_limit_kw is None else f"in force now: {feeder.import_limit_kw:g}"
    given = await desk.filled(
        "New demand-response event",
        [
            Field(key="feeders", label="feeders", value=feeder.feeder_id, hint="ids; nothing: all",
                  read=lambda written: written.replace(",", " ").split()),
            Field(key="import", label="import kW", hint=hint, read=readers.maybe_magnitude),
            Field(key="export", label="export kW", read=readers.maybe_magnitude),
            Field(key="shed", label="shed kW", hint="taken off what is drawn", read=readers.maybe_magnitude),
            Field(key="start", label="start", value="now", hint="now, +1h, 17:00, tomorrow 06:00",
                  read=readers.instant(desk.now)),
            Field(key="duration", label="for", value="1h", hint="30m, 2h", read=readers.duration),
            Field(key="name", label="name", read=readers.text(120)),
            Field(key="reason", label="reason", hint="people will read it", read=readers.text()),
        ],
        [],
        _something,
    )  # fmt: skip
    if given is None:
        return
    wanted = EventIn(
        name=given["name"], feeder_ids=given["feeders"] or None, start=given["start"], duration_s=given["duration"],
        import_limit_kw=given["import"], export_limit_kw=given["export"], shed_kw=given["shed"],
        reason=given["reason"],
    )  # fmt: skip
    found: list[PreviewOut] = []

    async def look(client: ApiClient) -> str:
        found.append(await client.preview_event(wanted))
        return "this is what it would do"

    if not await desk.doing("the preview", look):
        return
    effect = preview_rows(found[0], desk.now, _PREVIEW_CELLS, desk.glyphs)
    facts = [("feeder", " ".join(given["feeders"]) or "all"), ("asks for", _asks(given)),
             ("lasts", span(given["duration"]))]  # fmt: skip
    if not await desk.confirmed("Create this event?", facts, effect):
        return
    key = str(uuid.uuid4())

    async def do(client: ApiClient) -> str:
        made = await client.create_event(wanted, key=key)
        return f"{made.event_id} is {made.state.value}: {amount(made)}"

    await desk.doing("the event", do)


def _asks(given: dict[str, Any]) -> str:
    words = {"import": "import at most", "export": "export at most", "shed": "shed"}
    return ", ".join(f"{words[name]} {given[name]:g} kW" for name in words if given[name] is not None)


def _event(desk: Desk) -> EventOut | None:
    chosen = desk.selected
    if not isinstance(chosen, EventOut):
        desk.notice("choose an event first", "warn")
        return None
    if chosen.state not in (EventState.ACTIVE, EventState.SCHEDULED):
        desk.notice(f"{chosen.event_id} is {chosen.state.value}", "warn")
        return None
    return chosen


async def amend_event(desk: Desk) -> None:
    """Change what may be changed of an event that is not over."""
    if (event := _event(desk)) is None:
        return

    def shown(value: float | None) -> str:
        return "" if value is None else f"{value:g}"

    begun = event.state is EventState.ACTIVE
    left_s = max((event.end - desk.now).total_seconds(), 1.0)
    fields = [
        Field(key="import", label="import kW", value=shown(event.import_limit_kw), read=readers.maybe_magnitude),
        Field(key="export", label="export kW", value=shown(event.export_limit_kw), read=readers.maybe_magnitude),
        *([] if begun else [Field(key="shed", label="shed kW", value=shown(event.shed_kw),
                                  read=readers.maybe_magnitude)]),
        Field(key="end", label="ends in", value="", hint=f"{span(left_s)} are left; 30m, 2h; nothing: as it is",
              read=lambda written: readers.duration(written) if written else None),
        Field(key="name", label="name", value=event.name, read=readers.text(120)),
        Field(key="reason", label="reason", value=event.reason, read=readers.text()),
    ]  # fmt: skip
    given = await desk.filled(f"Amend {event.event_id}", fields, [("feeder", " ".join(event.feeder_ids))])
    if given is None:
        return
    changes: dict[str, Any] = {}
    effect: list[Row] = []
    before = {"import": event.import_limit_kw, "export": event.export_limit_kw, "shed": event.shed_kw}
    names = {"import": "import_limit_kw", "export": "export_limit_kw", "shed": "shed_kw"}
    for key, name in names.items():
        if key in given and given[key] != before[key]:
            changes[name] = given[key]
            was, now = shown(before[key]) or "none", shown(given[key]) or "none"
            effect.append([(f"{key:<10} ", "dim"), (f"{was} {desk.glyphs.arrow} {now} kW", "limit")])
    if given["end"] is not None:
        changes["end"] = desk.now + timedelta(seconds=given["end"])
        effect.append([("end        ", "dim"), (f"{day_clock(event.end, desk.now)} {desk.glyphs.arrow} "
                                                f"{day_clock(changes['end'], desk.now)}", "")])  # fmt: skip
    for key, was in (("name", event.name), ("reason", event.reason)):
        if given[key] != was:
            changes[key] = given[key]
            effect.append([(f"{key:<10} ", "dim"), (given[key] or "none", "")])
    if not changes:
        desk.notice("nothing was changed")
        return
    facts = [("feeder", " ".join(event.feeder_ids)), ("event", event.event_id)]
    if not await desk.confirmed("Amend this event?", facts, effect):
        return

    async def do(client: ApiClient) -> str:
        made = await client.amend_event(event.event_id, EventAmendIn(**changes))
        return f"{made.event_id} is amended: {amount(made)} until {day_clock(made.end, desk.now)}"

    await desk.doing(f"amend {event.event_id}", do)


async def cancel_event(desk: Desk) -> None:
    """End an event at once."""
    if (event := _event(desk)) is None:
        return
    words = "its limits end now; devices come back one after the other"
    if event.state is EventState.SCHEDULED:
        words = "it never begins"
    facts = [("feeder", " ".join(event.feeder_ids)), ("event", f"{event.event_id} {event.name}".strip()),
             ("asks for", amount(event))]  # fmt: skip
    effect: list[Row] = [[("effect     ", "dim"), (words, "warn")]]
    if not await desk.confirmed(f"Cancel {event.event_id}?", facts, effect):
        return

    async def do(client: ApiClient) -> str:
        made = await client.cancel_event(event.event_id)
        return f"{made.event_id} is cancelled"

    await desk.doing(f"cancel {event.event_id}", do)


async def switch_program(desk: Desk) -> None:
    """Switch a program on or off."""
    program = desk.selected
    if not isinstance(program, ProgramOut):
        desk.notice("choose a program first", "warn")
        return
    on = not program.active
    words = "it tightens its feeders' limits while it is in its window" if on else "it tightens nothing any more"
    facts = [("feeder", " ".join(program.feeder_ids) or "all"), ("program", f"{program.program_id} {program.name}")]
    effect: list[Row] = [[("effect     ", "dim"), (words, "warn")]]
    if not await desk.confirmed(f"Switch {program.name} {'on' if on else 'off'}?", facts, effect):
        return

    async def do(client: ApiClient) -> str:
        call = client.activate_program if on else client.deactivate_program
        made = await call(program.program_id)
        return f"{made.name} is {made.state.value}"

    await desk.doing(f"switch {program.name}", do)
