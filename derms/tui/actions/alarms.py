"""Acknowledge, shelve and unshelve an alarm."""

from derms.api.schemas.alarms import AlarmOut, ShelveIn
from derms.client import ApiClient
from derms.model import AlarmState
from derms.tui import readers
from derms.tui.desk import Desk
from derms.tui.dialogs.form import Field
from derms.tui.lines import Row
from derms.tui.said import day_clock, span


def _chosen(desk: Desk) -> AlarmOut | None:
    if not isinstance(desk.selected, AlarmOut):
        desk.notice("there is no alarm to choose", "warn")
        return None
    return desk.selected


def _facts(desk: Desk, alarm: AlarmOut) -> list[tuple[str, str]]:
    facts = [("alarm", alarm.alarm_id), ("about", alarm.subject)]
    if (row := desk.picture.fleet.row(alarm.subject)) is not None:
        facts.insert(0, ("feeder", str(row["feeder_id"])))
    elif desk.picture.feeder(alarm.subject) is not None:
        facts.insert(0, ("feeder", alarm.subject))
    return facts


async def acknowledge(desk: Desk) -> None:
    """Say that one knows."""
    if (alarm := _chosen(desk)) is None:
        return
    if alarm.acknowledged:
        desk.notice(f"{alarm.alarm_id} is acknowledged already", "warn")
        return
    gone = alarm.state is AlarmState.RETURNED
    words = "its condition is gone: it leaves the list" if gone else "it stays in the list until its condition is gone"
    effect: list[Row] = [[("cause      ", "dim"), (alarm.cause, "")], [("effect     ", "dim"), (words, "")]]
    if not await desk.confirmed("Acknowledge this alarm?", _facts(desk, alarm), effect):
        return

    async def do(client: ApiClient) -> str:
        await client.acknowledge_alarm(alarm.alarm_id)
        return f"{alarm.alarm_id} is acknowledged"

    await desk.doing(f"acknowledge {alarm.alarm_id}", do)


async def shelve(desk: Desk) -> None:
    """Put it aside for a while."""
    if (alarm := _chosen(desk)) is None:
        return
    given = await desk.filled(
        "Put this alarm aside",
        [
            Field(key="duration", label="for", value="1h", hint="30m, 2h, at most 7d", read=readers.duration),
            Field(key="reason", label="reason", hint="people will read it", read=readers.text(needed=True)),
        ],
        _facts(desk, alarm),
    )
    if given is None:
        return
    effect: list[Row] = [
        [("cause      ", "dim"), (alarm.cause, "")],
        [("effect     ", "dim"), (f"it does not call anybody for {span(given['duration'])}, whatever happens", "warn")],
    ]
    if not await desk.confirmed("Shelve this alarm?", _facts(desk, alarm), effect):
        return

    async def do(client: ApiClient) -> str:
        how = ShelveIn(reason=given["reason"], duration_s=given["duration"])
        made = await client.shelve_alarm(alarm.alarm_id, how)
        until = "" if made.shelved_until is None else f" until {day_clock(made.shelved_until, desk.now)}"
        return f"{alarm.alarm_id} is shelved{until}"

    await desk.doing(f"shelve {alarm.alarm_id}", do)


async def unshelve(desk: Desk) -> None:
    """Let it count again."""
    if (alarm := _chosen(desk)) is None:
        return
    if alarm.state is not AlarmState.SHELVED:
        desk.notice(f"{alarm.alarm_id} is not shelved", "warn")
        return
    effect: list[Row] = [[("effect     ", "dim"), ("it counts again at once", "")]]
    if not await desk.confirmed("Unshelve this alarm?", _facts(desk, alarm), effect):
        return

    async def do(client: ApiClient) -> str:
        await client.unshelve_alarm(alarm.alarm_id)
        return f"{alarm.alarm_id} counts again"

    await desk.doing(f"unshelve {alarm.alarm_id}", do)
