"""`derms alarm`."""

from typing import Annotated

import typer

from derms.cli.command import Run, asking, for_each, ids_of, watching
from derms.cli.formats import Column, Listing
from derms.cli.names import Kind, names_of
from derms.cli.nouns import Noun
from derms.wording.instants import age
from derms.wording.values import parse_duration

app = Noun(
    "See what is not normal, and say that you know.",
    "derms alarm list",
    "derms alarm ack disobedient.ev-007",
)

_Id = Annotated[
    str,
    typer.Argument(help="The alarm's id: kind, a dot, what it is about.", autocompletion=names_of(Kind.ALARM)),
]
_Ids = Annotated[
    list[str], typer.Argument(help="Ids of alarms; - reads them from stdin.", autocompletion=names_of(Kind.ALARM))
]
_TONES = {"high": "bad", "medium": "warn", "low": ""}


@app.command("list")
@watching
async def list_(
    run: Run,
    kind: Annotated[str | None, typer.Option(help="Only of this kind.")] = None,
    subject: Annotated[str | None, typer.Option(help="Only about this feeder, device, event or part.")] = None,
) -> None:
    r"""List the alarms that are not normal, the most urgent first.

    \b
    Examples:
      derms alarm list
      derms alarm list -o name | derms alarm ack -
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
@watching
async def show(run: Run, alarm_id: _Id) -> None:
    r"""Show one alarm: what caused it, what follows, and what to do.

    \b
    Examples:
      derms alarm show disobedient.ev-007
      derms alarm show disobedient.ev-007 -o json | jq -r .response
    """
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
async def ack(run: Run, alarm_ids: _Ids) -> int:
    r"""Say that you know of alarms. Needs the role operator.

    \b
    Examples:
      derms alarm ack disobedient.ev-007
      derms alarm list -o name | derms alarm ack -
    """
    async with run.client() as client:

        async def know(alarm_id: str) -> None:
            alarm = await client.acknowledge_alarm(alarm_id)
            run.say(f"{alarm_id} is {alarm.state.value}")

        return await for_each(ids_of(alarm_ids, "alarm_id"), know)


@app.command()
@asking
async def shelve(
    run: Run,
    alarm_ids: _Ids,
    reason: Annotated[str, typer.Option(help="Why; it stands in the audit log.")],
    duration: Annotated[str, typer.Option("--for", help="How long, at most 7d.")] = "1h",
) -> int:
    r"""Put alarms aside for a while. Needs the role operator.

    \b
    Examples:
      derms alarm shelve disobedient.ev-007 --for 2h --reason "being repaired"
      derms alarm list --kind stale -o name | derms alarm shelve - --for 30m --reason "planned outage"
    """
    from derms.api.schemas.alarms import ShelveIn

    how = ShelveIn(reason=reason, duration_s=parse_duration(duration))
    async with run.client() as client:

        async def put_aside(alarm_id: str) -> None:
            alarm = await client.shelve_alarm(alarm_id, how)
            run.say(f"{alarm_id} is shelved until {run.local(alarm.shelved_until)}")

        return await for_each(ids_of(alarm_ids, "alarm_id"), put_aside)


@app.command()
@asking
async def unshelve(run: Run, alarm_ids: _Ids) -> int:
    r"""Let alarms count again. Needs the role operator.

    \b
    Examples:
      derms alarm unshelve disobedient.ev-007
      derms alarm list -o name | derms alarm unshelve -
    """
    async with run.client() as client:

        async def count_again(alarm_id: str) -> None:
            alarm = await client.unshelve_alarm(alarm_id)
            run.say(f"{alarm_id} is {alarm.state.value}")

        return await for_each(ids_of(alarm_ids, "alarm_id"), count_again)
