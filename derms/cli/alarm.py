"""`derms alarm`."""

from typing import Annotated

import typer

from derms.cli.command import Run, asking
from derms.cli.formats import Column, Listing
from derms.wording.instants import age
from derms.wording.values import parse_duration

app = typer.Typer(help="See alarms, and say that you know.", no_args_is_help=True, rich_markup_mode=None)

_Id = Annotated[str, typer.Argument(help="The alarm's id: kind, a dot, what it is about.")]
_TONES = {"high": "bad", "medium": "warn", "low": ""}


@app.command("list")
@asking
async def list_(
    run: Run,
    kind: Annotated[str | None, typer.Option(help="Only of this kind.")] = None,
    subject: Annotated[str | None, typer.Option(help="Only about this feeder, device, event or part.")] = None,
) -> None:
    r"""List the alarms that are not normal, the most urgent first.

    \b
    Example: derms alarm list -o name | xargs -n1 derms alarm ack
    """
    from derms.api.schemas.alarms import AlarmOut, AlarmsQuery
    from derms.cli.paging import pages

    async with run.client() as client:
        got = await pages(client.alarms, AlarmsQuery(kind=kind, subject=subject))
    now = run.now
    columns: list[Column[AlarmOut]] = [
        Column(name="alarm_id", title="ALARM", value=lambda one: one.alarm_id),
        Column(name="priority", title="PRIORITY", value=lambda one: one.priority,
               tone=lambda one: _TONES[one.priority.value]),
        Column(name="state", title="STATE", value=lambda one: one.state),
        Column(name="raised_at", title="RAISED", value=lambda one: one.raised_at,
               shown=lambda one: age((now - one.raised_at).total_seconds())),
        Column(name="occurrences", title="TIMES", value=lambda one: one.occurrences),
        Column(name="acknowledged_by", title="BY", value=lambda one: one.acknowledged_by),
        Column(name="cause", title="CAUSE", value=lambda one: one.cause),
    ]  # fmt: skip
    rows = [one for page in got for one in page.alarms]
    run.rows(
        Listing(kind="alarms", rows=rows, columns=columns, name=lambda one: one.alarm_id, nothing="there is no alarm")
    )


@app.command()
@asking
async def show(run: Run, alarm_id: _Id) -> None:
    """Show one alarm: what caused it, what follows, and what to do."""
    async with run.client() as client:
        alarm = await client.alarm(alarm_id)
    facts = {
        "alarm": f"{alarm.alarm_id} ({alarm.priority.value}, {alarm.state.value})",
        "cause": alarm.cause,
        "follows": alarm.consequence,
        "do": alarm.response,
        "raised": f"{run.local(alarm.raised_at)}, {alarm.occurrences} times since it was normal",
        "known to": alarm.acknowledged_by or "-",
        "shelved": "-"
        if alarm.shelved_until is None
        else f"until {run.local(alarm.shelved_until)} by {alarm.shelved_by}: {alarm.shelved_reason}",
    }
    run.thing(alarm, alarm.alarm_id, lambda: "".join(f"{name:<9} {value}\n" for name, value in facts.items()))


@app.command()
@asking
async def ack(run: Run, alarm_id: _Id) -> None:
    """Say that you know of an alarm."""
    async with run.client() as client:
        alarm = await client.acknowledge_alarm(alarm_id)
    run.say(f"{alarm_id} is {alarm.state.value}")


@app.command()
@asking
async def shelve(
    run: Run,
    alarm_id: _Id,
    reason: Annotated[str, typer.Option(help="Why; it stands in the audit log.")],
    duration: Annotated[str, typer.Option("--for", help="How long, at most 7d.")] = "1h",
) -> None:
    r"""Put an alarm aside for a while.

    \b
    Example: derms alarm shelve disobedient.ev-007 --for 2h --reason "being repaired"
    """
    from derms.api.schemas.alarms import ShelveIn

    how = ShelveIn(reason=reason, duration_s=parse_duration(duration))
    async with run.client() as client:
        alarm = await client.shelve_alarm(alarm_id, how)
    run.say(f"{alarm_id} is shelved until {run.local(alarm.shelved_until)}")


@app.command()
@asking
async def unshelve(run: Run, alarm_id: _Id) -> None:
    """Let an alarm count again."""
    async with run.client() as client:
        alarm = await client.unshelve_alarm(alarm_id)
    run.say(f"{alarm_id} is {alarm.state.value}")
